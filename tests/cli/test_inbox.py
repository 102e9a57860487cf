"""`concerted inbox` in one process: stored, fetched, acknowledged, and what the sender sees."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def statuses(concerted: Any, *words: str) -> dict[str, str]:
    found = concerted("inbox", "receipts", "--json", *words).json()["messages"]
    return {one["agent"]: one["status"] for one in found}


def test_a_sender_sees_what_becomes_of_its_message(concerted: Any) -> None:
    id = concerted("inbox", "send", "--to", "bob,cy", "--as", "ann", "--ack-within", "5m", "hello").out.strip()
    assert statuses(concerted, "--as", "ann") == {"bob": "stored", "cy": "stored"}

    fetched = concerted("inbox", "fetch", "--as", "bob")
    assert fetched.out.splitlines()[1].split() == [id, "ann", "MESSAGE", "hello"]
    assert "concerted inbox ack ID..." in fetched.err
    assert concerted("inbox", "ack", id, "--as", "bob").out == "bob has acknowledged 1\n"
    assert statuses(concerted, "--as", "ann") == {"bob": "acknowledged", "cy": "stored"}
    assert statuses(concerted, "--as", "bob") == {}
    assert statuses(concerted, id) == {"bob": "acknowledged", "cy": "stored"}, "an admin sees all"


@pytest.mark.parametrize(("given", "content"), [("hello you", "hello you"), ('{"a": [1]}', {"a": [1]}), ("7", 7)])
def test_what_is_json_is_sent_as_json_and_anything_else_as_a_text(concerted: Any, given: str, content: Any) -> None:
    concerted("inbox", "send", "--to", "bob", "--as", "ann", "--type", "NOTE", "--priority", "high", given)

    (message,) = concerted("inbox", "fetch", "--as", "bob", "--json").json()["messages"]

    assert (message["content"], message["type"], message["priority"]) == (content, "NOTE", "high")


def test_a_message_is_fetched_once_and_found_again_by_who_asks_for_all(concerted: Any) -> None:
    for _ in range(2):
        concerted("inbox", "send", "--to", "bob", "--as", "ann", "--request-id", "r", "--ack-within", "5m", "hello")

    def fetched(*words: str) -> int:
        return len(concerted("inbox", "fetch", "--as", "bob", "--json", *words).json()["messages"])

    assert [fetched(), fetched(), fetched("--all")] == [1, 0, 1]


def test_who_waits_in_vain_gets_exit_code_4_and_who_does_not_wait_0(concerted: Any) -> None:
    assert (concerted("inbox", "fetch", "--as", "bob").code, concerted("inbox", "fetch", "--as", "bob").out) == (0, "")
    assert concerted("inbox", "fetch", "--as", "bob", "--wait", "50ms").code == 4


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["send", "--to", "bob", "hi"], 2, "who sends it?"),
        (["send", "--as", "ann", "hi"], 2, "--to"),
        (["fetch"], 2, "who fetches?"),
        (["ack", "x"], 2, "who has dealt with them?"),
        (["ack", "x", "--as", "bob"], 3, "there is no message 'x' in the inbox of bob"),
        (["send", "--to", "bob", "--as", "ann", "--ack-within", "0", "hi"], 2, "add a unit: 0s"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("inbox", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
