"""What is done after a commit, and only then: commands delivered, children started, effects run.

Implements `rounds.Stage`.  Everything here may be repeated after a crash; the keys make it harmless.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.engine.active import Active
from concerted.engine.outbox import Sent
from concerted.engine.permissions import Principal
from concerted.errors import ConcertedError, Unreachable
from concerted.kinds import run_stream
from concerted.messages import Envelope, GetCapabilities, Reply, request_type
from concerted.ports.store import Entry
from concerted.run import Fact
from concerted.runs.calls import (
    Call,
    Close,
    Effect,
    Inform,
    Parcel,
    Send,
    StartChild,
    StartMeeting,
    StartReading,
    StartWork,
    StopChild,
)
from concerted.runs.facts import printable
from concerted.runs.instance import Charter, Input
from concerted.values import AgentId, Outcome, RunId, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Performer", "child_ended", "key_of", "parse_key", "unreachable"]

CAPABILITIES = request_type(GetCapabilities())
PAST_ENTRIES = 100_000  # of the log, at its end, in which `run.past` looks
MEETING_S = 10.0  # how often it is seen whether a run still waits for a meeting


def key_of(run: RunId, call: Call) -> str:
    """Return the idempotency key of a command: run / number / digest of type and payload."""
    return f"{run}/{call.number}/{call.parcel.digest}"


def parse_key(key: str) -> tuple[RunId, int] | None:
    """Return the run and the number that a key names, None if it names none."""
    parts = key.rsplit("/", 2)
    if len(parts) != 3 or not parts[1].isdigit():
        return None
    return RunId(parts[0]), int(parts[1])


class Performer:
    """Acts for one coordinator."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._works: set[asyncio.Task[None]] = set()
        self._thread_slots = asyncio.Semaphore(2)

    def born(self, parent: Active, effects: Sequence[Effect]) -> list[Active]:
        """Create the children that these effects start; their first rows go with their parent's."""
        live = self._of.rounds.live
        return [self._child(parent, each) for each in effects if isinstance(each, StartChild) and each.run not in live]

    def _child(self, parent: Active, effect: StartChild) -> Active:
        instance = parent.instance
        named = instance.agents.values() if effect.agents is None else [
            instance.agents[agent] for agent in effect.agents if agent in instance.agents
        ]  # fmt: skip
        charter = Charter(
            strategy=effect.strategy,
            objective=effect.objective,
            agents=tuple(named),
            open=instance.charter.open and effect.agents is None,
            options=dict(effect.options),
            parent=parent.id,
            root=instance.charter.root,
            plan=instance.charter.plan,
            config=instance.config,
            timeout_s=None if instance.deadline_at is None else max(0.001, instance.deadline_at - instance.now),
        )
        return self._of.create(effect.run, charter, instance.now)

    def perform(self, done: Sequence[tuple[Active, list[Effect]]]) -> None:
        """Act upon what is written now; commands to one agent leave as one batch."""
        batch: list[Sent] = []
        notices: list[Envelope] = []
        for active, effects in done:
            for effect in effects:
                match effect:
                    case Send(call):
                        if call.number in active.instance.calls and not self._known(active, call):
                            batch.append(self._sent(active, call))
                    case Inform(agents, parcel):
                        notices += [self._envelope(active, agent, parcel) for agent in agents]
                    case Close():
                        self._close(active, effect)
                    case StartWork():
                        self._start(self._work(active, effect))
                    case StartReading():
                        read = partial(self._past, active.id, effect)
                        self._start(self._work(active, StartWork(effect.number, effect.name, read, inline=True)))
                    case StartMeeting():
                        self._start(self._meet(active, effect))
                    case StopChild(run, reason):
                        self._of.stop_child(run, reason)
                    case StartChild():
                        pass  # born with its parent's rows, or found again by a takeover
        if batch or notices:
            self._of.outbox.send(batch, notices)

    def ended(self, active: Active) -> None:
        """Tell whoever waits: the parent, the callers, the queue for slots."""
        self._of.run_ended(active)

    def fenced(self, active: Active) -> None:
        """Let go: another process has the run now."""
        self._of.run_fenced(active)

    def store_failed(self, error: ConcertedError) -> None:
        """Give everything up: the outcome of a commit is unknown."""
        self._of.give_up(error)

    # commands

    def _envelope(self, active: Active, agent: AgentId, parcel: Parcel) -> Envelope:
        return Envelope(
            id=self._of.asker.next_message_id(),
            type=parcel.type,
            destination=agent,
            payload=parcel.raw,
            timestamp=active.instance.now,
            coordination_id=active.id,
            performative="inform",
            lamport=self._of.rounds.news.last_seq,
            delivery_mode="at_most_once",
            epoch=active.epoch,
        )

    def _sent(self, active: Active, call: Call) -> Sent:
        key = key_of(active.id, call)
        envelope = Envelope(
            id=self._of.asker.next_message_id(),
            type=call.parcel.type,
            destination=call.agent,
            payload=call.parcel.raw,
            timestamp=active.instance.now,
            category="task" if call.task else "system",
            coordination_id=active.id,
            idempotency_key=key,
            epoch=active.epoch,
            reply_by=call.reply_by,
            lamport=self._of.rounds.news.last_seq,
        )

        def take(reply: Reply) -> None:
            if call.parcel.type == CAPABILITIES and reply.ok:
                self._of.roster.learn(call.agent, reply.value)
            self._of.rounds.post(active, _reply_input(reply, call, self._of.clock.now(), self._of.max_bytes))

        if call.lease_s is None:
            return Sent(envelope, take)

        def expired() -> None:
            data = encode({"task": call.task, "epoch": call.epoch})
            now = self._of.clock.now()
            self._of.rounds.post(active, Input("claim.expired", now, call.agent, str(call.number), data))

        return Sent(envelope, take, lease_s=call.lease_s, expired=expired)

    def _known(self, active: Active, call: Call) -> bool:
        """Answer GET_CAPABILITIES from what the agent said lately."""
        if call.parcel.type != CAPABILITIES:
            return False
        answer = self._of.roster.known_answer(call.agent)
        if answer is None:
            return False
        reply = Reply(agent=call.agent, status="ok", value=answer, cached=True)
        self._of.rounds.post(active, _reply_input(reply, call, self._of.clock.now(), self._of.max_bytes))
        return True

    def _close(self, active: Active, effect: Close) -> None:
        call = effect.call
        self._of.outbox.close(key_of(active.id, call))
        if effect.why == "timeout":
            self._of.carriage.timed_out(call.agent)

    # the process's own work

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _work(self, active: Active, effect: StartWork) -> None:
        try:
            if not effect.inline and self._of.threads:
                async with self._thread_slots:
                    value = await asyncio.to_thread(effect.fn)
            else:
                value = effect.fn()
                if inspect.isawaitable(value):
                    value = await value
            data = encode({"name": effect.name, "value": value})
        except Exception as error:  # the user's function; what it raised is the result
            trace = "".join(traceback.format_exception(error))[-4000:]
            told = printable(f"{type(error).__name__}: {error}")
            data = encode({"name": effect.name, "error": told, "traceback": printable(trace)})
        self._record(active, effect.number, data)

    async def _past(self, run: RunId, effect: StartReading) -> Any:
        """Read what the log says of other runs and fold it."""
        newest = await self._of.store.last_seq()
        after, found = max(0, newest - PAST_ENTRIES), list[Entry]()
        while after < newest:  # page by page, the newest ones kept
            page = await self._of.store.log(after=after, until=newest, stream=run_stream("*"), kind=effect.kind)
            found = [*found, *(entry for entry in page if entry.stream != run_stream(run))][-effect.limit :]
            after = page[-1].seq if page else newest
        return effect.fold([_fact(entry) for entry in found])

    async def _meet(self, active: Active, effect: StartMeeting) -> None:
        """Give the commands of a meeting for the run, which acts as itself; wait as long as the run does."""
        acting = Principal(active.id, "operator")
        try:
            for ask in effect.asks:
                result = await self._of.primitives.serve(ask, acting)
            while result.pending and effect.waits:
                if effect.number not in active.instance.works:
                    return  # the run no longer waits for it
                again = msgspec.structs.replace(effect.asks[-1], wait_s=MEETING_S)
                result = await self._of.primitives.serve(again, acting)
            data = encode({"name": effect.name, "value": result})
        except ConcertedError as error:
            data = encode({"name": effect.name, "refused": error.to_wire()})
        self._record(active, effect.number, data)

    def _record(self, active: Active, number: int, data: bytes) -> None:
        if self._of.rounds.live.get(active.id) is active:
            self._of.rounds.post(active, Input("effect.recorded", self._of.clock.now(), ref=str(number), data=data))

    def stop(self) -> None:
        """Let go of what is still working."""
        for task in self._works:
            task.cancel()


def _fact(entry: Entry) -> Fact:
    return Fact(
        run=RunId(entry.stream.removeprefix(run_stream(""))),
        at=entry.at,
        agent=None if entry.agent is None else AgentId(entry.agent),
        ref=entry.ref,
        data=entry.value(),
    )


def _reply_input(reply: Reply, call: Call, at: float, max_bytes: int) -> Input:
    """Turn a reply into the input that is written; one that has no JSON form or is too large has failed."""
    answer: dict[str, Any] = {"status": reply.status, "value": reply.value}
    if reply.error is not None:
        answer["error"] = reply.error
    if reply.cached:
        answer["cached"] = True
    try:
        data = encode(answer)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        data = encode({"status": "failed", "value": None, "error": f"the answer has no JSON form: {error}"})
    if len(data) > max_bytes:
        told = f"the answer has {len(data)} bytes, over manager.max_envelope_bytes ({max_bytes}); pass a reference"
        data = encode({"status": "failed", "value": None, "error": told})
    return Input("reply.received", at, call.agent, str(call.number), data)


def child_ended(run: RunId, status: str, outcome: Outcome | dict[str, Any] | None, error: Any) -> bytes:
    """Return the data of `child.ended`."""
    return encode({"run": run, "status": status, "outcome": outcome, "error": error})


def unreachable(error: ConcertedError) -> Unreachable:
    """Say what to do when the store has failed."""
    return Unreachable(
        f"the store failed and everything in doubt was given up: {error.message}. What was acknowledged is safe; "
        "mend the cause and start again, and the unfinished runs go on",
        cause=error.code,
    )
