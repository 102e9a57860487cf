"""Laws of the checker: what a real object did is accepted, and it agrees with trying every order."""

import itertools
import math
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from concerted.testing.history import History, Operation
from concerted.testing.linearizability import Model, Timed, check_linearizable
from concerted.testing.models import Arrivals, Counter, Election, Lease, Queue, Register, VersionedRegister

# Real objects: plain code with state that changes in place, which knows nothing of the models.


class Cell:
    """A register."""

    def __init__(self) -> None:
        self.value: Any = 0

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        first, second, _ = numbers
        if op == "write":
            self.value = first
            return first, None
        if op == "read":
            return None, self.value
        swapped = self.value == first
        if swapped:
            self.value = second
        return [first, second], swapped


class Versions:
    """A register with versions that grow by one or more."""

    def __init__(self) -> None:
        self.value: Any = None
        self.version = 0

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        first, second, third = numbers
        if op == "read":
            return None, [self.value, self.version]
        expected = self.version - third % 2
        if op == "cas" and expected != self.version:
            return [expected, first], None
        self.value = first
        self.version += 1 + second
        return ([expected, first] if op == "cas" else first), self.version


class Tally:
    """A counter."""

    def __init__(self) -> None:
        self.total = 0

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        if op == "read":
            return None, self.total
        self.total += numbers[0]
        return numbers[0], self.total


class Line:
    """A queue."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        if op == "put":
            self.items.append(numbers[0])
            return numbers[0], None
        return None, self.items.pop(0) if self.items else None


class Meeting:
    """A sync point of three, which may be cancelled."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.status = "waiting"

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        if op == "status":
            return None, self.status
        if op == "cancel":
            was, self.status = self.status, "cancelled" if self.status == "waiting" else self.status
            return None, was == "waiting"
        name = "abcd"[numbers[0]]
        if name not in self.there and self.status == "cancelled":
            return name, None
        self.there.add(name)
        if len(self.there) == 3 and self.status == "waiting":
            self.status = "completed"
        return name, len(self.there)


class Lock:
    """A lease of 20 instants which ends `late` instants after it may."""

    def __init__(self, late: int = 0) -> None:
        self.late = late
        self.holder: str | None = None
        self.token = 0
        self.until = -math.inf

    def do(self, op: str, numbers: tuple[int, int, int], at: float) -> tuple[Any, Any]:
        first, second, third = numbers
        if at >= self.until + self.late:
            self.holder = None
        who, token = "abc"[first % 3], self.token - third % 2
        holds = self.holder == who and token == self.token
        if op == "check":
            return token, self.holder is not None and token == self.token
        if op == "look":
            return None, [] if self.holder is None else [[self.holder, self.token]]
        if op == "acquire":
            if self.holder is None:
                self.holder, self.until = who, at + 20
                self.token += 1 + second
                return [who, 20], self.token
            return [who, 20], self.token if self.holder == who else None
        if op == "renew":
            self.until = at + 20 if holds else self.until
            return [who, token, 20], holds
        self.holder = None if holds else self.holder
        return [who, token], holds


@dataclass
class Kind:
    """A real object, its model, and what it can be asked."""

    real: Any
    model: Model[Any]
    ops: list[str]
    wrong: list[Any] = field(default_factory=lambda: [None, 0, 1, 2, 3, True, False])


KINDS = [
    Kind(Cell, Register(0), ["read", "write", "cas"], [0, 1, 2, 3, True, False]),
    Kind(Versions, VersionedRegister(), ["read", "write", "cas"], [1, 2, 3, 4]),
    Kind(Tally, Counter(), ["read", "add"]),
    Kind(Line, Queue(), ["put", "take"]),
    Kind(
        Meeting, Arrivals(3), ["arrive", "arrive", "status", "cancel"], ["waiting", "completed", 1, 2, 3, True, False]
    ),
    Kind(Lock, Lease(), ["acquire", "acquire", "renew", "release", "check", "look"], [1, 2, 3, True, False]),
]

numbers = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))


@st.composite
def recorded(draw: st.DrawFn, most: int) -> tuple[Kind, list[Operation]]:
    """Let a real object do things one after the other, each at some instant between its call and its return."""
    kind = draw(st.sampled_from(KINDS))
    real, at = kind.real(), 0
    operations = []
    for op, asked, gap, before, behind, fate in draw(
        st.lists(
            st.tuples(
                st.sampled_from(kind.ops), numbers, st.integers(1, 15), st.integers(0, 30), st.integers(0, 30),
                st.sampled_from(["ok"] * 6 + ["done", "not done", "fail"]),
            ),
            max_size=most,
        )
    ):  # fmt: skip
        at += gap
        if fate in {"ok", "done"}:
            arg, result = real.do(op, asked, at)
            known = Operation("it", op, arg, result, at - before, at + behind)
            operations.append(known if fate == "ok" else unanswered(known))
        else:  # it never reaches the real object
            arg, _ = kind.real().do(op, asked, at)
            missed = Operation("it", op, arg, None, at - before, at + behind, "fail")
            operations.append(missed if fate == "fail" else unanswered(missed))
    return kind, operations


def unanswered(operation: Operation) -> Operation:
    return replace(operation, result=None, returned_at=math.inf, outcome="info")


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Kind, list[Operation]]:
    """Give one operation of a small history another result, of the right form."""
    kind, operations = draw(recorded(6))
    known = [number for number, each in enumerate(operations) if each.is_known]
    if known:
        number = draw(st.sampled_from(known))
        result = another(kind, operations[number], draw(st.sampled_from(kind.wrong)))
        operations[number] = replace(operations[number], result=result)
    return kind, operations


def another(kind: Kind, operation: Operation, wrong: Any) -> Any:
    """Return a result of the form that the operation has, with something else in it."""
    if isinstance(operation.result, bool):
        return not operation.result
    if isinstance(kind.model, Lease) and operation.op == "look":
        return [["b", int(wrong)]] if not operation.result else []
    if isinstance(kind.model, VersionedRegister) and operation.op == "read":
        return [operation.result[0], wrong]
    if isinstance(kind.model, VersionedRegister | Lease):
        return int(wrong)
    return wrong


# Histories out of thin air: each result has its form, and that is all.

few, yes_or_no, nothing = st.integers(0, 3), st.booleans(), st.none()
who, ttl_s = st.sampled_from(["a", "b"]), st.sampled_from([0, 5, 20, None])


def said(op: str, arg: Any = nothing, result: Any = nothing) -> st.SearchStrategy[tuple[str, Any, Any]]:
    return st.tuples(st.just(op), arg, result)


HELD = [
    said("renew", st.tuples(who, few, ttl_s), yes_or_no),
    said("check", few, yes_or_no),
]
ANYTHING: list[tuple[Model[Any], st.SearchStrategy[tuple[str, Any, Any]]]] = [
    (Register(0), said("read", result=few) | said("write", few) | said("cas", st.tuples(few, few), yes_or_no)),
    (
        VersionedRegister(0),
        said("read", result=st.tuples(few, few)) | said("write", few, few)
        | said("cas", st.tuples(few, few), few | st.none()),
    ),
    (Counter(), said("read", result=few) | said("add", st.integers(-1, 2), few | st.none())),
    (Queue(), said("put", few) | said("take", result=few | st.none())),
    (
        Arrivals(2),
        said("arrive", st.sampled_from(["a", "b", "c"]), few | st.none()) | said("cancel", result=yes_or_no)
        | said("arrived", result=st.sampled_from([[], ["a"], ["a", "b"], ["b", "c"]]))
        | said("status", result=st.sampled_from(["waiting", "completed", "cancelled", "expired"])),
    ),
    (
        Lease(),
        st.one_of(
            *HELD,
            said("acquire", st.tuples(who, ttl_s), few | st.none()),
            said("acquire", st.tuples(who, ttl_s, st.just("shared")), few | st.none()),
            said("release", st.tuples(who, few), yes_or_no),
            said("look", result=st.lists(st.tuples(who, few), max_size=2)),
        ),
    ),
    (
        Election(),
        st.one_of(
            *HELD,
            said("campaign", st.tuples(who, ttl_s), few | st.none()),
            said("resign", st.tuples(who, few), yes_or_no),
            said("proclaim", st.tuples(who, few, few), yes_or_no),
            said("observe", result=st.tuples(who, few) | st.none()),
            said("hear", result=few | st.none()),
        ),
    ),
]  # fmt: skip


@st.composite
def invented(draw: st.DrawFn) -> tuple[Model[Any], list[Operation]]:
    model, asked = draw(st.sampled_from(ANYTHING))
    operations = []
    for (op, arg, result), called_at, length, outcome in draw(
        st.lists(
            st.tuples(asked, st.integers(0, 30), st.integers(0, 20), st.sampled_from(["ok", "ok", "ok", "info"])),
            max_size=5,
        )
    ):  # fmt: skip
        known = Operation("it", op, arg, result, called_at, called_at + length)
        operations.append(known if outcome == "ok" else unanswered(known))
    return model, operations


# The oracle: every subset of the unknown operations, in every order.


def brute_force(operations: list[Operation], model: Model[Any], until: float = math.inf) -> bool:
    """Say whether some order explains what had returned by an instant; what was open then may have happened."""
    called = [each for each in operations if each.outcome != "fail" and each.called_at <= until]
    returned = [each for each in called if each.is_known and each.returned_at <= until]
    open_then = [each for each in called if not each.is_known or each.returned_at > until]
    subsets = itertools.chain.from_iterable(
        itertools.combinations(open_then, count) for count in range(len(open_then) + 1)
    )  # fmt: skip
    return any(
        explains(order, model) for happened in subsets for order in itertools.permutations([*returned, *happened])
    )  # fmt: skip


def explains(order: tuple[Operation, ...], model: Model[Any]) -> bool:
    """Say whether an order respects time, and the model allows every step of it."""
    for earlier, later in itertools.combinations(order, 2):
        if later.returned_at < earlier.called_at:
            return False
    state = model.start()
    for number, operation in enumerate(order):
        state = model.step(state, operation)
        if state is None:
            return False
        if isinstance(model, Timed) and model.clock(state) > min(each.returned_at for each in order[number:]):
            return False
    return True


@given(recorded(30))
def test_what_a_real_object_did_is_accepted(case: tuple[Kind, list[Operation]]) -> None:
    kind, operations = case
    verdict = check_linearizable(History.of(operations), kind.model)
    assert verdict.valid, verdict


@given(st.integers(0, 40), st.data())
def test_a_lease_may_last_longer_than_granted(late: int, data: st.DataObject) -> None:
    lock = Lock(late)
    operations = []
    for at in range(0, 210, 7):
        op = data.draw(st.sampled_from(["acquire", "renew", "release", "check", "look"]))
        arg, result = lock.do(op, data.draw(numbers), at)
        before, behind = data.draw(st.integers(0, 20)), data.draw(st.integers(0, 20))
        operations.append(Operation("it", op, arg, result, at - before, at + behind))
    verdict = check_linearizable(History.of(operations), Lease())
    assert verdict.valid, verdict


@given(st.one_of(mutated(), recorded(6)))
def test_it_says_what_trying_every_order_says(case: tuple[Kind, list[Operation]]) -> None:
    kind, operations = case
    verdict = check_linearizable(History.of(operations), kind.model)
    assert verdict.status == ("valid" if brute_force(operations, kind.model) else "invalid")


@given(invented())
def test_it_says_of_whatever_is_invented_what_trying_every_order_says(case: tuple[Model[Any], list[Operation]]) -> None:
    model, operations = case
    verdict = check_linearizable(History.of(operations), model)
    assert verdict.status == ("valid" if brute_force(operations, model) else "invalid")


@given(recorded(12))
def test_the_order_it_finds_explains_the_history(case: tuple[Kind, list[Operation]]) -> None:
    kind, operations = case
    for order in check_linearizable(History.of(operations), kind.model).linearizations.values():
        assert explains(order, kind.model)
        known = [each for each in operations if each.is_known]
        assert sorted(map(str, known)) == sorted(str(each) for each in order if each.is_known)


@given(mutated())
def test_the_operation_it_names_is_the_first_return_that_no_order_explains(case: tuple[Kind, list[Operation]]) -> None:
    kind, operations = case
    for violation in check_linearizable(History.of(operations), kind.model).violations:
        instant = violation.operation.returned_at
        assert not brute_force(operations, kind.model, instant)
        assert brute_force(operations, kind.model, math.nextafter(instant, -math.inf))
