"""`concerted lease` in one process: tokens, queues, commands that run under a lease, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_lease_without_a_command_is_a_token_that_is_checked_renewed_and_released(concerted: Any) -> None:
    taken = concerted("lease", "take", "src/**", "port:80", "--as", "ann", "--ttl", "5m", "--purpose", "build")
    token = taken.out.strip()

    assert taken.code == 0
    assert f"concerted lease renew {token} --as ann" in taken.err
    assert concerted("lease", "check", "src/a.py", token).code == 0
    assert concerted("lease", "check", "docs/a.md", token).code == 7
    assert concerted("lease", "renew", token, "--as", "ann").out == "ann holds port:80, src/** for 300s\n"
    assert concerted("lease", "release", token, "--as", "bob").code == 5
    assert concerted("lease", "release", token, "--as", "ann").code == 0
    assert concerted("lease", "renew", token, "--as", "ann").code == 7
    assert concerted("lease", "check", "src/a.py", token).out.startswith("not valid: ")


def test_tokens_strictly_grow(concerted: Any) -> None:
    tokens = []
    for who in ("ann", "bob", "cy"):
        tokens.append(concerted("lease", "take", "x", "--as", who).out.strip())
        concerted("lease", "release", tokens[-1], "--as", who)

    assert tokens == sorted(set(tokens))
    assert len(tokens) == 3


def test_what_is_not_free_is_exit_code_4_and_says_who_holds_it(concerted: Any) -> None:
    concerted("lease", "take", "x", "--as", "ann", "--purpose", "build")

    token = concerted("lease", "take", "x", "--as", "bob", "--no-wait")
    waited = concerted("lease", "take", "x", "--as", "bob", "--wait", "50ms")
    command = concerted("lease", "take", "x", "--no-wait", "--", "true")

    assert (token.code, token.out, waited.code, command.code) == (4, "", 4, 4)
    assert "x was not free in time; held by ann" in token.err
    assert "x is held by ann; waiting, at most 50ms" in waited.err
    assert "x was not free in time; held by ann (build)" in command.err
    assert concerted("lease", "list", "--json").json()["waiting_count"] == 0, "who gave up still waits"


def test_a_ticket_keeps_its_place_and_is_the_same_lease(concerted: Any) -> None:
    token = concerted("lease", "take", "x", "--as", "ann").out.strip()
    line = ["lease", "take", "x", "--as", "bob", "--ticket", "nightly"]

    waiting = concerted(*line, "--no-wait")
    concerted("lease", "release", token, "--as", "ann")
    granted = [concerted(*line).out for _ in range(2)]

    assert (waiting.code, "place 1 in the queue is kept" in waiting.err) == (4, True)
    assert granted[0] == granted[1] > token


def test_sharers_share_and_are_listed(concerted: Any) -> None:
    for who in ("ann", "bob"):
        assert concerted("lease", "take", "x", "--as", who, "--shared").code == 0
    concerted("lease", "take", "x", "--as", "cy", "--ticket", "t", "--no-wait")

    rows = concerted("lease", "list").out.splitlines()[1:]

    assert [row.split()[1:3] for row in rows] == [["shared", "ann"], ["shared", "bob"], ["exclusive", "cy"]]
    assert "waits, place 1" in rows[2]
    assert len(concerted("lease", "list", "--for", "ann", "--json").json()["leases"]) == 1
    assert concerted("lease", "list", "--name", "y").out == ""


def test_a_command_finds_its_lease_in_its_environment_and_ends_with_its_own_exit_code(
    concerted: Any, tmp_path: Path
) -> None:
    script = "import json, os; json.dump({k: v for k, v in os.environ.items() if 'LEASE' in k}, open('env', 'w'))"

    ended = concerted("lease", "take", "b", "a", "--as", "ann", "--", "sh", "-c", f'python3 -c "{script}"; exit 9')

    found = json.loads((tmp_path / "env").read_text())
    assert ended.code == 9
    assert found.pop("CONCERTED_LEASE_TOKEN").isdigit()
    assert found == {"CONCERTED_LEASE_NAMES": "b\na", "CONCERTED_LEASE_HOLDER": "ann"}
    assert concerted("lease", "list").out == "", "it was not given back"


def test_a_command_without_a_name_is_held_by_a_holder_of_its_kind(concerted: Any, tmp_path: Path) -> None:
    concerted("lease", "take", "x", "--", "sh", "-c", 'echo "$CONCERTED_LEASE_HOLDER" > who')

    user, _, place = (tmp_path / "who").read_text().strip().partition("@")
    assert user
    assert place.rpartition(":")[2].isdigit()


def test_what_a_command_leaves_behind_ends_with_the_lease(concerted: Any, tmp_path: Path) -> None:
    left = 'sh -c "echo \\$\\$ > pid; exec sleep 60" & until [ -s pid ]; do sleep 0.01; done'

    assert concerted("lease", "take", "x", "--", "sh", "-c", left).code == 0

    pid = int((tmp_path / "pid").read_text())
    assert not _is_alive(pid)


def test_a_command_that_a_signal_ends_has_the_exit_code_of_a_shell(concerted: Any) -> None:
    assert concerted("lease", "take", "x", "--", "sh", "-c", "kill -TERM $$").code == 143


def test_the_options_of_the_command_are_its_own(concerted: Any, tmp_path: Path) -> None:
    ended = concerted("lease", "take", "x", "--", "sh", "-c", 'printf "%s " "$@" > args; exit 4', "sh", "--json", "--")

    assert (ended.code, ended.out) == (4, "")
    assert (tmp_path / "args").read_text() == "--json -- "


def test_the_holder_is_asked_and_an_admin_takes_it_away(concerted: Any) -> None:
    token = concerted("lease", "take", "x", "--as", "ann").out.strip()

    assert concerted("lease", "ask", "x", "--as", "bob", "--reason", "hurry").out == "ann has been asked to release x\n"
    (message,) = concerted("inbox", "fetch", "--as", "ann", "--json").json()["messages"]
    assert (message["type"], message["content"]["by"]) == ("LEASE_RELEASE_REQUESTED", "bob")
    assert concerted("lease", "revoke", token, "--reason", "stuck").code == 0
    over = concerted("lease", "renew", token, "--as", "ann")
    assert (over.code, "stuck" in over.err) == (7, True)
    assert concerted("lease", "ask", "x", "--as", "bob").code == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["take"], "Missing argument 'NAMES...'"),
        (["take", "x"], "who holds it? Name it with --as WHO"),
        (["take", "x", "--"], "behind -- stands the command"),
        (["take", "x", "--", "nosuch"], "nosuch cannot be started: there is no such program on PATH"),
        (["take", "x", "--", "./nosuch"], "./nosuch cannot be started: there is no such program there"),
        (["take", "x", "--ticket", "t", "--", "true"], "--ticket is for a lease without a command"),
        (["take", "../x", "--as", "a"], "write the path from the top"),
        (["take", "x", "--as", "a", "--ttl", "1"], "add a unit: 1s"),
        (["take", "x", "--as", "a", "--ttl", "0s"], "ttl_s is 0"),
        (["renew", "1"], "who holds it?"),
        (["revoke", "1"], "--reason"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], told: str) -> None:
    ended = concerted("lease", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert told in ended.err


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
