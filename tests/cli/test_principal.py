"""`concerted principal` in one process: tokens are given, shown once, and taken back."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_token_is_printed_once_and_nowhere_kept(concerted: Any, tmp_path: Path) -> None:
    token = concerted("principal", "add", "ann").out.strip()

    name, _, secret = token.rpartition(".")
    assert name == "ann"
    assert len(secret) >= 40
    assert all(secret.encode() not in file.read_bytes() for file in (tmp_path / ".concerted").iterdir())


def test_who_shows_a_token_acts_as_itself_without_being_named(concerted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    token = concerted("principal", "add", "ann").out.strip()
    concerted("sync", "create", "p", "--participants", "ann,bob")
    monkeypatch.setenv("CONCERTED_TOKEN", token)

    assert concerted("sync", "arrive", "p", "--no-wait").code == 0
    assert concerted("sync", "status", "p", "--json").json()["arrived_agents"] == ["ann"]
    refused = concerted("sync", "arrive", "p", "--as", "bob", "--no-wait")
    assert (refused.code, "ann may not arrive_at_sync_point as bob" in refused.err) == (5, True)
    assert concerted("principal", "add", "zoe").code == 5


def test_a_token_that_was_taken_back_or_replaced_is_nobodys(concerted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old = concerted("principal", "add", "ann", "--role", "operator", "--json").json()["token"]
    new = concerted("principal", "add", "ann", "--role", "operator").out.strip()

    def code(token: str) -> int:
        with monkeypatch.context() as showing:
            showing.setenv("CONCERTED_TOKEN", token)
            ended: int = concerted("principal", "list").code
            return ended

    assert [code(old), code(new)] == [5, 0]
    assert concerted("principal", "revoke", "ann").out == "the token of ann is void\n"
    assert code(new) == 5


def test_principals_are_listed_and_an_unknown_one_is_exit_code_3(concerted: Any) -> None:
    concerted("principal", "add", "root", "--role", "admin")
    concerted("principal", "add", "ann")
    concerted("principal", "revoke", "ann")

    listed = concerted("principal", "list", "--json").json()["principals"]
    assert [(one["name"], one["role"], one["revoked_at"] is None) for one in listed] == [
        ("ann", "agent", False), ("root", "admin", True),
    ]  # fmt: skip
    assert "revoked since" in concerted("principal", "list").out
    assert concerted("principal", "revoke", "zoe").code == 3
    assert concerted("principal", "add", "ann", "--role", "king").code == 2
