"""Playing worlds: one, many seeds, or one for every place where a coordinator can die.

    report = simulate(scenario, range(100), Faults.parse("drop=0.2,crash=3"))

A failure carries the one command that replays it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from concerted.config.plan import Plan
from concerted.errors import Deadlock, Invalid
from concerted.ports.commands import Submit
from concerted.runs.instance import Coordinate
from concerted.sim.actors import stand_in
from concerted.sim.checks import problems_of
from concerted.sim.faults import Faults
from concerted.sim.virtual_time import run_virtual
from concerted.sim.world import Kill, Played, Scenario, World
from concerted.values import RunId

__all__ = ["Failure", "Report", "ending_of", "kills_of", "parse_seeds", "play", "scenario_of", "simulate"]

TAIL_LINES = 60  # of a transcript, in a report
MOST_SEEDS = 1_000_000


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One seed under which something was wrong.  faults: those of this seed; command: replays it."""

    seed: int
    faults: str
    problems: tuple[str, ...]
    command: str
    transcript: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of many worlds.  The counts are of all of them together; statuses: status -> runs."""

    plan: str | None
    faults: str
    seeds: int
    failures: tuple[Failure, ...] = ()
    statuses: dict[str, int] = {}
    coordinators: int = 0
    commits: int = 0
    messages: int = 0
    effects: int = 0
    virtual_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong under any seed."""
        return not self.failures


def simulate(
    scenario: Scenario,
    seeds: Iterable[int],
    faults: Faults | None = None,
    *,
    most_failures: int = 10,
    watch: Callable[[int, Played | None, Sequence[str]], None] | None = None,
) -> Report:
    """Play a scenario under each seed and check each world; stop at `most_failures`.

    watch: called after each seed with the world (None if it came to no end) and its problems.
    """
    faults = faults or Faults()
    failures: list[Failure] = []
    statuses: dict[str, int] = {}
    counts = {"coordinators": 0, "commits": 0, "messages": 0, "effects": 0}
    played_seeds, virtual_s = 0, 0.0
    for seed in seeds:
        played, problems = play(scenario, seed, faults)
        played_seeds += 1
        if played is not None:
            virtual_s += played.virtual_s
            for name, count in (
                ("coordinators", played.coordinators), ("commits", played.commits),
                ("messages", played.messages), ("effects", len(played.ledger.effects)),
            ):  # fmt: skip
                counts[name] += count
            for record in played.records.values():
                statuses[record.status] = statuses.get(record.status, 0) + 1
        if problems:
            failures.append(_failure(scenario, seed, faults, played, problems))
        if watch is not None:
            watch(seed, played, problems)
        if len(failures) >= most_failures:
            break
    return Report(
        plan=scenario.plan,
        faults=faults.words(),
        seeds=played_seeds,
        failures=tuple(failures),
        statuses=dict(sorted(statuses.items())),
        virtual_s=round(virtual_s, 3),
        **counts,
    )


def play(
    scenario: Scenario, seed: int = 0, faults: Faults | None = None, kills: tuple[Kill, ...] = ()
) -> tuple[Played | None, list[str]]:
    """Play one world to its end; return it with what is wrong with it (None if nothing could go on)."""

    async def main() -> tuple[Played, list[str]]:
        played = await World(scenario, seed, faults or Faults(), kills).play()
        return played, await problems_of(played, scenario.strategies)

    try:
        return run_virtual(main())
    except Deadlock as error:
        return None, [error.message]


def kills_of(played: Played, *, sends: bool = True) -> Iterator[tuple[Kill, ...]]:
    """Return every place where the coordinator of a world without deaths can die, and deaths of takeovers too.

    The worlds are those of one death before and one after each commit and send, and of a second death that
    befalls the successor before or after the commit by which it takes over.
    """
    for number in range(1, played.commits + 1):
        yield (Kill("before commit", number),)
        yield (Kill("after commit", number),)
        yield (Kill("before commit", number), Kill("before commit", number))
        yield (Kill("after commit", number), Kill("after commit", number + 1))
    for number in range(1, played.sends + 1) if sends else ():
        yield (Kill("before send", number),)
        yield (Kill("after send", number),)


def ending_of(played: Played, run: RunId) -> tuple[str, Any]:
    """Return how a run ended, without what depends on when: its status and its outcome."""
    record = played.records[run]
    ended = msgspec.json.decode(record.result) if record.result else {}
    return record.status, _timeless(ended.get("outcome"))


def scenario_of(
    plan: Plan, strategies: Callable[[str], Coordinate], *, path: str, strategy: str | None = None
) -> Scenario:
    """Make a scenario of a plan: its own tasks, strategy and settings, and stand-ins for its agents.

    path: where the plan is, for the command that replays a failure.  strategy: in the place of the plan's.
    """
    submit = Submit(
        id=RunId(plan.name),
        strategy=strategy or plan.strategy,
        objective=plan.objective,
        options=plan.options,
        plan=plan.name,
        coordination=plan.coordination,
    )
    profiles = [spec.profile for spec in plan.agents]
    return Scenario(
        runs=(submit,),
        agents=lambda seed: [stand_in(profile, seed) for profile in profiles],
        strategies=strategies,
        config=plan.coordination,
        plan=path,
        words=() if strategy is None else ("--strategy", strategy),
    )


def parse_seeds(text: str) -> range:
    """Read `100` (the seeds 0 to 99) or `17..19` (these three).

    Raises:
        Invalid: it is neither.
    """
    first, dots, last = text.strip().partition("..")
    try:
        seeds = range(int(first), int(last) + 1) if dots else range(int(first))
    except ValueError:
        raise Invalid(f"seeds {text!r}: expected a count like 100, or a range like 17..19") from None
    if not seeds or seeds[0] < 0 or len(seeds) > MOST_SEEDS:
        raise Invalid(f"seeds {text!r}: expected 1..{MOST_SEEDS} seeds from 0 on, as in 100 or 17..19")
    return seeds


def _failure(scenario: Scenario, seed: int, faults: Faults, played: Played | None, problems: list[str]) -> Failure:
    words = faults.words()
    command = shlex.join(["concerted", "simulate", scenario.plan or "PLAN", *scenario.words])
    command += f" --seeds {seed}..{seed}"
    return Failure(
        seed=seed,
        faults=words if played is None else played.faults.words(),
        problems=tuple(problems),
        command=command + (f" --faults {words}" if words else ""),
        transcript=() if played is None else tuple(played.transcript[-TAIL_LINES:]),
    )


def _timeless(value: Any) -> Any:
    """Drop what is measured in time from an outcome."""
    if isinstance(value, dict):
        return {name: _timeless(part) for name, part in value.items() if not name.endswith(("_at", "_s"))}
    return [_timeless(part) for part in value] if isinstance(value, list) else value
