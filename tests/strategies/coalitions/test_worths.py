"""What coalitions are worth, asked of agents and read from tasks."""

import asyncio
from typing import Any

import pytest

from concerted.config.settings import Coalition
from concerted.errors import Invalid
from concerted.groups.formation import Applicant
from concerted.messages import Reply, ValueCoalitions
from concerted.strategies.coalitions import worths
from concerted.strategies.coalitions.worths import asked_worths, listed_worths
from concerted.values import AgentId, Profile, Task, TaskId

TEAM = tuple(
    Applicant(Profile(id=AgentId(name), capabilities={"leadership": lead}))
    for name, lead in (("ann", 0.1), ("bob", 0.9), ("cy", 0.5))
)
AGENTS = [each.profile.id for each in TEAM]


def task(**payload: Any) -> Task:
    return Task(id=TaskId("deal"), payload=payload)


class Panel:
    """As much of a run as is asked here: agents that answer as they are told to.  asked: who, and how much."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.asked = answers, []

    async def ask(self, agent: AgentId, request: ValueCoalitions, *, deadline: float) -> Reply:
        self.asked.append((agent, len(request.coalitions)))
        answer = self.answers.get(agent)
        if answer is None:
            return Reply(agent=agent, status="timeout")
        return Reply(agent=agent, status="ok", value=answer(request))


def ask(panel: Panel, max_size: int = 3) -> list[float]:
    return asyncio.run(asked_worths(panel, task(), TEAM, Coalition(), max_size))  # type: ignore[arg-type]


def sizes(request: ValueCoalitions) -> list[float]:
    return [float(len(coalition)) for coalition in request.coalitions]


def test_the_fittest_is_asked_once_for_each_coalition() -> None:
    panel = Panel(bob=sizes)
    assert ask(panel) == [0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 3.0]
    assert panel.asked == [("bob", 7)]


def test_large_questions_are_asked_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worths, "BATCH", 3)
    panel = Panel(bob=sizes)
    assert ask(panel) == [0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 3.0]
    assert [count for _, count in panel.asked] == [3, 3, 1]


def test_what_is_too_large_to_form_is_not_asked_for_and_counts_nothing() -> None:
    panel = Panel(bob=sizes)
    assert ask(panel, max_size=2)[7] == 0.0
    assert panel.asked == [("bob", 6)]


def test_if_the_fittest_does_not_answer_the_next_is_asked() -> None:
    panel = Panel(cy=sizes)
    assert ask(panel)[7] == 3.0
    assert panel.asked == [("bob", 7), ("cy", 7)]


@pytest.mark.parametrize("answer", [[1.0], "much", [float("nan")] * 7, [float("inf")] * 7, None])
def test_an_answer_that_is_none_counts_as_none(answer: Any) -> None:
    with pytest.raises(Invalid, match="task deal: nobody says what coalitions are worth"):
        ask(Panel(bob=lambda _: answer))


MANY = tuple(Applicant(Profile(id=AgentId(f"a{number:02}"))) for number in range(20))


def test_of_many_only_what_may_form_is_asked_for() -> None:
    judge = Panel(a00=sizes)
    known = asyncio.run(asked_worths(judge, task(), MANY, Coalition(), 2))  # type: ignore[arg-type]
    assert isinstance(known, dict)
    assert len(known) == 20 + 190
    assert known[0b1] == 1.0
    assert known[1 << 19 | 1] == 2.0
    assert judge.asked == [("a00", 210)]


def test_of_many_what_is_listed_is_kept_by_mask() -> None:
    agents = [each.profile.id for each in MANY]
    listed = {"a19+a00": 3.0, "a01": 1.0, "zoe": 9.0}
    assert listed_worths(task(worths=listed), agents) == {1 << 19 | 1: 3.0, 0b10: 1.0}


def test_more_than_may_be_listed_is_refused_with_what_to_do() -> None:
    with pytest.raises(Invalid, match=r"3 coalitions are listed, and coalition\.max_valued is 2; raise it, or list"):
        listed_worths(task(worths={"ann": 1.0, "bob": 1.0, "cy": 2.0}), AGENTS, 2)


def test_listed_worths_are_by_name_in_any_order() -> None:
    assert listed_worths(task(worths={"bob + ann": 5, "cy": 1}), AGENTS) == [0, 0, 0, 5.0, 1.0, 0, 0, 0]


def test_the_worths_of_those_who_are_not_eligible_are_passed_over() -> None:
    assert listed_worths(task(worths={"ann": 2, "ann+zoe": 50}), AGENTS) == [0, 2.0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("worths", "told"),
    [
        (None, "must have worths"),
        ({"ann": "much"}, "must have worths"),
        ({"ann": float("inf")}, "ann is worth inf; it must be a finite number"),
        ({"zoe": 3}, "none of its worths is of ann, bob, cy, or all are 0"),
    ],
)
def test_listed_worths_that_are_none_are_refused(worths: Any, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        listed_worths(task(worths=worths), AGENTS)
