"""`Agent`: profiles, declarations, changes, copies."""

from typing import Any

import pytest

from concerted.agent import Agent
from concerted.errors import Conflict, Invalid
from concerted.messages import GetStatus
from concerted.values import Profile


def test_an_agent_is_made_of_an_id_and_fields_or_of_a_profile() -> None:
    profile = Profile(id="ann", capabilities={"writing": 0.9}, capacity=3, cost=2.0)
    assert Agent("ann", capabilities={"writing": 0.9}, capacity=3, cost=2.0).profile == profile
    assert Agent(profile).profile is profile
    assert Agent(profile, {"law": 0.1}, speed=2.0).profile == Profile(
        id="ann", capabilities={"law": 0.1}, capacity=3, cost=2.0, speed=2.0
    )


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("", {}, "cannot name an agent"),
        ("ann", {"capacity": 0}, "capacity is 0"),
        ("ann", {"capabilities": {"writing": 7}}, "writing is 7; levels are 0..1"),
        ("ann", {"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_profile_is_explained(name: str, fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        Agent(name, **fields)


def test_a_second_function_for_the_same_is_a_conflict() -> None:
    ann = Agent("ann")
    ann.task("draft")(print)
    ann.on(GetStatus)(print)
    with pytest.raises(Conflict, match="already has a function for tasks of kind 'draft': print"):
        ann.task("draft")(len)
    with pytest.raises(Conflict, match="GET_STATUS"):
        ann.on("GET_STATUS")(len)


def test_a_declared_function_stays_what_it_was() -> None:
    ann = Agent("ann")

    @ann.task()
    def double(task: int) -> int:
        return 2 * task

    assert double(4) == 8


async def _async(task: object) -> None: ...


class _Callable:
    async def __call__(self, task: object, work: object) -> None: ...


@pytest.mark.parametrize(
    ("fn", "takes_work", "is_async"),
    [
        (lambda task: None, False, False),
        (lambda task, work: None, True, False),
        (lambda task, retries=3: None, False, False),
        (lambda *arguments: None, True, False),
        (lambda task, *, loud=True: None, False, False),
        (_async, False, True),
        (_Callable(), True, True),
        (dict.fromkeys, False, False),
        (int, False, False),
    ],
)
def test_a_function_is_called_with_as_many_arguments_as_it_asks_for(fn: Any, takes_work: bool, is_async: bool) -> None:
    ann = Agent("ann")
    ann.task()(fn)
    ability = ann.task_function("any")
    assert ability is not None
    assert (ability.takes_work, ability.is_async) == (takes_work, is_async)


def test_a_change_of_profile_is_told() -> None:
    ann = Agent("ann")
    told: list[Profile] = []
    ann.watchers.append(told.append)
    ann.change(capabilities={"law": 0.3})
    assert told == [ann.profile] == [Profile(id="ann", capabilities={"law": 0.3})]


def test_a_change_that_makes_no_profile_changes_nothing() -> None:
    ann = Agent("ann")
    before = ann.profile
    with pytest.raises(Invalid, match="capacity is 0"):
        ann.change(capacity=0)
    with pytest.raises(Invalid, match="an id is for ever"):
        ann.change(id="bob")
    assert ann.profile is before


def test_an_agent_like_another_has_its_functions_and_counts_its_own_tasks() -> None:
    ann = Agent("ann")
    ann.task("draft")(print)
    ann.held = 1
    bob = ann.like(Profile(id="bob"))
    assert (bob.id, bob.held, bob.task_function("draft")) == ("bob", 0, ann.task_function("draft"))
    bob.task("review")(print)
    assert ann.task_function("review") is None
