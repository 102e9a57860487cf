"""Hosts of a group are replaced while the coordinator is killed at each step, and leaders with it: nothing is lost.

One fleet lives through all of it: two agents take each other's place, time and again, while somebody who has nothing
but the first description appends to a log.  Everything that was acknowledged is there in the end, once and in order.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from concerted import open_group
from concerted.errors import TimedOut
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.spec import read_group

AGENT = """
import sys
from concerted import Agent

Agent(sys.argv[1]).run("sqlite:///work.db")
"""

# It kills itself before the given one of all steps of a replacement, which is after the one before; 0: never.
COORDINATOR = """
import asyncio, json, os, signal, sys
from concerted import open_coordinator
from concerted.engine.replicas import dismissing, replacing
from concerted.ports.commands import Events
from concerted.replicas.clients import client

left = int(sys.argv[1])

def moment():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def mortal(there, name):
    whole = getattr(there, name)
    async def step(*args, **kwargs):
        moment()
        return await whole(*args, **kwargs)
    setattr(there, name, step)

for there, name in [
    (replacing, "_note"), (client.GroupClient, "change_members"), (dismissing.Dismissing, "all"),
]:
    mortal(there, name)

async def main():
    async with open_coordinator("sqlite:///work.db") as coordinator:
        while sum(view.state == "alive" for view in await coordinator.agents()) < 4:
            await asyncio.sleep(0.02)
        group = coordinator.replica_group("ops")
        if sys.argv[2:]:
            told = await group.replace(*sys.argv[2:], timeout_s=60)
            while True:  # until what has left is ended as well
                kinds = [event.kind for event in await coordinator.give(Events(stream="replica_group:ops"))]
                if kinds.count("replica_group.dismissed") == kinds.count("replica_group.host_replaced"):
                    break
                await asyncio.sleep(0.02)
        else:
            told = await group.create("raft", ["ann", "bob", "cy"])
            await coordinator.log("moves").append("first", algorithm="raft", group="ops")
        print(json.dumps({"hosts": told.hosts, "group": told.group}), flush=True)

asyncio.run(main())
"""

STEPS = 6  # what has left is ended; an address is noted; two changes of members; the new host is noted; as the first


class Fleet:
    """Agents and coordinators as programs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[str]] = []
        quick = {"ELECTION_TIMEOUT": "500ms", "HEARTBEAT_INTERVAL": "100ms"}
        prefix = "CONCERTED__COORDINATION__STRATEGIES__CONSENSUS__"
        self.env = os.environ | {prefix + name: value for name, value in quick.items()}

    def start(self, program: str, *words: str) -> "subprocess.Popen[str]":
        started = subprocess.Popen(
            [sys.executable, "-c", program, *words], cwd=self.folder, env=self.env, text=True, stdout=subprocess.PIPE
        )
        self.running.append(started)
        return started

    def coordinate(self, moment: int, *swap: str) -> dict | None:
        """Let a coordinator do something to the end; None: it was killed before."""
        line = self.start(COORDINATOR, str(moment), *swap).communicate(timeout=90)[0]
        return json.loads(line) if line else None

    def replica(self, group: str, node: int) -> int | None:
        """Return the process of a replica."""
        for process in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                is_replica = b"concerted.replicas.process" in words and group.encode() in words[-2]
                if is_replica and int(words[-3]) == node and Path(os.readlink(process / "cwd")) == self.folder:
                    return int(process.name)
        return None


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    there = Fleet(tmp_path)
    yield there
    for process in there.running:
        process.send_signal(signal.SIGTERM)
    for process in there.running:
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


async def kill_leader(fleet: Fleet, group: dict) -> None:
    """Kill whoever leads; its host starts it again at the coordinator's word."""
    client = GroupClient(read_group(json.dumps(group).encode()))
    try:
        for node in sorted(client.group.replicas):
            with suppress(TimedOut, ProcessLookupError):
                leader = (await client.status(node, timeout_s=5)).leader
                pid = None if leader is None else fleet.replica(group["id"], leader)
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    return
    finally:
        await client.close()


def write(file: Path, group: dict) -> Path:
    file.write_text(json.dumps(group))
    return file


async def append(description: Path, acknowledged: list[int], is_over: Callable[[], bool]) -> None:
    """Append numbers, one after the other, to the group that was described when it began."""
    async with open_group(description) as group:
        number = 0
        while not is_over():
            number += 1
            with suppress(TimedOut):
                await group.log("moves").append(number, request_id=f"r{number}")
                acknowledged.append(number)
            await asyncio.sleep(0.01)


async def until_more(appending: asyncio.Future[None], acknowledged: list[int], than: int) -> None:
    while True:
        if len(acknowledged) > than:
            return
        assert not appending.done(), appending.exception()
        await asyncio.sleep(0.05)


async def read_all(description: Path) -> list:
    async with open_group(description) as group:
        return [entry.value for entry in await group.log("moves").read(limit=100_000)]


def test_a_coordinator_that_is_killed_at_any_step_of_a_replacement_goes_on_when_it_is_back(fleet: Fleet) -> None:
    for name in ("ann", "bob", "cy", "dan"):
        fleet.start(AGENT, name)
    made = fleet.coordinate(0)
    assert made is not None
    first = write(fleet.folder / "first.json", made["group"])
    acknowledged: list[int] = []
    over: list[bool] = []

    async def main() -> dict:
        appending = asyncio.ensure_future(append(first, acknowledged, lambda: bool(over)))
        told, out, new = made, "ann", "dan"
        killed = 0
        for moment in range(1, STEPS + 1):
            before = len(acknowledged)
            first_try = asyncio.ensure_future(asyncio.to_thread(fleet.coordinate, moment, out, new))
            if moment % 2 == 0:
                await kill_leader(fleet, told["group"])
            killed += await first_try is None
            told = await asyncio.to_thread(fleet.coordinate, 0, out, new)
            assert told is not None
            assert sorted(told["hosts"]) == sorted(["bob", "cy", new])
            out, new = new, out
            await until_more(appending, acknowledged, before)
        assert killed == STEPS, "each of them was killed where it was to be"
        over.append(True)
        await appending
        return told

    told = asyncio.run(main())
    assert max(map(int, told["group"]["replicas"])) == 3 + STEPS, "every replica that joined had an id of its own"
    found = asyncio.run(read_all(write(fleet.folder / "last.json", told["group"])))
    assert found[0] == "first"
    numbers = found[1:]
    assert len(set(numbers)) == len(numbers)
    assert numbers == sorted(numbers)
    assert set(acknowledged) <= set(numbers)
    left = sorted(file.name for file in fleet.folder.glob("work.db.replicas/*/*.log"))
    assert left == sorted(f"{node}.log" for node in told["group"]["replicas"]), "what has left the group is removed"
