"""The swarm's mode `route`: agents let ants run on copies of one board of trails, and lay what they find on it.

    board -> FIND_TRIP (a copy of the board, dice of its own) -> a trip -> laid on the board -> the next copy

Whoever has answered gets the board as it is by then.  An agent that refuses is asked no more; if all do, the
coordinator computes beside its loop, where the ants run just the same.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from concerted.errors import Invalid
from concerted.messages import FindTrip, Reply
from concerted.run import Run
from concerted.strategies.swarms.result import Course
from concerted.swarm.pheromones import Colony, explore
from concerted.swarm.tours import Map
from concerted.values import AgentId

__all__ = ["route"]

DIGITS = 3  # of the trails that agents are sent
ROUNDS = 5  # of ants, for each time that an agent is asked
COORDINATOR = AgentId("")  # stands for the coordinator itself where agents are named


@dataclass
class Roads:
    """What is to be travelled.  names: of the stops.  One of points and distances is there."""

    names: list[str]
    points: list[list[float]] | None = None
    distances: list[list[float]] | None = None
    map: Map = field(init=False)

    def __post_init__(self) -> None:
        if self.points is not None:
            self.map = Map.of_points(self.points)
        else:
            assert self.distances is not None
            self.map = Map(self.distances)


async def route(course: Course) -> None:
    """Look for a short round trip until the rounds, the target or the patience is reached."""
    run = course.run
    roads = _roads(run)
    colony = Colony(roads.map, run.random.getrandbits(63))
    run.record("swarm.begun", mode="route", rule="ants", population=len(roads.names))
    foraging = Foraging(course, roads, colony)
    foraging.keep()
    try:
        while not course.settled:
            await foraging.send_out()
            for agent, reply in await foraging.back():
                foraging.take(agent, reply)
    finally:
        foraging.call_back()


class Foraging:
    """The ants of one run, wherever they are."""

    def __init__(self, course: Course, roads: Roads, colony: Colony) -> None:
        self.course, self.roads, self.colony = course, roads, colony
        self._out: dict[asyncio.Future[Any], AgentId] = {}
        self._refused: set[AgentId] = set()
        self._better_at = 0  # the round of the last improvement

    async def send_out(self) -> None:
        """Ask everybody who is not out; if nobody can, let the coordinator compute."""
        run, rules = self.course.run, self.course.rules
        out = set(self._out.values())
        left = rules.rounds - self.course.rounds - len(out)
        agents = [agent for agent in sorted(run.agents) if agent not in self._refused]
        for agent in [agent for agent in agents if agent not in out][: max(0, left)]:
            self._out[asyncio.ensure_future(run.ask(agent, self._request()))] = agent
        if not agents and not self._out:
            asked = self._request()
            found = run.compute(explore, msgspec.to_builtins(asked.board), asked.points, asked.distances, asked.seed)
            self._out[asyncio.ensure_future(found)] = COORDINATOR

    async def back(self) -> list[tuple[AgentId, Any]]:
        """Wait for those who come back first."""
        done, _ = await asyncio.wait(self._out, return_when=asyncio.FIRST_COMPLETED)
        return [(self._out.pop(one), one.result()) for one in [each for each in self._out if each in done]]

    def take(self, agent: AgentId, found: Reply | Any) -> None:
        """Lay a trip on the board."""
        course = self.course
        if isinstance(found, Reply):
            if not found.ok:
                if found.status != "timeout":
                    self._refused.add(agent)
                course.rounds += found.status == "timeout"
                self._look_whether_enough()
                return
            found = found.value
        course.rounds += 1
        try:
            self.colony.lay(msgspec.convert(found, list[int]))
        except (Invalid, msgspec.ValidationError) as wrong:
            self._refused.add(agent)
            course.details.setdefault("wrong", {})[agent] = str(wrong)
        else:
            course.evaluations += 1
        self.keep()
        self._look_whether_enough()

    def keep(self) -> None:
        """Write down the best trip if it is a better one, and where the trails stand."""
        course, colony = self.course, self.colony
        if course.value is None or colony.length < course.value:
            self._better_at = course.rounds
            course.improved([self.roads.names[stop] for stop in colony.order], colony.length)
        course.measured(diversity=colony.branching)

    def call_back(self) -> None:
        """Wait for nobody any more."""
        for one in self._out:
            one.cancel()

    def _request(self) -> FindTrip:
        board = self.colony.state(DIGITS)
        return FindTrip(
            round=self.course.rounds, board=board, points=self.roads.points, distances=self.roads.distances,
            seed=self.course.run.random.getrandbits(53), rounds=ROUNDS,
        )  # fmt: skip

    def _look_whether_enough(self) -> None:
        course, rules = self.course, self.course.rules
        if rules.target is not None and course.value is not None and course.value <= rules.target:
            course.settle("the target is reached")
        elif course.rounds >= rules.rounds:
            course.settle("the rounds are used up")
        elif rules.patience and course.rounds - self._better_at >= rules.patience:
            course.settle(f"nothing better in {rules.patience} rounds")


def _roads(run: Run) -> Roads:
    """Read the stops: `points` {name: [x, y]}, or `distances` {name: {other: length}}.

    Raises:
        Invalid: there is neither, or both, or they are something else.
    """
    points, distances = (run.options.get(name, run.objective.data.get(name)) for name in ("points", "distances"))
    if (points is None) == (distances is None):
        raise Invalid(f"run {run.id}: give the swarm points {{name: [x, y]}} or distances {{name: {{other: 1}}}}")
    try:
        if points is not None:
            found = msgspec.convert(points, dict[str, list[float]])
            names = sorted(found)  # a mapping comes back from the log in another order
            return Roads(names, points=[found[name] for name in names])
        rows = msgspec.convert(distances, dict[str, dict[str, float]])
    except msgspec.ValidationError as wrong:
        raise Invalid(f"run {run.id}: the stops of the swarm are none: {wrong}") from wrong
    names = sorted(rows)
    matrix = [[0.0 if one == other else _between(rows, one, other) for other in names] for one in names]
    return Roads(names, distances=matrix)


def _between(rows: dict[str, dict[str, float]], one: str, other: str) -> float:
    """Return a distance that is given in one direction or in both."""
    length = rows[one].get(other, rows[other].get(one))
    if length is None:
        raise Invalid(f"there is no distance between {one} and {other}; give one, in either direction")
    return length
