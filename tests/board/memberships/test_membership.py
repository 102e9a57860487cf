"""A group by name: joining, leaving, being lost, versions that all see alike, and waiting for a size."""

from typing import Any

import pytest

from concerted.board.memberships import membership
from concerted.board.memberships.membership import (
    MEMBERS_MAX,
    VALUE_BYTES,
    AwaitSize,
    Create,
    Expire,
    Group,
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
    evolve,
    holds,
    topic,
    waits,
    wakes,
)
from concerted.board.memberships.state import CHANGES_KEPT, Change, Member
from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def after(state: Group | None, *steps: tuple[float, Any]) -> Group:
    """Return the state after requests at instants."""
    for at, request in steps:
        for event in decide(state, request, at).events:
            assert event.kind in membership.KINDS
            state = evolve(state, event, at)
    assert state is not None
    return state


def events(state: Group | None, request: Any, at: float) -> list[tuple[str, Any, dict[str, Any]]]:
    return [(event.kind, event.agent, event.data) for event in decide(state, request, at).events]


def kinds(state: Group | None, request: Any, at: float) -> list[str]:
    return [f"{event.kind.removeprefix('membership.')} {event.agent}" for event in decide(state, request, at).events]


EMPTY = after(None, (0.0, Create("crew", CY, grace_s=5.0)))
TWO = after(EMPTY, (1.0, Join(ANN, "a", ttl_s=30.0)), (2.0, Join(BOB, "b")))


# making a group


def test_a_group_is_created_empty() -> None:
    assert events(None, Create("crew", CY, 5.0), 0.0) == [
        ("membership.created", CY, {"name": "crew", "status": "active", "grace_s": 5.0})
    ]
    shown = answer(EMPTY, Look(), 0.0)
    assert (shown.name, shown.version, shown.size, shown.members) == ("crew", 0, 0, ())


def test_the_same_creation_again_changes_nothing_and_another_is_a_conflict() -> None:
    assert events(TWO, Create("crew", BOB, 5.0), 3.0) == []
    with pytest.raises(Conflict, match="crew was created by cy with another grace_s; look at it"):
        decide(TWO, Create("crew", CY, 6.0), 3.0)


def test_a_member_that_names_the_group_makes_it() -> None:
    made = after(None, (1.0, Join(ANN, name="crew")))
    assert (made.creator, made.version, list(made.members)) == (ANN, 1, ["ann"])


@pytest.mark.parametrize(
    "request_", [Look(), Join(ANN), Leave(ANN), Update(ANN, 1), Watch(), AwaitSize(1), Renew(ANN, "")]
)
def test_what_does_not_exist_is_not_found(request_: Any) -> None:
    with pytest.raises(NotFound, match="there is no such group; create it, or join it together with its name"):
        decide(None, request_, 1.0)


@pytest.mark.parametrize("request_", [Wake(), Expire({}), Lost(ANN, "killed"), Found(ANN)])
def test_time_and_losses_find_nothing_where_there_is_nothing(request_: Any) -> None:
    assert decide(None, request_, 1.0).events == ()


@pytest.mark.parametrize(
    ("state", "request_", "problem"),
    [
        (None, Create("", CY), "cannot name a group"),
        (None, Create("crew", CY, grace_s=-1.0), "crew: grace_s is -1.0; it must be 0 to"),
        (EMPTY, Join(AgentId("")), "cannot name a member"),
        (EMPTY, Join(ANN, ttl_s=0.0), "ttl_s is 0.0; it must be"),
        (EMPTY, Join(ANN, value=object()), "the value of ann has no JSON form"),
        (EMPTY, Join(ANN, value="x" * VALUE_BYTES), "the value of ann has 4098 bytes, at most 4096"),
        (EMPTY, AwaitSize(0), "0 members cannot be waited for; 1 to 10000 can"),
        (EMPTY, AwaitSize(MEMBERS_MAX + 1), "10001 members cannot be waited for"),
    ],
)
def test_a_malformed_request_is_refused(state: Group | None, request_: Any, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        decide(state, request_, 1.0)


# joining, changing, leaving


def test_whoever_joins_is_seen_with_its_value() -> None:
    step = decide(EMPTY, Join(ANN, {"at": [1]}, ttl_s=30.0), 1.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        (
            "membership.joined", ANN,
            {
                "value": {"at": [1]}, "ttl_s": 30.0, "expires_at": 31.0, "arrived": 1, "participants": ["ann"],
                "version": 1,
            },
        )
    ]  # fmt: skip
    assert step.wake_at == 31.0
    shown = answer(TWO, Look(), 3.0)
    assert [(one.agent, one.value, one.status, one.since) for one in shown.members or ()] == [
        (ANN, "a", "present", 1.0),
        (BOB, "b", "present", 2.0),
    ]
    assert (shown.success, shown.is_member, shown.pending) == (True, False, False)
    joined = answer(TWO, Join(ANN, "a", ttl_s=30.0), 3.0)
    assert (joined.is_member, joined.version, joined.size, joined.ttl_s, joined.members) == (True, 2, 2, 30.0, None)


def test_joining_twice_is_joining_once() -> None:
    assert events(TWO, Join(ANN, "a", ttl_s=30.0), 9.0) == []


def test_who_joins_anew_with_another_value_or_time_to_live_changes_it() -> None:
    assert events(TWO, Join(ANN, "z", ttl_s=30.0), 9.0) == [("membership.changed", ANN, {"value": "z", "version": 3})]
    assert events(TWO, Join(ANN, "a", ttl_s=5.0), 9.0) == [
        ("membership.changed", ANN, {"value": "a", "ttl_s": 5.0, "expires_at": 14.0, "version": 3})
    ]
    unbound = after(TWO, (9.0, Join(ANN, "a")))
    assert unbound.members["ann"] == Member("a", 1.0)
    assert decide(unbound, Look(), 9.0).wake_at is None


def test_a_member_sets_its_value() -> None:
    assert events(TWO, Update(BOB, "z"), 3.0) == [("membership.changed", BOB, {"value": "z", "version": 3})]
    assert events(TWO, Update(BOB, "b"), 3.0) == []
    with pytest.raises(NotFound, match="cy is no member of crew; join it first"):
        decide(TWO, Update(CY, "z"), 3.0)


def test_a_value_may_be_as_long_as_it_may_be() -> None:
    assert kinds(TWO, Update(BOB, "x" * (VALUE_BYTES - 2)), 3.0) == ["changed bob"]


def test_a_member_leaves() -> None:
    assert events(TWO, Leave(ANN), 3.0) == [("membership.left", ANN, {"by": "ann", "arrived": 1, "version": 3})]
    left = after(TWO, (3.0, Leave(ANN)))
    assert (list(left.members), answer(left, Leave(ANN), 3.0).is_member) == (["bob"], False)
    assert events(left, Leave(ANN), 4.0) == []


@pytest.mark.parametrize("leave", [Leave(BOB, by=CY), Leave(BOB, by=ANN, is_admin=True)])
def test_the_creator_or_an_admin_takes_a_member_out(leave: Leave) -> None:
    assert kinds(TWO, leave, 3.0) == ["left bob"]


def test_a_member_may_not_take_another_out() -> None:
    with pytest.raises(NotAllowed, match="ann may not take bob out of crew; bob can leave, and its creator cy can"):
        decide(TWO, Leave(BOB, by=ANN), 3.0)


def test_a_group_has_a_greatest_size() -> None:
    full = Group("crew", CY, 0.0, 5.0, members=Map({f"a{n}": Member(None, 0.0) for n in range(MEMBERS_MAX)}))
    with pytest.raises(Overloaded, match="crew has 10,000 members, the most it may"):
        decide(full, Join(ANN), 1.0)
    assert kinds(full, Join(AgentId("a7"), "new"), 1.0) == ["changed a7"]


# time


def test_a_membership_ends_when_the_store_says_that_its_time_is_over() -> None:
    step = decide(TWO, Expire({"ann": 40.0}), 40.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        (
            "membership.lost", ANN,
            {
                "how": "expired", "reason": "its lease has ended", "deadline_at": 40.0, "arrived": 1, "version": 3,
            },
        )
    ]  # fmt: skip
    assert step.wake_at is None
    assert kinds(TWO, Expire({}), 31.0) == ["lost ann"]
    assert kinds(TWO, Expire({"ann": 20.0}), 30.9) == []


def test_a_plain_wake_ends_no_membership_since_it_knows_of_no_renewals() -> None:
    for at in (31.0, 50.0):
        step = decide(TWO, Wake(), at)
        assert (step.events, step.wake_at) == ((), at + 1.0)


def test_whose_time_is_over_first_goes_first() -> None:
    state = after(EMPTY, (1.0, Join(CY, ttl_s=5.0)), (1.0, Join(ANN, ttl_s=9.0)), (1.0, Join(BOB, ttl_s=7.0)))
    assert kinds(state, Expire({}), 20.0) == ["lost cy", "lost bob", "lost ann"]
    assert decide(state, Expire({"bob": 30.0}), 8.0).wake_at == 10.0


def test_that_nobodys_time_is_over_is_noted_once_after_something_has_happened() -> None:
    """So the next request need not look at the renewals of all once more; and an idle group writes nothing."""
    step = decide(TWO, Expire({"ann": 60.0}), 31.0)
    assert [(event.kind, event.data) for event in step.events] == [("membership.checked", {"next_at": 60.0})]
    checked = after(TWO, (31.0, Expire({"ann": 60.0})))
    assert decide(checked, Look(), 32.0).wake_at == 60.0
    step = decide(checked, Expire({"ann": 90.0}), 60.0)
    assert (step.events, step.wake_at) == ((), 90.0)


def test_another_value_does_not_bring_back_the_time_of_the_grant() -> None:
    checked = after(TWO, (31.0, Expire({"ann": 60.0})))
    assert decide(checked, Update(ANN, "z"), 32.0).wake_at == 60.0


def test_who_is_held_by_the_store_and_until_when() -> None:
    def of(request: Any, state: Group = TWO, at: float = 40.0) -> tuple[list[Any], list[Any]]:
        found = decide(state, request, at).events
        return [one for event in found for one in begins(event)], [one for event in found for one in ends(event)]

    assert of(Join(CY, ttl_s=4.0)) == ([("cy", 44.0)], [])
    assert of(Join(CY)) == ([], [])
    assert of(Join(ANN, "a", ttl_s=4.0)) == ([("ann", 44.0)], [])
    assert of(Join(ANN, "a")) == ([], [("ann", False)])
    assert of(Update(ANN, "z")) == ([], [])
    assert of(Leave(ANN)) == ([], [("ann", False)])
    assert of(Expire({})) == ([], [("ann", True)])
    assert of(Expire({"ann": 50.0})) == ([], [])
    assert list(begins(Event("membership.created", CY, None, {"name": "x"}))) == []


def test_a_store_that_has_forgotten_the_renewals_holds_for_a_whole_time_anew() -> None:
    assert holds(TWO, 100.0) == (("ann", 130.0),)
    assert holds(TWO, 0.5) == (("ann", 31.0),)
    assert holds(None, 100.0) == ()


def test_a_member_with_a_time_to_live_may_renew() -> None:
    assert check_renewal(TWO, ANN, "ann", 5.0).ttl_s == 30.0
    assert events(TWO, Renew(ANN, ""), 5.0) == []
    assert check_renewal(TWO, ANN, "", 40.0, until=41.0).ttl_s == 30.0
    with pytest.raises(LeaseLost, match="time is over for ann in crew; join anew"):
        check_renewal(TWO, ANN, "", 40.0, until=40.0)
    for holder, token in ((BOB, ""), (CY, ""), (ANN, "bob")):
        with pytest.raises(LeaseLost, match=f"{holder} is no member of crew that renews; join it with a time to live"):
            check_renewal(TWO, holder, token, 5.0)
    with pytest.raises(NotFound):
        check_renewal(None, ANN, "", 5.0)


# the gone


def test_a_member_that_is_lost_is_a_suspect_for_a_while() -> None:
    step = decide(TWO, Lost(BOB, "no heartbeat for 20 s"), 3.0)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("membership.suspected", BOB, {"reason": "no heartbeat for 20 s", "remove_at": 8.0, "version": 3})
    ]
    assert step.wake_at == 8.0
    state = after(TWO, (3.0, Lost(BOB, "no heartbeat for 20 s")))
    shown = answer(state, Look(), 4.0)
    assert [(one.status, one.reason) for one in shown.members or ()] == [
        ("present", ""),
        ("suspect", "no heartbeat for 20 s"),
    ]
    assert (shown.size, shown.present) == (2, 1)
    assert events(state, Lost(BOB, "killed"), 4.0) == []


def test_a_suspect_is_removed_when_its_grace_is_over_whatever_comes_first() -> None:
    state = after(TWO, (3.0, Lost(BOB, "killed")))
    for request in (Wake(), Look(), Expire({}), Update(ANN, "a")):
        assert events(state, request, 8.0) == [
            (
                "membership.lost", BOB,
                {"how": "gone", "reason": "killed", "deadline_at": 8.0, "arrived": 1, "version": 4},
            )
        ]  # fmt: skip
    assert events(state, Wake(), 7.9) == []


@pytest.mark.parametrize("back", [Found(BOB), Join(BOB, "b")])
def test_a_suspect_that_is_back_stays(back: Any) -> None:
    state = after(TWO, (3.0, Lost(BOB, "killed")))
    assert kinds(state, back, 4.0) == ["recovered bob"]
    recovered = after(state, (4.0, back))
    assert (recovered.present, recovered.members, events(recovered, Wake(), 9.0)) == (2, TWO.members, [])


def test_a_suspect_that_leaves_is_not_removed_again() -> None:
    state = after(TWO, (3.0, Lost(BOB, "killed")), (4.0, Leave(BOB)))
    assert (state.present, events(state, Wake(), 9.0)) == (1, [])


def test_without_grace_a_lost_member_goes_at_once() -> None:
    state = after(None, (0.0, Create("crew", CY, grace_s=0.0)), (1.0, Join(ANN)))
    assert events(state, Lost(ANN, "killed"), 2.0) == [
        ("membership.lost", ANN, {"how": "gone", "reason": "killed", "deadline_at": 2.0, "arrived": 0, "version": 2})
    ]


def test_with_grace_for_ever_a_lost_member_stays_until_its_lease_ends() -> None:
    state = after(
        None, (0.0, Create("crew", CY, grace_s=None)), (1.0, Join(ANN, ttl_s=30.0)), (2.0, Lost(ANN, "killed"))
    )
    assert events(state, Wake(), 30.0) == []
    assert kinds(state, Expire({}), 31.0) == ["lost ann"]
    assert after(state, (31.0, Expire({}))).suspects == 0


def test_strangers_that_are_gone_or_back_change_nothing() -> None:
    assert events(TWO, Lost(CY, "killed"), 3.0) == []
    assert events(TWO, Found(BOB), 3.0) == []


# watching and waiting


def test_who_watches_waits_for_a_version_that_it_does_not_know() -> None:
    assert answer(TWO, Watch(2), 3.0).pending
    told = answer(after(TWO, (3.0, Leave(ANN)), (4.0, Join(CY))), Watch(2), 5.0)
    assert (told.pending, told.version, told.members) == (False, 4, None)
    assert told.changes == (Change(3, ANN, "left"), Change(4, CY, "joined"))


def test_who_knows_nothing_or_too_little_is_shown_all_members() -> None:
    assert [one.agent for one in answer(TWO, Watch(), 3.0).members or ()] == [ANN, BOB]
    busy = after(TWO, *((3.0 + n, Update(ANN, n)) for n in range(CHANGES_KEPT)))
    assert answer(busy, Watch(2), 99.0).changes == busy.changes
    forgotten = answer(busy, Watch(1), 99.0)
    assert (forgotten.changes, len(forgotten.members or ())) == (None, 2)


def test_who_waits_for_a_size_waits_until_so_many_are_present() -> None:
    assert not answer(TWO, AwaitSize(2), 3.0).pending
    told = answer(TWO, AwaitSize(4), 3.0)
    assert (told.pending, told.reason) == (True, "2 more must join")
    assert answer(after(TWO, (3.0, Lost(BOB, "killed"))), AwaitSize(2), 3.0).pending
    assert events(TWO, AwaitSize(4), 3.0) == events(TWO, AwaitSize(1), 3.0) == []


def test_an_arrival_wakes_who_waits_for_a_size_and_every_change_wakes_who_watches() -> None:
    def woken(request: Any, state: Group = TWO) -> list[str]:
        return [name for event in decide(state, request, 3.0).events for name in wakes(event)]

    assert woken(Join(CY)) == ["", "size"]
    assert woken(Leave(BOB)) == [""]
    assert woken(Update(BOB, 1)) == [""]
    assert woken(Found(BOB), after(TWO, (3.0, Lost(BOB, "x")))) == ["", "size"]
    assert list(wakes(Event("membership.checked", None, None, {"next_at": 1.0}))) == []
    assert (topic(Watch()), topic(AwaitSize(1))) == ("", "size")


def test_who_waits_is_told_for_what_and_it_is_nobodys_turn() -> None:
    watch = waits(TWO, Watch(2), 3.0)
    assert watch is not None
    assert (watch.waiting_for, watch.since, watch.unblocked_by) == ("a change of crew after version 2", 2.0, ())
    size = waits(after(TWO, (3.0, Lost(BOB, "killed"))), AwaitSize(4), 4.0)
    assert size is not None
    assert (size.waiting_for, size.unblocked_by) == ("3 more members of crew; 1 are present, 1 suspect", ())
    assert waits(TWO, Watch(1), 3.0) is None
    assert waits(TWO, Look(), 3.0) is None
