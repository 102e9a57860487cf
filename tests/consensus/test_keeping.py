"""How a log is kept is said in words, and both ways that there are own up to one fault domain."""

from typing import get_args

import pytest

from concerted.consensus.keeping import ALGORITHMS, Algorithm, stored_by

pytestmark = pytest.mark.pure


def test_every_way_to_keep_a_log_says_what_keeps_it() -> None:
    assert set(ALGORITHMS) == set(get_args(Algorithm))
    assert stored_by("single") == (ALGORITHMS["single"],)


def test_what_is_one_fault_domain_says_so() -> None:
    assert all("one fault domain" in stored_by(algorithm)[0] for algorithm in ("single", "database"))
