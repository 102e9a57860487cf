"""The swarm's mode `select`: the best of several options, found by agents of whom some are noisy or wrong.

The task of the plan is one judgement: its payload gets the `option`, its result is a score, a number or
{"score": number}, the more the better.  `rule: halving` keeps the better half round after round, by the medians
of the scores; `rule: honeybee` lets agents be for an option, and follow each other, until enough are for one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from concerted.errors import Invalid
from concerted.run import Run
from concerted.strategies.swarms.result import Course
from concerted.strategies.swarms.squad import Job, Squad, opened, pattern_of
from concerted.swarm.nest import Bees, Halving
from concerted.values import AgentId, TaskId

__all__ = ["select"]


async def select(course: Course) -> None:
    """Judge until one option is left, or until enough are for one."""
    run, rules = course.run, course.rules
    pattern = await pattern_of(run)
    options = _options(run)
    rule = "honeybee" if rules.rule == "honeybee" else "halving"
    async with opened(run, pattern) as squad:
        while not squad.able():
            await squad.next()
        run.record("swarm.begun", mode="select", rule=rule, population=len(squad.able()))
        judging = Judging(course, squad, options)
        if rule == "honeybee":
            await _honeybees(judging)
        else:
            await _halving(judging)
    course.details |= {"rule": rule, "by_agent": dict(sorted(squad.tally.items()))}


async def _halving(judging: Judging) -> None:
    """Halve the options by medians."""
    course, rules = judging.course, judging.course.rules
    judges = judging.squad.able()
    quorum = min(rules.quorum, len(judges)) or None
    halving = Halving.of(
        list(judging.options), [str(agent) for agent in judges], each=rules.judgements or None, quorum=quorum,
        repeats=rules.repeats,
    )  # fmt: skip
    while True:
        for option, judge, score in await judging.ask(halving.wanted()):
            halving.tell(option, judge, score)
        ranking = halving.ranking()
        if not halving.has_quorum(ranking[0]):
            course.settle(f"no option has the quorum of {halving.quorum} judges")
            return
        course.rounds += 1
        best = ranking[0]
        course.improved(judging.options[best], halving.score(best))
        course.measured(left=len(ranking))
        out = halving.close()
        if len(halving.left) == 1:
            course.details["ranking"] = [judging.options[one] for one in [*halving.left, *halving.standing]]
            course.settle("one option is left" if out else "there is one option")
            return


async def _honeybees(judging: Judging) -> None:
    """Let the agents be bees."""
    course, rules, squad = judging.course, judging.course.rules, judging.squad
    agents = [str(agent) for agent in squad.able()]
    bees = Bees.of(list(judging.options), agents, course.run.random.getrandbits(63))
    quorum = min(rules.quorum or len(agents) * 3 // 5 + 1, len(agents))
    while course.rounds < rules.rounds:
        seen = {}
        for option, bee, score in await judging.ask(bees.wanted()):
            seen[bee] = (option, min(max(score, 0.0), 1.0))
        bees.tell(seen)
        course.rounds += 1
        support = bees.support()
        leading = max(support, key=lambda option: support[option])
        if course.answer != judging.options[leading] and support[leading] > 0:
            course.improved(judging.options[leading], support[leading] / len(agents))
        course.measured(support={str(judging.options[option]): count for option, count in support.items()})
        if bees.winner(quorum) is not None:
            course.value = support[leading] / len(agents)
            course.settle(f"{support[leading]} of {len(agents)} are for it")
            return
    course.settle("the rounds are used up")


class Judging:
    """A squad that judges.  options: a name for each -> what stands for it in payload and answer."""

    def __init__(self, course: Course, squad: Squad, options: list[Any]) -> None:
        self.course, self.squad = course, squad
        self.options = {str(place): option for place, option in enumerate(options)}
        self._asked = 0

    async def ask(self, wanted: list[tuple[str, str]]) -> list[tuple[str, str, float]]:
        """Have judgements made; returns (option, judge, score) of those that came, in the order in which they came.

        Each is made by the judge that is wanted and by nobody else; who is lost or out of attempts is left out.
        """
        todo = deque((*pair, self._name()) for pair in wanted)
        found: list[tuple[str, str, float]] = []
        while todo or self.squad.busy:
            self._begin(todo)
            if not self.squad.busy:
                break
            job = await self.squad.next()
            if job is None:
                continue
            self._take(job, todo, found)
        for _, _, name in todo:
            self.squad.give_up(TaskId(name), "its judge is not there")
        return found

    def _begin(self, todo: deque[tuple[str, str, str]]) -> None:
        """Give free judges what they are wanted for."""
        free = self.squad.free()
        for _ in range(len(todo)):
            option, judge, name = todo.popleft()
            place = next((at for at, agent in enumerate(free) if agent == judge), None)
            if place is None:
                todo.append((option, judge, name))
                continue
            del free[place]
            about = (option, judge, name)
            self.squad.begin(AgentId(judge), name, {"option": self.options[option]}, about=about)

    def _take(self, job: Job, todo: deque[tuple[str, str, str]], found: list[tuple[str, str, float]]) -> None:
        option, judge, name = job.about
        if not job.reply.ok:
            if not self.squad.exhausted(job.task.id):
                todo.append((option, judge, name))
            return
        score = _score(job.reply.value)
        if score is not None:
            self.course.evaluations += 1
            found.append((option, judge, score))

    def _name(self) -> str:
        self._asked += 1
        return f"{self.squad.pattern.id}-{self._asked}"


def _options(run: Run) -> list[Any]:
    options = run.options.get("options", run.objective.data.get("options"))
    if not isinstance(options, list) or not options:
        raise Invalid(f"run {run.id}: give the swarm a list of options to choose from, not {options!r}")
    return options


def _score(answer: Any) -> float | None:
    """Read a score; None if it is no number."""
    found = answer.get("score") if isinstance(answer, dict) else answer
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)
