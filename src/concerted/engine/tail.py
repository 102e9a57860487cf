"""The tail of a shared log: what other processes have written reaches whoever waits here, without polling.

    NOTIFY -> told(seq) -> read the log after what was seen -> primitives, inboxes, principals, runs

The notice is only a wake-up; the truth is read by sequence number, so none is missed and none counts twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from concerted.errors import ConcertedError, NotFound, WrongPhase
from concerted.kinds import ENDINGS, MAIL_STREAM, PRINCIPALS_STREAM, post_stream
from concerted.ports.store import Entry, Row, RunRecord, Write
from concerted.runs.instance import Input
from concerted.values import AgentId, RunId, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Tail"]

PAGE = 2_000  # entries read at once
UNFINISHED = ("queued", "initializing", "active")


class Tail:
    """Follows a store that other processes write to; on one of our own it does nothing."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._seen = 0
        self._told = 0
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begin to follow, from the newest entry on."""
        if self._of.store.shared:
            self._seen = self._told = await self._of.store.last_seq()
            self._of.store.listen(self._hear)

    def stop(self) -> None:
        """Follow no longer."""
        if self._reading is not None:
            self._reading.cancel()

    def running(self) -> set[asyncio.Task[None]]:
        """What `stop` will call off."""
        return set() if self._reading is None else {self._reading}

    def _hear(self, seq: int) -> None:
        self._told = max(self._told, seq)
        if self._told > self._seen and (self._reading is None or self._reading.done()) and not self._of.rounds.stopped:
            self._reading = self._of.loop.create_task(self._read())

    async def _read(self) -> None:
        while self._seen < self._told:
            try:
                page = await self._of.store.log(after=self._seen, limit=PAGE)
            except ConcertedError:
                return  # whoever writes next finds that the database is away; the next notice reads on from here
            if not page:
                return
            await self._take(page)
            self._seen = page[-1].seq
            self._of.rounds.news.tell(self._seen)

    async def _take(self, page: Sequence[Entry]) -> None:
        self._of.primitives.host.heard(page)
        self._of.mail.heard([entry for entry in page if entry.stream.startswith(MAIL_STREAM)])
        for entry in page:
            if entry.kind in ENDINGS:
                self._of.run_left(RunId(entry.stream[4:]))
            elif entry.kind == "input.posted":
                self._of.errand(self._deliver(entry))
            elif entry.stream == PRINCIPALS_STREAM and entry.kind != "access.refused":
                await self._of.access.heard(entry)

    # inputs for runs that other processes have in hand

    async def post(self, run: RunId, given: Input) -> bool:
        """Leave an input for a run that another process has in hand; False if nobody else can have it."""
        record = await self._of.store.get(RunRecord, run) if self._of.store.shared else None
        if record is None or record.status not in UNFINISHED or self._has(run):
            return False
        data = {"kind": given.kind, "ref": given.ref, "data": given.value()}
        row = Row(
            stream=post_stream(run), at=given.at, kind="input.posted", agent=given.agent, ref=given.ref,
            data=encode(data),
        )  # fmt: skip
        await self._of.rounds.append(Write(rows=[row]))
        return True

    async def catch_up(self, run: RunId) -> None:
        """Give a run that was just taken over what others have left for it; what it has heard counts once."""
        if self._of.store.shared:
            for entry in await self._of.store.stream(post_stream(run)):
                await self._deliver(entry)

    def _has(self, run: RunId) -> bool:
        return run in self._of.rounds.live or run in self._of.sleepers.dormant

    async def _deliver(self, entry: Entry) -> None:
        run = RunId(entry.stream[len(post_stream("")) :])
        if not self._has(run):
            return
        value = entry.value()
        agent = None if entry.agent is None else AgentId(entry.agent)
        given = Input(value["kind"], self._of.clock.now(), agent, value["ref"], encode(value["data"]))
        try:
            active = await self._of.sleepers.reach(run)
        except (NotFound, WrongPhase):
            return
        heard = given.kind == "signal.received" and given.ref in active.instance.seen_signals
        if not heard and not (given.kind == "cancel.requested" and active.called_off):
            self._of.rounds.post(active, given)
