"""YAML texts as trees: scalars by YAML 1.2, places, and the bounds that keep hostile texts harmless."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.config.document import MAX_BYTES, MapNode, Node, ScalarNode, compose, find, look, resolve
from concerted.config.problems import Place, Problems
from concerted.errors import Invalid


def read(text: str) -> Node:
    problems = Problems()
    node = compose(text, "f", problems)
    problems.stop_if_any()
    return node


def complaint(text: str) -> str:
    with pytest.raises(Invalid) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("12", 12),
        ("-3", -3),
        ("012", 12),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-01-01", "2026-01-01"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1.10", 1.1),
        ("-.inf", -math.inf),
        ("'12'", "12"),
        ('"true"', "true"),
        ("1.2.3", "1.2.3"),
        ("+", "+"),
        ("9" * 5000, math.inf),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    node = read(text)
    assert isinstance(node, ScalarNode)
    assert resolve(node) == value
    assert type(resolve(node)) is type(value)


def test_nan_is_a_number() -> None:
    node = read(".nan")
    assert isinstance(node, ScalarNode)
    assert isinstance(value := resolve(node), float)
    assert math.isnan(value)


def test_every_node_knows_its_place() -> None:
    root = read("a: 1\nb:\n  - x\n  - {c: é, d: y}\n")
    assert find(root, "b", 1, "d") == (Place("f", 4, 15), "b[1].d")
    assert isinstance(root, MapNode)
    assert root.keys["b"] == Place("f", 2, 1)


def test_what_is_not_there_is_placed_where_its_parent_is() -> None:
    root = read("a:\n  - b: 1\n")
    assert find(root, "a", 0, "x", 3) == (Place("f", 2, 5), "a[0].x[3]")
    assert find(root, "a", 7) == (Place("f", 2, 3), "a[7]")
    assert look(root, "a", 0, "b", "c") is None


def test_an_empty_text_is_nothing() -> None:
    assert read("") == ScalarNode(Place("f", 1, 1), "")
    assert resolve(ScalarNode(Place("f"), "")) is None


def test_duplicate_keys_are_all_reported_with_their_path() -> None:
    text = "a:\n  - b: 1\n    b: 2\n    c:\n      d: 1\n      d: 2\na: 3\n"
    assert complaint(text).splitlines() == [
        "f:3:5: a[0].b: duplicate key; it stands already in line 2",
        "f:6:7: a[0].c.d: duplicate key; it stands already in line 5",
        "f:7:1: a: duplicate key; it stands already in line 1",
    ]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1,\nb: 2", "f:"),
        ("a: b: c", "f:1:5: this is not YAML: "),
        ("a: 1\n\tb: 2", "f:2:1: this is not YAML: "),
        ("é: 'ü\x07'", "f:1:6: this is not YAML: "),
        ('a: "\\ud800"', "f:1:"),
        ("a: \udc80", "f:1:4: this is no valid Unicode text; save the file as UTF-8"),
        ("a: 1\n---\nb: 2", "f:2:1: a second document begins here; one file holds one"),
        (
            "a: !!python/name:os.system x",
            "f:1:4: tags such as tag:yaml.org,2002:python/name:os.system are not supported",
        ),
        ("? [a]\n: 1", "f:1:3: a key must be a text"),
        ("a: {{x}}", "f:1:5: a key must be a text; put a text that has braces or brackets in quotes"),
        ("a: *b", "f:1:4: there is no anchor &b before this alias"),
        ("a: &x [*x]", "f:1:8: *x contains itself"),
        ("<<: {a: 1}", "f:1:1: merge keys (<<) are not supported; an alias may stand for a whole value"),
        ("[" * 100_000, "f:1:101: lists and mappings are nested more than 100 deep"),
        ("x" * (MAX_BYTES + 1), f"f:1:1: the text has {MAX_BYTES + 1} bytes; the bound is {MAX_BYTES}"),
    ],
    ids=lambda text: text[:12],
)
def test_what_cannot_be_read_is_said_with_its_place(text: str, start: str) -> None:
    assert complaint(text).startswith(start)


def test_an_alias_stands_for_what_its_anchor_holds() -> None:
    root = read("a: &x {n: 1}\nb: *x\n")
    assert look(root, "a") is look(root, "b")


def test_a_text_that_unfolds_without_end_is_refused_before_it_is_unfolded() -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 30)]
    assert "the text unfolds to more than 2000000 nodes" in complaint("\n".join(["a0: &a0 [x]", *levels]))


def test_aliases_count_for_the_depth() -> None:
    levels = [f"- &a{i} {'[' * 40}{f'*a{i - 1}' if i else ''}{']' * 40}" for i in range(50)]
    assert "nested more than 100 deep" in complaint("\n".join(levels))


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert read(text).size >= 1
    except Invalid as error:
        assert error.facts["problems"]  # noqa: PT017 (either outcome is right)


@given(st.text("[]{}:,-&*ab?|>'\"# \n", max_size=60))
def test_any_text_of_signs_that_mean_something_is_read_or_refused(text: str) -> None:
    try:
        assert read(text).size >= 1
    except Invalid as error:
        assert error.facts["problems"]  # noqa: PT017 (either outcome is right)
