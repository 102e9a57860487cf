"""The shape of all machines, shown on the smallest one: a counter with a limit and an alarm."""

from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from concerted.machine import Event, Send, Step
from concerted.values import AgentId, Instant

ANN = AgentId("ann")


@dataclass(frozen=True, slots=True)
class Counter:
    """counting --third knock--> open"""

    knocks: int = 0
    is_open: bool = False


def decide(state: Counter, request: AgentId, now: Instant) -> Step:
    if state.is_open:
        return Step()
    knocked = Event("counter.knocked", agent=request, data={"knocks": state.knocks + 1})
    if state.knocks < 2:
        return Step((knocked,), wake_at=now + 5)
    return Step((knocked, Event("counter.opened", agent=request)), (Send((request,), "WELCOME", {"knocks": 3}),))


def evolve(state: Counter, event: Event) -> Counter:
    match event.kind:
        case "counter.knocked":
            return replace(state, knocks=event.data["knocks"])
        case "counter.opened":
            return replace(state, is_open=True)
        case _:
            return state


def test_a_decision_changes_nothing_until_its_events_are_evolved() -> None:
    state = Counter()
    step = decide(state, ANN, 10.0)
    assert state == Counter()
    assert step == Step((Event("counter.knocked", ANN, None, {"knocks": 1}),), (), 15.0)
    assert evolve(state, step.events[0]) == Counter(knocks=1)


def test_the_events_alone_bring_the_state_back() -> None:
    state, written = Counter(), []
    for _ in range(4):
        step = decide(state, ANN, 0.0)
        for event in step.events:
            written.append(event)
            state = evolve(state, event)
    recovered = Counter()
    for event in written:
        recovered = evolve(recovered, event)
    assert recovered == state == Counter(knocks=3, is_open=True)
    assert [event.kind for event in written] == ["counter.knocked"] * 3 + ["counter.opened"]


def test_a_step_that_does_nothing_is_empty() -> None:
    step = decide(Counter(3, is_open=True), ANN, 0.0)
    assert (step.events, step.sends, step.wake_at) == ((), (), None)


def test_what_is_sent_says_to_whom() -> None:
    step = decide(Counter(knocks=2), ANN, 0.0)
    assert step.sends == (Send((ANN,), "WELCOME", {"knocks": 3}),)


@pytest.mark.parametrize(
    "value", [Event("counter.knocked"), Send((ANN,), "WELCOME", {}), Step()], ids=lambda v: type(v).__name__
)
def test_a_fact_does_not_change(value: Event | Send | Step) -> None:
    name = next(iter(value.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")


def test_two_events_never_share_their_data() -> None:
    assert Event("counter.knocked").data is not Event("counter.knocked").data
