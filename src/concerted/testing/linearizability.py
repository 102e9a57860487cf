"""A checker of linearizability: is there one order in which everybody was told the truth?

    verdict = check_linearizable(History.load(paths), models.Register())
    assert verdict.valid, verdict

A history is linearizable if each operation can be given one instant between its call and its return so
that, in the order of these instants, every result is what the sequential model would have said.
Objects are looked at one by one, since a history is linearizable if each object's part is (locality).

For one object the returns are gone through in order.  A return that no order explains so far is explained
just in time: by the operation alone, or by others that are open and then the operation.  This is a depth-first
search over configurations (the next return, which open operations are in the order, state); none is
visited twice.  Four observations keep it small: a read can be taken as soon as it is possible, and nothing else
need be tried then; where an open operation has become impossible for good, all further search is in vain; of
unknown operations alike only the one called first need be tried; and one that would change nothing now need not
be tried now.  The worst case is exponential in the number of operations open at once, and of unknown ones:
`max_configurations` bounds it, and with it what is spent on finding out which are new.

Source: Herlihy & Wing 1990 (linearizability, locality); Wing & Gong 1993 (the search); Lowe 2017, "Testing for
linearizability" (just-in-time, memory of configurations); Horn & Kroening 2015 (P-compositionality).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from concerted.testing.history import History, Operation

__all__ = ["Attempt", "Hinting", "Model", "Timed", "Verdict", "Violation", "check_linearizable"]

MAX_CONFIGURATIONS = 200_000  # visited for one object before the answer is `unknown`
COMPARISONS = 100  # with configurations visited before, for each that may be visited
DETOUR = 10  # comparisons that coming to a configuration again is worth
ATTEMPTS = 10  # shown of a violation
TAIL = 20  # operations kept of each attempt, and shown of what overlaps

S = TypeVar("S")


class Model(Protocol[S]):
    """What an object does when it is asked one thing at a time.  States can be hashed and never change."""

    def start(self) -> S:
        """Return the state before the first operation."""
        ...

    def step(self, state: S, operation: Operation) -> S | None:
        """Return the state after the operation, or None if it cannot have returned here what it did.

        It reads `op`, `arg`, `result` (through `may_return` if the result is unknown) and, if the model is
        `Timed`, `called_at`.  An operation that changes nothing gives the state that it was given.
        """
        ...


@runtime_checkable
class Hinting(Protocol):
    """A model that helps the search with what follows from its rules; long histories need it."""

    def is_read(self, state: Any, operation: Operation, /) -> bool:
        """Say whether an operation that is possible in this state and leaves it as it is only reads.

        That is, from this state on it can be left out of any order, and the rest stays possible: true of a refused
        swap, but not of a write of the value that is there already.
        """
        ...

    def is_too_late(self, state: Any, operation: Operation, /) -> bool:
        """Say whether an operation that is not possible in this state cannot be in any that comes after it."""
        ...


@runtime_checkable
class Timed(Protocol):
    """A model in which time matters: its states know an instant, the earliest possible one.

    A step must not happen before its call nor before the step ahead of it, and a model may ask for a later instant
    still (`the lease must have ended`).  Taking always the earliest is without loss: no rule asks for haste.
    """

    def clock(self, state: Any) -> float:
        """Return the earliest instant at which this state can have been reached; it never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """A state that the object could have been in.  order: the last operations that lead to it."""

    state: str
    order: tuple[Operation, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """Where the explanations of one object's history end.

    operation: the first return that no order explains.  overlaps: what else was open then; what is still unknown,
    the newest first.
    attempts: the states in which it was tried, at most ATTEMPTS.  explained_count: returns explained before it.
    """

    object: str
    operation: Operation
    overlaps: tuple[Operation, ...]
    attempts: tuple[Attempt, ...]
    explained_count: int
    began_at: float

    def __str__(self) -> str:
        since = self.began_at
        lines = [f"{self.object} is not linearizable: nothing explains", f"    {_line(self.operation, since)}"]
        if self.overlaps:
            lines += ["which overlaps with"]
            lines += [f"    {_line(each, since)}" for each in self.overlaps[:TAIL]]
            more_count = len(self.overlaps) - TAIL
            lines += [f"    and {more_count} more"] if more_count > 0 else []
        lines += [f"after {self.explained_count} that can be explained.  The state could have been"]
        for attempt in self.attempts:
            lines += [f"    {attempt.state}"]
            lines += [f"        by {'... ' if len(attempt.order) == TAIL else ''}{_order(attempt.order)}"]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    linearizations: object -> an order that explains its history.  violations: of the objects that have none.
    undecided: the objects of which `max_configurations` were visited without an answer.
    """

    linearizations: Mapping[str, tuple[Operation, ...]]
    violations: tuple[Violation, ...]
    undecided: tuple[str, ...]
    operation_count: int
    configuration_count: int

    @property
    def status(self) -> Literal["valid", "invalid", "unknown"]:
        """`unknown`: nothing was found to be wrong, but not everything could be decided."""
        if self.violations:
            return "invalid"
        return "unknown" if self.undecided else "valid"

    @property
    def valid(self) -> bool:
        """Whether every object's history is linearizable; False also while that is unknown."""
        return self.status == "valid"

    def __str__(self) -> str:
        object_count = len(self.linearizations) + len(self.violations) + len(self.undecided)
        counted = f"{self.operation_count} operations on {object_count} objects"
        tried = f"{self.configuration_count} configurations"
        lines = [f"{self.status}: {counted}, {tried} visited"]
        lines += [str(violation) for violation in self.violations]
        lines += [
            f"{name} is undecided: raise max_configurations, or record less at once on one object"
            for name in self.undecided
        ]
        return "\n".join(lines)


def check_linearizable(history: History, model: Model[Any], *, max_configurations: int = MAX_CONFIGURATIONS) -> Verdict:
    """Look for an order that explains the history of each object by the model.

    Operations with the outcome `fail` are left out.  max_configurations: for each object.
    """
    linearizations: dict[str, tuple[Operation, ...]] = {}
    violations: list[Violation] = []
    undecided: list[str] = []
    count = 0
    for name, operations in history.objects.items():
        search = _Search(_Returns.of(operations), model, max_configurations)
        found = search.run()
        count += search.count
        if found is not None:
            linearizations[name] = found
        elif search.is_cut_short:
            undecided.append(name)
        else:
            violations.append(_violation(_shortest(search)))
    return Verdict(linearizations, tuple(violations), tuple(undecided), len(history), count)


def _shortest(failed: _Search[S]) -> _Search[S]:
    """Return the search that fails with the fewest returns to explain."""
    least = failed.position  # so many were explained, and what failed did so by the return `furthest`
    while least < failed.furthest:
        middle = (least + failed.furthest) // 2
        search = _Search(failed.returns, failed.model, failed.limit, middle + 1)
        if search.run() is None and not search.is_cut_short:
            failed = search
        else:
            least = middle + 1
    return failed


def _violation(search: _Search[Any]) -> Violation:
    stuck = search.returns.moments[search.furthest]
    known = (each.operation for each in stuck.open if each.operation is not stuck.operation)
    unknown = (each.operation for each in reversed(search.returns.unknown[: stuck.unknown_count]))
    attempts = tuple(search.attempts.values())
    began_at = search.returns.began_at
    return Violation(
        stuck.operation.object, stuck.operation, (*known, *unknown), attempts, search.furthest, began_at
    )  # fmt: skip


# The search of one object


class _Frame(NamedTuple, Generic[S]):
    """A configuration and what is left to try in it.  length: of the order that leads to it."""

    position: int
    taken: int
    used: int
    length: int
    choices: Iterator[tuple[_Open, S]]


class _Search(Generic[S]):
    """The depth-first search.

    A configuration is the position of the next return, the open operations that are taken, the unknown ones that
    are used, and the state; one that differs from another only in having used more is not worth a visit.  Sets of
    operations are sums of bits; the bit of an open one is free again after its return.

    end: how many returns are to be explained.  position: how many of them were, at best.  furthest: the last return
    that was found to be impossible.  compared: what was spent on finding out which configurations are new.
    """

    def __init__(self, returns: _Returns, model: Model[S], limit: int, end: int | None = None) -> None:
        self.returns = returns
        self.moments = returns.moments
        self.end = len(returns.moments) if end is None else end
        self.model = model
        self.limit = limit
        self.clock = model.clock if isinstance(model, Timed) else None
        self.hints = model if isinstance(model, Hinting) else None
        self.order: list[Operation] = []
        self.frames: list[_Frame[S]] = []
        self.seen: dict[tuple[int, int, S], list[int]] = {}
        self.count = 0
        self.compared = 0
        self.position = 0
        self.furthest = -1
        self.attempts: dict[str, Attempt] = {}

    @property
    def is_cut_short(self) -> bool:
        """Whether the limit is passed."""
        return self.count > self.limit or self.compared > COMPARISONS * self.limit

    def run(self) -> tuple[Operation, ...] | None:
        """Return an order; or None: there is none, or the limit is passed."""
        if self._enter(0, 0, 0, self.model.start()):
            return tuple(self.order)
        while self.frames and not self.is_cut_short:
            frame = self.frames[-1]
            del self.order[frame.length :]
            choice = next(frame.choices, None)
            if choice is None:
                self.frames.pop()
                continue
            chosen, state = choice
            self.order.append(chosen.operation)
            is_known = chosen.position >= 0
            taken = frame.taken | chosen.bit if is_known else frame.taken
            used = frame.used if is_known else frame.used | chosen.bit
            if self._enter(frame.position, taken, used, state, is_visited=not is_known):
                return tuple(self.order)
        return None

    def _enter(self, position: int, taken: int, used: int, state: S, *, is_visited: bool = False) -> bool:
        """Go on to the next return that is not explained; True: there is none left.

        is_visited: the configuration counts as visited already, on its own behalf.
        """
        while True:
            while position < self.end and taken & self.moments[position].bit:
                taken ^= self.moments[position].bit
                position += 1
            if position == self.end:
                return True
            if not is_visited and not self._is_new(position, taken, used, state):
                return False
            is_visited = False
            moment = self.moments[position]
            taken, choices, stuck = self._look(moment, taken, state)
            if not taken & moment.bit:
                break
        self.position = max(self.position, position)
        self._note(position if stuck is None else stuck, state)
        if stuck is None:
            more = itertools.chain(choices, self._unknown_choices(position, taken, used, state))
            self.frames.append(_Frame(position, taken, used, len(self.order), more))
        return False

    def _is_new(self, position: int, taken: int, used: int, state: S) -> bool:
        before = self.seen.setdefault((position, taken, state), [])
        self.compared += DETOUR + len(before)
        if any(each & used == each for each in before):
            return False
        before[:] = [each for each in before if used & each != used]  # those have used more
        before.append(used)
        self.count += 1
        return True

    def _look(self, moment: _Moment, taken: int, state: S) -> tuple[int, list[tuple[_Open, S]], int | None]:
        """Take the reads that are possible.

        Return what is taken now, the other possible steps, and the return that has become impossible for good, if any.
        """
        hints = self.hints
        choices: list[tuple[_Open, S]] = []
        for each in moment.open:
            if taken & each.bit:
                continue
            after = self.model.step(state, each.operation)
            if after is None:
                if hints is not None and each.position < self.end and hints.is_too_late(state, each.operation):
                    return taken, [], each.position
            elif hints is not None and after == state and hints.is_read(state, each.operation):
                taken |= each.bit
                self.order.append(each.operation)
            elif self._is_in_time(after, moment):
                choices.append((each, after))
        return taken, choices, None

    def _unknown_choices(self, position: int, taken: int, used: int, state: S) -> Iterator[tuple[_Open, S]]:
        """Give the new configurations that an unknown operation leads to.

        All of them count as visited before the first is, so that none of them is reached by a detour.
        """
        moment = self.moments[position]
        alike: set[tuple[str, Any]] = set()
        choices: list[tuple[_Open, S]] = []
        for each in self.returns.unknown[: moment.unknown_count]:
            kind = (each.operation.op, each.operation.arg)
            if used & each.bit or kind in alike:
                continue
            alike.add(kind)
            after = self.model.step(state, each.operation)
            if after is None or after == state or not self._is_in_time(after, moment):
                continue
            if self._is_new(position, taken, used | each.bit, after):
                choices.append((each, after))
        yield from choices

    def _is_in_time(self, after: S, moment: _Moment) -> bool:
        """Say whether a state can be reached before the moment; what is reached later comes after it in the order."""
        return self.clock is None or self.clock(after) <= moment.operation.returned_at

    def _note(self, position: int, state: S) -> None:
        """Keep the states in which the furthest return was tried, for the story of a violation."""
        if position > self.furthest:
            self.furthest = position
            self.attempts = {}
        if position == self.furthest and len(self.attempts) < ATTEMPTS:
            shown = str(state)
            if shown not in self.attempts:
                self.attempts[shown] = Attempt(shown, tuple(self.order[-TAIL:]))


# What is to be explained


class _Open(NamedTuple):
    """An operation that may be taken.  position: of its return; -1 if it is unknown."""

    bit: int
    operation: Operation
    position: int


class _Moment(NamedTuple):
    """A return.  open: what has been called and has not returned, by its return; itself is the first.

    unknown_count: how many of the unknown operations have been called.
    """

    operation: Operation
    bit: int
    open: tuple[_Open, ...]
    unknown_count: int


@dataclass(frozen=True, slots=True)
class _Returns:
    """The moments of one object's operations, in order, and its unknown operations, by their calls."""

    moments: list[_Moment]
    unknown: list[_Open]
    began_at: float

    @classmethod
    def of(cls, operations: tuple[Operation, ...]) -> _Returns:
        """Order the events; what is called at the instant of a return overlaps with what returns."""
        happened = [each for each in operations if each.outcome != "fail"]
        events = [(each.called_at, 0, number) for number, each in enumerate(happened)]
        events += [(each.returned_at, 1, number) for number, each in enumerate(happened) if each.is_known]
        events.sort()
        returned = (number for _, is_return, number in events if is_return)
        position_of = {number: position for position, number in enumerate(returned)}
        moments: list[_Moment] = []
        unknown: list[_Open] = []
        opened: dict[int, _Open] = {}
        free: list[int] = []
        bit_count = 0
        for _, is_return, number in events:
            if is_return:
                others = tuple(sorted(opened.values(), key=_by_return))
                last = opened.pop(number)
                moments.append(_Moment(last.operation, last.bit, others, len(unknown)))
                free.append(last.bit)
                continue
            operation = happened[number]
            if not operation.is_known:
                unknown.append(_Open(1 << len(unknown), operation, -1))
                continue
            if not free:
                free.append(1 << bit_count)
                bit_count += 1
            opened[number] = _Open(free.pop(), operation, position_of[number])
        return cls(moments, unknown, operations[0].called_at)


def _by_return(each: _Open) -> int:
    return each.position


# Words


def _line(operation: Operation, since: float) -> str:
    begin = f"{operation.called_at - since:+.6f}"
    end = (
        "never"
        if not operation.is_known or operation.returned_at == math.inf
        else f"{operation.returned_at - since:+.6f}"
    )
    who = f"  by {operation.process}" if operation.process else ""
    note = f" ({operation.note})" if operation.note else ""
    return f"{operation}{who}  [{begin}, {end}]{note}"


def _order(operations: tuple[Operation, ...]) -> str:
    return ", ".join(str(each) for each in operations) or "nothing, it is the first"
