"""What may be asked of the space of leases: names in order, and everything malformed refused by name."""

from dataclasses import replace

import pytest

from concerted.board.leases.requests import (
    NAMES_MAX,
    RESERVE_MAX,
    Acquire,
    Reserve,
    ask_of,
    check_reason,
    check_reserve,
)
from concerted.board.leases.space import Mode
from concerted.errors import Invalid
from concerted.values import AgentId

ANN = AgentId("ann")
PLAIN = Acquire("t", ANN, ("a",))


def test_names_are_normal_in_order_and_each_once() -> None:
    ask = ask_of(replace(PLAIN, names=("src//b", "./a", "a", "src/")))
    assert ask.names == ("a", "src/", "src/b")


def test_how_long_it_waits_is_no_part_of_what_is_asked_for() -> None:
    assert ask_of(PLAIN) == ask_of(replace(PLAIN, wait=False, confirm_s=3.0, deadline_at=9.0))
    assert ask_of(PLAIN) != ask_of(replace(PLAIN, purpose="build"))


@pytest.mark.parametrize("names", [(), tuple(str(number) for number in range(NAMES_MAX + 1))])
def test_there_is_at_least_one_name_and_a_bound(names: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match=f"ticket t names {len(names)} things; it must name 1 to 64"):
        ask_of(replace(PLAIN, names=names))


def test_one_bad_name_refuses_all() -> None:
    with pytest.raises(Invalid, match=r"`\.\.` depends"):
        ask_of(replace(PLAIN, names=("a", "../b")))


def test_an_unknown_mode_is_refused() -> None:
    mode: Mode = "mine"  # type: ignore[assignment]
    with pytest.raises(Invalid, match="no mode 'mine'; there are exclusive and shared"):
        ask_of(replace(PLAIN, mode=mode))


def test_ticket_and_times_are_checked_too() -> None:
    with pytest.raises(Invalid, match="cannot name a ticket"):
        ask_of(replace(PLAIN, ticket=""))
    with pytest.raises(Invalid, match="ttl_s is 0"):
        ask_of(replace(PLAIN, ttl_s=0))


@pytest.mark.parametrize("count", [0, -1, RESERVE_MAX + 1])
def test_a_block_of_tokens_has_bounds(count: int) -> None:
    with pytest.raises(Invalid, match="tokens cannot be reserved at once; 1 to 1,000,000 can"):
        check_reserve(Reserve(count, 1.0))


@pytest.mark.parametrize("grace_s", [-1.0, float("inf"), float("nan")])
def test_a_grace_is_a_length_of_time(grace_s: float) -> None:
    with pytest.raises(Invalid, match="grace_s is"):
        check_reserve(Reserve(1, grace_s))


def test_a_reason_has_a_bound() -> None:
    check_reason("x" * 500)
    with pytest.raises(Invalid, match="the reason has 501 characters, at most 500"):
        check_reason("x" * 501)
