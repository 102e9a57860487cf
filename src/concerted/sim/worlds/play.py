"""Playing a protocol under many seeds: for each, a world in virtual time and a random walk.

    report = simulate_cluster(Game("raft", Faults.parse("swarm")), range(100))

A failure carries the one command that replays it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.clients import Asked
from concerted.sim.cluster.settings import DRAWN, Settings
from concerted.sim.cluster.walk import walk
from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.protocols.algorithms import ALGORITHMS
from concerted.sim.worlds.processes import in_order
from concerted.sim.worlds.world import play_world

__all__ = [
    "ClusterReport",
    "Game",
    "Playable",
    "SeedPlayed",
    "content",
    "failure_of",
    "merged",
    "replay_command",
    "simulate_cluster",
]

COUNTS = ("steps", "committed", "elected", "answered", "messages")
MOST_FAILURES = 10
TAIL_LINES = 60  # of a walk's transcript, in a report

Watch = Callable[[int, Sequence[str]], None]


def content(_history: Sequence[Any]) -> Sequence[str]:
    """Judge nothing: whatever clients were told is right."""
    return ()


class SeedPlayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one seed; failure: what was wrong.  The counts are those of a report."""

    failure: Failure | None = None
    steps: int = 0
    committed: int = 0
    elected: int = 0
    answered: int = 0
    messages: int = 0
    virtual_s: float = 0.0


class Playable(Protocol):
    """What can be played under a seed."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""

    @property
    def faults(self) -> Faults:
        """What was asked for."""

    def play(self, seed: int) -> SeedPlayed:
        """Play one."""


def failure_of(
    seed: int, played: Any, walked: Any, judge: Callable[[Any], Sequence[str]], command: str,
    walk_again: Callable[[], Sequence[str]],
) -> Failure | None:  # fmt: skip
    """Say what was wrong in a world and on a walk, and with what clients were told there; None: nothing.

    command: replays the seed.  walk_again: gives the walk's transcript.
    """
    in_world = (*played.problems, *judge(played.history))
    on_walk = (*walked.problems, *judge(walked.history))
    if not in_world and not on_walk:
        return None
    return Failure(
        seed=seed,
        faults=played.faults.words(),
        problems=(*(f"in its world, {each}" for each in in_world), *(f"on its walk, {each}" for each in on_walk)),
        command=command,
        transcript=tuple(walk_again()[-TAIL_LINES:]) if on_walk else (),
    )


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
    """How a protocol is played.

    name: the protocol's, as in `ALGORITHMS`.  judge: looks at what the clients of each were told, and says what is
    wrong with it.
    """

    name: str
    faults: Faults
    settings: Settings = DRAWN
    judge: Callable[[Sequence[Asked]], Sequence[str]] = content

    @property
    def algorithm(self) -> Algorithm[Any]:
        """The protocol."""
        return ALGORITHMS[self.name]

    def play(self, seed: int) -> SeedPlayed:
        """Play a world and a walk."""
        played = play_world(self.algorithm, seed, self.faults, self.settings)
        walked = walk(self.algorithm, seed, self.settings)
        return SeedPlayed(
            failure=failure_of(seed, played, walked, self.judge, self.command(seed), lambda: self._transcript(seed)),
            steps=played.steps + walked.steps,
            committed=played.chosen + walked.chosen_count,
            elected=played.leaders + walked.leaders_count,
            answered=played.answered,
            messages=played.messages,
            virtual_s=played.virtual_s,
        )

    def command(self, seed: int) -> str:
        """Return the one that plays a seed again."""
        return replay_command(self.name, seed, self.faults, self.settings)

    def _transcript(self, seed: int) -> Sequence[str]:
        return walk(self.algorithm, seed, self.settings, transcript=True).transcript


def simulate_cluster(
    game: Playable,
    seeds: Iterable[int],
    *,
    jobs: int = 1,
    most_failures: int = MOST_FAILURES,
    watch: Watch = lambda _seed, _problems: None,
) -> ClusterReport:
    """Play a game under each seed, over so many processes; stop at `most_failures`.  watch: is told each seed."""
    failures: list[Failure] = []
    counts = dict.fromkeys(COUNTS, 0)
    seeds_count, virtual_s = 0, 0.0
    for seed, played in in_order(game.play, seeds, jobs):
        seeds_count += 1
        virtual_s += played.virtual_s
        for count in COUNTS:
            counts[count] += getattr(played, count)
        if played.failure is not None:
            failures.append(played.failure)
        watch(seed, () if played.failure is None else played.failure.problems)
        if len(failures) >= most_failures:
            break
    return ClusterReport(
        algorithm=game.name,
        faults=game.faults.words(),
        seeds=seeds_count,
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
        **{name: sum(getattr(report, name) for report in reports) for name in ("seeds", *COUNTS)},
    )


def replay_command(name: str, seed: int, asked: Faults, settings: Settings = DRAWN) -> str:
    """Return the command that plays one seed of a game again, under the faults and settings that were asked for."""
    words = ["concerted", "simulate", name, "--seeds", f"{seed}..{seed}"]
    if asked != Faults(swarm=True):
        words += ["--faults", asked.words() or "drop=0"]
    if settings != DRAWN:
        words += ["--settings", settings.words()]
    return shlex.join(words)
