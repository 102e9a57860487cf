"""`concerted decide`, `vote` and `decision` in one process: what they do, say and refuse, and with which exit code."""

import json
from pathlib import Path
from typing import Any

import pytest

from concerted.engine.replicas import arrivals

ASK = ["decide", "ship it?", "--voters", "ann,bob,cy", "--id", "d"]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_question_is_put_voted_on_and_decided(concerted: Any) -> None:
    asked = concerted(*ASK, "--rule", "2/3", "--no-wait")
    first = concerted("vote", "d", "accept", "--as", "ann", "--reason", "tests are green")
    last = concerted("vote", "d", "accept", "--as", "bob", "--wait", "1s")

    assert (asked.code, first.code, last.code) == (0, 0, 0), asked.err
    assert asked.out == (
        "d voting: 0 of 3 have voted; at least 2/3 of the electorate must accept; missing: ann, bob, cy\n"
    )
    shown = concerted("decision", "show", "d")
    assert shown.out.splitlines() == [
        "d accepted: 2 of 3 have voted; 2 of 3 for accept, it takes 2; missing: cy",
        "voter  vote    reason",
        "ann    accept  tests are green",
        "bob    accept",
    ]
    assert concerted(*ASK, "--rule", "2/3").code == 0  # the same line again has the same outcome


@pytest.mark.parametrize(
    ("votes", "terms", "code", "status"),
    [
        ({"ann": "reject", "bob": "reject"}, (), 1, "rejected"),
        ({"ann": "accept", "bob": "accept", "cy": "reject"}, ("--veto", "cy"), 1, "rejected"),
        ({"ann": "accept", "bob": "abstain", "cy": "abstain"}, ("--base", "cast"), 0, "accepted"),
        ({"ann": "accept"}, ("--weight", "ann=3"), 0, "accepted"),
    ],
)
def test_the_exit_code_is_0_only_if_it_was_accepted(
    concerted: Any, votes: dict[str, str], terms: tuple[str, ...], code: int, status: str
) -> None:
    concerted(*ASK, *terms, "--no-wait")
    for name, choice in votes.items():
        concerted("vote", "d", choice, "--as", name)

    ended = concerted("decision", "wait", "d", "--json")

    assert (ended.code, ended.json()["status"]) == (code, status)


@pytest.mark.parametrize(
    ("terms", "code", "status"),
    [
        ((), 4, "lapsed"),
        (("--silence", "accept"), 0, "accepted"),
        (("--silence", "accept", "--quorum", "1/3"), 4, "lapsed"),
    ],
)
def test_the_exit_code_of_what_its_deadline_ends_is_0_only_if_silence_accepts(
    concerted: Any, concerted_with_a_deadline: Any, terms: tuple[str, ...], code: int, status: str
) -> None:
    concerted_with_a_deadline(*ASK, *terms, "--no-wait")

    ended = concerted("decision", "wait", "d", "--json")

    assert (ended.code, ended.json()["status"]) == (code, status)


def test_waiting_ends_in_time_with_exit_code_4_and_says_how_to_go_on(concerted: Any) -> None:
    ended = concerted(*ASK, "--wait", "50ms")

    assert ended.code == 4
    assert "d: 0 of 3 have voted; to vote: concerted vote d accept --as WHO" in ended.err
    assert "to go on waiting: concerted decision wait d" in ended.err


def test_without_an_id_every_question_is_a_new_decision(concerted: Any) -> None:
    line = ["decide", "ship it?", "--voters", "ann", "--no-wait", "--json"]
    first, second = concerted(*line).json(), concerted(*line).json()

    assert first["id"] != second["id"]
    assert first["proposal_digest"] == second["proposal_digest"]


def test_a_second_ballot_is_ignored_with_exit_code_1(concerted: Any) -> None:
    concerted(*ASK, "--no-wait")
    concerted("vote", "d", "accept", "--as", "ann")

    again = concerted("vote", "d", "reject", "--as", "ann")

    assert again.code == 1
    assert "the first ballot of ann counts, accept; this one is written and ignored" in again.err
    assert concerted("vote", "d", "accept", "--as", "ann").code == 0


def test_options_are_chosen_from(concerted: Any) -> None:
    concerted(
        "decide", "which?", "--voters", "ann,bob", "--id", "c", "--option", "red", "--option", "blue", "--no-wait"
    )
    assert concerted("vote", "c", "accept", "--as", "ann").code == 2
    concerted("vote", "c", "blue", "--as", "ann")

    ended = concerted("vote", "c", "blue", "--as", "bob", "--wait", "1s")

    assert (ended.code, ended.out.splitlines()[0]) == (
        0, "c accepted (blue): 2 of 2 have voted; 2 of 2 for blue, it takes 2"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["decide", "x?", "--voters", "ann,ann"], 2, "a voter is named twice"),
        (["decide", "x?", "--voters", "ann", "--weight", "bob=2"], 2, "who is not among the voters"),
        (["decide", "x?", "--voters", "ann", "--weight", "ann=0.5"], 2, "is no weight"),
        (["decide", "x?", "--voters", "ann", "--rule", "1/2"], 2, "is a tie enough"),
        (["decide", "x?", "--voters", "ann", "--veto", "bob", "--no-wait"], 2, "bob has a veto and no vote"),
        (["decide", "x?", "--voters", "ann", "--algorithm", "votes", "--no-wait"], 2, "there is nothing else"),
        (["decide", "x?", "--voters", "ann", "--key", "ann", "--no-wait"], 2, "write NAME=PUBLIC_KEY"),
        (["vote", "d", "accept"], 2, "who votes?"),
        (["vote", "d", "accept", "--as", "dee"], 5, "dee has no vote"),
        (["vote", "nothing", "accept", "--as", "ann"], 3, "there is no such decision"),
        (["decision", "certificate", "d"], 1, "is still open"),
        (["decision", "verify", "nothing.json"], 3, "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_in_words(concerted: Any, words: list[str], code: int, problem: str) -> None:
    concerted(*ASK, "--no-wait")

    ended = concerted(*words)

    assert ended.code == code
    assert problem in ended.err


def test_replicas_take_more_agents_than_are_here(concerted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "JOIN_S", 0.05)  # how long it waits for agents that begin beside it

    ended = concerted("decide", "x?", "--voters", "ann", "--algorithm", "raft", "--no-wait")

    assert ended.code == 2
    assert "0 agents are here, and raft" in ended.err


def test_a_certificate_is_verified_from_a_file_alone(concerted: Any, tmp_path: Path) -> None:
    concerted(*ASK, "--no-wait")
    concerted("vote", "d", "accept", "--as", "ann")
    concerted("vote", "d", "accept", "--as", "cy")
    written = concerted("decision", "certificate", "d").out
    (tmp_path / "good.json").write_text(written)
    (tmp_path / "bad.json").write_text(written.replace('"outcome":"accepted"', '"outcome":"rejected"'))

    good, bad = concerted("decision", "verify", "good.json"), concerted("decision", "verify", "bad.json")

    assert (good.code, good.out) == (0, "valid: accepted\nnot signed: ann, cy\n")
    assert bad.code == 1
    assert "these ballots come to accepted (accept), not to rejected (accept)" in bad.out
    assert json.loads(concerted("decision", "verify", "bad.json", "--json").out)["valid"] is False


def test_a_signed_ballot_from_a_key_file(concerted: Any, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    public = concerted("decision", "new-key", "ann.key").out.strip()
    assert (tmp_path / "ann.key").stat().st_mode & 0o077 == 0
    assert concerted("decision", "new-key", "ann.key").code == 2

    concerted("decide", "ship it?", "--voters", "ann", "--id", "s", "--key", f"ann={public}", "--no-wait")
    assert concerted("vote", "s", "accept", "--as", "ann").code == 2
    assert concerted("vote", "s", "accept", "--as", "ann", "--key-file", "ann.key").code == 0
    (tmp_path / "s.json").write_text(concerted("decision", "certificate", "s").out)
    assert concerted("decision", "verify", "s.json").out == "valid: accepted\nsigned: ann\n"


def test_a_proposal_is_withdrawn_and_lists_show_it(concerted: Any) -> None:
    concerted(*ASK, "--no-wait")

    ended = concerted("decision", "cancel", "d", "--reason", "moot")

    assert (ended.code, ended.out) == (
        0, "d lapsed: 0 of 3 have voted; it was withdrawn (moot); missing: ann, bob, cy\n"
    )  # fmt: skip
    assert concerted("decision", "wait", "d").code == 1
    (listed,) = concerted("decision", "list", "--json").json()["primitives"]
    assert (listed["name"], listed["status"]) == ("ship it?", "lapsed")
    assert "closed since it was withdrawn by local: moot" in concerted("why", "d").out


def test_what_was_decided_is_not_withdrawn_any_more_and_who_tries_is_told(concerted: Any) -> None:
    concerted("decide", "ship it?", "--voters", "ann", "--id", "s", "--no-wait")
    concerted("vote", "s", "accept", "--as", "ann")

    told = concerted("decision", "cancel", "s")

    assert (told.code, told.out.partition(":")[0]) == (0, "s accepted")
    assert "decision s was closed before; nothing is withdrawn" in told.err
