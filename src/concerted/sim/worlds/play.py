"""Playing a protocol under many seeds: for each, a world in virtual time and a random walk.

    report = simulate_cluster(Game(RAFT, Faults.parse("swarm")), range(100))

A failure carries the one command that replays it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.clients import Asked
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.cluster.walk import walk
from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.worlds.world import play_world

__all__ = ["ClusterReport", "Game", "merged", "simulate_cluster"]

COUNTS = ("seeds", "steps", "committed", "elected", "answered", "messages")
TAIL_LINES = 60  # of a walk's transcript, in a report

Judge = Callable[[Sequence[Asked]], Sequence[str]]


class ClusterReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of many worlds and walks, all together.

    steps: inputs that cores were given, each looked at by every invariant.  committed: entries.  elected: leaders.
    answered: of what clients have asked.
    """

    algorithm: str
    faults: str
    seeds: int
    failures: tuple[Failure, ...] = ()
    steps: int = 0
    committed: int = 0
    elected: int = 0
    answered: int = 0
    messages: int = 0
    virtual_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong under any seed."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class Game:
    """How a protocol is played.  judge: looks at what the clients of each were told, and says what is wrong with it."""

    algorithm: Algorithm[Any]
    faults: Faults
    settings: Settings = DRAWN
    judge: Judge = lambda _history: ()

    def command(self, seed: int) -> str:
        """Return the one that plays a seed again."""
        words = ["concerted", "simulate", self.algorithm.name, "--seeds", f"{seed}..{seed}"]
        if self.faults != Faults(swarm=True):
            words += ["--faults", self.faults.words() or "drop=0"]
        if self.settings != DRAWN:
            words += ["--settings", self.settings.words()]
        return shlex.join(words)


def simulate_cluster(
    game: Game,
    seeds: Iterable[int],
    *,
    most_failures: int = 10,
    watch: Callable[[int, Sequence[str]], None] = lambda _seed, _problems: None,
) -> ClusterReport:
    """Play a world and a walk under each seed; stop at `most_failures`.  watch: is told each seed."""
    failures: list[Failure] = []
    counts = dict.fromkeys(COUNTS, 0)
    virtual_s = 0.0
    for seed in seeds:
        played = play_world(game.algorithm, seed, game.faults, game.settings)
        walked = walk(game.algorithm, seed, game.settings)
        problems = [f"in its world, {each}" for each in (*played.problems, *game.judge(played.history))]
        problems += [f"on its walk, {each}" for each in (*walked.problems, *game.judge(walked.history))]
        counts["seeds"] += 1
        counts["steps"] += played.steps + walked.steps
        counts["committed"] += played.chosen + walked.chosen_count
        counts["elected"] += played.leaders + walked.leaders_count
        counts["answered"] += played.answered
        counts["messages"] += played.messages
        virtual_s += played.virtual_s
        if problems:
            failures.append(_failure(game, seed, played.faults, problems))
        watch(seed, problems)
        if len(failures) >= most_failures:
            break
    return ClusterReport(
        algorithm=game.algorithm.name,
        faults=game.faults.words(),
        failures=tuple(failures),
        virtual_s=round(virtual_s, 3),
        **counts,
    )


def merged(reports: Sequence[ClusterReport]) -> ClusterReport:
    """Return several reports as one."""
    return ClusterReport(
        algorithm=", ".join(report.algorithm for report in reports),
        faults=reports[0].faults,
        failures=tuple(failure for report in reports for failure in report.failures),
        virtual_s=round(sum(report.virtual_s for report in reports), 3),
        **{name: sum(getattr(report, name) for report in reports) for name in COUNTS},
    )


def _failure(game: Game, seed: int, drawn: Faults, problems: Sequence[str]) -> Failure:
    on_walk = any(each.startswith("on its walk") for each in problems)
    return Failure(
        seed=seed,
        faults=drawn.words(),
        problems=tuple(problems),
        command=game.command(seed),
        transcript=walk(game.algorithm, seed, game.settings, transcript=True).transcript[-TAIL_LINES:]
        if on_walk
        else (),
    )
