"""Where a group stands: what is counted, until when nobody's time is over, and every state through the log."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.memberships.membership import (
    Create,
    Expire,
    Join,
    Leave,
    Renew,
    Update,
    Watch,
    answer,
    begins,
    check_renewal,
    decide,
    ends,
)
from concerted.board.memberships.state import CHANGES_KEPT, Group, evolve
from concerted.errors import LeaseLost, NotFound
from concerted.machine import Event, Found, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

agents = st.sampled_from([AgentId("ann"), AgentId("bob"), AgentId("cy")])
ttls = st.sampled_from([None, 4.0, 9.0])
requests = st.one_of(
    st.builds(Join, agents, st.integers(0, 1), ttls),
    st.builds(Join, agents, st.integers(0, 1), ttls),
    st.builds(Leave, agents),
    st.builds(Update, agents, st.integers(0, 1)),
    st.builds(Renew, agents, st.just("")),
    st.builds(Lost, agents, st.just("killed")),
    st.builds(Found, agents),
    st.just("time"),
)
histories = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 2.0, 6.0]), requests), min_size=5, max_size=40)
graces = st.sampled_from([None, 0.0, 3.0])


class Course:
    """A group as the engine keeps it: its log, and a store that knows the renewals."""

    def __init__(self, grace_s: float | None) -> None:
        self.log: list[tuple[float, Event]] = []
        self.state: Group | None = None
        self.held: dict[str, float] = {}
        self.wake_at: float | None = None
        self.ask(Create("crew", AgentId("cy"), grace_s), 0.0)

    def ask(self, request: Any, now: float) -> None:
        step = decide(self.state, request, now)
        for event in step.events:
            if event.data.get("how") == "expired":
                assert self.held[str(event.agent)] == event.data["deadline_at"] <= now
            self.log.append((now, event))
            self.state = evolve(self.state, event, now)
            for key, _ in ends(event):
                self.held.pop(key, None)
            self.held |= dict(begins(event))
        self.wake_at = step.wake_at

    def now_comes(self, now: float) -> None:
        for _ in range(20):
            if self.wake_at is None or self.wake_at > now:
                return
            self.ask(Expire(dict(self.held)), now)
        raise AssertionError("it asks to be woken for ever")

    def renew(self, agent: AgentId, now: float) -> None:
        member = check_renewal(self.state, agent, "", now, self.held.get(agent))
        assert member.ttl_s is not None
        self.held[agent] = max(self.held[agent], now + member.ttl_s)


def live(history: list[tuple[float, Any]], grace_s: float | None, in_time: bool) -> Course:
    """Let a group live through requests, wrong ones included; in_time: no timer is ever late."""
    course, now = Course(grace_s), 0.0
    for pause, request in history:
        now += pause
        if in_time or request == "time":
            course.now_comes(now)
        try:
            if isinstance(request, Renew):
                course.renew(request.holder, now)
            elif request != "time":
                course.ask(request, now)
        except (LeaseLost, NotFound):
            continue
        check(course, now, in_time)
    return course


def check(course: Course, now: float, in_time: bool) -> None:
    """See that what is counted is what is there, and that nobody stays longer than it may."""
    state = course.state
    assert state is not None
    members = dict(state.members)
    assert state.suspects == sum(bool(one.suspect) for one in members.values())
    assert state.leased == sum(one.expires_at is not None for one in members.values())
    assert set(course.held) == {agent for agent, one in members.items() if one.expires_at is not None}
    assert all(course.held[agent] >= (members[agent].expires_at or 0.0) for agent in course.held)
    assert all(one.remove_at is None or one.remove_at > now for one in members.values())
    soonest = min([*course.held.values(), *(one.remove_at for one in members.values() if one.remove_at)], default=None)
    if soonest is not None:
        assert course.wake_at is not None
        assert course.wake_at <= soonest
        assert not in_time or soonest > now
    else:
        assert course.wake_at is None


@given(histories, graces, st.booleans())
def test_whoever_stays_is_woken_for_in_time_and_nobodys_time_is_cut_short(
    history: list[tuple[float, Any]], grace_s: float | None, in_time: bool
) -> None:
    live(history, grace_s, in_time)


@given(histories, graces)
def test_every_version_is_one_change_and_a_watch_sees_them_all(
    history: list[tuple[float, Any]], grace_s: float | None
) -> None:
    course = live(history, grace_s, in_time=True)
    state = course.state
    assert state is not None
    versions = [event.data["version"] for _, event in course.log if "version" in event.data]
    assert versions == list(range(1, len(versions) + 1))
    for known in range(1, len(versions)):
        told = answer(state, Watch(known), 0.0)
        if told.changes is not None:
            assert [change.version for change in told.changes] == versions[known:]
        else:
            assert len(versions) - known > CHANGES_KEPT


@given(histories, graces, st.booleans(), st.data())
def test_the_events_alone_lead_to_the_same_state_through_a_fold_at_any_place(
    history: list[tuple[float, Any]], grace_s: float | None, in_time: bool, data: st.DataObject
) -> None:
    course = live(history, grace_s, in_time)
    fold_at = data.draw(st.integers(0, len(course.log)))
    again: Group | None = None
    for n, (at, event) in enumerate(course.log):
        if n == fold_at and again is not None:
            plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(again, enc_hook=dict)))
            again = msgspec.convert(plain, Group, dec_hook=typed)
        again = evolve(again, msgspec.json.decode(msgspec.json.encode(event), type=Event), at)
    assert again == course.state


@given(histories, graces)
def test_a_plain_wake_lets_only_suspects_go(history: list[tuple[float, Any]], grace_s: float | None) -> None:
    course = live(history, grace_s, in_time=False)
    step = decide(course.state, Wake(), 1_000.0)
    assert all(event.data["how"] == "gone" for event in step.events)
    assert step.wake_at is None or step.wake_at > 1_000.0


def typed(kind: Any, value: Any) -> Any:
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]
