"""`concerted log` in one process: positions, repeats, pages, and who may append."""

import json
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_an_append_prints_its_position_and_the_same_request_prints_it_again(concerted: Any) -> None:
    lines = [
        concerted("log", "append", "audit", value, "--as", "ann", "--request-id", id)
        for value, id in (("x", "r1"), ('{"build": 7}', "r2"), ("x", "r1"))
    ]

    assert [one.out for one in lines] == ["1\n", "2\n", "1\n"]
    assert concerted("log", "append", "audit", "other", "--as", "ann", "--request-id", "r1").code != 0


def test_a_log_is_read_from_anywhere(concerted: Any) -> None:
    for number in range(5):
        concerted("log", "append", "audit", str(number), "--as", "ann")

    assert [line.split()[::3] for line in concerted("log", "read", "audit").out.splitlines()] == [
        [str(number + 1), str(number)] for number in range(5)
    ]
    page = concerted("log", "read", "audit", "--after", "1", "--limit", "2", "--json")
    assert [json.loads(line)["value"] for line in page.out.splitlines()] == [1, 2]
    followed = concerted("log", "read", "audit", "--follow", "--wait", "50ms", "--after", "4")
    assert (followed.code, len(followed.out.splitlines())) == (0, 1)


def test_only_writers_append(concerted: Any) -> None:
    made = concerted("log", "create", "audit", "--writers", "ann,bob", "--as", "cy")
    refused = concerted("log", "append", "audit", "x", "--as", "cy")

    assert (made.code, made.out) == (0, "audit: 0 entries, 0 bytes; ann, bob may append\n")
    assert (refused.code != 0, "ann, bob may" in refused.err) == (True, True)
    assert concerted("log", "append", "audit", "x", "--as", "bob").out == "1\n"
    shown = concerted("log", "show", "audit", "--json").json()
    assert (shown["last"], shown["entries_committed"], shown["algorithm"]) == (1, 2, "single")
    assert concerted("log", "list").out.splitlines()[1].split()[:3] == ["audit", "kept", "1"]


def test_waiting_is_for_those_who_follow(concerted: Any) -> None:
    assert concerted("log", "read", "audit", "--wait", "1s").code == 2
    assert concerted("log", "read", "audit").code != 0, "there is no such log"
