"""`concerted barrier` in one process: generations, the action of who is elected, and what is refused."""

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_whoever_comes_first_makes_it_and_all_of_a_generation_go_on(concerted: Any) -> None:
    line = ["barrier", "arrive", "b", "--parties", "2"]

    first = concerted(*line, "--as", "ann", "--data", "7", "--no-wait")
    last = concerted(*line, "--as", "bob", "--json").json()

    assert (first.code, "1 of 2 have arrived" in first.out) == (0, True)
    assert (last["status"], last["generation"], last["data"]) == ("released", 0, {"ann": 7})
    assert "generation 1, 0 of 2" in concerted("barrier", "status", "b").out


def test_the_same_request_id_is_the_same_arrival_and_no_second_one(concerted: Any) -> None:
    line = ["barrier", "arrive", "b", "--parties", "2", "--json"]
    concerted(*line, "--as", "ann", "--request-id", "one", "--no-wait")
    concerted(*line, "--as", "bob")

    again = concerted(*line, "--as", "ann", "--request-id", "one").json()

    assert (again["status"], again["generation"]) == ("released", 0)


def test_who_waits_for_a_generation_that_does_not_fill_gets_exit_code_4(concerted: Any) -> None:
    waited = concerted("barrier", "arrive", "b", "--parties", "2", "--as", "ann", "--wait", "50ms")
    assert (waited.code, "there is no verdict yet; to go on waiting" in waited.err) == (4, True)

    timed_out = concerted("barrier", "arrive", "c", "--parties", "2", "--as", "ann", "--timeout", "50ms")
    assert (timed_out.code, timed_out.out[:9]) == (4, "c timeout")


def test_the_elected_party_runs_its_action_and_all_get_what_it_printed(concerted: Any, tmp_path: Path) -> None:
    (tmp_path / "merge.sh").write_text('echo "$CONCERTED_BARRIER $CONCERTED_GENERATION $CONCERTED_ACTION_EPOCH"\n')

    ended = concerted("barrier", "arrive", "b", "--parties", "1", "--as", "ann", "--action", "sh merge.sh")

    assert (ended.code, ended.out) == (
        0, "b released: generation 0, 1 of 1 have arrived; the action gave b 0 1\n",
    )  # fmt: skip
    assert "ann is elected to act for all" in ended.err


@pytest.mark.parametrize(
    ("action", "within", "why"),
    [
        ("sh -c 'echo first; echo second thoughts >&2; exit 3'", "60s", "sh ended with exit code 3: second thoughts"),
        ("sleep 30", "300ms", "ann did not say in time that it is done"),
    ],
)
def test_an_action_that_fails_breaks_the_generation_for_all(concerted: Any, action: str, within: str, why: str) -> None:
    ended = concerted(
        "barrier", "arrive", "b", "--parties", "1", "--as", "ann", "--action", action, "--action-timeout", within
    )

    assert ended.code == 1
    assert why in ended.out


def test_an_elected_party_without_an_action_of_its_own_says_so_and_runs_nothing(concerted: Any) -> None:
    concerted("barrier", "create", "b", "--parties", "1", "--action")

    ended = concerted("barrier", "arrive", "b", "--as", "ann")

    assert (ended.code, "the elected party was given no --action" in ended.out) == (1, True)


def test_it_is_begun_anew_and_called_off_by_its_creator(concerted: Any) -> None:
    concerted("barrier", "create", "b", "--participants", "ann,bob", "--as", "ann")
    concerted("barrier", "arrive", "b", "--as", "bob", "--no-wait")

    assert concerted("barrier", "reset", "b", "--as", "bob").code == 5
    assert "generation 1" in concerted("barrier", "reset", "b", "--as", "ann", "--reason", "oops").out
    assert concerted("barrier", "cancel", "b", "--as", "ann", "--reason", "enough").code == 0
    refused = concerted("barrier", "arrive", "b", "--as", "bob")
    assert (refused.code, "b is cancelled: enough" in refused.err) == (1, True)
    assert [one["id"] for one in concerted("barrier", "list", "--for", "ann", "--json").json()["primitives"]] == ["b"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["create", "b"], "how many take part, or who?"),
        (["create", "b", "--parties", "2", "--participants", "a,b"], "how many take part, or who?"),
        (["create", "b", "--parties", "0"], "'--parties'"),
        (["arrive", "b", "--parties", "2"], "who arrives?"),
        (["arrive", "b", "--as", "a", "--timeout", "1s"], "--timeout is for making the barrier"),
        (["arrive", "b", "--as", "a", "--action", "nosuch x"], "nosuch cannot be started: there is no such program"),
        (["arrive", "b", "--as", "a", "--action", "echo 'x"], "is no command line: No closing quotation"),
        (["arrive", "b", "--as", "a", "--action", " "], "--action is empty"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], told: str) -> None:
    ended = concerted("barrier", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert told in ended.err
