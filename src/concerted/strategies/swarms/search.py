"""The swarm's mode `optimize`: agents look at candidates, each gets the next one as soon as it is free.

The task of the plan is done for each candidate, whose values are in its payload; its result is what the
candidate is worth: a number, or {"value": number}.  Nobody waits for anybody.  A candidate whose agent is
lost or fails is looked at by another, `retries` times; then it counts as not allowed.  When no more are to be
given out, what is overdue is looked at by somebody quicker as well, and the first answer counts.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from concerted.strategies.swarms.result import Course
from concerted.strategies.swarms.squad import Job, Squad, opened, pattern_of
from concerted.swarm.search import RULES, Candidate, RuleName, Search
from concerted.swarm.space import Space
from concerted.swarm.thresholds import LEFT
from concerted.values import AgentId

__all__ = ["optimize"]

HISTORY = 5_000  # evaluations after which the run begins a new history, from the state of the search
LOOK_AGAIN_S = 5.0  # at candidates that wait for somebody quicker, who may be overdue
SETTLED = 1e-9  # how far a population is spread, at most, that has come together


async def optimize(course: Course) -> None:
    """Search until the target, the evaluations or the patience is reached, or the swarm has come together."""
    run, rules = course.run, course.rules
    pattern = await pattern_of(run)
    described = run.options.get("space", run.objective.data.get("space"))
    # By name: a mapping comes back from the log in another order than it was written down in.
    space = Space.of(dict(sorted(described.items())) if isinstance(described, dict) else described)
    if run.state is None:
        search = Search(
            space, rule=_rule(rules.rule), seed=run.random.getrandbits(63), population=rules.population or None,
            budget=rules.evaluations,
        )  # fmt: skip
        run.record("swarm.begun", mode="optimize", rule=search.rule, population=search.population)
    else:
        search = _continued(course, space, run.state)
    async with opened(run, pattern) as squad:
        seeking = Seeking(course, search, squad)
        while not course.settled:
            seeking.give_out()
            if seeking.new_history and not seeking.looking:
                run.restart(seeking.state())
            job = await squad.next(seeking.look_again_in())
            if job is not None:
                seeking.take(job)
    course.details |= {"rule": search.rule, "by_agent": dict(sorted(squad.tally.items()))}


class Seeking:
    """One search by one squad."""

    def __init__(self, course: Course, search: Search, squad: Squad) -> None:
        self.course, self.search, self.squad = course, search, squad
        self.again: deque[Candidate] = deque()  # candidates that nobody has managed to look at yet
        self._looking: dict[int, int] = {}  # candidate -> how many look at it
        self._twice: set[int] = set()  # candidates of which a second look was taken
        self.sign = 1.0 if course.rules.goal == "least" else -1.0
        self._history_ends_at = course.evaluations + HISTORY

    @property
    def new_history(self) -> bool:
        """Whether the history is long enough for a new one; then no more is given out until all is told."""
        return self.course.evaluations >= self._history_ends_at and not self.again

    @property
    def looking(self) -> int:
        """How many candidates are being looked at."""
        return len(self._looking)

    def give_out(self) -> None:
        """Give everybody who is free the next candidate; near the end, those who would hold up the others get none."""
        course = self.course
        if self._all_given_out() and not self.again:
            self._look_twice()
            return
        left = min(course.rules.evaluations, self._history_ends_at) - course.evaluations - self.looking
        for agent in self.squad.free_for(max(left, len(self.again))):
            if self.again:
                candidate = self.again.popleft()
            elif self._all_given_out():
                return
            else:
                candidate = self.search.ask()
            self._begin(agent, candidate)

    def look_again_in(self) -> float:
        """Return after how many seconds something may be overdue, or an agent free that was not."""
        if not self._all_given_out():
            return LOOK_AGAIN_S
        now = self.course.run.now()
        due = (held.due_at - now for held in self.squad.in_hand() if held.about.id not in self._twice)
        return min((each for each in due if each > 0.0), default=LOOK_AGAIN_S)

    def take(self, job: Job) -> None:
        """Tell the search what a candidate is worth."""
        candidate: Candidate = job.about
        if candidate.id not in self._looking:
            return  # another was quicker
        worth = _worth(job.reply.value) if job.reply.ok else None
        self._looking[candidate.id] -= 1
        if worth is None and self._looking[candidate.id]:
            return  # another still looks at it
        del self._looking[candidate.id]
        if worth is None:
            if not job.reply.ok and not self.squad.exhausted(job.task.id):
                self.again.append(candidate)
                return
            worth = math.inf * self.sign
        better = self.search.tell(candidate.id, self.sign * worth)
        course = self.course
        course.evaluations += 1
        if better:
            course.improved(candidate.point, worth)
        if course.evaluations % self.search.population == 0:
            course.rounds += 1
            gap = self.search.gap
            course.measured(diversity=self.search.diversity, gap=gap if math.isfinite(gap) else None)
        reason = self._why_enough()
        if reason:
            course.settle(reason)

    def state(self) -> dict[str, Any]:
        """Return what a new history begins with."""
        course = self.course
        return {
            "search": self.search.state(), "answer": course.answer, "value": course.value,
            "evaluations": course.evaluations, "rounds": course.rounds, "curve": [list(each) for each in course.curve],
        }  # fmt: skip

    def _begin(self, agent: AgentId, candidate: Candidate, suffix: str = "") -> None:
        self._looking[candidate.id] = self._looking.get(candidate.id, 0) + 1
        self.squad.begin(agent, f"{self.squad.pattern.id}-{candidate.id}{suffix}", candidate.point, about=candidate)

    def _look_twice(self) -> None:
        """Have who is free look at what is overdue, if that is quicker than what is left of it is thought to take."""
        run, squad = self.course.run, self.squad
        late = [held for held in squad.in_hand() if held.due_at <= run.now() and held.about.id not in self._twice]
        free = sorted(squad.free(), key=lambda agent: (squad.lasts(agent), agent)) if late else []
        # who takes longest holds up all the others
        for held in sorted(late, key=lambda one: (one.begun_at - one.due_at, one.task.id)):
            if not free or squad.lasts(free[0]) >= LEFT * (held.due_at - held.begun_at):
                continue
            if not run.version("second looks", 1):
                return
            self._twice.add(held.about.id)
            self._begin(free.pop(0), held.about, "-again")

    def _all_given_out(self) -> bool:
        course = self.course
        if course.evaluations >= self._history_ends_at:
            return True
        return course.evaluations + self.looking + len(self.again) >= course.rules.evaluations

    def _why_enough(self) -> str:
        course, rules, best = self.course, self.course.rules, self.search.best
        if rules.target is not None and course.value is not None:
            reached = self.sign * course.value <= self.sign * rules.target
            if reached:
                return "the target is reached"
        if course.evaluations >= rules.evaluations:
            return "the evaluations are used up"
        if rules.patience and best is not None and self.search.told - best.at >= rules.patience:
            return f"nothing better in {rules.patience} evaluations"
        at_round_end = course.evaluations % self.search.population == 0
        if at_round_end and self.search.gap <= SETTLED * abs(course.value or 1.0) and self.search.diversity < SETTLED:
            return "the swarm has come together"
        return ""


def _rule(name: str) -> RuleName:
    """Return a rule of searches by its name."""
    return next(rule for rule in RULES if rule == name)


def _continued(course: Course, space: Space, state: dict[str, Any]) -> Search:
    """Go on from the state with which a history has ended."""
    course.answer, course.value = state["answer"], state["value"]
    course.evaluations, course.rounds = state["evaluations"], state["rounds"]
    course.curve = [(at, value) for at, value in state["curve"]]
    return Search.restored(space, state["search"])


def _worth(answer: Any) -> float | None:
    """Read what a candidate is worth; None if it is no number."""
    found = answer.get("value") if isinstance(answer, dict) else answer
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)
