"""The laws of `decide`, `agree` and `log` where they really live: in coordinators over a store, which die at any time.

A ballot that was answered is in the log for ever, once, and as it was answered; there is one end, and it is what the
ballots before it come to.  A key has one value, which somebody proposed and the frozen rule allows, and one proposal is
told that it was first.  An append that was answered has its position for ever, and a request has one.  Every node says
the same, before and after a death, also where the state comes from a fold.
"""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.rule import Rule
from concerted.consensus.decisions.tally import count, open_tally, settled
from concerted.consensus.validity import Validity, validity_of
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.errors import Invalid, NotFound, WrongPhase
from concerted.ports.agreements import (
    AppendToDecisionLog,
    AwaitAgreement,
    GetAgreement,
    ProposeValue,
    ReadDecisionLog,
)
from concerted.ports.commands import Command
from concerted.ports.decisions import CancelDecision, CastBallot, CreateDecision, GetDecision
from concerted.ports.store import Store
from concerted.primitives import deciding
from concerted.stores.memory import MemoryStore
from concerted.stores.postgres.store import PostgresStore
from concerted.stores.sqlite.store import SqliteStore
from concerted.values import AgentId

ANN, BOB, CY = VOTERS = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
WEIGHTS = {ANN: 1, BOB: 2, CY: 1}
RULES = [Rule(), Rule(base="cast"), Rule(vetoes=(CY,)), Rule(quorum="3/4", silence="reject"), Rule(silence="accept")]
CHOICES = ("accept", "reject", "abstain")
VALID: dict[str, Validity | None] = {"colour": validity_of("red|blue"), "port": None}
LOGS = ("audit", "builds")
VALUES = ["red", "blue", "green", 7, None, {"a": [1]}]
FEW = 2  # rows between two folds

_worlds = itertools.count(1)
_requests = itertools.count(1)


@pytest.fixture(autouse=True)
def folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold states into the log every few rows."""
    monkeypatch.setattr(deciding, "FOLD_ROWS", FEW)
    monkeypatch.setattr(deciding, "FOLD_SHARE", 1 << 40)


def test_in_memory() -> None:
    state = MemoryStore()

    def opened() -> Store:
        nonlocal state
        state = MemoryStore(state.export())
        return state

    hold_everywhere([opened], examples=25)


def test_in_a_sqlite_file(tmp_path: Path) -> None:
    hold_everywhere([lambda: SqliteStore(tmp_path / "x.db", durability="off")], examples=5)


@pytest.mark.crash
def test_in_postgresql_with_two_coordinators(postgres: Callable[[], str]) -> None:
    url = postgres()

    def opened() -> Store:
        return PostgresStore(url, durability="off")

    hold_everywhere([opened, opened], examples=15)


def hold_everywhere(stores: list[Callable[[], Store]], examples: int) -> None:
    few = settings(
        max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )  # fmt: skip
    run_state_machine_as_test(lambda: Promises(stores), settings=few)


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Promises(RuleBasedStateMachine):
    """Voters, proposers and writers, coordinators that die, and what must be true all the while."""

    def __init__(self, stores: list[Callable[[], Store]]) -> None:
        super().__init__()
        self.stores = stores
        self.clock = SetClock()
        self.world = next(_worlds)  # all examples share the store, each under names of its own
        self.clock.at += 1_000.0 * self.world
        self.runner = asyncio.Runner()
        self.complaints: list[dict[str, Any]] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
        self.nodes = [self.do(self.begin(number)) for number in range(len(stores))]
        self.opened: list[CreateDecision] = []
        self.answered: dict[tuple[str, AgentId], str] = {}
        self.proposed: dict[str, dict[str, ProposeValue]] = {}
        self.first: dict[str, str] = {}
        self.appended: dict[str, dict[str, tuple[AppendToDecisionLog, int]]] = {}

    def teardown(self) -> None:
        try:
            for opened in self.opened:
                self.do(self.look_at_the_log(opened))
            for key in self.proposed:
                self.look_at_the_value(key)
            for name in self.appended:
                self.do(self.look_at_the_entries(name))
            assert self.complaints == [], "errors that were nobody's"
        finally:
            for node in self.nodes:
                self.do(node.close())
            self.runner.close()

    def do(self, work: Any) -> Any:
        return self.runner.run(work)

    def ask(self, node: int, command: Command) -> Any:
        return self.do(serve(self.nodes[node % len(self.nodes)], command, LOCAL))

    def name(self, what: str) -> str:
        return f"{what}-{self.world}"

    async def at_once(self, commands: list[Any], nodes: list[int]) -> list[Any]:
        calls = (
            serve(self.nodes[node % len(self.nodes)], command, LOCAL)
            for command, node in zip(commands, nodes, strict=False)
        )
        return await asyncio.gather(*calls, return_exceptions=True)

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

    # time and death

    @rule(seconds=st.sampled_from([0.5, 4.0, 9.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.at += seconds

        async def ring() -> None:
            for node in self.nodes:
                node.primitives.host.alarms._arm()
            for _ in range(5):
                await asyncio.sleep(0)
                for node in self.nodes:
                    await node.primitives.host.quiet()

        self.do(ring())
        for opened in self.opened:
            told = self.ask(0, GetDecision(id=opened.id))
            due = opened.deadline_at is not None and opened.deadline_at <= self.clock.at
            assert not (due and told.outcome is None), "its deadline has come"

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

    def views(self, node: int) -> list[Any]:
        shown = [self.ask(node, GetDecision(id=opened.id)) for opened in self.opened]
        shown += [self.ask(node, GetAgreement(id=self.name(key))) for key in self.proposed]
        shown += [self.ask(node, ReadDecisionLog(id=self.name(name))) for name in self.appended]
        return [{name: getattr(one, name) for name in one.__struct_fields__ if name != "cursor"} for one in shown]

    # deciding

    @precondition(lambda self: len(self.opened) < 3)
    @rule(rule_=st.sampled_from(RULES), deadline_s=st.sampled_from([None, 3.0, 20.0]))
    def open(self, rule_: Rule, deadline_s: float | None) -> None:
        deadline_at = None if deadline_s is None else self.clock.at + deadline_s
        command = CreateDecision(
            id=f"d{len(self.opened)}-{self.world}", agent=ANN, question="ship it?", electorate=WEIGHTS, rule=rule_,
            deadline_at=deadline_at,
        )  # fmt: skip
        for node in range(2):  # again, elsewhere: it is the same one
            assert self.ask(node, command).status == "voting"
        self.opened.append(command)

    @precondition(lambda self: self.opened)
    @rule(
        which=st.integers(0, 2),
        ballots=st.lists(st.tuples(st.sampled_from(VOTERS), st.sampled_from(CHOICES)), min_size=1, max_size=4),
        nodes=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    )
    def vote_at_once(self, which: int, ballots: list[tuple[AgentId, str]], nodes: list[int]) -> None:
        id = self.opened[which % len(self.opened)].id
        commands = [CastBallot(id=id, agent=voter, choice=choice) for voter, choice in ballots]
        for (voter, choice), told in zip(ballots, self.do(self.at_once(commands, nodes)), strict=True):
            if isinstance(told, WrongPhase):
                continue
            assert not isinstance(told, BaseException), told
            assert told.ignored == (told.ballot != choice)
            assert self.answered.setdefault((id, voter), told.ballot) == told.ballot, "another ballot counts now"

    @precondition(lambda self: self.opened)
    @rule(which=st.integers(0, 2), node=st.integers(0, 1))
    def cancel(self, which: int, node: int) -> None:
        opened = self.opened[which % len(self.opened)]
        before = self.ask(node, GetDecision(id=opened.id))
        told = self.ask(node, CancelDecision(id=opened.id, agent=ANN))
        assert told.status == (before.status if before.outcome else "lapsed"), "what is over stays as it ended"

    # agreeing

    @rule(
        key=st.sampled_from(list(VALID)),
        proposals=st.lists(st.tuples(st.sampled_from(VOTERS), st.sampled_from(VALUES)), min_size=1, max_size=4),
        names_rule=st.booleans(),
        nodes=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    )
    def propose_at_once(
        self, key: str, proposals: list[tuple[AgentId, Any]], names_rule: bool, nodes: list[int]
    ) -> None:
        valid = VALID[key]
        names_rule = names_rule or (key not in self.proposed and valid is not None)
        commands = [
            ProposeValue(
                id=self.name(key), agent=agent, value=value, request_id=f"r{next(_requests)}",
                validity=valid if names_rule else None,
            )
            for agent, value in proposals
        ]  # fmt: skip
        answers = self.do(self.at_once(commands, nodes))
        for command, told in zip(commands, answers, strict=True):
            if valid is not None and command.value not in ("red", "blue"):
                assert isinstance(told, Invalid)
                continue
            assert not isinstance(told, BaseException), told
            self.proposed.setdefault(key, {})[command.request_id] = command
        for command, told in zip(commands, answers, strict=True):
            if not isinstance(told, Invalid):
                self.told_of(key, command, told)

    @precondition(lambda self: self.proposed)
    @rule(which=st.integers(0, 1), number=st.integers(0, 20), node=st.integers(0, 1))
    def propose_again(self, which: int, number: int, node: int) -> None:
        key = sorted(self.proposed)[which % len(self.proposed)]
        commands = sorted(self.proposed[key].values(), key=lambda one: one.request_id)
        command = commands[number % len(commands)]
        self.told_of(key, command, self.ask(node, command))

    def told_of(self, key: str, command: ProposeValue, told: Any) -> None:
        if told.yours:
            assert self.first.setdefault(key, command.request_id) == command.request_id, "two are told to be first"
        assert told.yours == (self.first.get(key) == command.request_id) or key not in self.first
        assert not told.pending
        assert told.value in [one.value for one in self.proposed[key].values() if one.agent == told.proposed_by]

    # appending

    @rule(
        log=st.sampled_from(LOGS),
        entries=st.lists(st.tuples(st.sampled_from(VOTERS), st.sampled_from(VALUES)), min_size=1, max_size=4),
        nodes=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    )
    def append_at_once(self, log: str, entries: list[tuple[AgentId, Any]], nodes: list[int]) -> None:
        commands = [
            AppendToDecisionLog(id=self.name(log), agent=agent, value=value, request_id=f"r{next(_requests)}")
            for agent, value in entries
        ]
        of = self.appended.setdefault(log, {})
        for command, told in zip(commands, self.do(self.at_once(commands, nodes)), strict=True):
            assert not isinstance(told, BaseException), told
            of[command.request_id] = command, told.position
        assert sorted(position for _, position in of.values()) == list(range(1, len(of) + 1))

    @precondition(lambda self: self.appended)
    @rule(which=st.integers(0, 1), number=st.integers(0, 20), node=st.integers(0, 1))
    def append_again(self, which: int, number: int, node: int) -> None:
        of = self.appended[sorted(self.appended)[which % len(self.appended)]]
        command, position = of[sorted(of)[number % len(of)]]
        assert self.ask(node, command).position == position

    @precondition(lambda self: self.appended)
    @rule(which=st.integers(0, 1), after=st.integers(0, 5), limit=st.integers(1, 3), node=st.integers(0, 1))
    def read(self, which: int, after: int, limit: int, node: int) -> None:
        log = sorted(self.appended)[which % len(self.appended)]
        of = {position: command.value for command, position in self.appended[log].values()}
        page = self.ask(node, ReadDecisionLog(id=self.name(log), after=after, limit=limit)).entries
        read = [(entry.position, entry.value) for entry in page]
        assert read == [(position, of[position]) for position in sorted(of) if after < position <= after + limit]

    # at last

    def look_at_the_value(self, key: str) -> None:
        told = [self.ask(node, AwaitAgreement(id=self.name(key))) for node in range(len(self.nodes))]
        assert len({(repr(one.value), one.proposed_by, one.position) for one in told}) == 1
        chosen = self.proposed[key][self.first[key]]
        assert (told[0].value, told[0].proposed_by) == (chosen.value, chosen.agent)
        entries = self.do(self.nodes[0].store.stream(f"agreement:{self.name(key)}"))
        assert [one.kind for one in entries if one.kind.startswith("agreement")] == [
            "agreement.created",
            "agreement.chosen",
        ]

    async def look_at_the_entries(self, log: str) -> None:
        entries = await self.nodes[-1].store.stream(f"decision_log:{self.name(log)}")
        written = [one.value() for one in entries if one.kind == "decision_log.appended"]
        positions = {command.request_id: position for command, position in self.appended[log].values()}
        assert [one["position"] for one in written] == list(range(1, len(written) + 1))
        assert {one["request_id"]: one["position"] for one in written} == positions

    async def look_at_the_log(self, opened: CreateDecision) -> None:
        entries = await self.nodes[0].store.stream(f"decision:{opened.id}")
        cast = {AgentId(str(one.agent)): one.value()["choice"] for one in entries if one.kind == "decision.ballot_cast"}
        voters = [one.agent for one in entries if one.kind == "decision.ballot_cast"]
        assert len(voters) == len(cast), "somebody counts twice"
        answered = {voter: choice for (id, voter), choice in self.answered.items() if id == opened.id}
        assert answered.items() <= cast.items(), "a ballot that was answered is lost, or another"
        tally = open_tally(WEIGHTS, ("accept",), opened.rule)
        for voter, choice in cast.items():
            tally = count(tally, opened.rule, voter, choice, WEIGHTS[voter])
        ends = [one for one in entries if one.kind == "decision.closed"]
        assert len(ends) <= 1
        told = await serve(self.nodes[-1], GetDecision(id=opened.id), LOCAL)
        assert (told.outcome is not None) == bool(ends)
        if ends:
            assert verify(told.certificate).problems == ()
            assert ends[0].value()["status"] == told.status
        else:
            assert settled(opened.rule, tally) is None, "it is settled and still open"


def _nothing(name: object) -> Any:
    raise NotFound(f"there is no {name}")
