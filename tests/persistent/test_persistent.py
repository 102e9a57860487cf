"""The persistent map: every change gives a new map, and the old one stays as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.persistent import Map

pytestmark = pytest.mark.pure


class Same(str):
    """A key whose hash is that of all its kind."""

    __slots__ = ()

    def __hash__(self) -> int:
        return 7


def test_setting_a_key_leaves_the_map_before_as_it_was():
    before = Map({"a": 1})
    after = before.set("b", 2)
    assert dict(before) == {"a": 1}
    assert dict(after) == {"a": 1, "b": 2}


def test_a_key_that_is_set_again_counts_once():
    assert len(Map({"a": 1}).set("a", 2)) == 1
    assert Map({"a": 1}).set("a", 2)["a"] == 2


def test_iteration_is_in_the_order_of_the_keys_whatever_the_order_of_setting():
    assert list(Map({"c": 1, "a": 1, "b": 1})) == ["a", "b", "c"]
    assert list(Map({10: "x", 9: "y"}).items()) == [(9, "y"), (10, "x")]


def test_a_missing_key_raises_and_has_a_default():
    assert Map({"a": None}).get("b") is None
    assert Map({"a": None}).get("a", 3) is None
    assert Map({"a": 1}).get("b", 3) == 3
    with pytest.raises(KeyError):
        Map({"a": 1})["b"]


def test_removing_what_is_not_there_gives_the_same_map():
    one = Map({"a": 1})
    assert one.without("b") is one


def test_keys_with_equal_hashes_live_side_by_side():
    keys = [Same(f"k{i}") for i in range(20)]
    full = Map((key, i) for i, key in enumerate(keys))
    assert [full[key] for key in keys] == list(range(20))
    for key in keys[:10]:
        full = full.without(key)
    assert sorted(full) == sorted(keys[10:])


def test_a_map_is_equal_to_any_mapping_with_the_same_entries():
    assert Map({"a": 1}) == {"a": 1}
    assert Map({"a": 1}) != {"a": 2}
    assert Map({"a": 1}) != Map({"b": 1})
    assert Map() != 3


def test_what_is_shown_can_be_read():
    assert repr(Map({"b": 1, "a": 2})) == "Map({'a': 2, 'b': 1})"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40), st.integers())))
def test_it_does_what_a_dictionary_does(steps):
    plain: dict[str, int] = {}
    kept: Map[str, int] = Map()
    history = []
    for add, number, value in steps:
        key = f"k{number}"
        history.append((kept, dict(plain)))
        if add:
            plain[key] = value
            kept = kept.set(key, value)
        else:
            plain.pop(key, None)
            kept = kept.without(key)
        assert kept == plain
        assert len(kept) == len(plain)
        assert list(kept) == sorted(plain)
        assert dict(kept.unordered()) == plain
    for old, as_it_was in history:
        assert old == as_it_was


def test_a_version_that_is_read_time_and_again_costs_its_way_back_only_a_few_times():
    first = Map((f"k{i}", i) for i in range(5_000))
    newest = first
    for i in range(100):
        newest = newest.set(f"k{i}", -i)
        assert first[f"k{i}"] == i
    parted = first.set("own", 1)
    assert "own" not in newest
    assert dict(newest.unordered())["k99"] == -99
    assert parted["k99"] == 99


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 8), st.booleans()), max_size=120))
def test_versions_that_part_never_see_each_other_change(steps):
    versions: list[tuple[Map[str, int], dict[str, int]]] = [(Map(), {})]
    for which, number, add in steps:
        kept, plain = versions[which % len(versions)]
        key = f"k{number}"
        new = kept.set(key, which) if add else kept.without(key)
        versions.append((new, {**plain, key: which} if add else {k: v for k, v in plain.items() if k != key}))
    for kept, plain in versions:
        assert kept == plain
    for kept, plain in reversed(versions):
        assert dict(kept) == plain
