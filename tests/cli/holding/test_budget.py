"""`concerted budget` in one process."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_what_is_spent_under_a_ticket_counts_once(concerted: Any) -> None:
    for _ in range(2):
        made = concerted("budget", "create", "b", "--limit", "100", "--period", "1h")
        assert made.out.startswith("b: 100 of 100 tokens left; 0 spent; per 1h, fixed; more in ")

    told = [concerted("budget", "spend", "b", "one", "40", "--as", "ann") for _ in range(2)]

    assert [(one.code, one.out) for one in told] == [(0, "one spent: 40; 60 of 100 tokens left\n")] * 2
    assert concerted("budget", "refund", "b", "one", "10", "--as", "ann").out == (
        "one refunded: 10; 70 of 100 tokens left\n"
    )


def test_an_estimate_is_set_aside_and_settled(concerted: Any) -> None:
    concerted("budget", "create", "b", "--limit", "10", "--unit", "EUR", "--share", "0.9")

    assert concerted("budget", "reserve", "b", "r", "8", "--as", "ann").out == "r reserved: 8; 2 of 10 EUR left\n"
    assert "ann       8  r       reserved, returns in 59s" in concerted("budget", "status", "b").out
    assert concerted("budget", "settle", "b", "r", "2.5", "--as", "ann").out == "r settled: 2.5; 7.5 of 10 EUR left\n"
    assert concerted("budget", "status", "b").out == "b: 7.5 of 10 EUR left; 2.5 spent\n"


def test_more_than_there_is_is_exit_code_4_and_who_waits_keeps_its_place(concerted: Any) -> None:
    concerted("budget", "create", "b", "--limit", "10")
    concerted("budget", "spend", "b", "a", "8", "--as", "ann")

    refused = concerted("budget", "spend", "b", "x", "5", "--as", "bob", "--no-wait")
    waiting = concerted("budget", "spend", "b", "y", "5", "--as", "bob", "--wait", "50ms")

    assert (refused.code, refused.out) == (4, "x refused: 5; 2 of 10 tokens left\n")
    assert (waiting.code, waiting.out) == (4, "y waiting: 5; 2 of 10 tokens left\n")
    assert "2 of 10 tokens are left; waiting, at most 50ms" in waiting.err
    assert "place 1 in the queue is kept" in waiting.err
    assert concerted("budget", "withdraw", "b", "y", "--as", "bob").code == 0
    assert concerted("budget", "resize", "b", "--limit", "20").out == "b: 12 of 20 tokens left; 8 spent\n"
    assert concerted("budget", "spend", "b", "z", "5", "--as", "bob").code == 0
    assert [one["id"] for one in concerted("budget", "list", "--json").json()["primitives"]] == ["b"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["create", "b", "--limit", "0"], 2, "--limit"),
        (["spend", "b", "t", "much", "--as", "ann"], 2, "much"),
        (["spend", "b", "t", "1"], 2, "who spends it?"),
        (["reserve", "b", "t", "1", "--as", "ann"], 3, "no such budget"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("budget", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
