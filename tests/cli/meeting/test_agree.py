"""`concerted agree` and `agreement` in one process: what they do, say and refuse, and with which exit code."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_the_value_that_is_agreed_on_is_printed_whoever_proposed_it(concerted: Any) -> None:
    first = concerted("agree", "colour", "red", "--as", "ann")
    second = concerted("agree", "colour", "blue", "--as", "bob")

    assert [(one.code, one.out) for one in (first, second)] == [(0, "red\n"), (0, "red\n")]
    assert "this proposal is the value, for ever" in first.err
    assert "the proposal of ann is the value, for ever" in second.err


def test_with_mine_the_exit_code_says_who_was_first(concerted: Any) -> None:
    lines = [concerted("agree", "k", name, "--as", name, "--mine", "--request-id", "r") for name in ("ann", "bob")]
    again = concerted("agree", "k", "ann", "--as", "ann", "--mine", "--request-id", "r")

    assert [one.code for one in (*lines, again)] == [0, 1, 0]


@pytest.mark.parametrize(
    ("given", "printed"),
    [
        ("7", "7"),
        ('{"a": [1]}', '{"a":[1]}'),
        ("null", "null"),
        ("v7.1", "v7.1"),
        ('"7"', "7"),
        ("true story", "true story"),
    ],
)
def test_a_value_is_json_or_a_text_as_it_is(concerted: Any, given: str, printed: str) -> None:
    assert concerted("agree", "k", given).out == f"{printed}\n"


def test_an_invalid_value_is_refused_with_what_would_be_valid(concerted: Any) -> None:
    refused = concerted("agree", "k", "v8", "--valid", "v7*")

    assert (refused.code, refused.out) == (2, "")
    assert "it is not like v7*; it takes type text, like v7*" in refused.err
    assert concerted("agreement", "show", "k").code != 0, "nothing was opened"


def test_an_agreement_is_opened_waited_for_and_shown(concerted: Any) -> None:
    line = ("agreement", "open", "k", "--valid", "1..5", "--proposers", "ann,bob", "--deadline", "1h", "--as", "cy")
    opened, same = concerted(*line), concerted(*line)
    waited = concerted("agreement", "wait", "k", "--wait", "50ms")

    assert (opened.code, same.code, waited.code) == (0, 0, 4), opened.err + same.err
    assert "nobody has proposed a value yet; it takes type integer, at least 1, at most 5; it lapses in" in opened.err
    assert "to go on waiting: concerted agreement wait k" in waited.err
    assert concerted("agree", "k", "3", "--as", "cy").code != 0
    assert concerted("agree", "k", "3", "--as", "bob").out == "3\n"
    shown = concerted("agreement", "show", "k", "--json").json()
    assert (shown["status"], shown["value"], shown["proposed_by"]) == ("agreed", 3, "bob")
    assert (shown["stored_by"], shown["term"]) == (["the embedded store: one file, one fault domain"], None)
    assert concerted("agreement", "wait", "k", "--no-wait").out == "3\n"


def test_an_agreement_that_lapses_has_exit_code_4(concerted: Any, concerted_with_a_deadline: Any) -> None:
    concerted_with_a_deadline("agreement", "open", "k")
    waited = concerted("agreement", "wait", "k")

    assert (waited.code, waited.out) == (4, "")
    assert "has lapsed: nobody has proposed a value by its deadline" in waited.err


def test_agreements_are_listed(concerted: Any) -> None:
    concerted("agree", "a", "1")
    concerted("agreement", "open", "b", "--proposers", "ann")

    assert [line.split()[:2] for line in concerted("agreement", "list").out.splitlines()[1:]] == [
        ["a", "agreed"],
        ["b", "waiting"],
    ]
    assert len(concerted("agreement", "list", "--for", "ann").out.splitlines()) == 2


def test_what_nothing_keeps_is_refused(concerted: Any) -> None:
    refused = concerted("agree", "k", "1", "--algorithm", "post-it")

    assert (refused.code, "there is nothing else" in refused.err) == (2, True)
