"""Waits at several nodes on one PostgreSQL: the one that closes a cycle is refused wherever the others are."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator
from concerted.engine.permissions import LOCAL
from concerted.errors import Deadlock, Unreachable
from concerted.ports.commands import Command, Why
from concerted.ports.holding import AcquireLease, Leases, ReleaseLease, RevokeLease
from concerted.ports.meeting import ArriveAtSyncPoint, CreateSyncPoint, GetSyncPoint
from concerted.ports.store import Row, Write
from concerted.ports.waits import PostedWait
from concerted.values import AgentId

WITHIN_S = 30.0  # for what must come; it comes within milliseconds

OnNodes = Callable[[int, Callable[[list[Coordinator]], Awaitable[None]]], None]


class Nodes:
    """Coordinators on one database, and what is given to them."""

    def __init__(self, nodes: list[Coordinator]) -> None:
        self.all = nodes

    async def serve(self, node: int, command: Command) -> Any:
        return await serve(self.all[node], command, LOCAL)

    def give(self, node: int, command: Command) -> asyncio.Task[Any]:
        return asyncio.ensure_future(self.serve(node, command))

    async def posted(self, *agents: str, asked: int = 0) -> None:
        """Wait until each of these agents has posted a wait, and so many questions were asked about each."""
        while True:
            found = await self._rows(agents)
            if len([row for row in found if row.asked >= asked]) >= len(agents):
                return
            await asyncio.sleep(0.005)

    async def until_nobody_waits(self, *agents: str) -> None:
        while True:
            if not await self._rows(agents):
                return
            await asyncio.sleep(0.005)

    async def until_one_waits_here(self, node: int, agent: str) -> None:
        while True:
            if self.all[node].primitives.waits.views(AgentId(agent)):
                return
            await asyncio.sleep(0)

    async def _rows(self, agents: Sequence[str]) -> list[PostedWait]:
        rows = self.all[-1].store.waits
        assert rows is not None
        return await rows.of([AgentId(agent) for agent in agents])

    def stop_hearing(self, node: int) -> Callable[[], None]:
        """Have a node answer nothing, like one that is stopped; return what ends that."""
        waits: Any = self.all[node].store.waits
        hears = waits._told
        waits.listen(lambda: None)

        def again() -> None:
            waits.listen(hears)
            waits.tell()

        return again


def take(agent: str, *names: str, wait_s: float = 0.0, **fields: Any) -> AcquireLease:
    return AcquireLease(agent=AgentId(agent), ticket=f"{agent} {names}", names=names, wait_s=wait_s, **fields)


def arrive(agent: str, point: str = "p", wait_s: float = 600) -> ArriveAtSyncPoint:
    return ArriveAtSyncPoint(id=point, agent=AgentId(agent), wait_s=wait_s, data={"much": "x" * 10_000})


async def held(n: Nodes, holder: str) -> str:
    return next(one.token for one in (await n.serve(0, Leases())).leases if one.holder == holder)


def test_of_two_that_wait_for_each_others_leases_at_two_nodes_the_second_is_refused(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(1, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.posted("ann")
        with pytest.raises(
            Deadlock, match=r"bob would wait for ever: bob waits for a, held by ann.*ann waits for b"
        ) as caught:
            await n.serve(1, take("bob", "a", wait_s=600))
        assert caught.value.facts["agents"] == ["bob", "ann"]
        assert [link["on"] for link in caught.value.facts["cycle"]] == ["ann", "bob"]
        assert not ann.done()
        assert [one.holder for one in (await n.serve(0, Leases())).waiting] == ["ann"], "its ticket is withdrawn"
        await n.serve(1, ReleaseLease(agent=AgentId("bob"), token=await held(n, "bob")))
        assert (await ann).granted
        await n.until_nobody_waits("ann", "bob")

    on_nodes(2, scene)


def test_of_two_that_close_a_cycle_in_the_same_instant_one_is_refused(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        for turn in range(3):
            await n.serve(0, take("ann", f"a{turn}"))
            await n.serve(1, take("bob", f"b{turn}"))
            both = [n.give(0, take("ann", f"b{turn}", wait_s=600)), n.give(1, take("bob", f"a{turn}", wait_s=600))]
            done, waiting = await asyncio.wait(both, return_when="FIRST_COMPLETED")
            await n.until_nobody_waits("ann" if both[0] in done else "bob")
            [refused], [other] = done, waiting
            assert isinstance(refused.exception(), Deadlock)
            loser = "ann" if refused is both[0] else "bob"
            token = next(
                one.token
                for one in (await n.serve(0, Leases())).leases
                if one.holder == loser and str(turn) in one.names[0]
            )
            await n.serve(0, ReleaseLease(agent=AgentId(loser), token=token))
            assert (await other).granted

    on_nodes(2, scene)


def test_a_lease_and_a_sync_point_make_a_cycle_too_and_the_arrival_stays(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "src/a.py"))
        await n.serve(0, CreateSyncPoint(id="p", participants=("ann", "bob")))
        bob = n.give(1, take("bob", "src/**", wait_s=600))
        await n.posted("bob")
        with pytest.raises(Deadlock, match="bob waits for src"):
            await n.serve(0, arrive("ann"))
        assert (await n.serve(1, GetSyncPoint(id="p"))).arrived == 1
        await n.serve(0, ReleaseLease(agent=AgentId("ann"), token=await held(n, "ann")))
        assert (await bob).granted

    on_nodes(2, scene)


@pytest.mark.crash
def test_a_cycle_over_three_nodes_is_told_to_the_last_one(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        names = ("ann", "bob", "cy")
        for number, name in enumerate(names):
            await n.serve(number, take(name, f"of-{name}"))
        waiting = []
        for number, name in enumerate(names[:2]):
            waiting.append(n.give(number, take(name, f"of-{names[number + 1]}", wait_s=600)))
            await n.posted(name)
        with pytest.raises(Deadlock) as caught:
            await n.serve(2, take("cy", "of-ann", wait_s=600))
        assert caught.value.facts["agents"] == ["cy", "ann", "bob"]
        assert not any(one.done() for one in waiting)
        for one in waiting:
            one.cancel()
        await n.until_nobody_waits(*names)

    on_nodes(3, scene)


@pytest.mark.crash
def test_a_cycle_within_one_of_several_nodes_is_told_as_well(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(0, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.until_one_waits_here(0, "ann")
        with pytest.raises(Deadlock):
            await n.serve(0, take("bob", "a", wait_s=600))
        assert not ann.done()
        ann.cancel()

    on_nodes(2, scene)


def test_a_node_that_is_stopped_makes_no_deadlock_and_the_lease_passes_on(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(0, CreateSyncPoint(id="p", participants=("ann", "bob")))
        ann = n.give(0, arrive("ann"))
        await n.posted("ann")
        n.stop_hearing(0)
        bob = n.give(1, take("bob", "a", wait_s=600))
        await n.posted("ann", asked=1)
        assert not bob.done(), "nobody knows whether ann still waits"
        await n.serve(1, RevokeLease(token=await held(n, "ann"), reason="its time was over"))
        assert (await bob).granted
        await n.serve(1, arrive("bob"))
        assert (await ann).status == "completed"

    on_nodes(2, scene)


@pytest.mark.crash
def test_a_node_that_was_stopped_and_goes_on_is_heard(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(1, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.posted("ann")
        go_on = n.stop_hearing(0)
        bob = n.give(1, take("bob", "a", wait_s=600))
        await n.posted("ann", asked=1)
        go_on()
        with pytest.raises(Deadlock):
            await bob
        ann.cancel()

    on_nodes(2, scene)


@pytest.mark.crash
def test_an_answer_that_comes_late_is_asked_for_again(on_nodes: OnNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(1, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.posted("ann")
        monkeypatch.setattr("concerted.engine.waits.waits_of_nodes.ANSWER_WITHIN_S", -1.0)  # every one is late
        bob = n.give(1, take("bob", "a", wait_s=600))
        await n.posted("ann", asked=3)
        assert not bob.done()
        monkeypatch.undo()
        with pytest.raises(Deadlock):
            await bob
        ann.cancel()

    on_nodes(2, scene)


def test_the_waits_of_a_dead_node_hold_nobody_up(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(1, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.posted("ann")
        await n.all[0].store.beat("node-0", 0.0)  # its lease is over, and it has not noticed
        bob = n.give(1, take("bob", "a", wait_s=600))
        await n.posted("bob")
        await n.until_nobody_waits("ann")
        await n.serve(1, RevokeLease(token=await held(n, "ann"), reason="its node is gone"))
        assert (await bob).granted
        ann.cancel()

    on_nodes(2, scene)


@pytest.mark.crash
def test_waits_that_can_end_are_no_deadlock_wherever_they_are(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await n.serve(0, take("ann", "a"))
        await n.serve(0, CreateSyncPoint(id="p", participants=("ann", "bob")))
        await n.serve(0, CreateSyncPoint(id="q", participants=("bob", "cy")))
        waiting = [n.give(1, arrive("bob", "q"))]
        await n.posted("bob")
        waiting.append(n.give(0, arrive("ann")))
        await n.posted("ann")
        waiting.append(
            n.give(1, take("bob", "a", wait_s=600))
        )  # ann waits for bob, and bob may go on by his other hand
        await n.posted("ann", "bob", "bob")
        waiting.append(n.give(0, take("dan", "a", wait_s=600)))
        await n.posted("dan", "ann", "bob", "bob")
        assert not any(one.done() for one in waiting)
        await n.serve(1, arrive("cy", "q"))
        assert (await waiting[0]).status == "completed"
        for one in waiting:
            one.cancel()

    on_nodes(2, scene)


def test_why_an_agent_waits_is_said_at_every_node(on_nodes: OnNodes) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        known = Row(stream="agent:bob", at=1.0, kind="agent.registered", agent="bob", data=b'{"profile":{"id":"bob"}}')
        await nodes[0].store.append([Write(rows=[known])])
        await n.serve(0, take("ann", "a"))
        bob = n.give(0, take("bob", "a", wait_s=600))
        await n.posted("bob")
        [here], [there] = [(await n.serve(node, Why(subject="bob"))).waiting for node in (0, 1)]
        assert (there.subject, there.waiting_for) == (here.subject, here.waiting_for)
        assert there.unblocked_by == "ann"
        bob.cancel()

    on_nodes(2, scene)


def test_a_short_wait_is_posted_nowhere(on_nodes: OnNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        touched: list[Any] = []
        for node in n.all:
            waits: Any = node.store.waits
            for name in ("post", "withdraw", "of", "ask", "confirm"):
                setattr(waits, name, lambda *given: touched.append(given))
        await n.serve(0, CreateSyncPoint(id="p", participants=("ann", "bob")))
        ann = n.give(0, arrive("ann"))
        await n.until_one_waits_here(0, "ann")
        await n.serve(1, arrive("bob"))
        assert (await ann).status == "completed"
        assert touched == []

    monkeypatch.setattr("concerted.engine.waits.waits_of_nodes.SHORT_S", WITHIN_S)  # every one is short

    on_nodes(2, scene)


@pytest.mark.crash
@pytest.mark.parametrize("is_ordered", [True, False])
def test_whoever_takes_in_order_is_never_refused_and_others_get_on_by_being_refused(
    on_nodes: OnNodes, monkeypatch: pytest.MonkeyPatch, is_ordered: bool
) -> None:
    """Six agents take two of four leases each, again and again, by any of three nodes; nobody's time ever runs out."""
    dice = random.Random(7)
    refused: list[str] = []

    async def live(n: Nodes, agent: str) -> None:
        for turn in range(12):
            names = dice.sample("wxyz", 2)
            tokens = []
            try:
                for name in sorted(names) if is_ordered else names:
                    command = AcquireLease(
                        agent=AgentId(agent), ticket=f"{agent}{turn}{name}", names=(name,), wait_s=600
                    )
                    tokens.append((await n.serve(dice.randrange(3), command)).token)
                    await asyncio.sleep(dice.random() * 0.02)
            except Deadlock:
                refused.append(agent)
            for token in tokens:
                await n.serve(dice.randrange(3), ReleaseLease(agent=AgentId(agent), token=token))

    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        await asyncio.gather(*(live(n, f"agent-{number}") for number in range(6)))

    monkeypatch.setattr("concerted.engine.waits.waits_of_nodes.SHORT_S", 0.002)
    on_nodes(3, scene)
    assert bool(refused) is not is_ordered


@pytest.mark.crash
def test_a_node_goes_on_when_the_database_was_away_for_a_question(
    on_nodes: OnNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(nodes: list[Coordinator]) -> None:
        n = Nodes(nodes)
        monkeypatch.setattr("concerted.engine.waits.waits_of_nodes.RETRY_S", 0.01)
        await n.serve(0, take("ann", "a"))
        await n.serve(1, take("bob", "b"))
        ann = n.give(0, take("ann", "b", wait_s=600))
        await n.posted("ann")
        waits: Any = n.all[1].store.waits
        failed: list[str] = []

        def failing(name: str) -> None:
            once = getattr(waits, name)

            async def fails(*given: Any) -> Any:
                setattr(waits, name, once)
                failed.append(name)
                raise Unreachable("away")

            setattr(waits, name, fails)

        for name in ("post", "of", "ask", "withdraw"):
            failing(name)
        with pytest.raises(Deadlock):
            await n.serve(1, take("bob", "a", wait_s=600))
        await n.until_nobody_waits("bob")
        assert sorted(failed) == ["ask", "of", "post", "withdraw"]
        ann.cancel()

    on_nodes(2, scene)
