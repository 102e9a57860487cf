"""What the commands about meeting points share, and the short ones: latches and registers."""

from typing import Any

import click
import pytest

from concerted.cli import primitives
from concerted.cli.exits import EXITS


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_who_acts_is_who_was_named_else_the_variable_else_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert primitives.acting(None) is None
    monkeypatch.setenv("CONCERTED_TOKEN", "build.bot.secret")
    assert primitives.acting(None) == "build.bot"
    monkeypatch.setenv("CONCERTED_AGENT", "ann")
    assert (primitives.acting(None), primitives.acting("bob")) == ("ann", "bob")


@pytest.mark.parametrize(("given", "seconds"), [("5m", 300.0), ("100ms", 0.1), ("1h30m", 5400.0), (2.5, 2.5)])
def test_spans_are_read_as_seconds(given: Any, seconds: float) -> None:
    assert primitives.span(given) == seconds


def test_names_stand_between_commas() -> None:
    assert primitives.names("ann, bob") == ("ann", "bob")
    with pytest.raises(click.BadParameter):
        primitives.names("")


@pytest.mark.parametrize("status", ["completed", "expired", "cancelled", "broken", "waiting", "nonsense"])
def test_every_status_has_a_documented_exit_code(status: str) -> None:
    assert primitives.ending_code(status) in EXITS


def test_a_latch_opens_when_every_ticket_has_been_counted(concerted: Any) -> None:
    made = [concerted("latch", "create", "l", "--count", "2", "--deadline", "1h", "--json") for _ in range(2)]
    assert made[0].json()["deadline_at"] == made[1].json()["deadline_at"]
    assert concerted("latch", "create", "l", "--count", "2", "--deadline", "2h").code == 2
    for _ in range(2):
        assert concerted("latch", "count-down", "l", "one").code == 0
    assert concerted("latch", "wait", "l", "--wait", "50ms").code == 4
    assert concerted("latch", "status", "l").out.startswith("l closed: 1 of 2 left; it expires in 59m")

    concerted("latch", "count-down", "l", "two", "--as", "ann")

    assert concerted("latch", "wait", "l").code == 0
    assert concerted("latch", "cancel", "l").code == 1
    concerted("latch", "create", "m", "--count", "1")
    assert concerted("latch", "cancel", "m", "--reason", "enough").out == "m cancelled: 1 of 1 left; enough\n"
    assert concerted("latch", "wait", "m").code == 1
    assert [one["id"] for one in concerted("latch", "list", "--json").json()["primitives"]] == ["l", "m"]


def test_a_register_is_swapped_only_if_it_is_as_expected(concerted: Any) -> None:
    assert concerted("register", "swap", "v", '{"a": 1}', "--if-version", "0", "--as", "ann").out == '{"a":1}\n'

    lost = concerted("register", "swap", "v", "2", "--if-version", "0", "--as", "bob")
    won = concerted("register", "swap", "v", "2", "--if-value", '{"a": 1}', "--as", "bob")

    assert (lost.code, lost.out, won.code, won.out) == (1, '{"a":1}\n', 0, "2\n")
    assert concerted("register", "increment", "v", "--by", "3", "--request-id", "r").out == "5\n"
    assert concerted("register", "increment", "v", "--by", "3", "--request-id", "r").out == "5\n"
    assert concerted("register", "increment", "v", "--maximum", "5").code == 1
    assert concerted("register", "wait", "v", "--version", "2").code == 0
    assert concerted("register", "wait", "v", "--version", "3", "--wait", "50ms").code == 4
    assert concerted("register", "delete", "v", "--if-version", "1").code == 1
    assert concerted("register", "delete", "v").code == 0
    assert concerted("register", "get", "v").out == ""
    assert concerted("register", "put", "v", '"new"').out == '"new"\n'


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["register", "get", "v"], 3, "there is no such value"),
        (["register", "put", "v", "{"], 2, "is no JSON"),
        (["register", "swap", "v", "1"], 2, "what is expected?"),
        (["register", "increment", "v", "--by", "much"], 2, "is no number"),
        (["latch", "create", "l", "--count", "0"], 2, "--count"),
        (["latch", "wait", "l"], 3, "no latch"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted(*words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
