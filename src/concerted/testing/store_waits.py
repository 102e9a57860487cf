"""Questions about what the nodes on a shared store tell each other of who waits."""

from __future__ import annotations

import asyncio

from concerted.ports.store import Store
from concerted.ports.waits import PostedWait, PostedWaits
from concerted.testing.store_scenes import SharedStoreFactory
from concerted.values import AgentId

__all__ = ["QUESTIONS"]

WITHIN_S = 20.0  # for what must come; it comes within milliseconds
ANN, BOB = AgentId("ann"), AgentId("bob \\ \"ü\" \x00")  # fmt: skip


async def a_wait_that_one_node_posts_the_other_finds(make: SharedStoreFactory) -> None:
    first, second, one, two = await _two(make)
    posted = _wait("one", 1, ANN), _wait("one", 2, BOB)
    places = await one.post("one", posted)
    assert list(places) == [1, 2], f"it says where each stands: {places}"
    assert places[1] < places[2], f"in the order in which they were given: {places}"
    found = await two.of([BOB, ANN])
    assert [row.key for row in found] == [("one", 1), ("one", 2)], f"of both agents, by place: {found}"
    assert [(row.agent, row.command, row.place) for row in found] == [
        (row.agent, row.command, places[row.number]) for row in posted
    ], f"as they were posted: {found}"
    assert [row.number for row in await two.of([BOB])] == [2], "and of one agent alone"
    await one.withdraw("one", [1, 7])
    assert [row.number for row in await two.of([ANN, BOB])] == [2], "what was withdrawn is gone"
    await first.close()
    assert await two.of([ANN, BOB]) == [], "and with its node the rest"
    await second.close()


async def of_two_that_post_at_once_the_later_finds_the_earlier(make: SharedStoreFactory) -> None:
    first, second, one, two = await _two(make)

    async def post(waits: PostedWaits, node: str, number: int) -> tuple[int, set[tuple[str, int]]]:
        [place] = (await waits.post(node, [_wait(node, number, ANN)])).values()
        return place, {row.key for row in await waits.of([ANN])}

    for number in range(20):
        (mine, found), (theirs, also) = await asyncio.gather(post(one, "one", number), post(two, "two", number))
        assert mine != theirs, f"two waits have the same place {mine}"
        earlier, seen = (("two", number), found) if theirs < mine else (("one", number), also)
        assert earlier in seen, f"{earlier} was posted before, and the other does not see it"
    await first.close()
    await second.close()


async def the_waits_of_a_node_whose_lease_is_over_do_not_count(make: SharedStoreFactory) -> None:
    first, second, one, two = await _two(make)
    await one.post("one", [_wait("one", 1, ANN)])
    assert await first.beat("one", 0.0), "node one lives, and says nothing from now on"
    async with asyncio.timeout(WITHIN_S):
        while True:
            if not await two.of([ANN]):
                break
            await asyncio.sleep(0)
    await second.adopt("two", 20.0)
    assert await one.post("one", [_wait("one", 2, ANN)]) == {}, "who has lost its lease posts nothing"
    await first.adopt("one", 30.0)
    assert await two.of([ANN]) == [], "and what it had posted does not come back with it"
    await first.close()
    await second.close()


async def a_question_about_a_wait_is_heard_and_answered(make: SharedStoreFactory) -> None:
    first, second, one, two = await _two(make)
    asked, answered = asyncio.Event(), asyncio.Event()
    one.listen(asked.set)
    two.listen(answered.set)
    first.listen(lambda _: None)
    second.listen(lambda _: None)
    await one.post("one", [_wait("one", 1, ANN), _wait("one", 2, ANN)])
    async with asyncio.timeout(WITHIN_S):
        while not asked.is_set():  # a listener that is only just connecting is told when it stands
            questions = await two.ask([("one", 2), ("one", 7)])
            await asyncio.sleep(0.01)
        assert list(questions) == [("one", 2)], f"there is no other: {questions}"
        number = questions["one", 2]
        [open_one] = await one.asked("one")
        assert (open_one.number, open_one.asked) == (2, number), f"that is the open question: {open_one}"
        assert await two.asked("two") == [], "and it is nobody else's"
        answered.clear()
        await one.confirm([open_one])
        await answered.wait()
    assert await one.asked("one") == [], "it is answered"
    assert [row.confirmed for row in await two.of([ANN])] == [0, number], "and whoever asked finds it"
    await first.close()
    await second.close()


def _wait(node: str, number: int, agent: AgentId) -> PostedWait:
    return PostedWait(node=node, number=number, agent=agent, command=b'{"of":"\\u0000 \xc3\xbc"}')


async def _two(make: SharedStoreFactory) -> tuple[Store, Store, PostedWaits, PostedWaits]:
    first = await make.fresh()
    second = await make.open_second(first)
    await first.adopt("one", 10.0)
    await second.adopt("two", 10.0)
    assert first.waits is not None, "a store that several processes share tells them who waits"
    assert second.waits is not None, "and each of them"
    return first, second, first.waits, second.waits


QUESTIONS = (
    a_wait_that_one_node_posts_the_other_finds,
    of_two_that_post_at_once_the_later_finds_the_earlier,
    the_waits_of_a_node_whose_lease_is_over_do_not_count,
    a_question_about_a_wait_is_heard_and_answered,
)
