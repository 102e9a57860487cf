"""Ourselves, as the library is used: handles of a session, a token with every command, events, notices in inboxes.

    with_concerted_meeting.py URL WHAT [WHAT ...]

URL: of the store; `sqlite` is a new file in this folder.  WHAT: what `workers` knows, and `memory locks` (leases that
are not durable), `socket barrier`, `socket locks`, `socket hand-off` (another process owns the store), `scale N` (a
sync point of N) and `woken` (a waiter in another process).
"""

from __future__ import annotations

import asyncio
import gc
import json
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import workers
from workers import PARTIES, report

from concerted import open_coordinator
from concerted.config.settings import Coordination, Inbox
from concerted.ports.access import AddPrincipal
from concerted.ports.holding import MEMORY, SPACE, AcquireLease, ReleaseLease
from concerted.values import AgentId

GROUP = 10  # arrive at once, whatever the size of the sync point
ARRIVALS = 4_000  # at the least, at sync points of each size
WOKEN = 60  # times a waiter in another process is woken
SETTLED_S = 0.02  # that it has been waiting by then


class Concerted:
    """A session that shows an operator's token, and acts for the agents `w0`, `w1`, ..."""

    def __init__(self, url: str, space: str = SPACE, owner: int = 0) -> None:
        self.url = url
        self.space = space
        self.owner = owner
        self.tickets = 0
        self.session = open_coordinator(url, may_own=not owner)

    async def open(self) -> None:
        """Get ready: a principal of our own, and the barrier."""
        await self.session.open()
        added = await self.session.give(AddPrincipal(name="bench", as_role="operator"))
        self.session.bearing(added.token)
        self.barrier = self.session.barrier("all")
        await self.barrier.create([f"w{worker}" for worker in range(PARTIES)], agent="bench", attach=True)

    async def close(self) -> None:
        """Leave."""
        await self.session.close()

    def processes(self) -> Sequence[int]:
        """Return the processes of the database, or of the owner."""
        if self.url.startswith("postgresql:"):
            return backends(self.url)
        return (self.owner,) if self.owner else ()

    async def arrive(self, turn: int, worker: int) -> None:
        """Arrive, and wait for the verdict."""
        verdict = await self.barrier.arrive(f"w{worker}")
        assert verdict.success, f"{verdict.status} in round {turn}: {verdict.reason}"

    async def acquire(self, name: str, worker: int) -> str:
        """Hold a lease."""
        self.tickets += 1
        agent, ticket = AgentId(f"w{worker}"), f"t{self.tickets}"
        asked = AcquireLease(id=self.space, agent=agent, ticket=ticket, names=(name,), ttl_s=30.0, wait_s=60.0)
        lease = await self.session.give(asked)
        assert lease.granted, f"{name}: {lease.reason}"
        token: str = lease.token
        return token

    async def release(self, name: str, worker: int, token: str) -> None:  # noqa: ARG002
        """Release it."""
        await self.session.give(ReleaseLease(id=self.space, agent=AgentId(f"w{worker}"), token=token))


async def main(url: str, wanted: Sequence[str]) -> None:
    """Measure what is wanted, or play the part of the other process."""
    if wanted[0] == "own":
        await own(url)
    elif wanted[0] == "wait":
        await wait(url, wanted[1])
    else:
        url = "sqlite:///bench.db" if url == "sqlite" else url
        await workers.measure(Concerted(url), wanted)
        if "memory locks" in wanted:
            await workers.measure(Concerted(url, MEMORY), ["locks"], "memory ")
        through = [what.removeprefix("socket ") for what in wanted if what.startswith("socket ")]
        if through:
            with another(url, "own") as (_, owner):
                await workers.measure(Concerted(url, owner=owner), through, "socket ")
        for what in wanted:
            if what.startswith("scale "):
                await scale(url, int(what.removeprefix("scale ")))
        if "woken" in wanted:
            await woken(url)


async def scale(url: str, participants: int) -> None:
    """Measure what an arrival costs at sync points of this size, GROUP at once, and what it costs to complete one."""
    count = max(1, ARRIVALS // participants)
    names = [f"agent-{number}" for number in range(participants)]
    own = wall = completing = 0.0
    patient = Coordination(inbox=Inbox(acknowledge_within=3600.0))  # nobody acknowledges here: no second delivery
    async with open_coordinator(url, coordination=patient) as session:
        for point in range(count):
            handle = session.sync_point(f"scale-{participants}-{point}")
            await handle.create([*names, "last"], agent="bench")
            gc.collect()
            began, used = time.perf_counter(), time.process_time()
            for first in range(0, participants, GROUP):
                await asyncio.gather(*(handle.arrive(name, timeout_s=0) for name in names[first : first + GROUP]))
            own += time.process_time() - used
            wall += time.perf_counter() - began
            used = time.process_time()
            done = await handle.arrive("last", timeout_s=0)
            completing += time.process_time() - used
            assert done.status == "completed", "not all have arrived"
    arrivals = count * participants
    told = completing / (count * (participants + 1))
    report(f"scale {participants}", own / arrivals, wall / arrivals, own / arrivals, told_s=told)


async def woken(url: str) -> None:
    """Measure from the call that completes a sync point to the return of the call that waits in another process."""
    took, turn = [], secrets.token_hex(4)  # a database keeps the points of the turns before
    async with open_coordinator(url) as session:
        with another(url, "wait", turn) as (told, _):
            for number in range(WOKEN):
                point = session.sync_point(f"woken-{turn}-{number}")
                await point.create(["here", "there"], agent="here", attach=True)
                while (await point.get()).arrived < 1:  # noqa: ASYNC110 -- the other process is on its way
                    await asyncio.sleep(SETTLED_S / 4)
                await asyncio.sleep(SETTLED_S)
                arrived_at = time.monotonic()
                await point.arrive("here")
                returned_at = json.loads(await asyncio.to_thread(told.readline))
                took.append(returned_at - arrived_at)
    middle = statistics.median(took)
    report("woken", middle, middle, 0.0, slowest_s=max(took))


async def wait(url: str, turn: str) -> None:
    """Arrive at each point of `woken`, and say when it was completed, on the clock that all processes share."""
    async with open_coordinator(url) as session:
        for number in range(WOKEN):
            point = session.sync_point(f"woken-{turn}-{number}")
            await point.create(["here", "there"], agent="here", attach=True)
            result = await point.arrive("there")
            assert result.status == "completed", result.reason
            print(json.dumps(time.monotonic()), flush=True)


async def own(url: str) -> None:
    """Own the store until nobody listens to us any more."""
    async with open_coordinator(url):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@contextmanager
def another(url: str, part: str, *more: str) -> Iterator[tuple[IO[str], int]]:
    """Run this script in another process for as long as the block takes; yields what it says, and its id."""
    command = [sys.executable, __file__, url, part, *more]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None, "it was opened"
        assert process.stdout is not None, "it was opened"
        if part == "own":
            process.stdout.readline()
        yield process.stdout, process.pid
        process.stdin.close()


def backends(url: str) -> list[int]:
    """Return the processes of the server that serve our database: those of the writer, the readers, the listener."""
    import psycopg

    with psycopg.connect(url) as connection:
        rows = connection.execute("select pid from pg_stat_activity where datname = current_database()").fetchall()
    return [pid for (pid,) in rows]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
