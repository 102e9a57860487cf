"""One run in memory: a strategy on its loop, fed with inputs, giving rows to write and effects to perform.

    fed with an input -> the strategy goes on -> rows (inputs and what follows from them), effects

Nothing here does I/O or reads a clock.  The coordinator writes the rows of a round in one transaction
and performs the effects only then; if the write fails it throws the instance away and replays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from concerted.errors import Diverged, Invalid, NotAllowed
from concerted.messages import Reply
from concerted.ports.store import Entry
from concerted.run import AgentChange
from concerted.runs.calls import (
    Call,
    Close,
    Effect,
    Inform,
    Parcel,
    Send,
    Start,
    StartChild,
    StopChild,
    Volleys,
)
from concerted.runs.endings import ending_of
from concerted.runs.facts import UNWRITABLE, Charter, Coordinate, Ending, Input, Tally
from concerted.runs.inputs import take
from concerted.runs.journal import Journal
from concerted.runs.loop import DeterministicLoop
from concerted.runs.restarts import recall, remember
from concerted.runs.verbs import Restarted, RunHandle
from concerted.values import AgentId, Instant, Outcome, Profile, RunId, TaskId, encode

__all__ = ["Charter", "Coordinate", "Ending", "Input", "Instance"]


CLOSED_COMMANDS = 10_000  # closed without an answer, remembered per run to know an answer that comes too late


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
        self.works: dict[int, tuple[Start, Callable[[dict[str, Any]], None]]] = {}
        self.signals: dict[str, asyncio.Queue[Any]] = {}
        self.watchers: list[tuple[frozenset[AgentId] | None, asyncio.Queue[AgentChange]]] = []
        self.epochs: dict[TaskId, int] = {}
        self.closed: dict[int, tuple[TaskId | None, int]] = {}  # commands closed without an answer: task, epoch
        self.effects: list[Effect] = []
        self.tally = Tally()
        self.ending: Ending | None = None
        self.progress: dict[str, Any] | None = None
        self.restarts = 0
        self.random = random.Random(run)
        self.seen_signals: set[str] = set()
        self.commands = 0
        self._volleys = Volleys()
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
    def stopping(self) -> str | None:
        """As what it has been told to stop (`cancelled`, `timed_out`), None if it has not."""
        return self._stop

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
        phase, now = _phase(self), max(self.loop.now, given.at)
        self.tally.waiting_s[phase] = self.tally.waiting_s.get(phase, 0.0) + now - self._changed_at
        self._changed_at = self.loop.now = now
        self.tally.rounds += 1
        take(self, given)
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
            self.loop.now = self._changed_at = entries[0].at
            self._resume_from(entries[0].value())
        for entry in inputs:
            self.journal.fed()
            agent = AgentId(entry.agent) if entry.agent else None
            self.apply(Input(entry.kind, entry.at, agent, entry.ref, entry.data))
            if not self.journal.replaying:
                break  # it was parked here and goes on from here, with mended code
            self.effects.clear()
        self.journal.end_replay()
        self.effects = [effect for effect in self.effects if not isinstance(effect, Send | Start)]
        self.effects += [Send(call) for call in self.calls.values()]
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
        self.commands += 1
        return self.commands

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
        self._volleys.add(call)

    def close(self, call: Call, why: Any, reply: Reply) -> None:
        """Close an open call from this side: the deadline passed, or nobody waits any more."""
        if self.calls.pop(call.number, None) is None:
            return
        self._unanswered(call)
        if why == "timeout":
            self.tally.timeouts += 1
        self.effects.append(Close(call, why))
        call.done(reply)

    def _unanswered(self, call: Call) -> None:
        if len(self.closed) < CLOSED_COMMANDS:
            self.closed[call.number] = (call.task, call.epoch)

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

    # what inputs do to it

    def start(self, deadline_at: Instant | None) -> None:
        """Begin: the run has its slot."""
        self.started_at, self.deadline_at = self.loop.now, deadline_at
        self._begin()

    def stop(self, status: str, unstarted: Ending) -> None:
        """Cancel the strategy; a run that never had a slot ends as `unstarted`."""
        self._stop = status
        if self._task is None:
            self._end(unstarted)
        else:
            self._task.cancel(status)

    def queue(self, name: str) -> asyncio.Queue[Any]:
        """Return the queue of a signal."""
        return self.signals.setdefault(name, asyncio.Queue())

    async def _main(self, coordinate: Coordinate) -> Outcome:
        returned: Any = await coordinate(self.handle)
        outcome = returned if isinstance(returned, Outcome) else Outcome(success=True, result=returned)
        try:
            msgspec.json.decode(encode(outcome), type=Outcome)
        except UNWRITABLE as error:
            raise Invalid(f"the strategy returned what is no outcome, or has no JSON form: {error}") from error
        return outcome

    # rows and the end

    def _seal(self) -> None:
        """Write one row for all commands that carry the same request."""
        for first, data in self._volleys.take():
            self.journal.follow("command.sent", self.loop.now, ref=str(first), data=data)

    def _settle(self) -> None:
        task = self._task
        if task is None or self.ending is not None or not task.done():
            return
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Restarted):
            self._restart(error.state)
        elif isinstance(error, Diverged):
            raise error
        elif error is None or isinstance(error, Exception):  # else the watchdog bit; whoever watches parks the run
            self._end(ending_of(task, self._stop))

    def park(self, reason: str, **facts: Any) -> None:
        """Stop here until a person has looked: nothing more is sent, nothing is lost."""
        if self.ending is None:
            self._end(Ending("parked", {"reason": reason, "error": reason, **facts}))

    def _end(self, ending: Ending) -> None:
        data = {**ending.data, "metrics": self.tally.metrics(self.loop.now - (self.started_at or self.created_at))}
        self.journal.follow(f"run.{ending.status}", self.loop.now, data=data)
        if ending.status == "parked":  # a person may let it go on, and then it will want to hear of its children
            self.children.clear()
        self._let_go(f"its parent {self.id} is over")
        self.ending = ending

    def _restart(self, state: Any) -> None:
        """Begin anew from `state`: what came before need not be replayed any more."""
        self.journal.versions.clear()  # a new life begins with the newest code
        self._let_go(f"its parent {self.id} has begun anew")
        memory = remember(self, state)
        self.journal.follow("run.restarted", self.loop.now, data=memory)
        self._resume_from(msgspec.to_builtins(memory))

    def _let_go(self, reason: str) -> None:
        """Close everything open; nobody will take the answers."""
        for call in self.calls.values():
            self._unanswered(call)
        self.effects += [Close(call, "over") for call in self.calls.values()]
        self.effects += [StopChild(effect.run, reason) for effect, _ in self.children.values()]
        self.calls.clear()
        self.children.clear()
        self.works.clear()

    def _resume_from(self, memory: dict[str, Any]) -> None:
        """Take up what `run.restarted` has kept, on a loop of its own, and run the strategy again."""
        self.abandon()
        self.loop = DeterministicLoop(self.loop.now, memory["timers"])  # type: ignore[abstract]
        recall(self, memory)
        self.handle = RunHandle(self, memory["state"])
        self._begin()
        self._go_on()

    def _begin(self) -> None:
        assert self._coordinate is not None
        self._task = self.loop.create_task(self._main(self._coordinate), name=f"run {self.id}")

    def _go_on(self) -> None:
        """Run the strategy as far as it gets, write what it asked for, see whether it is done."""
        self.loop.run_ready()
        self._seal()
        if self.journal.divergence is not None:
            raise self.journal.divergence
        self._settle()


def _phase(run: Instance) -> str:
    """Say in one word what a run is waiting for, for its metrics."""
    if run.started_at is None:
        return "slot"
    if run.calls:
        return next(iter(run.calls.values())).parcel.type
    if run.children:
        return "child"
    return "work" if run.works else "signal or timer"
