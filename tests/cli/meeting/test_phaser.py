"""`concerted phaser` in one process."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_phase_is_over_when_all_parties_have_arrived(concerted: Any) -> None:
    for _ in range(2):
        made = concerted("phaser", "create", "p", "--participants", "ann,bob", "--late-after", "1h")
        assert made.out == "p waiting: phase 0, 0 of 2 have arrived; missing: ann, bob\n"
    first = concerted("phaser", "arrive", "p", "--as", "ann", "--data", '"a"', "--no-wait")
    waits = concerted("phaser", "wait", "p", "--phase", "0", "--wait", "50ms")

    last = concerted("phaser", "arrive", "p", "--as", "bob")

    assert (first.code, waits.code, last.code) == (0, 4, 0)
    assert "1 of 2 have arrived; who has not arrived in 59m" in first.out
    assert last.out.splitlines() == ["p advanced: phase 0, 2 of 2 have arrived", "agent  data", "ann    a"]
    assert concerted("phaser", "wait", "p", "--phase", "0").code == 0
    assert concerted("phaser", "status", "p").out.startswith("p waiting: phase 1, 0 of 2")


def test_who_waits_in_vain_is_told_to_wait_on_and_not_to_arrive_again(concerted: Any) -> None:
    concerted("phaser", "create", "p", "--participants", "ann,bob")

    ended = concerted("phaser", "arrive", "p", "--as", "ann", "--wait", "50ms")

    assert ended.code == 4
    assert "ann has arrived, 1 of 2; waiting, at most 50ms" in ended.err
    assert "to go on waiting: concerted phaser wait p --phase 0" in ended.err


def test_parties_come_and_go(concerted: Any) -> None:
    concerted("phaser", "create", "p", "--participants", "ann,bob", "--policy", "shrink")
    assert "0 of 3" in concerted("phaser", "register", "p", "--as", "cy").out
    assert "0 of 3" in concerted("phaser", "register", "p", "--as", "dan", "--from-next").out

    removed = concerted("phaser", "remove", "p", "bob", "--reason", "on holiday")
    concerted("phaser", "arrive", "p", "--as", "ann", "--deregister")
    over = concerted("phaser", "arrive", "p", "--as", "cy", "--request-id", "r", "--phase", "0")

    assert removed.out.endswith("bob was taken out: on holiday\n")
    assert over.out.startswith("p advanced: phase 0, 2 of 2")
    assert "missing: cy, dan" in concerted("phaser", "status", "p").out
    assert concerted("phaser", "deregister", "p", "--as", "dan").code == 0
    assert concerted("phaser", "cancel", "p", "--reason", "enough").out.startswith("p terminated: ")
    assert concerted("phaser", "wait", "p", "--phase", "1").code == 1
    assert [one["id"] for one in concerted("phaser", "list", "--json").json()["primitives"]] == ["p"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["arrive", "p"], 2, "who arrives?"),
        (["arrive", "p", "--as", "ann"], 3, "there is no phaser of this id"),
        (["create", "p", "--policy", "hope"], 2, "--policy"),
        (["status", "p"], 3, "there is no phaser of this id"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("phaser", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
