"""The host of primitives where others are faster: renewals that come between, and other processes on a shared store."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from concerted.board.leases import lease
from concerted.errors import Unreachable
from concerted.kinds import primitive_stream
from concerted.machine import Look
from concerted.ports.holding import SPACE
from concerted.ports.store import Entry, PrimitiveRecord, Renewal, Row, Write
from concerted.primitives.held import Waiter
from concerted.primitives.host import Host
from concerted.sim.virtual_time import SimClock, run_virtual
from concerted.stores.memory import MemoryStore
from concerted.sync.points import sync_point
from concerted.values import AgentId

ANN, BOB = AgentId("ann"), AgentId("bob")


class NoMail:
    """Inboxes in which nothing is kept."""

    def rows(self, sends: Sequence[Any], cause: str, now: float) -> list[Row]:
        return []

    def written(self, rows: Sequence[Row]) -> None: ...


def host_of(store: Any) -> Host:
    def failed(error: BaseException) -> None:
        raise AssertionError(f"the store has failed: {error}")

    clock = SimClock(asyncio.get_running_loop())
    return Host(store, clock, mail=NoMail(), failed=failed, news=lambda _: None, happened=lambda held, events: None)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    complaints: list[Any] = []

    async def within() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(10_000):
            await scene()

    run_virtual(within())
    assert complaints == []


# what is renewed at the last moment


class Renewing(MemoryStore):
    """A store in which a lease is renewed in the instant after somebody has read until when it is held."""

    renewal: Renewal | None = None
    reads = 0

    async def held(self, stream: str) -> dict[str, float]:
        found = await super().held(stream)
        self.reads += 1
        if self.renewal is not None:
            assert await self.renew([self.renewal]) == [True]
            self.renewal = None
        return found


def test_a_lease_that_is_renewed_while_its_end_is_being_written_goes_on_and_ends_at_its_new_time() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        store = Renewing()
        await store.open()
        host = host_of(store)
        clock = SimClock(loop)
        ask = lease.Acquire(ticket="t", holder=ANN, names=("x",), ttl_s=10.0)
        await host.decide("lease", SPACE, ask)
        [(token, _)] = host.shelf.get("lease:space").state.held.unordered()  # type: ignore[union-attr]
        begun = clock.now()
        store.renewal = Renewal("lease:space", token, begun + 15.0)
        await asyncio.sleep(10.5)
        assert store.renewal is None, "the end of its time was looked at"
        other = lease.Acquire(ticket="u", holder=BOB, names=("y",), ttl_s=100.0)
        asked_at = loop.time()
        await host.decide("lease", SPACE, other)
        assert loop.time() - asked_at < 0.1, "others wait while the same end is tried again and again"
        kinds = [entry.kind for entry in await store.stream("lease:space")]
        assert "lease.expired" not in kinds
        await asyncio.sleep(4.4)
        assert "lease.expired" not in [entry.kind for entry in await store.stream("lease:space")]
        await asyncio.sleep(0.2)
        assert "lease.expired" in [entry.kind for entry in await store.stream("lease:space")]
        assert store.reads < 10

    play(scene)


def test_a_renewed_lease_of_which_nobody_speaks_ends_by_itself() -> None:
    async def scene() -> None:
        store = Renewing()
        await store.open()
        host = host_of(store)
        await host.decide("lease", SPACE, lease.Acquire(ticket="t", holder=ANN, names=("x",), ttl_s=10.0))
        [(token, _)] = host.shelf.get("lease:space").state.held.unordered()  # type: ignore[union-attr]
        store.renewal = Renewal("lease:space", token, SimClock(asyncio.get_running_loop()).now() + 15.0)
        await asyncio.sleep(15.1)
        assert "lease.expired" in [entry.kind for entry in await store.stream("lease:space")]

    play(scene)


# what other processes write while a write of ours is on its way


class Shared(MemoryStore):
    """A store to which another process writes, and whose answers may be late."""

    shared = True
    late: asyncio.Event | None = None

    async def append(self, writes: Sequence[Write]) -> Any:
        late = self.late
        answers = await super().append(writes)
        if late is not None:
            await late.wait()
        return answers


async def news(host: Host, store: MemoryStore, after: int) -> list[Entry]:
    """Tell a host what is in the log, as its tail does."""
    entries = await store.log(after=after)
    host.heard(entries)
    return entries


def test_who_waits_hears_of_what_another_process_wrote_while_the_answer_was_on_its_way() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        store = Shared()
        await store.open()
        ours, theirs = host_of(store), host_of(store)
        create = sync_point.Create(id="p", by=ANN, name="p", participants=(ANN, BOB))
        await theirs.decide("sync_point", "p", create)
        held = await ours.reach("sync_point", "p")
        seen = await store.last_seq()

        store.late = asyncio.Event()
        arriving = asyncio.ensure_future(ours.decide("sync_point", "p", sync_point.Arrive(ANN, None)))
        while await store.last_seq() == seen:  # noqa: ASYNC110
            await asyncio.sleep(0)
        gate, store.late = store.late, None
        await theirs.decide("sync_point", "p", sync_point.Arrive(BOB, None))
        await news(ours, store, seen + 1)  # it comes before the answer to what we have written
        gate.set()
        await arriving

        request = sync_point.Arrive(ANN, None)
        waiter = Waiter(request, ANN, 0.0, loop.create_future())
        if held.answer(request, 0.0).pending:
            held.enter(waiter)
            async with asyncio.timeout(1.0):
                await waiter.woken
        assert held.answer(request, 0.0).status == "completed"  # type: ignore[attr-defined]

    play(scene)


def test_a_gap_in_what_is_heard_is_read_from_the_log() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        store = Shared()
        await store.open()
        ours, theirs = host_of(store), host_of(store)
        await theirs.decide(
            "sync_point", "p", sync_point.Create(id="p", by=ANN, name="p", participants=(ANN, BOB))
        )  # fmt: skip
        held = await ours.reach("sync_point", "p")
        waiter = Waiter(Look(), ANN, 0.0, loop.create_future())
        held.enter(waiter)
        for agent in (ANN, BOB):
            await theirs.decide("sync_point", "p", sync_point.Arrive(agent, None))
        entries = await store.log()
        ours.heard(entries[-1:])
        async with asyncio.timeout(1.0):
            await waiter.woken
        assert held.length == len(await store.stream(primitive_stream("sync_point", "p")))

    play(scene)


def test_what_was_said_of_the_next_alarm_is_said_anew_when_another_process_has_said_otherwise() -> None:
    async def scene() -> None:
        store = Shared()
        await store.open()
        ours, theirs = host_of(store), host_of(store)
        now = SimClock(asyncio.get_running_loop()).now()

        async def create(host: Host, name: str, deadline_s: float) -> None:
            ask = lease.Acquire(
                ticket=name, holder=ANN, names=("x",), ttl_s=1_000.0, wait=True, deadline_at=now + deadline_s
            )
            await host.decide("lease", SPACE, ask)

        async def wake_at() -> float | None:
            record = await store.get(PrimitiveRecord, "lease:space")
            assert record is not None
            return record.wake_at

        await ours.decide("lease", SPACE, lease.Acquire(ticket="t", holder=BOB, names=("x",), ttl_s=1_000.0))
        await create(ours, "first", 5.0)
        assert await wake_at() == now + 5.0
        await theirs.decide("lease", SPACE, lease.Withdraw("first", ANN))
        assert await wake_at() == now + 1_000.0
        await create(ours, "second", 5.0)
        assert await wake_at() == now + 5.0, "whoever comes after a crash would wake too late"

    play(scene)


def test_who_asks_while_the_host_is_stopped_is_told_why() -> None:
    async def scene() -> None:
        store, never = Shared(), asyncio.Event()
        await store.open()
        host = host_of(store)

        async def hanging(*_: object, **__: object) -> list[Entry]:
            await never.wait()
            return []

        store.stream = hanging  # type: ignore[method-assign]
        asking = asyncio.ensure_future(host.decide("sync_point", "p", Look()))
        await asyncio.sleep(1)
        host.stop(Unreachable("the database is away"))
        with pytest.raises(Unreachable, match="the database is away"):
            await asking

    play(scene)
