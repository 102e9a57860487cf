"""The nouns: what may name a thing, which levels are levels, and one JSON form for each."""

from typing import Any

import msgspec
import pytest

from concerted.values import (
    NAME_BYTES,
    AgentId,
    AgentStatus,
    Metrics,
    Objective,
    Outcome,
    ParticipantResult,
    Profile,
    Task,
    TaskId,
    TaskResult,
    digest,
    encode,
    is_name,
)

ANN, DRAFT = AgentId("ann"), TaskId("draft")

EVERYTHING = [
    Profile(id=ANN, name="Ann", capabilities={"writing": 0.9}, capacity=3, cost=0.5, speed=2.0, metadata={"at": 1}),
    AgentStatus(id=ANN, state="busy", health=0.5, load=1.0, timestamp=7.0),
    Task(
        id=DRAFT, description="Write", kind="draft", payload={"topic": "tides"}, required_capabilities={"writing": 1},
        max_budget=0.0, max_duration_s=1.5, priority=-1, deadline_s=60.0, retries=0, after=(TaskId("read"),), agent=ANN,
        mandatory=False,
    ),
    Objective(description="A page", tasks=(Task(id=DRAFT),), decompose="plans:split", data={"pages": 1}),
    TaskResult(
        id=DRAFT, status="done", agent=ANN, attempts=2, epoch=2, result=[1, None], started_at=1.0, ended_at=2.0
    ),
    ParticipantResult(agent=ANN, done=(DRAFT,), failed=(TaskId("read"),), role="leader"),
    Metrics(messages=4, replies=3, timeouts=1, retries=1, rounds=9, wall_s=0.5, waiting_s={"REQUEST_BID": 0.25}),
    Outcome(
        success=True, result={"page": "..."}, reason="done", tasks=(TaskResult(id=DRAFT, status="done"),),
        participants={ANN: ParticipantResult(agent=ANN)}, timed_out=False,
    ),
]  # fmt: skip


@pytest.mark.parametrize("value", EVERYTHING, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_from_json_as_it_was(value: Any) -> None:
    assert msgspec.json.decode(encode(value), type=type(value)) == value


@pytest.mark.parametrize("value", EVERYTHING, ids=lambda value: type(value).__name__)
def test_a_value_does_not_change(value: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], "other")


def test_equal_values_give_equal_bytes_whatever_the_order_of_their_keys() -> None:
    assert encode({"b": 1, "a": [2, {"d": 3, "c": 4}]}) == encode({"a": [2, {"c": 4, "d": 3}], "b": 1})
    assert encode({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


def test_a_digest_names_bytes_by_content() -> None:
    assert digest(b"{}") == digest(b"{}") != digest(b"{} ")
    assert len(digest(b"")) == 16
    assert int(digest(b"concerted"), 16) >= 0


@pytest.mark.parametrize("text", ["a", "run 7", "Büro/3", "task:read", "x" * NAME_BYTES])
def test_a_name_is_short_and_printable(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["", " a", "a ", "a\n", "a\tb", "a\x00", "x" * (NAME_BYTES + 1), "ü" * NAME_BYTES])
def test_what_is_empty_long_or_not_printable_names_nothing(text: str) -> None:
    assert not is_name(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": ""}, "'' cannot name an agent: 1..200 printable bytes, no outer spaces"),
        ({"capabilities": {"writing": 1.01}}, "agent ann: capability writing is 1.01; levels are 0..1"),
        ({"capabilities": {"writing": -0.1}}, "agent ann: capability writing is -0.1; levels are 0..1"),
        ({"capabilities": {"writing": float("nan")}}, "agent ann: capability writing is nan; levels are 0..1"),
        ({"capacity": 0}, "agent ann: capacity is 0; it must be at least 1"),
        ({"cost": -1.0}, "agent ann: cost must be at least 0 and speed above 0"),
        ({"speed": 0.0}, "agent ann: cost must be at least 0 and speed above 0"),
        ({"cost": float("nan")}, "agent ann: cost must be at least 0 and speed above 0"),
        ({"bid_validity_s": 0.0}, "agent ann: bid_validity is 0.0; it must be above 0 and finite"),
        ({"bid_validity_s": float("inf")}, "agent ann: bid_validity is inf; it must be above 0 and finite"),
    ],
)
def test_a_profile_that_cannot_be_says_whose_and_why(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        Profile(**{"id": ANN, **fields})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "a\nb"}, "'a\\nb' cannot name a task: 1..200 printable bytes, no outer spaces"),
        ({"required_capabilities": {"writing": 2}}, "task draft: required capability writing is 2; levels are 0..1"),
        ({"max_duration_s": 0.0}, "task draft: max_duration is 0.0; it must be above 0"),
        ({"deadline_s": -3.0}, "task draft: deadline is -3.0; it must be above 0"),
        ({"retries": -1}, "task draft: retries and budget must be at least 0"),
        ({"max_budget": -0.01}, "task draft: retries and budget must be at least 0"),
        ({"max_budget": float("nan")}, "task draft: retries and budget must be at least 0"),
        (
            {"penalties": {"lat": 0.1}},
            "task draft: there is no penalty lat; there are late, failure, decommitment, cap",
        ),
        ({"penalties": {"cap": -0.1}}, "task draft: penalty cap is -0.1; it must be at least 0 and finite"),
        ({"penalties": {"late": float("inf")}}, "task draft: penalty late is inf; it must be at least 0 and finite"),
        ({"quality_metrics": {"recall": 2.0}}, "task draft: quality metric recall is 2.0; levels are 0..1"),
    ],
)
def test_a_task_that_cannot_be_says_which_and_why(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        Task(**{"id": DRAFT, **fields})
    assert str(caught.value) == message


def test_the_ends_of_each_range_are_inside() -> None:
    Profile(id=ANN, capabilities={"least": 0.0, "most": 1.0}, capacity=1, cost=0.0)
    Task(id=DRAFT, required_capabilities={"least": 0, "most": 1}, retries=0, max_budget=0)


def test_a_level_is_tested_on_its_way_in_from_json_too() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"capability writing is 1\.5; levels are 0\.\.1"):
        msgspec.json.decode(b'{"id":"ann","capabilities":{"writing":1.5}}', type=Profile)


def test_two_profiles_never_share_their_capabilities() -> None:
    first, second = Profile(id=ANN), Profile(id=AgentId("bob"))
    assert first.capabilities is not second.capabilities
