"""The condition of a sync point: who must have arrived for it to complete, and whether that is so.

    all | majority | count: n                 told by numbers alone, whatever the number of participants
    predicate: a CEL expression               over `arrived`, `missing`, `data` and `now` (expression.py)
    function: a registered name and version   a pure function over the same, of this process

What cannot be told (an error, too many steps, no truth value, a function that this process does not know)
does not hold, and the verdict says why.

The names of the specification: ALL_ARRIVED is `all`, MAJORITY_ARRIVED `majority`, MINIMUM_COUNT `count`,
CUSTOM_PREDICATE `predicate` or `function`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from concerted.errors import ConcertedError, Conflict, Invalid, NotFound
from concerted.sync.points.expression import STEPS, compile_, run
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "ALL",
    "MAJORITY",
    "PARTICIPANTS_SEEN",
    "Condition",
    "Verdict",
    "View",
    "check",
    "condition_of",
    "evaluate",
    "is_told_by_numbers",
    "needed",
    "problem",
    "reads_now",
    "register",
]

PARTICIPANTS_SEEN = 500  # a predicate may look at every one of them, at every arrival
ERROR_CHARS = 200  # of what is said of a failure

# What a function of other people may raise.  Whatever else it raises is not held back.
FAULTS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NameError, OSError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """When a sync point completes.

    count: of `count`.  text: the expression of `predicate`.  name, version: of `function`.
    """

    type: Literal["all", "majority", "count", "predicate", "function"]
    count: int = 0
    text: str = ""
    name: str = ""
    version: int = 1

    def __str__(self) -> str:
        match self.type:
            case "count":
                return f"count: {self.count}"
            case "predicate":
                return f"predicate: {self.text}"
            case "function":
                return f"function: {self.name}, version {self.version}"
            case _:
                return self.type


ALL = Condition("all")
MAJORITY = Condition("majority")


def condition_of(given: str | int | Condition) -> Condition:
    """Return a condition as people write it: `all`, `majority`, a number of arrivals, or a CEL expression.

    Raises:
        Invalid: it is empty.
    """
    if isinstance(given, Condition):
        return given
    if isinstance(given, int):
        return Condition("count", count=given)
    if not isinstance(given, str):
        raise Invalid(f"{given!r} is no condition; it is all, majority, a whole number of arrivals, or an expression")
    if not given.strip():
        raise Invalid("the condition is empty; it is all, majority, a number of arrivals, or an expression")
    return {"all": ALL, "majority": MAJORITY}.get(given) or Condition("predicate", text=given)


@dataclass(frozen=True, slots=True)
class View:
    """What a predicate sees of a sync point: the ids sorted, and the data of those who brought some."""

    arrived: tuple[AgentId, ...]
    missing: tuple[AgentId, ...]
    data: Mapping[AgentId, Any]
    now: Instant


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a condition holds.  error: why that cannot be told; then it does not.

    is_senseless: it cannot be told because the value is no truth value, which is the condition's own fault.
    """

    holds: bool
    error: str | None = None
    is_senseless: bool = False


F = TypeVar("F", bound=Callable[[View], bool])


def register(name: str, version: int = 1, *, reads_now: bool = False) -> Callable[[F], F]:
    """Let the function that follows be a condition of this name and version: a decorator.

    It must be pure: the same view, the same answer.  What behaves otherwise is another version, since points
    may wait with the old one for longer than a process lives.  The table is the one of this process; each
    process that may own the store fills it in the same way, before it opens the store.
    reads_now: the answer depends on `view.now`, so it is asked for again as time passes.

    Raises:
        Conflict: another function has this name and version.
        Invalid: this cannot be a name, or the version is below 1.
    """
    if not is_name(name) or version < 1:
        raise Invalid(f"{name!r}, version {version} cannot name a condition: a printable name, versions from 1")

    def keep(function: F) -> F:
        known = _functions.get((name, version))
        if known is not None and _origin(known.function) != _origin(function):
            raise Conflict(
                f"condition {name}, version {version} is {_origin(known.function)} already; "
                f"register {_origin(function)} as version {version + 1}",
                name=name,
                version=version,
            )
        _functions[name, version] = _Function(function, reads_now)
        return function

    return keep


def is_told_by_numbers(condition: Condition) -> bool:
    """Say whether it is enough to count; else the condition sees each participant."""
    return condition.type in ("all", "majority", "count")


def needed(condition: Condition, total: int) -> int | None:
    """Return how many of `total` participants must have arrived; None if numbers do not tell."""
    match condition.type:
        case "all":
            return total
        case "majority":
            return total // 2 + 1
        case "count":
            return condition.count
        case _:
            return None


def check(condition: Condition, total: int) -> None:
    """Make sure that this can be the condition of a point with `total` participants.

    Raises:
        Invalid: it can never hold, does not compile, or costs too much; the message says which.
        NotFound: no function of this name and version is registered in this process.
    """
    if condition.type == "count" and not 1 <= condition.count <= total:
        raise Invalid(f"count is {condition.count}; of {total} participants between 1 and {total} can be waited for")
    if condition.type == "function":
        _registered(condition)
    nesting = compile_(condition.text).nesting if condition.type == "predicate" else 0
    if not is_told_by_numbers(condition) and total > PARTICIPANTS_SEEN:
        raise Invalid(
            f"{total} participants are too many for a {condition.type}, which may look at each of them at each "
            f"arrival: at most {PARTICIPANTS_SEEN}; wait for all, majority or a count",
            participants=total,
        )
    if total**nesting > STEPS:
        raise Invalid(
            f"{condition.text!r} looks at each pair of {total} participants, and a predicate may take {STEPS} steps; "
            "write it with one comprehension",
            predicate=condition.text,
        )


def problem(condition: Condition) -> str | None:
    """Say why this process cannot tell whether the condition holds; None if it can try."""
    try:
        if condition.type == "function":
            _registered(condition)
        if condition.type == "predicate":
            compile_(condition.text)
    except ConcertedError as error:
        return error.message
    return None


def reads_now(condition: Condition) -> bool:
    """Say whether it may come to hold by the passing of time alone."""
    if problem(condition) is not None:
        return False
    if condition.type == "function":
        return _registered(condition).reads_now
    return condition.type == "predicate" and "now" in compile_(condition.text).reads


def evaluate(condition: Condition, view: View) -> Verdict:
    """Say whether the condition holds.  Costs up to STEPS unless numbers tell; raises only what is not of FAULTS."""
    fewest = needed(condition, len(view.arrived) + len(view.missing))
    if fewest is not None:
        return Verdict(len(view.arrived) >= fewest)
    try:
        if condition.type == "function":
            value: Any = _registered(condition).function(view)
        else:
            value = run(compile_(condition.text), view.arrived, view.missing, view.data, view.now)
    except ConcertedError as error:
        return Verdict(False, error.message[:ERROR_CHARS])
    except FAULTS as error:
        return Verdict(False, f"{type(error).__name__}: {error}"[:ERROR_CHARS])
    if not isinstance(value, bool):
        return Verdict(False, f"its value is of type {type(value).__name__}, neither true nor false", True)
    return Verdict(value)


@dataclass(frozen=True, slots=True)
class _Function:
    function: Callable[[View], bool]
    reads_now: bool


_functions: dict[tuple[str, int], _Function] = {}


def _registered(condition: Condition) -> _Function:
    found = _functions.get((condition.name, condition.version))
    if found is None:
        raise NotFound(
            f"no condition {condition.name}, version {condition.version} is registered in this process; write "
            f"@register({condition.name!r}, {condition.version}) of concerted.sync.points.predicate above its function",
            name=condition.name,
            version=condition.version,
        )
    return found


def _origin(function: Callable[[View], bool]) -> str:
    """Name where a function is written, so that its module may be loaded twice."""
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
