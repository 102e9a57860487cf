"""The process link: an agent that is any program speaking JSON lines on its standard input and output.

The program does tasks and custom requests; status, capabilities, bids and votes are answered here, from its
profile and load, unless its hello says that it handles them itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.agent.abilities import ANY, Abilities
from concerted.agent.desk import Desk
from concerted.agent.wire import Frame, Hello, as_reply, read_frame, write_line
from concerted.agent.work import Refused, Unanswered, Work
from concerted.errors import Invalid
from concerted.links.program import Program, ProgramLimits
from concerted.messages import CancelTask, Envelope, ExecuteTask, GetStatus, Reply, encode_request, request_type
from concerted.ports.link import LinkEvents
from concerted.values import AgentId, AgentStatus, Profile

__all__ = ["ProcessLink"]

LATE_KEYS = 1_000  # cancelled commands of which a late answer is no fault


@dataclass(slots=True)
class Asked:
    """A command that the program has, or will have once it runs again."""

    envelope: Envelope
    answer: asyncio.Future[Reply]


class ProcessLink:
    """One program, kept running.

    argv: the program and its arguments, as they are; no shell reads them.  env: added to this process's
    environment.  What the program was at work on when it ended is reported by one `events.lost`; those
    commands get no reply of their own.  Commands sent while it is being restarted wait for it.
    """

    pushes_beats = False  # it is alive while its process is, and the engine sees what it holds
    in_process = False

    def __init__(
        self,
        profile: Profile,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        limits: ProgramLimits | None = None,
    ) -> None:
        self.agent: AgentId = profile.id
        self._limits = limits or ProgramLimits()
        environment = {**os.environ, **(env or {}), "CONCERTED_AGENT_ID": profile.id}
        self._program = Program(argv, environment, cwd, self._limits, self)
        self._abilities = Abilities(profile)
        self._abilities.task()(self._do_task)
        self._abilities.on(ANY)(self._pass_on)
        self._abilities.on(GetStatus)(self._status)
        self._desk = Desk(self._abilities)
        self._events: LinkEvents | None = None
        self._asked: dict[str, Asked] = {}
        self._overdue: set[str] = set()
        self._late: dict[str, None] = {}
        self._away = False  # reported as suspect or lost, and not yet back
        self._gone = ""

    @property
    def stderr_tail(self) -> str:
        """The last 64 KiB of what the program has written to standard error, over all its starts."""
        return self._program.stderr_tail

    @property
    def pid(self) -> int | None:
        """The program's process id and process group; None while it is not running."""
        return self._program.pid

    async def open(self, events: LinkEvents) -> None:
        """Start the program.

        Raises:
            Unreachable: it cannot be started; says what was tried.
        """
        await self._program.start()
        self._events = events
        self._desk.open(events.replied, events.beat)

    def send(self, batch: Sequence[Envelope]) -> None:
        """Hand over commands, in order, at most `capacity` tasks at a time."""
        for envelope in batch:
            if self._gone and self._events is not None:
                key = envelope.idempotency_key
                self._events.replied(Reply(agent=self.agent, status="lost", error=self._gone, key=key))
            else:
                self._desk.take(envelope)

    def holds(self, key: str) -> bool:
        """Say whether the command is with the program, or waits for it."""
        asked = self._asked.get(key)
        return self._desk.holds(key) and (asked is None or not asked.answer.done())

    async def close(self, reason: str) -> None:
        """End the program and everything in its process group."""
        self._events = None
        self._desk.silence()
        await self._program.stop()
        self._drop_all(reason)
        await self._desk.close()

    # commands on their way to the program

    async def _do_task(self, _task: Any, work: Work) -> Reply:
        return await self._pass_on(work.request, work)

    async def _pass_on(self, _request: Any, work: Work) -> Reply:
        """Write a command to the program and wait for its answer; called off, give it time to notice."""
        if not work.key:
            raise Refused("a command without an idempotency key cannot go to a program: its answer would have no name")
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[work.key] = Asked(work.envelope, answer)
        self._write(work.envelope)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            if self._events is not None and work.cancelled.is_set():
                await self._call_off(work, answer)
            raise
        finally:
            del self._asked[work.key]
            self._overdue.discard(work.key)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also when nobody waits for it
            else:
                self._expect_late(work.key)
            self._kill_if_stuck()

    def _status(self, _request: GetStatus) -> AgentStatus:
        if self._away:
            raise Refused("its program is not running")
        return self._abilities.status(time.time())

    async def _call_off(self, work: Work, answer: asyncio.Future[Reply]) -> None:
        """Tell the program; keep its place taken until it has answered or been killed."""
        if isinstance(work.request, ExecuteTask):
            notice = CancelTask(task=work.request.task.id, epoch=work.request.epoch, reason="nobody wants the result")
            self._write(
                msgspec.structs.replace(
                    work.envelope,
                    type=request_type(notice),
                    payload=msgspec.Raw(encode_request(notice)),
                    idempotency_key="",
                    correlation_id=work.key,
                )
            )
        await asyncio.wait([answer], timeout=self._limits.cancel_grace_s)
        if not answer.done():
            self._overdue.add(work.key)
            self._kill_if_stuck()
            await asyncio.wait([answer])

    def _kill_if_stuck(self) -> None:
        """Kill the program if all it is at work on was called off long ago."""
        if self._overdue and len(self._overdue) == len(self._asked):
            self._program.kill()

    def _write(self, envelope: Envelope) -> None:
        unread = self._program.write(write_line(envelope))
        if unread:  # it does not read: leave the command out, it will be delivered again
            self._fault("queue_full", f"{unread} bytes wait to be read")
            self._drop(envelope.idempotency_key, "its queue is full")

    def _drop(self, key: str, reason: str) -> None:
        asked = self._asked.get(key)
        if asked is not None and not asked.answer.done():
            asked.answer.set_exception(Unanswered(reason))

    def _drop_all(self, reason: str) -> None:
        for key in list(self._asked):
            self._drop(key, reason)

    def _expect_late(self, key: str) -> None:
        self._late[key] = None
        if len(self._late) > LATE_KEYS:
            del self._late[next(iter(self._late))]

    # news from the program

    def started(self) -> None:
        """Write what has come while the program was away."""
        for asked in list(self._asked.values()):
            self._write(asked.envelope)

    def settled(self) -> None:
        """Report that it is back."""
        if self._away and self._events is not None:
            self._away = False
            self._events.returned(self.agent)

    def line(self, line: bytes) -> None:
        """Take one line: an answer, a heartbeat, a new profile, or something that is none of these."""
        if self._events is None:
            return
        try:
            frame = read_frame(line)
        except Invalid as error:
            self._bad_line(error.facts["fault"], error.message)
            return
        reply = as_reply(frame, self.agent)
        if reply is not None:
            self._take_reply(reply)
        else:
            self._take_news(frame)

    def fault(self, fault: str, detail: str) -> None:
        """Report why it is being killed."""
        self._fault(fault, detail)

    def ended(self, reason: str, *, given_up: bool) -> None:
        """Report the end: suspected, or lost if it was at work or will not be started again."""
        if given_up:
            self._gone = reason
        if self._events is None:
            return
        self._late.clear()
        in_hand = len(self._asked)
        self._drop_all(reason)
        self._away = True
        if given_up:
            self._events.lost(self.agent, reason)
        elif in_hand:
            self._events.lost(self.agent, f"{reason} (commands in hand: {in_hand})")
        else:
            self._events.suspected(self.agent, f"{reason}; it is being restarted")

    def _take_reply(self, reply: Reply) -> None:
        asked = self._asked.get(reply.key)
        if asked is not None and not asked.answer.done():
            self._program.answered()
            asked.answer.set_result(reply)
        elif reply.key in self._late:
            del self._late[reply.key]
        else:
            self._bad_line("unknown_key", f"an answer to {reply.key!r}, which it was not asked or has answered")

    def _take_news(self, frame: Frame) -> None:
        assert self._events is not None
        if frame.hello is not None:
            self._take_hello(frame.hello)
        elif frame.beat is not None:
            self._events.beat(msgspec.structs.replace(frame.beat, agent=self.agent))
        elif frame.ack is not None:
            self._events.beat(self._desk.heartbeat())
        elif frame.changed is not None:
            self._change(frame.changed)

    def _take_hello(self, hello: Hello) -> None:
        for name in hello.handles:
            if name != "EXECUTE_TASK":
                self._abilities.answers.pop(name, None)
                self._abilities.on(name)(self._pass_on)
        if hello.profile is not None:
            self._change(hello.profile)

    def _change(self, profile: Profile) -> None:
        if profile.id != self.agent:
            self._bad_line("not_a_frame", f"a profile of {profile.id}, but this is {self.agent}")
            return
        self._abilities.change(**msgspec.structs.asdict(profile))
        assert self._events is not None
        self._events.changed(profile)

    def _bad_line(self, fault: str, detail: str) -> None:
        self._fault(fault, detail)
        self._program.misbehaved()

    def _fault(self, fault: str, detail: str) -> None:
        if self._events is not None:
            self._events.fault(self.agent, fault, detail)
