"""Who is missing, in words."""

import pytest

from concerted.persistent import Map
from concerted.sync.absence import NAMED_MAX, SAID_MAX, all_named, first_named, in_words

pytestmark = pytest.mark.pure

MANY = Map((f"a{number:04}", True) for number in range(NAMED_MAX + 1))


def test_names_are_joined_with_commas() -> None:
    assert in_words(("bob", "cy"), {}) == "bob, cy"


def test_the_gone_come_first_with_the_reason() -> None:
    assert in_words(("bob", "cy"), {"cy": "no heartbeat for 20 s", "dan": "killed"}) == (
        "cy, who is gone: no heartbeat for 20 s; bob"
    )


def test_one_who_is_gone_reads_as_a_sentence() -> None:
    assert in_words(("bob",), {"bob": "killed"}) == "bob, who is gone: killed"


def test_beyond_the_bound_it_counts() -> None:
    assert in_words([f"a{number}" for number in range(SAID_MAX + 2)], {}).endswith("a9, and 2 more")


@pytest.mark.parametrize(("count", "words"), [(1, "1 party"), (20_000, "20,000 parties"), (0, "")])
def test_parties_without_names_are_counted(count: int, words: str) -> None:
    assert in_words((), {}, count) == words


def test_some_names_and_a_count() -> None:
    assert in_words(("bob",), {"bob": "killed"}, 3) == "bob, who is gone: killed; and 2 more"


def test_the_first_names_are_bounded_and_all_names_are_all_or_none() -> None:
    assert len(first_named(MANY)) == NAMED_MAX
    assert first_named(MANY)[0] == "a0000"
    assert all_named(MANY) == ()
    assert all_named(MANY.without("a0000")) == first_named(MANY.without("a0000"))
