"""`concerted semaphore` in one process."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_permits_are_held_under_a_ticket_renewed_by_their_token_and_released(concerted: Any) -> None:
    for _ in range(2):
        assert concerted("semaphore", "create", "gpu", "--permits", "2").out == "gpu: 2 of 2 permits free, 0 waiting\n"
    line = ["semaphore", "acquire", "gpu", "train", "--as", "ann", "--ttl", "5m", "--purpose", "a model"]

    taken, again = concerted(*line), concerted(*line)

    token = taken.out.strip()
    assert (taken.code, again.out) == (0, taken.out), "the same ticket is the same holding"
    assert f"concerted semaphore renew gpu {token} --as ann" in taken.err
    assert concerted("semaphore", "check", "gpu", token).out == f"ann holds 1 permit of gpu under {token}\n"
    assert concerted("semaphore", "renew", "gpu", token, "--as", "ann").out == "ann holds 1 permit of gpu for 300s\n"
    assert concerted("semaphore", "status", "gpu").out.splitlines()[1].split()[:3] == ["who", "permits", "ticket"]
    for _ in range(2):
        assert concerted("semaphore", "release", "gpu", "train", "--as", "ann").code == 0
    assert concerted("semaphore", "check", "gpu", token).code == 7
    assert concerted("semaphore", "renew", "gpu", token, "--as", "ann").code == 7


def test_what_is_not_free_is_exit_code_4_and_who_waits_keeps_its_place(concerted: Any) -> None:
    concerted("semaphore", "create", "gpu", "--permits", "1")
    concerted("semaphore", "acquire", "gpu", "a", "--as", "ann")

    refused = concerted("semaphore", "acquire", "gpu", "b", "--as", "bob", "--no-wait")
    waiting = concerted("semaphore", "acquire", "gpu", "c", "--as", "cy", "--wait", "50ms")

    assert (refused.code, refused.out, waiting.code, waiting.out) == (4, "", 4, "")
    assert "b of gpu refused: 0 of 1 permit are free" in refused.err
    assert "0 of 1 permit free, held by ann; waiting, at most 50ms" in waiting.err
    assert "place 1 in the queue is kept" in waiting.err
    assert concerted("semaphore", "status", "gpu", "--json").json()["waiting_count"] == 1
    concerted("semaphore", "release", "gpu", "a", "--as", "ann")
    assert concerted("semaphore", "acquire", "gpu", "c", "--as", "cy").code == 0


def test_who_withdraws_waits_no_longer_and_a_semaphore_can_grow(concerted: Any) -> None:
    concerted("semaphore", "create", "gpu", "--permits", "1")
    concerted("semaphore", "acquire", "gpu", "a", "--as", "ann")
    concerted("semaphore", "acquire", "gpu", "b", "--as", "bob", "--wait", "50ms")

    assert concerted("semaphore", "withdraw", "gpu", "b", "--as", "bob").out == "b of gpu: withdrawn\n"
    assert concerted("semaphore", "withdraw", "gpu", "a", "--as", "ann").code == 1
    assert concerted("semaphore", "resize", "gpu", "--permits", "3").out.startswith("gpu: 2 of 3 permits free")
    assert [one["id"] for one in concerted("semaphore", "list", "--json").json()["primitives"]] == ["gpu"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["create", "gpu", "--permits", "0"], 2, "--permits"),
        (["acquire", "gpu", "t"], 2, "who holds them?"),
        (["acquire", "gpu", "t", "--as", "ann"], 3, "no such semaphore"),
        (["status", "gpu"], 3, "no such semaphore"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("semaphore", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
