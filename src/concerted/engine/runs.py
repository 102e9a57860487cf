"""One run in memory: a strategy on its loop, fed with inputs, giving rows to write and effects to perform.

    fed with an input -> the strategy goes on -> rows (inputs and what follows from them), effects

Nothing here does I/O or reads a clock.  The coordinator writes the rows of a round in one transaction
and performs the effects only then; if the write fails it throws the instance away and replays.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.config.settings import Coordination
from concerted.engine.calls import Call, Close, Effect, Inform, Parcel, Send, StartChild, StartWork, StopChild
from concerted.engine.journal import Journal
from concerted.engine.loop import DeterministicLoop
from concerted.engine.verbs import Restarted, RunHandle
from concerted.errors import ConcertedError, Diverged, NotAllowed
from concerted.messages import Reply
from concerted.ports.store import Entry
from concerted.run import AgentChange
from concerted.values import AgentId, Instant, Metrics, Objective, Outcome, Profile, RunId, RunStatus, TaskId

__all__ = ["Charter", "Coordinate", "Ending", "Input", "Instance"]

Coordinate = Callable[[Any], Awaitable[Outcome]]


class Charter(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: the data of `run.created`.

    agents: the profiles of those who take part, as they were then.  open: whoever joins later takes
    part too.  timeout_s: from the start of the run.  config: the settings in force then; a run keeps
    them for life, so that a replay under other settings does the same.
    """

    strategy: str
    objective: Objective
    agents: tuple[Profile, ...] = ()
    open: bool = False
    options: dict[str, Any] = {}
    parent: RunId | None = None
    root: RunId
    plan: str | None = None
    timeout_s: float | None = None
    config: Coordination = Coordination()


@dataclass(slots=True, frozen=True)
class Input:
    """One fact that cannot be computed, as it comes from the world or out of the log."""

    kind: str
    at: Instant
    agent: AgentId | None = None
    ref: str | None = None
    data: bytes = b"null"


@dataclass(slots=True, frozen=True)
class Ending:
    """How a run ended.  data: what its last row holds."""

    status: RunStatus
    data: dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What the engine counts of a run; deterministic, so that a replay counts the same."""

    messages: int = 0
    replies: int = 0
    timeouts: int = 0
    retries: int = 0
    rounds: int = 0
    waiting_s: dict[str, float] = field(default_factory=dict)


class Instance:
    """A run between two inputs.  Feed it with `apply`; then read `journal`, `effects`, `ending`."""

    def __init__(self, run: RunId, charter: Charter, created_at: Instant) -> None:
        self.id = run
        self.charter = charter
        self.config = charter.config
        self.created_at = created_at
        self.started_at: Instant | None = None
        self.deadline_at: Instant | None = None
        self.loop = DeterministicLoop(created_at)  # type: ignore[abstract]
        self.journal = Journal(run)
        self.agents: dict[AgentId, Profile] = {profile.id: profile for profile in charter.agents}
        self.calls: dict[int, Call] = {}
        self.children: dict[int, tuple[StartChild, Callable[[dict[str, Any]], None]]] = {}
        self.works: dict[int, tuple[StartWork, Callable[[dict[str, Any]], None]]] = {}
        self.signals: dict[str, asyncio.Queue[Any]] = {}
        self.watchers: list[tuple[frozenset[AgentId] | None, asyncio.Queue[AgentChange]]] = []
        self.epochs: dict[TaskId, int] = {}
        self.effects: list[Effect] = []
        self.tally = Tally()
        self.ending: Ending | None = None
        self.progress: dict[str, Any] | None = None
        self.restarts = 0
        self.random = random.Random(run)
        self.seen_signals: set[str] = set()
        self._commands = 0
        self._unsealed: list[tuple[Parcel, int, list[AgentId], Instant | None]] = []
        self._coordinate: Coordinate | None = None
        self._task: asyncio.Task[Any] | None = None
        self._stop: str | None = None
        self._changed_at = created_at
        self.handle = RunHandle(self)

    @property
    def now(self) -> Instant:
        """The log's time."""
        return self.loop.now

    @property
    def stopping(self) -> bool:
        """Whether it has been called off already."""
        return self._stop is not None

    def begin(self, coordinate: Coordinate) -> None:
        """Take the strategy; it starts with the input `run.started`."""
        self._coordinate = coordinate

    def apply(self, given: Input) -> None:
        """Write an input and go on as far as it leads.

        Raises:
            Diverged: in a replay, the code does something else than the log says.
        """
        if self.ending is not None:
            return
        self.journal.input(given.kind, given.at, given.agent, given.ref, given.data)
        phase = self._phase()
        now = max(self.loop.now, given.at)
        if phase:
            self.tally.waiting_s[phase] = self.tally.waiting_s.get(phase, 0.0) + now - self._changed_at
        self._changed_at = self.loop.now = now
        self.tally.rounds += 1
        self._take(given)
        self._go_on()

    def replay(self, coordinate: Coordinate, entries: Iterable[Entry]) -> None:
        """Live through the recorded inputs again; afterwards `effects` holds what is to be sent again.

        entries: the run's stream, in order, from `run.created` on or from its last `run.restarted`.

        Raises:
            Diverged: the code does something else than the log says.
        """
        self.begin(coordinate)
        entries = list(entries)
        inputs = self.journal.begin_replay(entries)
        if entries and entries[0].kind == "run.restarted":
            self._resume_from(entries[0].value())
        for entry in inputs:
            self.journal.fed()
            if entry.kind != "run.created":
                agent = AgentId(entry.agent) if entry.agent else None
                self.apply(Input(entry.kind, entry.at, agent, entry.ref, entry.data))
                self.effects.clear()
        self.journal.end_replay()
        self.effects = [Send(call) for call in self.calls.values()]
        self.effects += [effect for effect, _ in self.works.values()]
        # children were created in the transaction that started them: they exist, whatever has become of them

    def abandon(self) -> None:
        """Let go of everything: the run is over, evicted, or given up."""
        self.handle.detach()
        self.loop.abandon()
        self.watchers.clear()

    # commands, as the verbs issue them

    def next_number(self) -> int:
        """Count one more command, child or effect."""
        self._commands += 1
        return self._commands

    def command(self, call: Call) -> None:
        """Open a call and have it delivered after the commit.

        Raises:
            NotAllowed: the run is over, or has `max_open_commands` open.
        """
        if self.ending is not None:
            raise NotAllowed(f"run {self.id} is over; it sends nothing more")
        if len(self.calls) >= self.config.manager.max_open_commands:
            raise NotAllowed(
                f"run {self.id} has {len(self.calls)} commands open, the bound manager.max_open_commands; "
                "wait for answers before asking more"
            )
        self.calls[call.number] = call
        self.tally.messages += 1
        self.effects.append(Send(call))
        last = self._unsealed[-1] if self._unsealed else None
        if last is not None and last[0] is call.parcel and last[1] + len(last[2]) == call.number:
            last[2].append(call.agent)
        else:
            self._unsealed.append((call.parcel, call.number, [call.agent], call.reply_by))

    def close(self, call: Call, why: Any, reply: Reply) -> None:
        """Close an open call from this side: the deadline passed, or nobody waits any more."""
        if self.calls.pop(call.number, None) is None:
            return
        if why == "timeout":
            self.tally.timeouts += 1
        self.effects.append(Close(call, why))
        call.done(reply)

    def inform(self, agents: list[AgentId], parcel: Parcel) -> None:
        """Have a notice delivered after the commit; it is not a command and has no number."""
        self.tally.messages += len(agents)
        self.effects.append(Inform(agents, parcel))

    def stop_child(self, run: RunId, reason: str) -> None:
        """Call a child run off after the commit."""
        self.effects.append(StopChild(run, reason))

    def note(self, kind: str, data: Any, *, agent: str | None = None, ref: str | None = None) -> None:
        """Write what follows from the input that is being applied."""
        self._seal()
        self.journal.follow(kind, self.loop.now, agent=agent, ref=ref, data=data)

    # inputs

    def _take(self, given: Input) -> None:
        match given.kind:
            case "reply.received":
                self._reply(int(given.ref or 0), given)
            case "timer.fired":
                self._timer(int(given.ref or 0))
            case "run.started":
                self._start(_value(given))
            case "lease.expired":
                call = self.calls.get(int(given.ref or 0))
                if call is not None:
                    self._lost(call, "its lease has expired without a heartbeat", "expired")
            case "participant.joined" | "participant.changed":
                self._participant(given)
            case "participant.lost":
                self._participant_lost(given)
            case "signal.received":
                value = _value(given)
                if given.ref:
                    self.seen_signals.add(given.ref)
                self.queue(value["name"]).put_nowait(value["payload"])
            case "child.ended":
                child = self.children.pop(int(given.ref or 0), None)
                if child is not None:
                    child[1](_value(given))
            case "effect.recorded":
                work = self.works.pop(int(given.ref or 0), None)
                if work is not None:
                    work[1](_value(given))
            case "cancel.requested" | "deadline.passed":
                self._cancel("cancelled" if given.kind == "cancel.requested" else "timed_out", given)
            case _:
                pass  # run.resumed and run.unparked tell the story; nothing follows from them

    def _start(self, value: dict[str, Any]) -> None:
        assert self._coordinate is not None
        self.started_at = self.loop.now
        self.deadline_at = value.get("deadline_at")
        self._task = self.loop.create_task(self._main(self._coordinate), name=f"run {self.id}")

    async def _main(self, coordinate: Coordinate) -> Outcome:
        outcome: Any = await coordinate(self.handle)
        if isinstance(outcome, Outcome):
            return outcome
        return Outcome(success=True, result=outcome)

    def _reply(self, number: int, given: Input) -> None:
        call = self.calls.pop(number, None)
        if call is None:
            return
        value = _value(given)
        self.tally.replies += 1
        call.done(
            Reply(
                agent=call.agent,
                status=value["status"],
                value=value.get("value"),
                error=value.get("error"),
                epoch=call.epoch,
                cached=value.get("cached", False),
            )
        )

    def _timer(self, number: int) -> None:
        armed = self.loop.due_of(number)
        if armed is None and number > self.loop.armed:
            raise Diverged(
                f"run {self.id}: timer {number} fired when this was recorded; the code now has armed only "
                f"{self.loop.armed}. Give the change a name with run.version(name, n)",
                run=self.id, recorded=f"timer {number}", now=f"{self.loop.armed} timers",
            )  # fmt: skip
        self.loop.fire(number)

    def _participant(self, given: Input) -> None:
        profile = msgspec.convert(_value(given)["profile"], Profile)
        self.agents[profile.id] = profile
        change = "joined" if given.kind == "participant.joined" else "changed"
        self._tell(AgentChange(agent=profile.id, change=change))  # type: ignore[arg-type]

    def _participant_lost(self, given: Input) -> None:
        agent = given.agent
        assert agent is not None
        reason = str(_value(given).get("reason", ""))
        self.agents.pop(agent, None)
        for call in [call for call in self.calls.values() if call.agent == agent]:
            self._lost(call, reason, "lost")
        self._tell(AgentChange(agent=agent, change="lost", reason=reason))

    def _lost(self, call: Call, reason: str, why: Any) -> None:
        self.close(call, why, Reply(agent=call.agent, status="lost", error=reason, epoch=call.epoch))

    def _tell(self, change: AgentChange) -> None:
        for agents, queue in self.watchers:
            if agents is None or change.agent in agents:
                queue.put_nowait(change)

    def queue(self, name: str) -> asyncio.Queue[Any]:
        """Return the queue of a signal."""
        return self.signals.setdefault(name, asyncio.Queue())

    def _cancel(self, status: str, given: Input) -> None:
        self._stop = status
        if self._task is None:  # it never had a slot
            self._end(Ending("cancelled", {"outcome": None, "reason": _value(given).get("reason", "")}))
        else:
            self._task.cancel(status)

    # rows and the end

    def _seal(self) -> None:
        """Write one row for all commands that carry the same request."""
        for parcel, first, agents, reply_by in self._unsealed:
            self.journal.follow(
                "command.sent",
                self.loop.now,
                ref=str(first),
                data={"type": parcel.type, "agents": agents, "digest": parcel.digest, "reply_by": reply_by},
            )
        self._unsealed.clear()

    def _settle(self) -> None:
        task = self._task
        if task is None or self.ending is not None or not task.done():
            return
        if task.cancelled():
            self._end(self._stopped())
            return
        error = task.exception()
        if error is None:
            self._end(self._finished(task.result()))
        elif isinstance(error, Restarted):
            self._restart(error.state)
        elif isinstance(error, Diverged):
            raise error
        elif not isinstance(error, Exception):
            return  # the watchdog bit; whoever watches parks the run
        else:
            self._end(self._broken(error))

    def _finished(self, outcome: Outcome) -> Ending:
        timed_out = outcome.timed_out or (not outcome.success and self._stop == "timed_out")
        status: RunStatus = "completed" if outcome.success else "timed_out" if timed_out else "failed"
        if not outcome.success and self._stop == "cancelled":
            status = "cancelled"
        return Ending(status, {"outcome": outcome, "error": outcome.reason or None})

    def _stopped(self) -> Ending:
        status: RunStatus = "timed_out" if self._stop == "timed_out" else "cancelled" if self._stop else "failed"
        reasons = {"timed_out": "its deadline has passed", "cancelled": "it was called off"}
        return Ending(status, {"outcome": None, "error": reasons.get(status, "the strategy cancelled itself")})

    def _broken(self, error: BaseException) -> Ending:
        told = str(error) if isinstance(error, ConcertedError) else f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))[-8000:]
        return Ending("failed", {"outcome": None, "error": told, "traceback": trace})

    def park(self, reason: str, **facts: Any) -> None:
        """Stop here until a person has looked: nothing more is sent, nothing is lost."""
        if self.ending is None:
            self._end(Ending("parked", {"reason": reason, "error": reason, **facts}))

    def _end(self, ending: Ending) -> None:
        self._let_go(f"its parent {self.id} is over")
        self.ending = ending
        data = {**ending.data, "metrics": self.metrics()}
        self.journal.follow(f"run.{ending.status}", self.loop.now, data=data)

    def metrics(self) -> Metrics:
        """Return what has been counted so far."""
        tally = self.tally
        began = self.started_at if self.started_at is not None else self.created_at
        return Metrics(
            messages=tally.messages,
            replies=tally.replies,
            timeouts=tally.timeouts,
            retries=tally.retries,
            rounds=tally.rounds,
            wall_s=round(self.loop.now - began, 6),
            waiting_s={phase: round(spent, 6) for phase, spent in sorted(tally.waiting_s.items())},
        )

    def _restart(self, state: Any) -> None:
        """Begin anew from `state`: what came before need not be replayed any more."""
        self._let_go(f"its parent {self.id} has begun anew")
        memory = {
            "state": state,
            "commands": self._commands,
            "epochs": self.epochs,
            "restarts": self.restarts + 1,
            "agents": list(self.agents.values()),
            "started_at": self.started_at,
            "deadline_at": self.deadline_at,
            "tally": self.tally,
            "signals": {name: list(queue._queue) for name, queue in self.signals.items()},  # type: ignore[attr-defined]
            "seen_signals": sorted(self.seen_signals),
        }
        self.journal.follow("run.restarted", self.loop.now, data=memory)
        self._resume_from(msgspec.to_builtins(memory))

    def _let_go(self, reason: str) -> None:
        """Close everything open; nobody will take the answers."""
        self.effects += [Close(call, "over") for call in self.calls.values()]
        self.effects += [StopChild(effect.run, reason) for effect, _ in self.children.values()]
        self.calls.clear()
        self.children.clear()
        self.works.clear()

    def _resume_from(self, memory: dict[str, Any]) -> None:
        """Take up what `run.restarted` has kept, on a loop of its own, and run the strategy again."""
        self.abandon()
        self.loop = DeterministicLoop(self.loop.now)  # type: ignore[abstract]
        self.restarts = memory["restarts"]
        self._commands = memory["commands"]
        self.epochs = dict(memory["epochs"])
        self.agents = {profile.id: profile for profile in msgspec.convert(memory["agents"], list[Profile])}
        self.started_at, self.deadline_at = memory["started_at"], memory["deadline_at"]
        self.tally = msgspec.convert(memory["tally"], Tally)
        self.random = random.Random(f"{self.id}#{self.restarts}")
        self.seen_signals = set(memory["seen_signals"])
        self.signals = {}
        for name, payloads in memory["signals"].items():
            for payload in payloads:
                self.queue(name).put_nowait(payload)
        self.handle = RunHandle(self, memory["state"])
        assert self._coordinate is not None
        self._task = self.loop.create_task(self._main(self._coordinate), name=f"run {self.id}")
        self._go_on()

    def _go_on(self) -> None:
        """Run the strategy as far as it gets, write what it asked for, see whether it is done."""
        self.loop.run_ready()
        self._seal()
        if self.journal.divergence is not None:
            raise self.journal.divergence
        self._settle()

    def _phase(self) -> str | None:
        """What the run is waiting for, in one word, for the metrics."""
        if self.started_at is None:
            return "slot"
        if self.calls:
            return next(iter(self.calls.values())).parcel.type
        if self.children:
            return "child"
        return "work" if self.works else "signal or timer"


def _value(given: Input) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.json.decode(given.data)
    return value
