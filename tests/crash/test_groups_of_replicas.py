"""The coordinator is killed while agents judge: the group decides without it, and it learns that when it is back."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from concerted import open_group
from concerted.consensus.decisions.certificate import verify

AGENT = """
import asyncio, sys
from pathlib import Path
from concerted import Agent

agent = Agent(sys.argv[1])

@agent.on("JUDGE", on_restart="run")
async def judge(request):
    Path(f"asked-{agent.id}").touch()
    while not Path("gate").exists():
        await asyncio.sleep(0.02)
    return {"choice": "accept", "reason": "it is good"}

agent.run("sqlite:///work.db")
"""

COORDINATOR = """
import asyncio, json
from concerted import open_coordinator

async def main():
    async with open_coordinator("sqlite:///work.db") as coordinator:
        while sum(view.state == "alive" for view in await coordinator.agents()) < 3:
            await asyncio.sleep(0.02)
        options = {"algorithm": "raft", "rule": "all", "id": "ship", "deadline": 240}
        view = await coordinator.run("consensus", "ship it?", id="r", agents=["ann", "bob", "cy"], options=options)
        print(json.dumps({"status": view.status, "result": view.result}), flush=True)

asyncio.run(main())
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python programs in a folder; none outlives the test."""
    running: list[subprocess.Popen[str]] = []
    quick = {
        "CONCERTED__COORDINATION__STRATEGIES__CONSENSUS__ELECTION_TIMEOUT": "500ms",
        "CONCERTED__COORDINATION__STRATEGIES__CONSENSUS__HEARTBEAT_INTERVAL": "100ms",
    }

    def started(program: str, *words: str) -> "subprocess.Popen[str]":
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", program, *words],
                cwd=tmp_path,
                env={**os.environ, **quick},
                text=True,
                stdout=subprocess.PIPE,
            )
        )
        return running[-1]

    yield started
    for process in running:
        process.send_signal(signal.SIGTERM)
    for process in running:
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def until(there: Callable[[], bool]) -> None:
    over_at = time.monotonic() + 180
    while not there():
        assert time.monotonic() < over_at, "it never came"
        time.sleep(0.02)


def test_agents_that_come_back_bring_their_replicas_though_no_coordinator_is_there(
    start: Start, tmp_path: Path
) -> None:
    agents = {name: start(AGENT, name) for name in ("ann", "bob", "cy")}
    coordinator = start(COORDINATOR)
    until(lambda: all((tmp_path / f"asked-{name}").exists() for name in agents))
    coordinator.kill()
    coordinator.wait()
    for name in ("ann", "bob"):  # two of three: without them nothing is decided
        agents[name].kill()
        agents[name].wait()
        start(AGENT, name)

    async def decide():
        description = next((tmp_path / "work.db.replicas").glob("*/1.json"))
        async with open_group(description) as group:
            for name in agents:
                await group.decision("ship").vote("accept", agent=name)
            return await group.decision("ship").get()

    told = asyncio.run(decide())
    assert (told.status, sorted(told.approved_by)) == ("accepted", ["ann", "bob", "cy"])


def test_the_group_decides_while_the_coordinator_is_dead(start: Start, tmp_path: Path) -> None:
    agents = [start(AGENT, name) for name in ("ann", "bob", "cy")]
    coordinator = start(COORDINATOR)
    until(lambda: all((tmp_path / f"asked-{name}").exists() for name in ("ann", "bob", "cy")))
    coordinator.kill()
    coordinator.wait()
    (tmp_path / "gate").touch()

    async def look():
        description = next((tmp_path / "work.db.replicas").glob("*/1.json"))
        async with open_group(description) as group:
            return await group.decision("ship").wait(timeout_s=180)

    told = asyncio.run(look())
    assert (told.status, sorted(told.approved_by)) == ("accepted", ["ann", "bob", "cy"])
    assert all(agent.poll() is None for agent in agents)

    line = start(COORDINATOR).communicate(timeout=180)[0]
    view = json.loads(line)
    assert (view["status"], view["result"]["outcome"]) == ("completed", "accepted")
    assert verify(json.dumps(view["result"]["certificate"])).valid
    assert view["result"]["certificate"] == json.loads(msgspec.json.encode(told.certificate))
