"""How a log is kept is said in words, and both ways that there are own up to one fault domain."""

from typing import get_args

import pytest

from concerted.consensus.keeping import ALGORITHMS, Algorithm, Rounds, stored_by

pytestmark = pytest.mark.pure


def test_every_way_to_keep_a_log_says_what_keeps_it() -> None:
    assert set(ALGORITHMS) == set(get_args(Algorithm))
    assert stored_by("single") == (ALGORITHMS["single"],)


def test_what_is_one_fault_domain_says_so() -> None:
    assert all("one fault domain" in stored_by(algorithm)[0] for algorithm in ("single", "database"))


def test_a_store_takes_one_round_and_says_no_term() -> None:
    assert Rounds.begun({}).after({}).count == 1


def test_rounds_are_counted_from_the_term_of_the_opening_to_that_of_the_newest_entry() -> None:
    opened = Rounds.begun({"term": 3})
    assert (opened.count, opened.after({"term": 3}).count, opened.after({"term": 6}).count) == (1, 1, 4)


def test_a_term_that_is_older_than_the_newest_takes_no_round_back() -> None:
    assert Rounds.begun({"term": 3}).after({"term": 6}).after({"term": 4}).count == 4
