"""The sequential models: single steps, what nobody was told, and what is not of their form."""

import math
from dataclasses import replace
from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.testing.history import Operation
from concerted.testing.linearizability import Model, Timed
from concerted.testing.models import (
    Arrivals,
    Counter,
    Election,
    Lease,
    LeaseState,
    Queue,
    Register,
    VersionedRegister,
)

pytestmark = pytest.mark.pure

ANY = object()  # nobody was told the result


def step(model: Model[Any], state: Any, op: str, arg: Any = None, result: Any = None, at: float = 0.0) -> Any:
    """Take one step that is called at an instant and returns an hour later."""
    if result is ANY:
        return model.step(state, Operation("it", op, arg, called_at=at, outcome="info"))
    return model.step(state, Operation("it", op, arg, result, at, at + 3600.0))


def after(model: Model[Any], *steps: tuple[Any, ...]) -> Any:
    """Return the state after steps (op, arg, result, at) that are all possible."""
    state = model.start()
    for each in steps:
        state = step(model, state, *each)
        assert state is not None, each
    return state


# registers


def test_a_register_may_hold_nothing() -> None:
    assert step(Register(), Register().start(), "read", None, None) is not None
    assert step(Register(), Register().start(), "read", None, 0) is None


def test_a_swap_of_unknown_outcome_happens_if_it_can() -> None:
    state = after(Register(1), ("cas", [1, 2], ANY))
    assert str(state) == "2"
    assert after(Register(1), ("cas", [5, 2], ANY)) == Register(1).start()


def test_a_register_holds_what_json_holds() -> None:
    state = after(Register(), ("write", {"a": [1]}, None))
    assert step(Register(), state, "read", None, {"a": [1]}) == state


def test_a_version_that_nobody_was_told_is_learned_from_who_reads_it() -> None:
    model = VersionedRegister()
    state = after(model, ("write", "a", 3), ("write", "b", ANY))
    assert str(state) == "'b', version a version after 3 that nobody was told"
    assert step(model, state, "read", None, ["b", 3]) is None
    known = step(model, state, "read", None, ["b", 5])
    assert step(model, known, "read", None, ["b", 6]) is None
    assert step(model, known, "write", "c", 5) is None
    assert str(step(model, known, "write", "c", 6)) == "'c', version 6"


def test_a_version_that_nobody_was_told_is_learned_from_who_swaps_by_it() -> None:
    model = VersionedRegister()
    state = after(model, ("write", "b", ANY))
    assert str(step(model, state, "cas", [4, "c"], 6)) == "'c', version 6"
    assert step(model, state, "cas", [4, "c"], 4) is None
    assert step(model, state, "cas", [4, "c"], None) == state
    assert step(model, state, "cas", [0, "c"], None) == state
    assert step(model, state, "cas", [0, "c"], 7) is None
    assert step(model, state, "cas", [0, "c"], ANY) == state


def test_a_swap_may_be_refused_only_under_another_version() -> None:
    model = VersionedRegister()
    assert step(model, model.start(), "cas", [0, "a"], None) is None
    assert step(model, model.start(), "cas", [7, "a"], None) == model.start()


def test_versions_may_be_texts_with_an_order_of_their_own() -> None:
    model = VersionedRegister(version="0", order=int)
    state = after(model, ("write", "a", "9"))
    assert step(model, state, "write", "b", "10") is not None
    assert step(VersionedRegister(version="0"), state, "write", "b", "10") is None


# counters and queues


def test_a_counter_need_not_tell_the_sum() -> None:
    assert after(Counter(5), ("add", 2, None), ("add", -1, 6)) == 6
    assert after(Counter(5), ("add", 2, ANY)) == 7


def test_a_take_of_unknown_outcome_takes_the_first() -> None:
    assert after(Queue(), ("put", "a", None), ("put", "b", None), ("take", None, ANY)) == ("b",)
    assert after(Queue(), ("take", None, ANY)) == ()


# sync points


def test_a_point_that_expires_shows_it_once_and_for_all() -> None:
    model = Arrivals(2)
    state = after(model, ("arrive", "ann", 1), ("status", None, "expired"))
    assert step(model, state, "arrive", "bob", 2) is None
    assert step(model, state, "status", None, "waiting") is None
    assert step(model, state, "cancel", None, False) == state
    assert str(state) == "expired, 1 arrived: ann"


def test_an_arrival_that_was_too_late_shows_that_the_point_has_expired() -> None:
    model = Arrivals(2)
    late = after(model, ("arrive", "ann", 1), ("arrive", "bob", None))
    assert step(model, late, "status", None, "completed") is None
    assert step(model, late, "arrived", None, ["ann"]) == late
    assert step(model, late, "arrive", "ann", None) is None


def test_a_repeated_arrival_counts_once_also_after_completion() -> None:
    model = Arrivals(2)
    state = after(
        model, ("arrive", "ann", 1), ("arrive", "bob", 2), ("arrive", "ann", 2), ("status", None, "completed")
    )
    assert step(model, state, "arrive", "ann", 3) is None


def test_a_newcomer_after_completion_is_counted_or_told_that_it_is_over() -> None:
    model = Arrivals(1)
    state = after(model, ("arrive", "ann", 1))
    assert step(model, state, "arrive", "bob", None) == state
    assert step(model, state, "arrive", "bob", 2) is not None


def test_a_cancel_that_came_too_late_shows_that_the_point_was_over() -> None:
    model = Arrivals(2)
    assert str(after(model, ("cancel", None, False))).startswith("expired")
    done = after(model, ("arrive", "ann", 1), ("arrive", "bob", 2))
    assert step(model, done, "cancel", None, True) is None
    assert step(model, done, "cancel", None, ANY) == done


def test_an_unknown_arrival_at_a_point_that_is_over_changes_nothing() -> None:
    model = Arrivals(2)
    state = after(model, ("cancel", None, True))
    assert step(model, state, "arrive", "ann", ANY) == state


# leases


HELD = ("acquire", ["ann", 5], 3, 10.0)


def test_a_lease_knows_the_earliest_instant_and_the_time_that_is_left() -> None:
    model = Lease()
    state = after(model, HELD, ("check", 3, True, 12.0))
    assert model.clock(state) == 12.0
    assert str(state) == "held by ann with token 3, granted for 3.000 s more at least"
    assert str(after(model, HELD, ("check", 3, True, 16.0))) == "held by ann with token 3, which may have ended"
    assert str(after(model, HELD, ("release", ["ann", 3], True, 12.0))) == "free, the newest token is 3"


def test_what_shows_that_a_lease_has_ended_happened_no_earlier_than_it_may_end() -> None:
    model = Lease()
    state = after(model, HELD)
    for shown in (("check", 3, False), ("release", ["ann", 3], False), ("renew", ["ann", 3, 5], False)):
        ended = step(model, state, *shown, at=11.0)
        assert (ended.grants, model.clock(ended)) == ((), 15.0)
    assert model.clock(step(model, state, "look", None, [], at=11.0)) == 15.0
    assert model.clock(step(model, state, "acquire", ["bob", 5], 4, at=11.0)) == 15.0


def test_a_lease_without_an_end_stays_until_it_is_released() -> None:
    model = Lease()
    state = after(model, ("acquire", ["ann", None], 3, 10.0))
    assert model.clock(step(model, state, "acquire", ["bob", 5], 4, at=11.0)) == math.inf


def test_who_holds_it_may_be_shown_its_grant_again() -> None:
    model = Lease()
    state = after(model, HELD)
    again = step(model, state, "acquire", ["ann", 5], 3, at=12.0)
    assert again == replace(state, clock=12.0)
    assert step(model, state, "acquire", ["bob", 5], 3, at=12.0) is None
    assert model.clock(step(model, state, "acquire", ["ann", 5], 4, at=12.0)) == 15.0


def test_a_renewal_counts_from_its_own_earliest_instant() -> None:
    state = after(Lease(), HELD, ("renew", ["ann", 3, 5], True, 14.0))
    assert state.grants[0].until == 19.0


def test_a_server_may_be_granted_slack() -> None:
    state = after(Lease(slack_s=0.5), HELD)
    assert state.grants[0].until == 14.5


def test_a_grant_that_nobody_was_told_of_is_learned_by_its_token() -> None:
    model = Lease()
    state = after(
        model, ("acquire", ["bob", 5], 2, 0.0), ("release", ["bob", 2], True, 1.0), ("acquire", ["ann", 5], ANY, 10.0)
    )
    assert str(state).startswith("held by ann with a token that nobody was told")
    assert step(model, state, "check", 2, True, at=11.0) is None
    assert step(model, state, "check", 7, False, at=11.0) == replace(state, clock=11.0)
    assert step(model, state, "release", ["ann", 7], False, at=11.0) == replace(state, clock=11.0)
    known = step(model, state, "check", 3, True, at=11.0)
    assert known.newest == 3
    assert step(model, known, "check", 4, True, at=11.0) is None
    assert step(model, state, "look", None, [["ann", 3]], at=11.0) == known
    assert step(model, state, "acquire", ["ann", 5], 3, at=11.0) == known
    assert step(model, state, "renew", ["ann", 3, 9], True, at=11.0).grants[0].until == 20.0
    assert step(model, state, "release", ["ann", 3], True, at=11.0).grants == ()
    assert step(model, state, "release", ["ann", 2], True, at=11.0) is None
    assert step(model, state, "release", ["bob", 3], True, at=11.0) is None


def test_a_token_of_one_of_several_untold_grants_says_only_that_it_may_be() -> None:
    model = Lease()
    state = after(model, ("acquire", ["ann", 5, "shared"], ANY, 0.0), ("acquire", ["bob", 5, "shared"], ANY, 0.0))
    assert step(model, state, "check", 3, True, at=1.0) == replace(state, clock=1.0)


def test_operations_of_unknown_outcome_on_a_lease_do_what_they_can() -> None:
    model = Lease()
    held = after(model, HELD)
    assert step(model, held, "release", ["ann", 3], ANY, at=11.0).grants == ()
    assert step(model, held, "release", ["ann", 2], ANY, at=11.0).grants == held.grants
    assert step(model, held, "renew", ["ann", 3, 8], ANY, at=11.0).grants[0].until == 19.0
    assert step(model, held, "check", 3, ANY, at=11.0).grants == held.grants
    assert step(model, held, "look", None, ANY, at=11.0).grants == held.grants


def test_shared_grants_end_each_by_itself() -> None:
    model = Lease()
    state = after(model, ("acquire", ["ann", 5, "shared"], 1, 0.0), ("acquire", ["bob", 9, "shared"], 2, 1.0))
    assert str(state) == (
        "shared by ann with token 1, granted for 4.000 s more at least; "
        "shared by bob with token 2, granted for 9.000 s more at least"
    )
    fewer = step(model, state, "look", None, [["bob", 2]], at=1.0)
    assert model.clock(fewer) == 5.0
    assert model.clock(step(model, state, "acquire", ["cy", 5], 3, at=1.0)) == 10.0


def test_a_holder_holds_it_once_also_if_it_is_shared() -> None:
    model = Lease()
    state = after(model, ("acquire", ["ann", 5, "shared"], 1, 0.0))
    assert step(model, state, "acquire", ["ann", 5, "shared"], 1, at=1.0) == replace(state, clock=1.0)
    assert model.clock(step(model, state, "acquire", ["ann", 5, "shared"], 2, at=1.0)) == 5.0
    assert step(model, state, "acquire", ["ann", 5], 1, at=1.0) is None


def test_tokens_may_be_texts_with_an_order_of_their_own() -> None:
    model = Lease(order=int)
    state = after(model, ("acquire", ["ann", 5], "9", 0.0))
    assert step(model, state, "acquire", ["bob", 5], "10", at=0.0) is not None
    assert step(Lease(), state, "acquire", ["bob", 5], "10", at=0.0) is None


# elections


def test_what_a_leader_proclaims_is_heard_for_as_long_as_it_leads() -> None:
    model = Election()
    state = after(model, ("campaign", ["ann", 5], 1, 0.0), ("proclaim", ["ann", 1, "plan"], True, 1.0))
    assert str(state) == "held by ann with token 1, granted for 4.000 s more at least, proclaiming 'plan'"
    assert step(model, state, "hear", None, "plan", at=2.0) is not None
    assert step(model, state, "hear", None, "other", at=2.0) is None
    assert model.clock(step(model, state, "hear", None, None, at=2.0)) == 5.0
    renewed = step(model, state, "renew", ["ann", 1, 9], True, at=2.0)
    assert step(model, renewed, "hear", None, "plan", at=2.0) is not None
    resigned = step(model, renewed, "resign", ["ann", 1], True, at=2.0)
    assert step(model, resigned, "hear", None, "plan", at=2.0) is None
    assert step(model, resigned, "hear", None, None, at=2.0) == resigned


def test_nobody_leads_before_the_first_campaign_and_after_the_term() -> None:
    model = Election()
    assert step(model, model.start(), "observe", None, None) is not None
    assert step(model, model.start(), "observe", None, ["ann", 1]) is None
    state = after(model, ("campaign", ["ann", 5], 1, 0.0))
    assert model.clock(step(model, state, "observe", None, None, at=1.0)) == 5.0
    assert step(model, state, "observe", None, ["ann", 1], at=9.0).grants == state.grants


def test_looking_without_an_answer_changes_nothing() -> None:
    model = Election()
    state = after(model, ("campaign", ["ann", 5], 1, 0.0))
    assert step(model, state, "observe", None, ANY) == state
    assert step(model, state, "hear", None, ANY) == state
    assert step(model, state, "check", 1, ANY) == state


# their form


def test_time_matters_to_leases_and_elections_alone() -> None:
    models: list[Model[Any]] = [Arrivals(2), Counter(), Election(), Lease(), Queue(), Register(), VersionedRegister()]
    assert [type(model) for model in models if isinstance(model, Timed)] == [Election, Lease]


@pytest.mark.parametrize(
    "model", [Arrivals(2), Counter(), Election(), Lease(), Queue(), Register(), VersionedRegister()]
)
def test_an_operation_that_a_model_does_not_have_is_refused(model: Model[Any]) -> None:
    with pytest.raises(Invalid, match=rf"a {type(model).__name__} cannot explain jump\(\) -> None"):
        step(model, model.start(), "jump")


@pytest.mark.parametrize(
    ("model", "op", "arg", "result"),
    [
        (Register(), "cas", 1, True),
        (VersionedRegister(), "read", None, 1),
        (Counter(), "add", "one", 1),
        (Arrivals(2), "arrive", 1, 1),
        (Lease(), "acquire", "ann", 1),
        (Lease(), "acquire", ["ann", 5, "half"], 1),
        (Lease(), "release", ["ann", 1], None),
        (Lease(), "check", 1, "yes"),
        (Lease(), "look", None, None),
        (Lease(), "look", None, [1]),
        (Election(), "observe", None, "ann"),
    ],
)
def test_an_operation_that_is_not_of_its_form_is_refused(model: Model[Any], op: str, arg: Any, result: Any) -> None:
    with pytest.raises(Invalid, match="lists what it can"):
        step(model, model.start(), op, arg, result)


def test_a_free_lease_says_so() -> None:
    assert str(LeaseState()) == "free, the newest token is None"
