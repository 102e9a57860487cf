"""The window of a budget: slices, when they are freed, and that no stretch of a period holds more than it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.budgets.window import (
    SLICES,
    Kind,
    Slices,
    Window,
    add,
    freed_at,
    live,
    next_freed_at,
    slice_at,
    total,
)

FOR_EVER = Window(100.0, None, "fixed")
FIXED = Window(100.0, 60.0, "fixed")
SLIDING = Window(100.0, 60.0, "sliding")

windows = st.builds(
    Window,
    st.floats(0, 2e9),
    st.floats(0.1, 1e8),
    st.sampled_from(["fixed", "sliding"]),
)


def test_without_a_period_all_that_was_spent_counts_for_ever() -> None:
    assert slice_at(FOR_EVER, 1e9) == 0
    assert freed_at(FOR_EVER, 0) is None
    assert next_freed_at(FOR_EVER, ((0, 5),), 1e9) is None
    assert total(FOR_EVER, ((0, 5),), 1e9) == 5


def test_a_fixed_period_counts_until_it_is_over() -> None:
    assert [slice_at(FIXED, at) for at in (0.0, 100.0, 159.9, 160.0, 220.0)] == [0, 0, 0, 1, 2]
    assert freed_at(FIXED, 0) == 160.0
    assert [total(FIXED, ((0, 5),), at) for at in (159.9, 160.0)] == [5, 0]
    assert [next_freed_at(FIXED, (), at) for at in (100.0, 160.0)] == [160.0, 220.0]


def test_a_sliding_period_counts_for_a_period_and_at_most_a_slice_more() -> None:
    assert [slice_at(SLIDING, at) for at in (100.0, 100.9, 101.0)] == [0, 0, 1]
    assert freed_at(SLIDING, 0) == 161.0
    assert [total(SLIDING, ((0, 5), (3, 2)), at) for at in (160.9, 161.0, 164.0)] == [7, 2, 0]
    assert [next_freed_at(SLIDING, ((0, 5), (3, 2)), at) for at in (100.0, 161.0, 164.0)] == [161.0, 164.0, None]


def test_what_is_added_stands_in_its_slice_and_what_is_freed_is_forgotten() -> None:
    slices = add(FIXED, (), 0, 5, 100.0)
    slices = add(FIXED, slices, 0, 2, 120.0)
    assert slices == ((0, 7),)
    assert add(FIXED, slices, 1, 3, 170.0) == ((1, 3),)
    assert add(FIXED, slices, 0, -7, 120.0) == ()


def test_what_comes_back_after_it_was_freed_changes_nothing() -> None:
    assert add(FIXED, ((1, 3),), 0, -5, 170.0) == ((1, 3),)


@given(windows, st.floats(0, 1e6))
def test_every_instant_falls_in_one_slice_that_counts_still(window: Window, periods: float) -> None:
    assert window.period_s is not None
    at = window.created_at + periods * window.period_s
    index = slice_at(window, at)
    freed = freed_at(window, index)
    assert freed is not None
    assert freed > at
    assert live(window, ((index, 1),), at) == ((index, 1),)


@given(windows, st.integers(0, 10_000))
def test_from_the_instant_in_which_a_slice_is_freed_it_counts_no_longer(window: Window, index: int) -> None:
    freed = freed_at(window, index)
    assert freed is not None
    assert live(window, ((index, 1),), freed) == ()
    assert slice_at(window, freed) > index


@pytest.mark.parametrize("kind", ["fixed", "sliding"])
def test_slices_that_are_kept_are_few(kind: Kind) -> None:
    window, slices = Window(0.0, 60.0, kind), Slices()
    for second in range(1000):
        slices = add(window, slices, slice_at(window, second / 2), 1, second / 2)
    assert len(slices) <= (1 if kind == "fixed" else SLICES + 1)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 10)), max_size=60))
def test_in_a_sliding_window_no_stretch_of_a_period_holds_more_than_was_allowed(
    spending: list[tuple[float, int]],
) -> None:
    """Spend whenever there is room under a limit of ten, and look at each stretch that begins with a spending."""
    window, slices, at = Window(0.0, 10.0, "sliding"), Slices(), 0.0
    spent: list[tuple[float, int]] = []
    for pause, amount in spending:
        at += pause
        if total(window, slices, at) + amount <= 10:
            slices = add(window, slices, slice_at(window, at), amount, at)
            spent.append((at, amount))
    for begin, _ in spent:
        assert sum(amount for when, amount in spent if begin <= when <= begin + 10.0) <= 10
