"""`concerted group` in one process."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_members_join_tell_each_other_something_and_leave(concerted: Any) -> None:
    joined = concerted("group", "join", "crew", "--as", "ann", "--value", '{"port": 1}', "--ttl", "5m")
    assert joined.out == "crew: 1 member, version 1\n"
    concerted("group", "join", "crew", "--as", "bob")
    concerted("group", "update", "crew", '"ready"', "--as", "bob")

    shown = concerted("group", "status", "crew").out.splitlines()

    assert shown[0] == "crew: 2 members, version 3"
    assert [line.split()[:2] + line.split()[3:] for line in shown[2:]] == [
        ["ann", "present", '{"port":1}'],
        ["bob", "present", "ready"],
    ]
    assert concerted("group", "renew", "crew", "--as", "ann").code == 0
    assert concerted("group", "leave", "crew", "--as", "ann").out == "crew: 1 member, version 4\n"
    assert concerted("group", "leave", "crew", "--member", "bob").out == "crew: 0 members, version 5\n"
    assert [one["id"] for one in concerted("group", "list", "--json").json()["primitives"]] == ["crew"]


def test_one_waits_for_members_and_for_changes(concerted: Any) -> None:
    concerted("group", "create", "crew", "--grace", "1m")
    concerted("group", "join", "crew", "--as", "ann")

    few = concerted("group", "wait", "crew", "--count", "2", "--wait", "50ms")
    concerted("group", "join", "crew", "--as", "bob")

    assert few.code == 4
    assert concerted("group", "wait", "crew", "--count", "2").code == 0
    assert "version 2: bob joined" in concerted("group", "watch", "crew", "--version", "1").err
    assert concerted("group", "watch", "crew", "--version", "2", "--wait", "50ms").code == 4


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["join", "crew"], 2, "who joins?"),
        (["join", "crew", "--as", "ann", "--value", "{"], 2, "is no JSON"),
        (["renew", "crew", "--as", "ann"], 3, "no such group"),
        (["wait", "crew", "--count", "0"], 2, "--count"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("group", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
