"""Conversations about tasks: what they decide, what they leave open, what is called off with them."""

import asyncio
from typing import Any

import pytest

from concerted.strategies import choose
from concerted.strategies.contracts.shop import ContractShop
from concerted.strategies.workshop.tasks import opened
from concerted.values import AgentId, TaskId


@pytest.fixture
def rehearse(play: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play an act in which the strategy `mine` is this function of (run, shop)."""

    def begin(act: Any, body: Any) -> None:
        async def coordinate(run: Any) -> Any:
            async with opened(ContractShop(run)) as shop:
                shop.add(run.objective.tasks)
                answer = await body(run, shop)
            return shop.outcome(answer)

        load = choose.load
        monkeypatch.setattr(choose, "load", lambda name: coordinate if name == "mine" else load(name))
        play(act)

    return begin


def test_a_conversation_of_its_own_sees_to_a_task_and_leaves_it_open_if_it_decides_nothing(
    rehearse: Any, task: Any
) -> None:
    async def body(run: Any, shop: Any) -> Any:
        tries = []

        async def see_to() -> None:
            tries.append(run.now())
            await asyncio.sleep(1.0)
            if len(tries) == 2:
                shop.staff.take(AgentId("ann"))
                reply = await shop.attempt(
                    TaskId("a"), AgentId("ann"), within_s=5.0, results={}, check=lambda result: None
                )
                assert reply.ok

        while shop.unfinished or shop.busy:
            seen = shop.changes
            for one in shop.waiting():
                shop.begin(one.id, see_to)
                assert one.id not in shop.open
            await shop.news(seen)
        return len(tries)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a")])
        assert view.success
        assert view.result == 2
        assert stage.seconds == pytest.approx(3.0)

    rehearse(act, body)


@pytest.mark.parametrize(
    ("within_s", "check", "status", "error"),
    [
        (0.5, None, "timeout", None),
        (9.0, "it is no good", "failed", "it is no good"),
        (9.0, None, "ok", None),
    ],
)
def test_an_attempt_says_what_came_of_it_and_is_booked(
    rehearse: Any, task: Any, within_s: float, check: str | None, status: str, error: str | None
) -> None:
    async def body(run: Any, shop: Any) -> Any:
        told = []

        async def see_to() -> None:
            reply = await shop.attempt(
                TaskId("a"), AgentId("ann"), within_s=within_s, results={TaskId("x"): 7}, check=lambda result: check
            )
            told.append((reply.status, reply.error))

        shop.waiting()
        shop.begin(TaskId("a"), see_to)
        while shop.unfinished or shop.busy:
            await shop.news(shop.changes)
        return told

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a", retries=0)])
        assert view.result == [[status, error]]
        assert view.success == (status == "ok")

    rehearse(act, body)


def test_a_task_that_is_called_off_takes_what_is_done_about_it_with_it(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> Any:
        ended = []

        async def see_to() -> None:
            try:
                await asyncio.sleep(50.0)
            finally:
                ended.append(run.now())

        shop.begin(TaskId("a"), see_to)
        await asyncio.sleep(1.0)
        shop.cancel(TaskId("a"), "not needed")
        while shop.unfinished or shop.busy:
            await shop.news(shop.changes)
        return len(ended)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a"), task("b", "a")])
        assert view.result == 1
        assert {one.id: one.status for one in view.tasks} == {"a": "cancelled", "b": "failed"}
        assert stage.seconds == pytest.approx(1.0)

    rehearse(act, body)


def test_what_goes_wrong_in_a_conversation_is_raised_where_news_are_awaited(rehearse: Any, task: Any) -> None:
    async def body(run: Any, shop: Any) -> None:
        async def see_to() -> None:
            raise ZeroDivisionError("our own mistake")

        shop.begin(TaskId("a"), see_to)
        await shop.news(shop.changes)

    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("mine", [task("a")])
        assert view.status == "failed"
        assert "our own mistake" in view.reason

    rehearse(act, body)
