"""The tree of errors: one code each, the same on every door, and back."""

import inspect
import re

import msgspec
import pytest

from concerted import errors
from concerted.errors import BY_CODE, ConcertedError, Invalid, NotFound, TimedOut, from_wire

CLASSES = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ConcertedError)),
    key=lambda kind: kind.__name__,
)

each = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


@each
def test_an_error_goes_over_a_wire_and_comes_back_as_itself(kind: type[ConcertedError]) -> None:
    sent = kind("run r-1 is over; start another", run="r-1", epoch=3)
    back = from_wire(msgspec.json.decode(msgspec.json.encode(sent.to_wire())))
    assert type(back) is kind
    assert (back.message, back.facts, str(back)) == (sent.message, {"run": "r-1", "epoch": 3}, sent.message)


@each
def test_every_class_has_a_code_of_its_own_and_stands_in_the_table(kind: type[ConcertedError]) -> None:
    assert BY_CODE[kind.code] is kind
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert [other for other in CLASSES if other.code == kind.code] == [kind]


@each
def test_whoever_catches_the_root_catches_all(kind: type[ConcertedError]) -> None:
    with pytest.raises(ConcertedError):
        raise kind("no")


@each
def test_the_tree_in_the_docstring_shows_every_class(kind: type[ConcertedError]) -> None:
    assert errors.__doc__ is not None
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__), f"draw {kind.__name__} into the tree of errors.py"
    assert kind.__name__ in errors.__all__


def test_the_code_is_the_name_of_the_class() -> None:
    for kind in CLASSES:
        if kind is not ConcertedError:
            assert kind.code == re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()


def test_a_code_from_a_newer_version_is_still_an_error_of_ours() -> None:
    back = from_wire({"code": "out_of_tune", "message": "tune it", "facts": None})
    assert type(back) is ConcertedError
    assert (back.message, back.facts) == ("tune it", {})


def test_an_empty_wire_is_an_error_without_words() -> None:
    assert from_wire({}).to_wire() == {"code": "error", "message": "", "facts": {}}


def test_a_passed_deadline_is_a_timeout_of_the_language_too() -> None:
    assert issubclass(TimedOut, TimeoutError)
    assert not issubclass(NotFound, LookupError)


def test_facts_are_for_programs_and_the_message_is_for_people() -> None:
    error = Invalid("plan.yaml:3:7: tasks: what is this?", problems=["plan.yaml:3:7"])
    assert error.facts["problems"] == ["plan.yaml:3:7"]
    assert str(error) == "plan.yaml:3:7: tasks: what is this?"
