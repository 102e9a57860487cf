"""Array literals and texts: whatever goes to PostgreSQL comes back the same."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.stores.postgres.text import from_text, numbers, texts, to_text

ODD = st.sampled_from(
    ['"', "\\", "{", "}", ",", "null", "NULL", "\n", "\t", "\x01", "\x7f", "é", "🐝", "\u2028", "\U0010ffff", ""]
)
TEXTS = st.lists(
    st.one_of(ODD, st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)), max_size=9)),
    max_size=4,
)

Server = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def server(postgres_database: str) -> Iterator[Server]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        yield connection


@given(columns=st.lists(st.lists(st.one_of(st.none(), TEXTS.map("".join)), max_size=5), min_size=1, max_size=8))
def test_texts_come_back_from_the_server(columns: list[list[str | None]], server: Server) -> None:
    for values in columns:
        [back] = server.execute("select %s::text[]", (texts(values),)).fetchone() or ()
        assert back == values


@given(values=st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), max_size=20))
def test_numbers_come_back_from_the_server(values: list[float | None], server: Server) -> None:
    [back] = server.execute("select %s::float8[]", (numbers(values),)).fetchone() or ()
    assert list(map(repr, back)) == list(map(repr, values))


def test_truth_values_and_counts_are_literals_of_arrays_too() -> None:
    assert numbers([True, False, None, 7, 2**53]) == "{true,false,null,7,9007199254740992}"
    assert texts([]) == numbers([]) == "{}"


ANY = st.lists(
    st.one_of(st.sampled_from(["\x00", "\U0010ffff", "0", "1"]), st.characters(exclude_categories=("Cs",))), max_size=8
)


@given(first=ANY.map("".join), second=ANY.map("".join))
def test_a_text_stands_for_itself_alone(first: str, second: str) -> None:
    kept = to_text(first)
    assert "\x00" not in kept
    assert from_text(kept) == first
    assert (to_text(second) == kept) == (second == first)


def test_texts_without_odd_characters_stand_as_they_are() -> None:
    assert to_text("Grüße 🐝\n") == from_text("Grüße 🐝\n") == "Grüße 🐝\n"
