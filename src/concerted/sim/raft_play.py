"""Playing Raft under many seeds: for each, a world in virtual time and a random walk.

    report = simulate_raft(range(100), Faults.parse("swarm"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from concerted.sim.faults import Faults
from concerted.sim.play import Failure
from concerted.sim.raft_clients import Asked
from concerted.sim.raft_walk import walk
from concerted.sim.raft_world import play_raft

__all__ = ["NOT_OF_RAFT", "RaftReport", "simulate_raft"]

TAIL_LINES = 60  # of a walk's transcript, in a report
NOT_OF_RAFT = ("agent_crash", "amnesia")  # faults of agents, of which there are none

Judge = Callable[[Sequence[Asked]], Sequence[str]]


class RaftReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of many worlds and walks, all together.

    steps: inputs that cores were given, each looked at by every invariant.  committed: entries.  elected: leaders.
    answered: of what clients have asked.
    """

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


def simulate_raft(
    seeds: Iterable[int],
    faults: Faults,
    *,
    judge: Judge = lambda _history: (),
    most_failures: int = 10,
    watch: Callable[[int, Sequence[str]], None] = lambda _seed, _problems: None,
) -> RaftReport:
    """Play a world and a walk under each seed; stop at `most_failures`.

    judge: looks at what the clients of each were told, and says what is wrong with it.  watch: is told each seed.
    """
    failures: list[Failure] = []
    counts = dict.fromkeys(("seeds", "steps", "committed", "elected", "answered", "messages"), 0)
    virtual_s = 0.0
    for seed in seeds:
        played, walked = play_raft(seed, faults), walk(seed)
        problems = [f"in its world, {each}" for each in (*played.problems, *judge(played.history))]
        problems += [f"on its walk, {each}" for each in (*walked.problems, *judge(walked.history))]
        for name, count in (
            ("seeds", 1), ("steps", played.steps + walked.steps), ("committed", played.chosen + walked.chosen_count),
            ("elected", played.leaders + walked.leaders_count), ("answered", played.answered),
            ("messages", played.messages),
        ):  # fmt: skip
            counts[name] += count
        virtual_s += played.virtual_s
        if problems:
            failures.append(_failure(seed, faults, played.faults, problems))
        watch(seed, problems)
        if len(failures) >= most_failures:
            break
    return RaftReport(faults=faults.words(), failures=tuple(failures), virtual_s=round(virtual_s, 3), **counts)


def _failure(seed: int, asked: Faults, drawn: Faults, problems: Sequence[str]) -> Failure:
    words = "" if asked == Faults(swarm=True) else f" --faults {asked.words() or 'drop=0'}"
    on_walk = any(each.startswith("on its walk") for each in problems)
    return Failure(
        seed=seed,
        faults=drawn.words(),
        problems=tuple(problems),
        command=f"concerted simulate raft --seeds {seed}..{seed}{words}",
        transcript=walk(seed, transcript=True).transcript[-TAIL_LINES:] if on_walk else (),
    )
