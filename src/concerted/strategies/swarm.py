"""The swarm: many simple agents find an answer together, in one of five modes.

    optimize    the best point of a space: each agent looks at a candidate, and gets the next one when it is free
    route       a short round trip: agents let ants run on copies of one board of trails
    balance     tasks of which nobody knows how long each agent takes: it is learned who should take the next
    select      the best of several options, by judges who are noisy and of whom some are wrong
    agree       the mean of everybody's number, each hearing of its neighbours alone

What the swarm does follows from its dice, which are the run's, and from the answers in the log, in their order.
At the run's deadline there is the best answer so far.

Sources: stand with each mode, in `concerted/swarm/`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from concerted.errors import Invalid, TimedOut
from concerted.run import Run
from concerted.strategies.swarms.agreement import agree
from concerted.strategies.swarms.balance import balance
from concerted.strategies.swarms.choice import select
from concerted.strategies.swarms.result import Course
from concerted.strategies.swarms.search import optimize
from concerted.strategies.swarms.trips import route
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.tasks import open_workshop
from concerted.values import Outcome

__all__ = ["coordinate"]

MODES: Mapping[str, Callable[[Course], Awaitable[None]]] = {
    "optimize": optimize, "route": route, "select": select, "agree": agree,
}  # fmt: skip
RULES: Mapping[str, tuple[str, ...]] = {
    "optimize": ("auto", "pso", "ring", "shade"),
    "route": ("auto",),
    "balance": ("auto",),
    "select": ("auto", "halving", "honeybee"),
    "agree": ("auto", "metropolis", "push_sum"),
}


async def coordinate(run: Run) -> Outcome:
    """Let the swarm find its answer."""
    rules = overlay(run.config.strategies.swarm, run.options)
    if rules.rule not in RULES[rules.mode]:
        known = ", ".join(RULES[rules.mode])
        raise Invalid(f"run {run.id}: a swarm that is to {rules.mode} has no rule {rules.rule!r}; take one of {known}")
    course = Course(run, rules)
    if rules.mode == "balance":
        return await _balance(course)
    try:
        async with run.deadline():
            await MODES[rules.mode](course)
    except TimedOut:
        return course.outcome(success=course.answer is not None, timed_out=True)
    return course.outcome(success=course.answer is not None, reason="" if course.answer is not None else course.settled)


async def _balance(course: Course) -> Outcome:
    """Have the tasks done; the outcome is that of the tasks."""
    timed_out = False
    async with open_workshop(course.run) as shop:
        try:
            async with course.run.deadline():
                await balance(course, shop)
        except TimedOut:
            timed_out = True
    course.answer = None
    result = course.outcome(success=True).result
    return shop.outcome(result, timed_out=timed_out)
