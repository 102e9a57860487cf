"""What the parties bring: shown up to its bounds, and counted beyond them."""

import pytest

from concerted.sync.gathered import DATA_BYTES, DATA_KEPT, Gathered

pytestmark = pytest.mark.pure


def test_what_is_brought_is_kept_by_party() -> None:
    gathered = Gathered().joined_by("ann", {"lines": 3}).joined_by("bob", [1])
    assert (gathered.entries, gathered.count) == ({"ann": {"lines": 3}, "bob": [1]}, 2)


def test_who_brings_nothing_takes_no_place() -> None:
    assert Gathered().joined_by("ann", None) == Gathered()


def test_nothing_that_is_false_is_taken_for_no_data() -> None:
    assert Gathered().joined_by("ann", 0).joined_by("bob", "").entries == {"ann": 0, "bob": ""}


def test_beyond_the_number_it_counts() -> None:
    gathered = Gathered()
    for number in range(DATA_KEPT + 2):
        gathered = gathered.joined_by(f"a{number:04}", number)
    assert (len(gathered.entries), gathered.count, "a0000" in gathered.entries) == (DATA_KEPT, DATA_KEPT + 2, True)


def test_what_is_too_large_is_left_out_and_what_still_fits_is_not() -> None:
    gathered = Gathered().joined_by("ann", "x" * DATA_BYTES).joined_by("bob", "small")
    assert (gathered.entries, gathered.count) == ({"bob": "small"}, 2)
    assert gathered.size_bytes == len('"small"')
