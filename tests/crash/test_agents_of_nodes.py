"""Agents that live by themselves serve the nodes of a PostgreSQL database while one of these is killed, or paused."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TASKS = 8
PATIENCE_S = 180.0

AGENTS = """
import os, sys, time
from concerted.agent import Agent

effects = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
ann, bob = Agent("ann", capacity=2), Agent("bob", capacity=2)

@ann.task()
@bob.task()
def work(task, work):
    os.write(effects, f"{work.key} {task.id} {work.epoch}\\n".encode())
    time.sleep(2.5)  # longer than a node's lease: what was begun for one is still in hand when the next asks again
    return f"{task.id} is done"
"""

NODE = """
import asyncio, json, sys
from concerted.config.settings import Coordination, ManagerSettings
from concerted.launch import open_coordinator
from concerted.values import Task

settings = Coordination(manager=ManagerSettings(heartbeat_interval=0.3, redelivery_interval=0.2))

async def main():
    async with open_coordinator(sys.argv[1], coordination=settings) as node:
        while sum(view.state == "alive" for view in await node.agents()) < 2:
            await asyncio.sleep(0.02)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        view = await node.run("auction", [Task(id=f"t{number}") for number in range(int(sys.argv[2]))], id="r")
        log = [event.kind for event in await node.events(stream="run:r", limit=10_000)]
        done = {task.id: task.result for task in view.tasks if task.status == "done"}
        print(json.dumps({"status": view.status, "done": done, "log": log}), flush=True)

asyncio.run(main())
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python programs in a folder; none outlives the test."""
    running: list[subprocess.Popen[str]] = []

    def started(*words: str) -> "subprocess.Popen[str]":
        env = {**os.environ, "CONCERTED__COORDINATION__MANAGER__HEARTBEAT_INTERVAL": "300ms"}
        running.append(
            subprocess.Popen(
                [sys.executable, *words],
                cwd=tmp_path,
                env=env,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        return running[-1]

    yield started
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "paused"])
def test_an_agent_finishes_the_run_of_a_node_that_is_gone_for_the_next_one(
    blow: signal.Signals, postgres: Callable[[], str], tmp_path: Path, start: Start
) -> None:
    url, effects = postgres(), tmp_path / "effects"
    (tmp_path / "workers.py").write_text(AGENTS)
    effects.touch()
    agents = [start("-m", "concerted", "agent", f"workers:{name}", "--store", url) for name in ("ann", "bob")]
    first, second = nodes = [start("-c", NODE, url, str(TASKS)) for _ in range(2)]
    for node in nodes:
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n", "the agents have come to both nodes"
    begin(first)
    until(lambda: len(lines(effects)) >= 2, "the run never got going")
    begin(second)
    assert len(lines(effects)) < TASKS, "all was begun before the blow: the test must have something to break"
    first.send_signal(blow)

    out, _ = second.communicate(timeout=PATIENCE_S)
    view = json.loads(out)
    assert view["status"] == "completed"
    assert view["done"] == {f"t{number}": f"t{number} is done" for number in range(TASKS)}
    assert view["log"].count("run.resumed") == 1, "the run was taken over"
    assert view["log"].count("task.done") == TASKS
    assert all(agent.poll() is None for agent in agents), "the same agents have served both"

    begun = [line.split() for line in lines(effects)]
    assert [key for key, times in Counter(key for key, _, _ in begun).items() if times > 1] == []
    assert sorted(task for _, task, _ in begun) == sorted(view["done"]), "no task was given out twice"
    if blow is signal.SIGSTOP:
        first.send_signal(signal.SIGCONT)
        out, _ = first.communicate(timeout=PATIENCE_S)
        late = json.loads(out.splitlines()[-1])
        assert (late["status"], late["done"]) == (view["status"], view["done"])
        assert lines(effects) == [" ".join(line) for line in begun], "who was paused and superseded does no harm"


def begin(node: "subprocess.Popen[str]") -> None:
    assert node.stdin is not None
    node.stdin.write("go\n")
    node.stdin.flush()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def until(what: Callable[[], bool], told: str) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < ends_at, told
        time.sleep(0.02)
