"""The desk: where an agent's commands arrive, are done once each, and are answered once each.

    arrived --epoch too low--> refused
    arrived --known key--> answered from the inbox | nothing, while it is in hand
    arrived --quick function or default--> answered
    arrived --task or async function--> in hand --CancelTask--> cancelled | answered

Links and `Agent.serve` are shells around one desk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from concerted.agent.abilities import ANY, Abilities, Ability
from concerted.agent.ballots import JUDGE, Ballots
from concerted.agent.defaults import default_answer
from concerted.agent.fence import Fence
from concerted.agent.inbox import Inbox, MemoryInbox
from concerted.agent.replies import BUILT_IN, NOTICES, reply_raised, reply_returned, reply_to, request_in
from concerted.agent.reports import Reports
from concerted.agent.slots import Slots
from concerted.agent.threads import Threads
from concerted.agent.work import Refused, Unanswered, Work
from concerted.errors import Invalid, Unreachable
from concerted.messages import (
    Beat,
    CancelTask,
    Envelope,
    ExecuteTask,
    Reply,
    ReplyStatus,
    Request,
)
from concerted.values import Instant, Profile, RunId, Task

__all__ = ["COMMANDS_IN_HAND", "Desk"]

COMMANDS_IN_HAND = 1_000  # unfinished commands of one agent, waiting ones included; one more is refused
CALLED_OFF = "it was called off"
INNER_CANCEL = "something that the function awaited was cancelled"
CLOSE_S = 2.0  # how long `close` waits for cancelled functions to end


@dataclass(slots=True, eq=False)
class Job:
    """A command in hand.  in_thread: its function runs in a worker thread and cannot be interrupted."""

    work: Work
    ability: Ability
    task: asyncio.Task[None] | None = None
    in_thread: bool = False

    def is_claim(self, coordination: RunId | None, claim: CancelTask) -> bool:
        """Say whether this is the claim on a task that is being cancelled."""
        held = self.work.request
        return (
            isinstance(held, ExecuteTask)
            and (held.task.id, held.epoch) == (claim.task, claim.epoch)
            and self.work.envelope.coordination_id == coordination
        )

    def call_off(self) -> None:
        """Tell the function; what can be interrupted, is."""
        self.work.cancelled.set()
        if self.task is not None and not self.in_thread:
            self.task.cancel()


class Desk:
    """One agent's commands.  Everything is called on the event loop on which `open` was called."""

    def __init__(self, agent: Abilities, inbox: Inbox | None = None, now: Callable[[], Instant] = time.time) -> None:
        self.agent = agent
        self._now = now
        self.inbox: Inbox = MemoryInbox() if inbox is None else inbox
        self._fence = Fence(self.inbox)
        self.closing = ""  # a reason, once nothing new is begun
        self._answer: Callable[[Reply], None] | None = None
        self._jobs: dict[str, Job] = {}
        self._ballots = Ballots()
        self._slots = Slots(lambda: agent.profile.capacity)

    def open(self, answer: Callable[[Reply], None], beat: Callable[[Beat], None] | None = None) -> None:
        """Begin to take commands.  answer: gets each reply, also from inside `take`.  beat: gets progress at once."""
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._reports = Reports(self._loop, lambda: None if beat is None else beat(self.heartbeat()))
        self.agent.watchers.append(self._changed)

    def take(self, envelope: Envelope) -> None:
        """Take one command or notice; never raises and never waits."""
        if self._answer is None:
            return
        stale = self._fence.stale_epoch(envelope)
        if stale is not None:
            self._refuse(envelope, stale)
            return
        key = envelope.idempotency_key
        if key in self._jobs:
            return
        try:
            done = self.inbox.reply_to(key) if key else None
            if done is not None:
                self._answer(msgspec.structs.replace(done, cached=True))
                return
            request = request_in(envelope)
        except (Invalid, Unreachable) as error:
            self._refuse(envelope, error.message, status="failed")
            return
        self._dispatch(envelope, request)

    def holds(self, key: str) -> bool:
        """Say whether a command is in hand."""
        return key in self._jobs

    @property
    def in_hand(self) -> tuple[str, ...]:
        """Keys of the commands in hand, oldest first."""
        return tuple(self._jobs)

    def heartbeat(self) -> Beat:
        """Say that the agent is alive, how it is, and what it is at work on."""
        return Beat(
            agent=self.agent.id,
            status=self.agent.status(self._now()),
            running=tuple(self._jobs),
            progress=dict(self._reports.newest),
        )

    async def drain(self, within_s: float) -> bool:
        """Wait until nothing is in hand, at most `within_s`; say whether that came true."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        return not self._jobs

    def silence(self) -> None:
        """Take nothing and answer nothing more.  Idempotent."""
        if self._answer is not None:
            self._answer = None
            self._reports.stop()
            self.agent.watchers.remove(self._changed)

    async def close(self) -> None:
        """Fall silent, call off what is in hand and wait a moment for it to end.  Idempotent."""
        self.silence()
        tasks = self._ballots.stop()
        for job in self._jobs.values():
            job.work.cancelled.set()
            if job.task is not None:
                job.task.cancel()
                tasks.append(job.task)
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        self.agent.hosted.close()

    # one command

    def _dispatch(self, envelope: Envelope, request: Request) -> None:
        answers = self.agent.answers
        ability = answers.get(envelope.type)
        if type(request) is CancelTask:
            self._cancel(envelope, request)
        if request.notice:
            if ability is not None:
                self._quick(envelope, request, ability)
            return
        if ability is None:
            if type(request) is ExecuteTask:
                self._execute(envelope, request)
                return
            ability = answers.get(ANY) if envelope.type not in BUILT_IN else None
        if ability is None:
            self._default(envelope, request)
        elif self._may_run(envelope, ability):
            if ability.is_async:
                self._begin(Job(Work(envelope, request, report=self._progressed), ability))
            else:
                self._quick(envelope, request, ability)

    def _default(self, envelope: Envelope, request: Request) -> None:
        """Answer from profile and load; a leader's or follower's term must not be lower than the highest seen."""
        assert self._answer is not None
        stale = self._fence.stale_term(envelope.coordination_id, request)
        if stale is not None:
            self._refuse(envelope, stale)
            return
        try:
            value = default_answer(self.agent, request, self._now())
        except Refused as refusal:
            self._refuse(envelope, str(refusal))
            return
        self._answer(reply_to(envelope, "ok", msgspec.to_builtins(value)))

    def _quick(self, envelope: Envelope, request: Request, ability: Ability) -> None:
        """Call a plain function here and now; a notice is not answered."""
        key = envelope.idempotency_key
        try:
            if key and not request.notice:
                self.inbox.start(key)
            value = ability.fn(request, Work(envelope, request)) if ability.takes_work else ability.fn(request)
            reply = reply_returned(envelope, value)
        except Exception as error:  # the agent's code
            reply = reply_raised(envelope, error)
        if not request.notice:
            self._close(envelope, reply)

    def _execute(self, envelope: Envelope, request: ExecuteTask) -> None:
        ability = self.agent.task_function(request.task.kind)
        if ability is None:
            kind = request.task.kind or "without a kind"
            self._refuse(envelope, f"agent {self.agent.id} has no function for tasks {kind}")
        elif self._may_run(envelope, ability):
            self._begin(Job(Work(envelope, request, report=self._progressed), ability))

    def _may_run(self, envelope: Envelope, ability: Ability) -> bool:
        """Answer at once what must not be begun: nothing new now, too much in hand, or interrupted once before."""
        if self.closing or len(self._jobs) >= COMMANDS_IN_HAND:
            many = f"agent {self.agent.id} has {len(self._jobs)} commands in hand, its bound; ask later"
            self._refuse(envelope, self.closing or many)
            return False
        key = envelope.idempotency_key
        if key and ability.on_restart == "fail" and self.inbox.was_interrupted(key):
            why = "interrupted: the agent's process ended while it was at work on this; it may have had an effect"
            self._close(envelope, reply_to(envelope, "failed", error=why))
            return False
        return True

    def _begin(self, job: Job) -> None:
        envelope = job.work.envelope
        key = envelope.idempotency_key or f"#{id(job)}"  # without a key it can neither be repeated nor asked about
        self._jobs[key] = job
        self.agent.held += type(job.work.request) is ExecuteTask
        job.task = self._loop.create_task(self._perform(key, job))

    async def _perform(self, key: str, job: Job) -> None:
        work = job.work
        reply: Reply | None = None
        try:
            if type(work.request) is ExecuteTask:
                async with self._slots:
                    reply = await self._run(work.request.task, job)
            else:
                reply = await self._run(work.request, job)
        except asyncio.CancelledError:
            if self._answer is None:
                raise
            if work.cancelled.is_set():
                reply = reply_to(work.envelope, "cancelled", error=CALLED_OFF)
            else:
                reply = reply_to(work.envelope, "failed", error=f"CancelledError: {INNER_CANCEL}")
        finally:
            del self._jobs[key]
            self._reports.drop(key)
            self.agent.held -= type(work.request) is ExecuteTask
        self._close(work.envelope, reply)

    async def _run(self, argument: Task | Request, job: Job) -> Reply | None:
        """Call the function and turn what comes of it into a reply; None if it cannot be answered."""
        work, ability = job.work, job.ability
        arguments = (argument, work) if ability.takes_work else (argument,)
        try:
            if work.key:
                self.inbox.start(work.key)
            if ability.is_async:
                value = await ability.fn(*arguments)
            else:
                job.in_thread = True
                value = await _threads.run(lambda: ability.fn(*arguments))
                if work.cancelled.is_set():
                    return reply_to(work.envelope, "cancelled", error=CALLED_OFF)
            return reply_returned(work.envelope, value)
        except Unanswered:
            return None
        except (Exception, SystemExit) as error:  # the agent's code
            return reply_raised(work.envelope, error)

    def _cancel(self, envelope: Envelope, request: CancelTask) -> None:
        for job in list(self._jobs.values()):
            if job.is_claim(envelope.coordination_id, request):
                job.call_off()

    # answers

    def _close(self, envelope: Envelope, reply: Reply | None) -> None:
        """Remember the answer, then give it."""
        key = envelope.idempotency_key
        if key and reply is None:
            self.inbox.forget(key)
        elif key and reply is not None:
            self.inbox.finish(key, reply)
        if reply is not None and self._answer is not None:
            self._answer(reply)
            if reply.ok and envelope.type == JUDGE:
                self._ballots.judged(self.agent, request_in(envelope), reply.value)

    def _refuse(self, envelope: Envelope, reason: str, status: ReplyStatus = "refused") -> None:
        """Answer without having done anything; such an answer need not be remembered."""
        if self._answer is not None and envelope.type not in NOTICES:
            self._answer(reply_to(envelope, status, error=reason))

    # news from inside

    def _progressed(self, work: Work, step: float, of: float) -> None:
        """Take a report, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody listens
            self._loop.call_soon_threadsafe(self._note, work, step, of)

    def _note(self, work: Work, step: float, of: float) -> None:
        if work.key in self._jobs:
            self._reports.note(work.key, step, of)

    def _changed(self, _profile: Profile) -> None:
        self._slots.wake()


_threads = Threads()
