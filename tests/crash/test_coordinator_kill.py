"""The coordinator is killed with SIGKILL twenty times while thirty runs are going on: nothing is lost, nothing twice.

Three kinds of real processes, as in use: a coordinator that is started again after each kill and submits the
same thirty runs by their ids; agents in a process of their own, each with its keyed inbox in a file; and this
test, which looks from outside alone, at a file of effects and at the log with `sqlite3`.
"""

import asyncio
import json
import random
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

KILLS = 20
RUNS = 30
AGENTS = 8
TASKS = {"read": [], "a": ["read"], "b": ["read"], "c": ["read"], "merge": ["a", "b", "c"], "check": ["merge"]}
FINISH_S = 180.0  # how long the last coordinator may take for what is left

COORDINATOR = """
import asyncio, json, sys
from concerted.config.settings import Coordination, ManagerSettings, StoreSettings
from concerted.launch import open_coordinator
from concerted.values import Task

url, runs, tasks = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
settings = Coordination(manager=ManagerSettings(max_concurrent_coordinations=runs, redelivery_interval=0.2))

async def main():
    async with open_coordinator(url, coordination=settings) as coordinator:
        print("open", flush=True)
        objective = [Task(id=id, kind="work", after=tuple(after)) for id, after in tasks.items()]
        ids = [f"r{number}" for number in range(runs)]
        for number, id in enumerate(ids):
            await coordinator.submit(["auction", "leader_follower"][number % 2], objective, id=id)
        views = await asyncio.gather(*(coordinator.result(id) for id in ids))
        print("over", sum(view.status == "completed" for view in views), flush=True)

asyncio.run(main())
"""

AGENTS_PROGRAM = """
import asyncio, os, random, sys
from concerted.agent import Agent, FileInbox, ServiceLimits

url, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
effects = os.open(folder + "/effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
limits = ServiceLimits(first_pause_s=0.01, longest_pause_s=0.05)

def new_agent(name):
    agent = Agent(name, capacity=3, capabilities={"leadership": 0.5})

    @agent.task("work")
    async def work(task, work):
        assert set(work.results) == set(task.after), f"{task.id} was given {sorted(work.results)}"
        line = f"{work.envelope.coordination_id} {task.id} {work.key} {work.epoch}\\n"
        assert os.write(effects, line.encode()) == len(line)
        await asyncio.sleep(random.uniform(0.5, 1.5))
        return {"by": name}

    return agent

async def main():
    names = [f"agent-{number}" for number in range(count)]
    await asyncio.gather(*(new_agent(name).serve(url, inbox=f"{folder}/{name}.inbox", limits=limits) for name in names))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", [1])
def test_twenty_kills_lose_nothing_and_do_nothing_twice(seed: int, tmp_path: Path) -> None:
    database = tmp_path / "work.db"
    asyncio.run(killed_again_and_again(database, random.Random(seed)))

    runs = [f"r{number}" for number in range(RUNS)]
    assert found(database, "select id, status from runs order by id") == [(run, "completed") for run in sorted(runs)]

    everything = sorted((f"run:{run}", task) for run in runs for task in TASKS)
    done = found(database, "select stream, ref from log where kind = 'task.done' order by stream, ref")
    assert done == everything, "each task of each run is done exactly once"

    effects = [line.split() for line in (tmp_path / "effects").read_text().splitlines()]
    twice = [key for key, times in Counter(key for _, _, key, _ in effects).items() if times > 1]
    assert not twice, "these keyed commands had their effect twice"
    begun = sorted((f"run:{run}", task) for run, task, _, _ in effects)
    assert begun == everything, "no agent was lost, so no task had to be given to another"

    holders = dict(found(database, "select stream || ref, agent from log where kind = 'task.claimed' order by seq"))
    finished = dict(found(database, "select stream || ref, agent from log where kind = 'task.done'"))
    assert finished == holders, "whoever held a task last has done it"
    assert found(database, "select count(*), min(seq) from log") == found(database, "select max(seq), 1 from log")


async def killed_again_and_again(database: Path, dice: random.Random) -> None:
    """Kill the coordinator, now from its start and now from when it was open, and let the last one finish."""
    url, folder = f"sqlite:///{database}", str(database.parent)
    agents = await started(AGENTS_PROGRAM, url, folder, str(AGENTS))
    try:
        for kill in range(KILLS):
            coordinator = await started(COORDINATOR, url, str(RUNS), json.dumps(TASKS))
            if kill % 2:
                await said(coordinator, "open")
            await asyncio.sleep(dice.uniform(0.15, 0.8))
            coordinator.kill()
            await coordinator.wait()
        over = found(database, "select count(*) from runs where status = 'completed'")[0][0]
        assert over < RUNS, "all was over before the last kill: the test must have something to kill"
        coordinator = await started(COORDINATOR, url, str(RUNS), json.dumps(TASKS))
        await said(coordinator, "over")
        assert await coordinator.wait() == 0
    finally:
        assert agents.returncode is None, "the agents' process must outlive every coordinator"
        agents.kill()
        await agents.wait()


async def started(program: str, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, *arguments, stdout=PIPE)


async def said(process: Process, word: str) -> None:
    """Wait until the process has printed a line that begins with this word."""
    assert process.stdout is not None
    async with asyncio.timeout(FINISH_S):
        while line := await process.stdout.readline():
            if line.decode().startswith(word):
                return
    pytest.fail(f"a process ended without saying {word!r}")


def found(database: Path, question: str) -> list[Any]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return connection.execute(question).fetchall()
    finally:
        connection.close()
