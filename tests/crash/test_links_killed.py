"""Real processes killed with SIGKILL: no orphan goes on, and no keyed command is run twice."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from concerted.agent.addresses import socket_path
from concerted.agent.wire import read_frame
from concerted.links import guardian
from concerted.links.socket import SocketLink
from concerted.links.spawn import spawn
from concerted.testing.link_exam import Heard, has_ended, task_envelope

COORDINATOR = """
import asyncio, sys
from concerted.links.command import CommandLink
from concerted.links.process import ProcessLink
from concerted.testing.link_exam import Heard, task_envelope
from concerted.values import Profile

STUBBORN = '''
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
with open(sys.argv[1], "a") as file: file.write(f"{{os.getpid()}} {{child.pid}}\\\\n")
time.sleep(60)
'''

async def main():
    program = [sys.executable, "-ISc", STUBBORN.replace("{{", "{").replace("}}", "}"), sys.argv[1]]
    process = ProcessLink(Profile(id="ann"), program)
    command = CommandLink(Profile(id="bob"), [sys.executable, "-ISc", STUBBORN, sys.argv[1]])
    await process.open(Heard())
    await command.open(Heard())
    command.send([task_envelope("t")])
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_everything_started_ends_when_the_coordinator_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def main() -> None:
        coordinator = await asyncio.create_subprocess_exec(sys.executable, "-c", COORDINATOR, str(pids))
        await until_written(pids, lines=2)
        coordinator.kill()
        await coordinator.wait()
        for pid in pids.read_text().split():
            assert await has_ended(int(pid), within_s=60.0), f"{pid} is an orphan that goes on"

    asyncio.run(main())


def test_killed_at_any_instant_of_a_start_the_coordinator_leaves_no_orphan(tmp_path: Path) -> None:
    """The program is gated until its group is under guard; so an early kill means that it never begins."""
    dice = random.Random(7)

    async def main() -> None:
        for number in range(12):
            pids = tmp_path / f"pids-{number}"
            coordinator = await asyncio.create_subprocess_exec(sys.executable, "-c", COORDINATOR, str(pids))
            await asyncio.sleep(0.12 + dice.random() * 0.12)
            coordinator.kill()
            await coordinator.wait()
            await asyncio.sleep(0.1)
            for pid in pids.read_text().split() if pids.exists() else []:
                assert await has_ended(int(pid), within_s=60.0), f"{pid} is an orphan that goes on"

    asyncio.run(main())


def test_a_guardian_that_is_killed_is_replaced_and_told_everything() -> None:
    async def main() -> None:
        first = await spawn(["sleep", "60"], os.environ)
        assert guardian._guardian._process is not None
        guardian._guardian._process.kill()
        guardian._guardian._process.wait()
        second = await spawn(["sleep", "60"], os.environ)
        guardian._guardian.stop()  # as the end of this process does
        for spawned in (first, second):
            assert await asyncio.wait_for(spawned.ended, 5) == -signal.SIGKILL
            spawned.close()

    asyncio.run(main())


AGENT = """
import os, sys, time
from concerted.agent import Agent, ServiceLimits

ann = Agent("ann", capacity=3)

@ann.task(on_restart=sys.argv[3])
def work(task):
    with open(sys.argv[2], "a") as file:
        file.write(task.id + "\\n")
    time.sleep(0.01)
    return task.id

ann.run(sys.argv[1], limits=ServiceLimits(first_pause_s=0.005, longest_pause_s=0.02))
"""


@pytest.mark.parametrize("on_restart", ["fail", "run"])
def test_an_agent_killed_again_and_again_runs_no_keyed_command_twice(tmp_path: Path, on_restart: str) -> None:
    effects, dice = tmp_path / "effects", random.Random(11)
    keys = [f"k{number}" for number in range(400)]

    async def main() -> Heard:
        heard = Heard()
        async with owner(tmp_path, heard) as links:
            kills = 0
            while len({reply.key for reply in heard.replies}) < len(keys):
                url = f"sqlite:///{tmp_path}/work.db"
                agent = await asyncio.create_subprocess_exec(sys.executable, "-c", AGENT, url, str(effects), on_restart)
                link = await asyncio.wait_for(links.get(), 10)
                await link.open(heard)
                answered = {reply.key for reply in heard.replies}
                link.send([task_envelope(key) for key in keys if key not in answered])  # redelivery, same keys
                if kills < 12:
                    await asyncio.sleep(dice.random() * 0.12)
                    agent.kill()
                    kills += 1
                else:
                    await heard.until(lambda: len({reply.key for reply in heard.replies}) == len(keys))
                    agent.terminate()
                await agent.wait()
                await link.close("it is dead")
            assert kills == 12
        return heard

    heard = asyncio.run(main())
    runs = effects.read_text().split()
    statuses = {reply.key: reply.status for reply in heard.replies}
    if on_restart == "fail":
        assert len(runs) == len(set(runs)), "a keyed command was run twice"
        assert set(statuses.values()) <= {"ok", "failed"}
        assert all("interrupted" in (reply.error or "") for reply in heard.replies if reply.status == "failed")
    else:
        assert set(runs) == set(keys)
        assert set(statuses.values()) == {"ok"}


@asynccontextmanager
async def owner(folder: Path, heard: Heard) -> AsyncIterator["asyncio.Queue[SocketLink]"]:
    links: asyncio.Queue[SocketLink] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = read_frame(await reader.readline()).hello
        assert hello is not None
        links.put_nowait(SocketLink(reader, writer, hello, beat_s=0.2))

    server = await asyncio.start_unix_server(accept, socket_path(folder / "work.db"))
    try:
        yield links
    finally:
        server.close()


async def until_written(path: Path, lines: int) -> None:
    async with asyncio.timeout(20):
        while written(path).count("\n") < lines:  # noqa: ASYNC110 - a process writes it
            await asyncio.sleep(0.01)


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""
