"""What coalitions are worth, where capabilities do not say it: asked of an agent, or listed with the task."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import msgspec

from concerted.config.settings import Coalition as CoalitionSettings
from concerted.errors import Invalid
from concerted.groups.crowd import masks_up_to
from concerted.groups.formation import Applicant
from concerted.groups.games import FORBIDDEN, mask_of, members, tabulate
from concerted.groups.leadership import Candidate, elect
from concerted.messages import ValueCoalitions
from concerted.run import Run
from concerted.values import AgentId, Task

__all__ = ["BATCH", "MOST_TABLED", "asked_worths", "listed_worths"]

BATCH = 256  # coalitions in one question
MOST_TABLED = 16  # agents whose coalitions stand in a table: 65,536


async def asked_worths(
    run: Run, task: Task, applicants: Sequence[Applicant], rules: CoalitionSettings, max_size: int
) -> list[float] | dict[int, float]:  # fmt: skip
    """Ask what each coalition of the applicants is worth, in batches; one that may not form for its size counts 0.

    Returns a table; of more than 16 applicants mask -> worth.

    Asked is the applicant fittest to lead; if it does not answer, the next fittest goes on with what is left.

    Raises:
        Invalid: nobody answers with one finite number for each coalition.
    """
    agents = [each.profile.id for each in applicants]
    judges = _fittest_first(applicants)
    if len(agents) > MOST_TABLED:
        return await _asked_of_many(run, task, agents, judges, max_size, rules.answer_timeout)
    asking = tabulate(len(agents), batch=BATCH, max_size=max_size)
    try:
        masks = next(asking)
        while True:
            worths = await _ask(run, task, judges, [members(mask, agents) for mask in masks], rules.answer_timeout)
            masks = asking.send(worths)
    except StopIteration as done:
        table = done.value
    return [0.0 if worth == FORBIDDEN else float(worth) for worth in table]


async def _asked_of_many(
    run: Run, task: Task, agents: Sequence[AgentId], judges: list[AgentId], max_size: int, within_s: float
) -> dict[int, float]:  # fmt: skip
    """Ask what each coalition of at most so many members is worth; return mask -> worth."""
    every = list(masks_up_to(len(agents), max_size))
    known: dict[int, float] = {}
    for start in range(0, len(every), BATCH):
        masks = every[start : start + BATCH]
        worths = await _ask(run, task, judges, [members(mask, agents) for mask in masks], within_s)
        known.update(zip(masks, worths, strict=True))
    return known


async def _ask(
    run: Run, task: Task, judges: list[AgentId], coalitions: Sequence[tuple[AgentId, ...]], within_s: float
) -> list[float]:  # fmt: skip
    """Ask the first of the judges who answers; those who do not are asked no more."""
    request = ValueCoalitions(task=task, coalitions=tuple(coalitions))
    while judges:
        reply = await run.ask(judges[0], request, deadline=within_s)
        try:
            worths = msgspec.convert(reply.value, list[float]) if reply.ok else []
        except msgspec.ValidationError:
            worths = []
        if len(worths) == len(coalitions) and all(isfinite(worth) for worth in worths):
            return worths
        judges.pop(0)
    raise Invalid(
        f"task {task.id}: nobody says what coalitions are worth; give an agent a function for VALUE_COALITIONS "
        "that returns one finite number for each"
    )


def listed_worths(
    task: Task, agents: Sequence[AgentId], most: int = 1 << MOST_TABLED
) -> list[float] | dict[int, float]:  # fmt: skip
    """Return the worths that the task lists as a table, of more than 16 agents as mask -> worth; others are worth 0.

    They stand in its payload under `worths`: `{"ann": 1, "ann+bob": 5}`; names of others than these agents are
    passed over.  most: how many may be listed.

    Raises:
        Invalid: there are none or too many, or they are no finite numbers.
    """
    try:
        listed = msgspec.convert(task.payload.get("worths"), dict[str, float])
    except msgspec.ValidationError as error:
        raise Invalid(f'task {task.id}: its payload must have worths such as {{"ann+bob": 5}}: {error}') from error
    if len(listed) > most:
        raise Invalid(
            f"task {task.id}: {len(listed)} coalitions are listed, and coalition.max_valued is {most}; raise it, or "
            "list fewer"
        )
    known: dict[int, float] = {}
    for key, worth in sorted(listed.items()):
        who = [AgentId(name.strip()) for name in key.split("+")]
        if not isfinite(worth):
            raise Invalid(f"task {task.id}: {key} is worth {worth}; it must be a finite number")
        if all(agent in agents for agent in who):
            known[mask_of(who, agents)] = worth
    if not any(known.values()):
        raise Invalid(f"task {task.id}: none of its worths is of {', '.join(agents)}, or all are 0")
    return known if len(agents) > MOST_TABLED else [known.get(mask, 0.0) for mask in range(1 << len(agents))]


def _fittest_first(applicants: Sequence[Applicant]) -> list[AgentId]:
    """Sort agents by their fitness to lead, of equals by id."""
    election = elect(
        Candidate(each.profile.id, each.profile.capabilities, each.load, each.health) for each in applicants
    )
    return [] if election is None else list(election.scores)
