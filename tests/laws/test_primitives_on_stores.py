"""The laws of meeting points where they really live: in a coordinator over a store, which dies between any two steps.

Whatever agents do, and in whatever order: a sync point completes once, and only when its condition holds; no arrival is
lost or counted twice; a name has one exclusive holder at a time, and tokens only grow; a request counts
once; messages of one sender come in order; and what was answered is the same after a crash, also where the state comes
from a fold in the middle of the log.  On PostgreSQL two coordinators share the store, and either may be asked.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.errors import ConcertedError, LeaseLost, NotFound, WrongPhase
from concerted.ports.commands import Command
from concerted.ports.holding import AcquireLease, CheckLease, Leases, ReleaseLease, RenewLease
from concerted.ports.mail import AcknowledgeMessages, FetchMessages, SendMessage
from concerted.ports.meeting import ArriveAtSyncPoint, CancelSyncPoint, CreateSyncPoint, GetSyncPoint
from concerted.ports.sharing import CompareAndSwap, GetValue, Increment
from concerted.ports.store import Store
from concerted.primitives import deciding
from concerted.stores.memory import MemoryStore
from concerted.stores.postgres.store import PostgresStore
from concerted.stores.sqlite.store import SqliteStore
from concerted.sync.points.predicate import condition_of
from concerted.values import AgentId

AGENTS = tuple(AgentId(name) for name in ("ann", "bob", "cy", "dan"))
NAMES = ("x", "y")
TTL_S = 10.0
FEW = 3  # rows between two folds

_worlds = itertools.count(1)
_tickets = itertools.count(1)


@pytest.fixture(autouse=True)
def folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold states into the log every few rows, however long they are."""
    monkeypatch.setattr(deciding, "FOLD_ROWS", FEW)
    monkeypatch.setattr(deciding, "FOLD_SHARE", 1 << 40)


def test_in_memory() -> None:
    state = MemoryStore()

    def opened() -> Store:
        nonlocal state
        state = MemoryStore(state.export())
        return state

    hold_everywhere(lambda: [opened], examples=30)


def test_in_a_sqlite_file(tmp_path: Path) -> None:
    hold_everywhere(lambda: [lambda: SqliteStore(tmp_path / "x.db", durability="off")], examples=20)


@pytest.mark.crash
def test_in_postgresql_with_two_coordinators(postgres: Callable[[], str]) -> None:
    url = postgres()

    def opened() -> Store:
        return PostgresStore(url, durability="off")

    hold_everywhere(lambda: [opened, opened], examples=15)


def hold_everywhere(stores: Callable[[], list[Callable[[], Store]]], examples: int) -> None:
    few = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    tokens = [""]  # of all examples: they share the store
    run_state_machine_as_test(lambda: Meetings(stores(), tokens), settings=few)


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@dataclass
class Point:
    """What must be true of a sync point."""

    id: str
    needed: int
    deadline_at: float | None
    arrived: list[str] = field(default_factory=list)
    status: str = "waiting"

    def pass_time(self, now: float) -> None:
        if self.status == "waiting" and self.deadline_at is not None and self.deadline_at <= now:
            self.status = "expired"


@dataclass
class Held:
    """What is known of a name: who was granted it last, and until when at least it is held."""

    holder: str
    token: str
    until: float
    is_over: bool = False


class Meetings(RuleBasedStateMachine):
    """Agents who ask one coordinator or another, coordinators that die, and what must be true all the while."""

    def __init__(self, stores: list[Callable[[], Store]], tokens: list[str]) -> None:
        super().__init__()
        self.stores = stores
        self.clock = SetClock()
        self.world = next(_worlds)  # all examples share the store, each under names of its own
        self.runner = asyncio.Runner()
        self.complaints: list[dict[str, Any]] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
        self.clock.at += 1_000.0 * self.world
        self.nodes = [self.do(self.begin(number)) for number in range(len(stores))]
        self.points: list[Point] = []
        self.held: dict[str, Held] = {}
        self.tokens = tokens
        self.granted: list[str] = []
        self.counted: dict[tuple[str, str], float] = {}
        self.total = 0.0
        self.swaps: list[str] = []
        self.sent: dict[tuple[str, str], list[str]] = {}
        self.received: dict[tuple[str, str], list[str]] = {}
        self.unread: dict[str, list[str]] = {}

    def teardown(self) -> None:
        try:
            self.do(self.look_at_the_log())
            assert self.complaints == [], "errors that were nobody's"
        finally:
            for node in self.nodes:
                self.do(node.close())
            self.runner.close()

    # asking

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    def ask(self, node: int, command: Command) -> Any:
        return self.do(serve(self.nodes[node % len(self.nodes)], command, LOCAL))

    async def begin(self, number: int) -> Coordinator:
        store = self.stores[number]()
        await store.open()
        coordinator = Coordinator(
            World(
                store=store, clock=self.clock, strategies=_nothing, open_link=_nothing, node=f"node-{next(_worlds)}",
                threads=False,
            )
        )  # fmt: skip
        await coordinator.start()
        return coordinator

    def name(self, what: str) -> str:
        return f"{what}-{self.world}"

    def agent(self, who: str) -> AgentId:
        return AgentId(self.name(who))

    # time and death

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        """Let time pass, and whatever is due happen."""
        self.clock.at += seconds
        for point in self.points:
            point.pass_time(self.clock.at)

        async def ring() -> None:
            for node in self.nodes:
                node.primitives.host.alarms._arm()
            for _ in range(5):
                await asyncio.sleep(0)
                for node in self.nodes:
                    await node.primitives.host.quiet()

        self.do(ring())

    @rule(number=st.integers(0, 1))
    def crash(self, number: int) -> None:
        """A coordinator dies as by SIGKILL; the next one over its store says the same of everything."""
        number %= len(self.nodes)
        before = self.views(number)

        async def again() -> None:
            node = self.nodes[number]
            node._stop()
            await node.store.close()
            self.nodes[number] = await self.begin(number)

        self.do(again())
        assert self.views(number) == before
        for held in self.held.values():
            if not held.is_over:  # who was granted it may rely on it for its whole time again, at the most
                held.until = max(held.until, self.clock.at - 1.0)

    def views(self, node: int) -> list[Any]:
        shown: list[Any] = [self.ask(node, GetSyncPoint(id=point.id)) for point in self.points]
        for id in ("counter", "swapped"):
            try:
                shown.append(self.ask(node, GetValue(id=self.name(id))))
            except NotFound:
                shown.append(None)
        mine = [self.ask(node, Leases(name=self.name(name))) for name in NAMES]
        shown += [(one.holder, one.token, one.names) for page in mine for one in page.leases]
        return [_without_cursor(one) for one in shown]

    # sync points

    @precondition(lambda self: len(self.points) < 3)
    @rule(condition=st.sampled_from(["all", "majority", 1, 2]), deadline_s=st.sampled_from([None, 6.0]))
    def create(self, condition: Any, deadline_s: float | None) -> None:
        needed = {"all": 4, "majority": 3}.get(condition, condition)
        point = Point(
            self.name(f"p{len(self.points)}"), needed, None if deadline_s is None else self.clock.at + deadline_s
        )
        command = CreateSyncPoint(
            id=point.id, agent=self.agent("eve"), participants=tuple(map(self.agent, AGENTS)),
            condition=condition_of(condition), deadline_at=point.deadline_at,
        )  # fmt: skip
        for node in range(2):  # again, elsewhere: it is the same one
            assert self.ask(node, command).status == "waiting"
        self.points.append(point)

    @precondition(lambda self: self.points)
    @rule(which=st.integers(0, 2), who=st.sampled_from(AGENTS), node=st.integers(0, 1))
    def arrive(self, which: int, who: str, node: int) -> None:
        self._arrive(self.points[which % len(self.points)], [who], [node])

    @precondition(lambda self: self.points)
    @rule(
        which=st.integers(0, 2),
        who=st.lists(st.sampled_from(AGENTS), min_size=2, max_size=6),
        nodes=st.lists(st.integers(0, 1), min_size=6, max_size=6),
    )
    def arrive_at_once(self, which: int, who: list[str], nodes: list[int]) -> None:
        self._arrive(self.points[which % len(self.points)], who, nodes)

    def _arrive(self, point: Point, who: list[str], nodes: list[int]) -> None:
        async def all_of_them() -> list[Any]:
            calls = (
                serve(
                    self.nodes[node % len(self.nodes)],
                    ArriveAtSyncPoint(id=point.id, agent=self.agent(agent), data=agent),
                    LOCAL,
                )
                for agent, node in zip(who, nodes, strict=False)
            )
            return await asyncio.gather(*calls, return_exceptions=True)

        told = self.do(all_of_them())
        shown = self.ask(nodes[0], GetSyncPoint(id=point.id))
        names = {agent.rpartition("-")[0] for agent in shown.sync_data}
        newcomers = [agent for agent in dict.fromkeys(who) if agent not in point.arrived]
        if point.status == "waiting":
            missing = point.needed - len(point.arrived)
            assert len(names - set(point.arrived)) == min(missing, len(newcomers)), "an arrival was lost or invented"
            assert names <= {*point.arrived, *newcomers}
        else:
            assert names == set(point.arrived), "somebody was counted when it was over"
        for agent, answer in zip(who, told, strict=False):
            if agent in names:
                assert not isinstance(answer, ConcertedError) or point.status in ("expired", "cancelled"), answer
            else:
                assert isinstance(answer, WrongPhase), answer
        point.arrived += [agent for agent in newcomers if agent in names]
        if point.status == "waiting" and len(point.arrived) >= point.needed:
            point.status = "completed"
        assert (shown.status, shown.arrived) == (point.status, len(point.arrived))

    @precondition(lambda self: self.points)
    @rule(which=st.integers(0, 2), node=st.integers(0, 1))
    def cancel(self, which: int, node: int) -> None:
        point = self.points[which % len(self.points)]
        told = self.ask(node, CancelSyncPoint(id=point.id, agent=self.agent("eve"), reason="rain"))
        if point.status == "waiting":
            point.status = "cancelled"
        assert told.status == point.status, "what is over stays as it ended"

    # leases

    @rule(who=st.sampled_from(AGENTS), names=st.sampled_from([("x",), ("y",), NAMES]), node=st.integers(0, 1))
    def acquire(self, who: str, names: tuple[str, ...], node: int) -> None:
        holder, ticket = self.agent(who), f"t{next(_tickets)}"
        ask = AcquireLease(
            agent=holder, ticket=ticket, names=tuple(map(self.name, names)), ttl_s=TTL_S, queue=False
        )  # fmt: skip
        told = self.ask(node, ask)
        if not told.granted:
            assert any(name in self.held and not self.held[name].is_over for name in names), "it is nobody's"
            return
        for name in names:
            before = self.held.get(name)
            assert before is None or before.is_over or before.until <= self.clock.at, f"{before} holds {name}"
        assert told.token > self.tokens[-1], "tokens only grow"
        assert self.ask(node + 1, ask).token == told.token, "the same ticket is the same lease"
        self.tokens.append(told.token)
        self.granted.append(told.token)
        for name in names:
            self.held[name] = Held(holder, told.token, self.clock.at + TTL_S)

    @precondition(lambda self: self.held)
    @rule(name=st.sampled_from(NAMES), node=st.integers(0, 1), renews=st.booleans())
    def use(self, name: str, node: int, renews: bool) -> None:
        """A holder, perhaps one whose time is over, renews or releases what it had."""
        held = self.held.get(name)
        if held is None:
            return
        command = RenewLease if renews else ReleaseLease
        try:
            told = self.ask(node, command(agent=AgentId(held.holder), token=held.token))
        except LeaseLost:
            assert held.is_over or held.until <= self.clock.at, "it was never shorter than it was granted"
            told = None
        for one in self.held.values():
            if one.token == held.token:
                one.is_over |= told is None or not renews
                one.until = self.clock.at + TTL_S if told is not None and renews else one.until

    @precondition(lambda self: self.granted)
    @rule(name=st.sampled_from(NAMES), which=st.integers(0, 20), node=st.integers(0, 1))
    def check(self, name: str, which: int, node: int) -> None:
        token = self.granted[which % len(self.granted)]
        valid = self.ask(node, CheckLease(name=self.name(name), token=token)).valid
        held = self.held.get(name)
        is_newest = held is not None and held.token == token and not held.is_over
        assert not valid or is_newest, "a token of old is taken for good"
        assert valid or not is_newest or (held is not None and held.until <= self.clock.at)

    # values

    @rule(who=st.sampled_from(AGENTS), id=st.sampled_from("abcdef"), node=st.integers(0, 1))
    def count(self, who: str, id: str, node: int) -> None:
        """Add one, under a request id that may have been used before."""
        known = self.counted.get((who, id))
        told = self.ask(node, Increment(id=self.name("counter"), agent=self.agent(who), request_id=id))
        if known is None:
            self.total += 1
            self.counted[who, id] = self.total
        assert told.value == self.counted[who, id], "a request has counted twice, or not at all"

    @rule(who=st.sampled_from(AGENTS), behind=st.integers(0, 1), node=st.integers(0, 1))
    def swap(self, who: str, behind: int, node: int) -> None:
        expected, value = max(0, len(self.swaps) - behind), f"value-{len(self.swaps)}"
        command = CompareAndSwap(
            id=self.name("swapped"), agent=self.agent(who), value=value, expected_version=expected,
            request_id=f"{value}-{behind}-{self.clock.at}",
        )  # fmt: skip
        told = self.ask(node, command)
        assert told.swapped == (expected == len(self.swaps))
        if told.swapped:
            self.swaps.append(value)
        assert self.ask(node + 1, GetValue(id=self.name("swapped"))).version == len(self.swaps)

    # messages

    @rule(
        sender=st.sampled_from(AGENTS[:2]), to=st.sampled_from(AGENTS[2:]), node=st.integers(0, 1),
        count=st.integers(1, 3), again=st.booleans(),
    )  # fmt: skip
    def send(self, sender: str, to: str, node: int, count: int, again: bool) -> None:
        sent = self.sent.setdefault((sender, to), [])
        for _ in range(count):
            self.clock.at += 0.001
            content = f"{sender} {to} {len(sent)}"
            command = SendMessage(agent=self.agent(sender), to=(self.agent(to),), content=content, request_id=content)
            for place in range(1 + again):
                self.ask(node + place, command)
            sent.append(content)

    @rule(to=st.sampled_from(AGENTS[2:]), node=st.integers(0, 1))
    def fetch(self, to: str, node: int) -> None:
        for message in self.ask(node, FetchMessages(agent=self.agent(to), all=True)):
            if message.sender == "system":
                continue
            sender = message.sender.rpartition("-")[0]
            received = self.received.setdefault((sender, to), [])
            if message.id not in self.unread.setdefault(to, []):
                received.append(message.content)
                self.unread[to].append(message.id)
        for (sender, one), received in self.received.items():
            assert received == self.sent[sender, one][: len(received)], "out of order, twice, or from nowhere"

    @rule(to=st.sampled_from(AGENTS[2:]), node=st.integers(0, 1))
    def acknowledge(self, to: str, node: int) -> None:
        ids = self.unread.get(to, [])
        if ids:
            told = self.ask(node, AcknowledgeMessages(agent=self.agent(to), ids=tuple(ids)))
            assert {one.status for one in told} == {"acknowledged"}

    # at last

    @initialize()
    def nothing_is_held(self) -> None:
        for name in NAMES:
            assert not self.ask(0, Leases(name=self.name(name))).leases
        self.before = len(self.do(self.nodes[0].store.stream("lease:space")))

    async def look_at_the_log(self) -> None:
        store = self.nodes[0].store
        for point in self.points:
            kinds = [(entry.kind, entry.agent) for entry in await store.stream(f"sync_point:{point.id}")]
            arrivals = [agent for kind, agent in kinds if kind == "sync_point.arrived"]
            assert sorted(arrivals) == sorted(map(self.agent, point.arrived)), "each arrival is in the log once"
            ends = [kind for kind, _ in kinds if kind in _ENDS]
            assert ends == ([] if point.status == "waiting" else [f"sync_point.{point.status}"])
        owned: dict[str, str] = {}
        for entry in await store.stream("lease:space", after=self.before):
            for name in _names_of(entry):
                if entry.kind == "lease.granted":
                    assert name not in owned, f"{name} has two holders: {owned[name]} and {entry.ref}"
                    owned[name] = str(entry.ref)
                elif entry.kind in ("lease.released", "lease.expired", "lease.lapsed", "lease.revoked"):
                    assert owned.pop(name) == entry.ref


_ENDS = ("sync_point.completed", "sync_point.expired", "sync_point.cancelled")


def _names_of(entry: Any) -> Iterator[str]:
    if entry.kind.startswith("lease.") and entry.ref is not None:
        yield from entry.value().get("names", ())


def _nothing(name: object) -> Any:
    raise NotFound(f"there is no {name}")


def _without_cursor(told: Any) -> Any:
    if not hasattr(told, "cursor"):
        return told
    return {key: getattr(told, key) for key in told.__struct_fields__ if key not in ("cursor", "duration_s")}
