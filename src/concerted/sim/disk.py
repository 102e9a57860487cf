"""The simulated disk: what is durable, whose hands it is in, and what befalls each commit.

A disk outlives every coordinator; a `SimStore` is one coordinator's handle on it.  Commits are numbered
from 1 over the whole life of the disk.  Before and after each, the world is asked what shall happen: go
on, die, or fail with an error of which nobody can tell whether it came before or after the commit.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, TypeVar

from concerted.errors import Unreachable
from concerted.ports.store import ArchiveRecord, Entry, Fenced, Record, Renewal, RunRecord, Stale, View, Write
from concerted.sim.virtual_time import Process, VirtualLoop
from concerted.stores.memory import MemoryStore
from concerted.values import Instant, RunId

__all__ = ["Fate", "Moment", "SimDisk", "SimStore"]

Moment = Literal["before commit", "after commit", "before send", "after send"]
Fate = Literal["go on", "die", "fail"]

T = TypeVar("T")
R = TypeVar("R", bound=Record)

DELAY_S = (0.0005, 0.004)  # how long a commit takes


class SimDisk:
    """All that is durable, and how often it was written.

    commits: attempted and done, by whomever.  touched: run -> commits that have rows of it.  rows: the like.
    """

    def __init__(self, loop: VirtualLoop, rng: random.Random) -> None:
        self.process = Process(loop, "disk")  # what it has begun to write it writes, whoever dies meanwhile
        self.memory = MemoryStore()
        self.rng = rng
        self.commits = 0
        self.touched: dict[RunId, int] = {}
        self.rows: dict[RunId, int] = {}
        self.newest: SimStore | None = None

    def count(self, writes: Sequence[Write], answers: Sequence[int | Fenced | Stale]) -> None:
        """Count a commit for the runs that it has rows of."""
        runs: dict[str, int] = {}
        for write, answer in zip(writes, answers, strict=True):
            for row in write.rows if isinstance(answer, int) else ():
                if row.stream.startswith("run:"):
                    runs[row.stream[4:]] = runs.get(row.stream[4:], 0) + 1
        for name, rows in runs.items():
            run = RunId(name)
            self.touched[run] = self.touched.get(run, 0) + 1
            self.rows[run] = self.rows.get(run, 0) + rows


class SimStore:
    """One coordinator's `Store`.  ask: told the moment and the commit's number, says what befalls it."""

    url = "sim://"
    durability: Literal["full", "normal", "off"] = "full"
    shared = False
    waits: None = None

    def __init__(self, disk: SimDisk, ask: Callable[[Moment, int], Fate]) -> None:
        self._disk = disk
        self._memory = disk.memory
        self._ask = ask
        self._is_open = False
        self._failed = False
        self._free_at = 0.0

    async def open(self) -> None:
        """Take the disk over."""
        await self._memory.open()
        self._memory.forget_renewals()
        self._disk.newest = self
        self._is_open = True

    async def append(self, writes: Sequence[Write]) -> list[int | Fenced | Stale]:
        """Write in order of calling, each call a commit of its own, after a seeded while."""
        await self._turn()

        async def write() -> list[int | Fenced | Stale]:
            answers = await self._memory.append(writes)
            self._disk.count(writes, answers)
            return answers

        return await self._commit(write())

    async def adopt(self, node: str, at: Instant) -> list[RunRecord]:
        """Take over every unfinished run; a commit, too."""
        await self._turn()
        return await self._commit(self._memory.adopt(node, at))

    async def beat(self, node: str, ttl_s: float) -> bool:  # noqa: ARG002
        """Say whether this handle is still the newest: if not, another coordinator has taken over."""
        self._check()
        return self._disk.newest is self

    async def get(self, table: type[R], *key: str) -> R | None:
        """Return the record with this primary key."""
        self._check()
        return await self._memory.get(table, *key)

    async def find(
        self, table: type[R], where: Mapping[str, Any] | None = None, *, limit: int = 1000,
        after: Sequence[str] = (), until: tuple[str, Instant] | None = None,
    ) -> list[R]:  # fmt: skip
        """Return records whose columns equal `where`, ordered by key."""
        self._check()
        return await self._memory.find(table, where, limit=limit, after=after, until=until)

    async def renew(self, renewals: Sequence[Renewal]) -> list[bool]:
        """Hold these longer."""
        self._check()
        return await self._memory.renew(renewals)

    async def held(self, stream: str) -> dict[str, Instant]:
        """Return what is held of a stream."""
        self._check()
        return await self._memory.held(stream)

    def listen(self, told: Callable[[int], None]) -> None:
        """Do nothing: nobody else writes while this handle is the newest."""

    async def stream(self, stream: str, *, after: int = 0, limit: int = 100_000) -> list[Entry]:
        """Return a stream's entries."""
        self._check()
        return await self._memory.stream(stream, after=after, limit=limit)

    async def log(
        self, *, after: int = 0, until: int | None = None, stream: str | None = None, kind: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:  # fmt: skip
        """Return entries of the log."""
        self._check()
        return await self._memory.log(after=after, until=until, stream=stream, kind=kind, limit=limit)

    async def last_seq(self) -> int:
        """Return the newest sequence number."""
        self._check()
        return await self._memory.last_seq()

    async def at(self, seq: int) -> View:
        """Return the tables as they were."""
        self._check()
        return await self._memory.at(seq)

    async def rebuild(self) -> int:
        """Recompute every table."""
        self._check()
        return await self._memory.rebuild()

    async def archive(self, stream: str) -> ArchiveRecord:
        """Move a finished run's stream out of the log."""
        self._check()
        return await self._memory.archive(stream)

    async def close(self) -> None:
        """Let go of the disk, which stays.  Idempotent."""
        self._is_open = False

    async def _turn(self) -> None:
        """Wait until the disk has come to this call: it takes them in order."""
        self._check()
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now) + self._disk.rng.uniform(*DELAY_S)
        await asyncio.sleep(self._free_at - now)
        self._check()

    async def _commit(self, write: Coroutine[Any, Any, T]) -> T:
        number = self._disk.commits + 1
        try:
            await self._meet("before commit", number)
        except BaseException:
            write.close()
            raise
        self._disk.commits += 1
        answers = await self._disk.process.start(write)
        await self._meet("after commit", number)
        return answers

    async def _meet(self, moment: Moment, number: int) -> None:
        match self._ask(moment, number):
            case "die":  # the coordinator is dead now, and this never returns to it
                await asyncio.get_running_loop().create_future()
            case "fail":
                self._failed = True
                raise Unreachable(f"the simulated disk failed {moment} {number}; nobody can tell which side of it")

    def _check(self) -> None:
        if self._failed or not self._is_open:
            raise Unreachable("the simulated disk is not open" if not self._failed else "the simulated disk has failed")
