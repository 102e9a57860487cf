"""One process of the hammer: it does its share of operations, and notes outside the store what it was told.

    python hammer_worker.py URL FOLDER NAME LIFE PLAN

Its share follows from its name alone, so a process that is killed goes on where its notes end: what it was not
answered it asks again, under the same request id or ticket.  A note is one line in a file of this life's own,
written in one call and not synced: a kill of the process loses none.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from concerted.errors import ConcertedError, LeaseLost, Overloaded, Unreachable
from concerted.launch import Session, open_coordinator
from concerted.ports.holding import AcquireLease, ReleaseLease, RenewLease
from concerted.values import AgentId

COUNTERS, SWAPPED, LEASES = 4, 2, 3
TTL_S, CONFIRM_S = 10.0, 3.0
MEET_EVERY, POINT_EVERY = 50, 10  # operations
DICE = ("increment",) * 6 + ("swap",) * 3 + ("lease",) * 4 + ("send",) * 4 + ("fetch",) * 3


def share(name: str, operations: int, seed: int) -> list[str]:
    """Return what a process is to do, in order; at the same places all meet."""
    dice = random.Random(f"{seed}/{name}")
    drawn = [dice.choice(DICE) for _ in range(operations)]
    for number in range(operations):
        if number % MEET_EVERY == MEET_EVERY - 1:
            drawn[number] = "barrier"
        elif number % POINT_EVERY == 4:
            drawn[number] = "point"
    return drawn


def notes(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    """Read what all lives of a process have noted; a line that is torn is none."""
    for path in sorted(folder.glob(f"{name}.*.notes"), key=lambda one: int(one.name.split(".")[1])):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield json.loads(line)


class Worker:
    """One life of one process."""

    def __init__(self, session: Session, folder: Path, name: str, life: int, plan: dict[str, Any]) -> None:
        self._session = session
        self._folder = folder
        self._name = name
        self._everybody: list[str] = plan["names"]
        self._plan = plan
        self._begun: dict[int, dict[str, Any]] = {}  # what was about to be asked, by operation
        self._next = 0
        for line in notes(folder, name):
            if line["what"] == "done":
                self._next = line["number"] + 1
            elif line["what"] == "begun":
                self._begun[line["number"]] = line
        self._file = os.open(folder / f"{name}.{life}.notes", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)

    async def run(self) -> None:
        """Do what is left."""
        todo = share(self._name, self._plan["operations"], self._plan["seed"])
        for number in range(self._next, len(todo)):
            began_at = time.monotonic()
            told = await self._until_served(getattr(self, todo[number]), number)
            self.note("done", number, op=todo[number], told=told, took_s=round(time.monotonic() - began_at, 4))
        await self.meet(len(todo) // MEET_EVERY)  # from here on nobody sends
        while await self.fetch(len(todo)):
            pass

    async def _until_served(self, ask: Callable[[int], Awaitable[Any]], number: int) -> Any:
        """Ask; who is told that too many ask at once, or that the node has lost its lease, comes back later."""
        while True:
            try:
                return await ask(number)
            except (Overloaded, Unreachable) as error:
                self.note("refused", number, why=error.message)
                await asyncio.sleep(random.uniform(0.05, 0.5))

    def note(self, what: str, number: int, **facts: Any) -> None:
        """Write one line."""
        line = json.dumps({"what": what, "number": number, **facts}).encode() + b"\n"
        assert os.write(self._file, line) == len(line)

    async def increment(self, number: int) -> Any:
        """Count once."""
        counter = f"counter-{number % COUNTERS}"
        value = self._session.register_value(counter)
        told = await value.increment(agent=self._name, request_id=f"{self._name}/{number}")
        assert told.swapped
        return [counter, told.version]

    async def swap(self, number: int) -> Any:
        """Count once by compare-and-swap; a swap whose answer was not heard is asked again as it was."""
        name = f"swapped-{number % SWAPPED}"
        value = self._session.register_value(name)
        begun = self._begun.get(number, {"attempt": 0, "version": 0, "value": 1})
        if number not in self._begun:
            self.note("begun", number, **begun)
        while True:
            told = await value.compare_and_swap(
                begun["value"], expected_version=begun["version"], agent=self._name,
                request_id=f"{self._name}/{number}/{begun['attempt']}",
            )  # fmt: skip
            if told.swapped:
                return [name, told.version]
            seen = await value.get()
            begun = {"attempt": begun["attempt"] + 1, "version": seen.version, "value": seen.value + 1}
            self.note("begun", number, **begun)

    async def lease(self, number: int) -> Any:
        """Hold a lease, write under its token into what it guards, and release it."""
        name, ticket = f"guarded-{number % LEASES}", f"{self._name}/{number}"
        ask = AcquireLease(
            agent=AgentId(self._name), ticket=ticket, names=(name,), ttl_s=TTL_S, confirm_s=CONFIRM_S
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        while True:
            try:
                granted = await self._session.leases.acquire(ask, timeout_s=60.0)
            except LeaseLost:  # on a machine that is too busy to confirm it in time
                continue
            if granted.status == "released":  # in an earlier life, which was not told so
                return [name, granted.token]
            if not granted.granted:  # it was offered to, or held by, a life that had ended
                continue
            asked_at = loop.time()
            try:
                await self._session.give(RenewLease(agent=AgentId(self._name), token=granted.token))
            except ConcertedError:
                continue
            if loop.time() - asked_at < TTL_S / 4:
                self._write(name, f"{granted.token} {ticket}\n")
            try:
                await self._session.give(ReleaseLease(agent=AgentId(self._name), token=granted.token))
            except ConcertedError:
                continue
            return [name, granted.token]

    def _write(self, name: str, line: str) -> None:
        with (self._folder / name).open("ab", buffering=0) as file:
            assert file.write(line.encode()) == len(line)

    async def send(self, number: int) -> Any:
        """Send something to somebody."""
        to = self._everybody[number % len(self._everybody)]
        told = await self._session.inbox(self._name).send(
            to, [self._name, number], request_id=f"{self._name}/{number}"
        )  # fmt: skip
        return [to, told.id]

    async def fetch(self, number: int) -> Any:
        """Fetch what is there, note it, and only then acknowledge it."""
        inbox = self._session.inbox(self._name)
        found = await inbox.fetch(limit=20, all=True)
        self.note("fetched", number, messages=[[one.id, one.sender, one.content] for one in found])
        if found:
            await inbox.acknowledge([one.id for one in found])
        return len(found)

    async def point(self, number: int) -> Any:
        """Arrive at a sync point that the first to come makes."""
        point = self._session.sync_point(f"point-{number}")
        await point.create(self._everybody, agent=self._everybody[0], attach=True)
        told = await point.arrive(self._name, data=number, timeout_s=0.0)
        return told.arrived

    async def barrier(self, number: int) -> Any:
        """Meet everybody in the middle of it all."""
        return await self.meet(number // MEET_EVERY)

    async def meet(self, generation: int) -> int:
        """Wait at the barrier until all have come."""
        barrier = self._session.barrier("barrier")
        await barrier.create(self._everybody, agent=self._everybody[0], attach=True)
        told = await barrier.arrive(
            self._name, timeout_s=300.0, generation=generation, request_id=f"{self._name}/meets/{generation}"
        )  # fmt: skip
        assert (told.status, told.generation) == ("released", generation), told
        return generation


async def main() -> None:
    url, folder, name, life, plan = sys.argv[1:]
    async with open_coordinator(url) as session:
        await Worker(session, Path(folder), name, int(life), json.loads(plan)).run()


if __name__ == "__main__":
    asyncio.run(main())
