"""CBBA on a network that loses messages: conflicts, the whole beside a central greedy one's, rounds and CPU.

First between agents that hear everybody, then in the turns that a run carries, where answers are lost.

Run: `python bench/cbba.py [seeds]`.
"""

from __future__ import annotations

import statistics
import sys
import time
from random import Random

from beside.comparing import in_words, machine

from concerted.allocation.market.cbba import CbbaAgent, CbbaMessage, Worth
from concerted.allocation.market.gossip import Stake, Talk, neighbours_of, take_turn
from concerted.values import AgentId, TaskId, encode

FLEETS = ((10, 20), (20, 60), (50, 100))  # agents, tasks
LOSSES = (0.0, 0.3, 0.5)
MOST = 5  # tasks of an agent
FADING = 0.8  # each further task is worth so much less
QUIET = 20  # rounds without a change, after which agents have agreed
PATIENCE = 2_000

Values = dict[AgentId, dict[TaskId, float]]


def main(seeds: int) -> None:
    """Print one line for each fleet and loss."""
    print(f"Measured {machine(seeds)}, each with other values and other losses.\n")
    print(
        "| agents | tasks | lost | seeds with a conflict | lowest / central greedy | rounds | CPU of an agent's round |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for agents, tasks in FLEETS:
        for loss in LOSSES:
            runs = [_run(agents, tasks, loss, seed) for seed in range(seeds)]
            cells = [
                f"{agents} | {tasks} | {loss:.0%}",
                f"{sum(run[0] for run in runs)} of {seeds}",
                f"{min(run[1] for run in runs):.4f}",
                f"{statistics.median(run[2] for run in runs):g}",
                in_words(statistics.median(run[3] for run in runs)),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
    _tell_turns(seeds)


def _tell_turns(seeds: int) -> None:
    """Print one line for each fleet that talks in turns, and loss."""
    print("\n| agents | tasks | answers lost | lowest / central greedy | rounds | requests | answers | CPU of a turn |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for agents, tasks in FLEETS:
        for loss in LOSSES:
            talks = [_talk(agents, tasks, loss, seed) for seed in range(seeds)]
            rounds, asked, told, spent = (statistics.median(talk[at] for talk in talks) for at in range(1, 5))
            cells = [f"{agents} | {tasks} | {loss:.0%} | {min(talk[0] for talk in talks):.4f} | {rounds:g}"]
            cells += [f"{asked / 1e6:.1f} MB", f"{told / 1e6:.1f} MB", in_words(spent)]
            print(f"| {' | '.join(cells)} |", flush=True)


def _talk(agent_count: int, task_count: int, loss: float, seed: int) -> tuple[float, int, int, int, float]:
    """Let a fleet talk turn by turn.  Return the whole, the rounds, bytes of requests and answers, CPU of a turn."""
    dice = Random(seed)
    tasks = [TaskId(f"t{i}") for i in range(task_count)]
    values: Values = {AgentId(f"a{i:02}"): {task: dice.uniform(1, 10) for task in tasks} for i in range(agent_count)}
    stakes = {name: Stake(own, MOST) for name, own in values.items()}
    talk = Talk("a", tuple(tasks), stakes, neighbours_of(sorted(values)), patience=PATIENCE)
    asked = told = turns = 0
    spent = 0.0
    while not talk.is_agreed:
        talk.rounds += 1
        assert talk.rounds < PATIENCE, "they do not agree"
        requests = {name: talk.request(name) for name in talk.present}
        for name, request in requests.items():
            began = time.process_time()
            claims = take_turn(name, request, _fading(values, name))
            spent += time.process_time() - began
            asked, told, turns = asked + len(encode(request)), told + len(encode(claims)), turns + 1
            if dice.random() >= loss:
                assert not talk.hear(request, name, claims)
    bundles, disputed = talk.bundles()
    assert not disputed
    whole = sum(_worth(values, name, bundle) for name, bundle in bundles.items())
    central = sum(_worth(values, name, bundle) for name, bundle in _greedy(values, tasks).items())
    return whole / central, talk.rounds, asked, told, spent / turns


def _run(agent_count: int, task_count: int, loss: float, seed: int) -> tuple[bool, float, int, float]:
    """Let a fleet agree.  Return whether a task has two winners, the whole, the rounds, and the CPU of one step."""
    dice = Random(seed)
    tasks = [TaskId(f"t{i}") for i in range(task_count)]
    values: Values = {AgentId(f"a{i:02}"): {task: dice.uniform(1, 10) for task in tasks} for i in range(agent_count)}
    agents = [CbbaAgent(name, tasks, _fading(values, name), MOST) for name in values]
    began = time.process_time()
    rounds = _gossip(agents, loss, dice)
    spent = time.process_time() - began
    won = [task for agent in agents for task in agent.bundle]
    whole = sum(_worth(values, agent.name, agent.bundle) for agent in agents)
    central = sum(_worth(values, name, bundle) for name, bundle in _greedy(values, tasks).items())
    return len(set(won)) < len(won), whole / central, rounds - QUIET, spent / rounds / agent_count


def _gossip(agents: list[CbbaAgent], loss: float, dice: Random) -> int:
    """Let everybody tell everybody, each message lost by chance, until nothing has changed for a while."""
    said: list[CbbaMessage] = []
    last, quiet, rounds = None, 0, 0
    while quiet < QUIET:
        rounds += 1
        assert rounds < PATIENCE, "they do not agree"
        heard = [[one for one in said if one.sender != agent.name and dice.random() >= loss] for agent in agents]
        said = [agent.step(messages) for agent, messages in zip(agents, heard, strict=True)]
        now = [agent.bundle[:] for agent in agents]
        quiet = quiet + 1 if now == last else 0
        last = now
    return rounds


def _fading(values: Values, name: AgentId) -> Worth:
    return lambda bundle, task: values[name][task] * FADING ** len(bundle)


def _worth(values: Values, name: AgentId, bundle: list[TaskId]) -> float:
    return sum(values[name][task] * FADING**at for at, task in enumerate(bundle))


def _greedy(values: Values, tasks: list[TaskId]) -> dict[AgentId, list[TaskId]]:
    """Give the best task to its best agent, again and again, as somebody would who knows everything."""
    bundles: dict[AgentId, list[TaskId]] = {name: [] for name in values}
    left = list(tasks)
    while left:
        offers = [
            (-values[name][task] * FADING ** len(own), name, task)
            for name, own in bundles.items()
            if len(own) < MOST
            for task in left
        ]
        if not offers:
            break
        _, name, task = min(offers)
        bundles[name].append(task)
        left.remove(task)
    return bundles


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
