"""Placeholders in command lines: what is one, and that filled-in text stays the text it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.config.placeholders import Placeholder, fill, parse
from concerted.errors import Invalid
from concerted.values import Task, TaskId

TASK = Task(
    id=TaskId("t1"), description="Count it", payload={"path": "a b.txt", "top": 3, "list": ["x", 1], "a.b": "dots"}
)
KNOWN = "task.id, task.description, agent.id, payload.KEY, results.TASK"


def filled(*words: str, **results: object) -> list[str]:
    return fill(words, TASK, "ann", results)


def test_each_placeholder_stands_for_its_value() -> None:
    assert filled("{task.id}", "{task.description}", "{agent.id}", "{payload.path}", "{results.t0}", t0="r") == [
        "t1", "Count it", "ann", "a b.txt", "r",
    ]  # fmt: skip


def test_placeholders_stand_inside_words_and_more_than_once() -> None:
    assert filled("--in={payload.path}", "{task.id}-{agent.id}-{task.id}") == ["--in=a b.txt", "t1-ann-t1"]


def test_what_is_no_text_goes_in_as_json() -> None:
    assert filled("{payload.top}", "{payload.list}", "{results.a}", a={"ok": None}) == ["3", '["x",1]', '{"ok":null}']


def test_a_key_may_have_dots() -> None:
    assert filled("{payload.a.b}") == ["dots"]


def test_two_braces_are_one() -> None:
    assert filled("{{print $1}}", "{{{task.id}}}", "}}{{") == ["{print $1}", "{t1}", "}{"]


def test_a_filled_in_text_is_not_looked_at_again() -> None:
    task = Task(id=TaskId("t"), payload={"x": "{task.id} {{ '$HOME' \n; rm"})
    assert fill(["{payload.x}"], task, "ann", {}) == ["{task.id} {{ '$HOME' \n; rm"]


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        filled("{payload.path}", "{payload.size}", "{results.t0}")
    assert str(caught.value) == (
        "task t1: the command line of agent ann cannot be filled: its payload has no 'size'; add it to the payload of "
        "the task; there is no result of 't0'; add it to `after` of task t1"
    )
    assert len(caught.value.facts["problems"]) == 2


def test_a_nul_character_is_refused_because_no_program_can_be_given_it() -> None:
    with pytest.raises(Invalid, match=r"\{payload.x\} holds a NUL character"):
        fill(["{payload.x}"], Task(id=TaskId("t"), payload={"x": "a\0b"}), "ann", {})


def test_an_unknown_placeholder_is_refused_when_filling_too() -> None:
    with pytest.raises(Invalid, match=r"unknown placeholder \{task.name\}"):
        filled("{task.name}")


def test_parse_finds_each_once_in_order() -> None:
    assert parse(["a", "{payload.x}{task.id}", "{results.t 1}", "{payload.x}", "{{payload.y}}"]) == (
        [Placeholder("payload", "x"), Placeholder("task", "id"), Placeholder("results", "t 1")],
        [],
    )


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("{task.di}", "unknown placeholder {task.di}; did you mean task.id?; a brace itself is written {{ or }}"),
        ("{payload}", "unknown placeholder {payload}; did you mean payload.KEY?; a brace itself is written {{ or }}"),
        (
            "{results.}",
            "unknown placeholder {results.}; did you mean results.TASK?; a brace itself is written {{ or }}",
        ),
        (
            "{}",
            "unknown placeholder {}; known: " + KNOWN + "; a brace itself is written {{ or }}",
        ),
        ("a { b", "a single { must be written {{"),
        ("a } b", "a single } must be written }}"),
    ],
)
def test_parse_says_what_is_wrong(word: str, wrong: str) -> None:
    assert parse([word]) == ([], [wrong])


@given(st.text())
def test_a_text_with_its_braces_doubled_comes_out_as_it_was(text: str) -> None:
    assert fill([text.replace("{", "{{").replace("}", "}}")], TASK, "ann", {}) == [text]


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)
def test_a_value_never_becomes_two_words(before: str, value: str) -> None:
    word = before.replace("{", "{{").replace("}", "}}") + "{payload.v}"
    assert fill([word], Task(id=TaskId("t"), payload={"v": value}), "ann", {}) == [before + value]
