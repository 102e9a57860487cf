"""Laws of named values: every history is one of a plain variable, repeats count once, versions only grow."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from concerted.board.register import (
    Await,
    CompareAndSwap,
    Create,
    Delete,
    Increment,
    Put,
    Register,
    RegisterResult,
    answer,
    decide,
    evolve,
)
from concerted.errors import Conflict
from concerted.machine import Event, Look
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

agents = st.sampled_from([AgentId("ann"), AgentId("bob"), AgentId("cy")])
ids = st.sampled_from([f"r{n}" for n in range(8)])
values = st.sampled_from([0, 1, 2, 5, None, "x", [1], {"a": 1}])
versions = st.integers(0, 6)
bounds = st.none() | st.integers(-2, 3)
swaps = st.one_of(
    st.builds(CompareAndSwap, agents, values, ids, versions),
    st.builds(CompareAndSwap, agents, values, ids, st.none(), values),
    st.builds(CompareAndSwap, agents, values, ids, versions, values),
)  # fmt: skip
changes = st.one_of(
    st.builds(Put, agents, values, ids),
    swaps,
    st.builds(Increment, agents, ids, st.integers(-2, 3), bounds, bounds),
    st.builds(Delete, agents, ids, st.none() | versions),
)  # fmt: skip
histories = st.lists(changes, max_size=25)


class Variable:
    """What a named value should be: a variable, a version, and what each id was answered."""

    def __init__(self) -> None:
        self.value: Any = UNSET
        self.version = 0
        self.seen: dict[tuple[str, str], tuple[Any, Any, int]] = {}

    def ask(self, request: Any) -> tuple[bool, Any, int] | None:
        """Return whether it changed, and the value and version as the caller is told; None for a conflict."""
        key = (request.by, request.request_id)
        if key in self.seen:
            first, value, version = self.seen[key]
            return (True, value, version) if first == request else None
        after = self.next(request)
        if after is UNSET and not (isinstance(request, Delete) and self.swaps(request)):
            return False, None if self.value is UNSET else self.value, self.version
        self.value, self.version = after, self.version + 1
        shown = None if after is UNSET else after
        self.seen[key] = (request, shown, self.version)
        return True, shown, self.version

    def next(self, request: Any) -> Any:
        match request:
            case Put(value=value):
                return value
            case CompareAndSwap(value=value):
                return value if self.swaps(request) else UNSET
            case Increment(amount=amount, minimum=minimum, maximum=maximum):
                if not (self.value is UNSET or isinstance(self.value, int)):
                    return UNSET
                count = amount + (0 if self.value is UNSET else self.value)
                low = minimum is not None and count < minimum
                return UNSET if low or (maximum is not None and count > maximum) else count
        return UNSET

    def swaps(self, request: Any) -> bool:
        is_empty = self.value is UNSET
        at = request.expected_version in ((None, 0, self.version) if is_empty else (None, self.version))
        if isinstance(request, Delete):
            return at and not is_empty
        return at and (request.expected_value is UNSET or request.expected_value == self.value)


def told(state: Register, request: Any, at: float, log: list[Event]) -> tuple[Register, RegisterResult | None]:
    """Have a request decided; return the new state and the answer, None if it was a conflict."""
    try:
        step = decide(state, request, at)
    except Conflict:
        return state, None
    for event in step.events:
        log.append(event)
        state = evolve(state, event, at)
    return state, answer(state, request, at)


def created() -> Register:
    return evolve(None, decide(None, Create("x", AgentId("ann")), 0.0).events[0], 0.0)


@given(histories)
@settings(max_examples=settings().max_examples * 5)
def test_every_answer_is_that_of_a_plain_variable(history: list[Any]) -> None:
    state, variable = created(), Variable()
    for at, request in enumerate(history, 1):
        state, result = told(state, request, float(at), [])
        expected = variable.ask(request)
        assert (result and (result.swapped, result.value, result.version)) == expected
        shown = answer(state, Look(), 0.0)
        assert (shown.value if shown.exists else UNSET, shown.version) == (variable.value, variable.version)


@given(histories, st.data())
def test_a_history_with_repeats_comes_to_the_same_as_without(history: list[Any], data: st.DataObject) -> None:
    """Every successful change is asked again, at once and at some time later, and nothing changes by it."""
    log: list[Event] = []
    state = created()
    done: list[tuple[Any, RegisterResult]] = []
    for at, request in enumerate(history, 1):
        state, result = told(state, request, float(at), log)
        if result is not None and result.swapped:
            done.append((request, result))
        if done:
            again, first = data.draw(st.sampled_from(done))
            before = list(log)
            state, repeated = told(state, again, float(at) + 0.5, log)
            assert (repeated, log) == (first, before)


@given(histories)
def test_versions_count_the_changes_and_none_comes_twice(history: list[Any]) -> None:
    log: list[Event] = []
    state = created()
    for at, request in enumerate(history, 1):
        before = state.version
        state, result = told(state, request, float(at), log)
        if result is not None and result.swapped:
            assert result.version <= state.version
        assert answer(state, Await(before), 0.0).pending == (state.version == before)
    assert [event.data["version"] for event in log] == list(range(1, len(log) + 1))


@given(histories, st.data())
def test_the_events_alone_lead_to_the_same_state_through_a_fold_at_any_place(
    history: list[Any], data: st.DataObject
) -> None:
    state, again = created(), created()
    fold_at = data.draw(st.integers(0, len(history)))
    for at, request in enumerate(history):
        if at == fold_at:
            again = through_the_log(again)
        log: list[Event] = []
        state, _ = told(state, request, float(at), log)
        for event in log:
            written = msgspec.json.decode(msgspec.json.encode(event), type=Event)
            again = evolve(again, written, float(at))
    assert again == state


def through_the_log(state: Register) -> Register:
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(state, enc_hook=dict)))
    return msgspec.convert(plain, Register, dec_hook=_typed)


def _typed(kind: Any, value: Any) -> Any:
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=_typed))  # type: ignore[misc]
