"""`concerted progress` in one process: steps of the creator and of participants, and what is waited for."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_tracker_without_names_is_moved_and_completed_by_whoever_made_it(concerted: Any) -> None:
    assert concerted("progress", "create", "t", "--steps", "2").out == "t active: step 0 of 2, 0%\n"
    assert concerted("progress", "update", "t", "1").out.startswith("t active: step 1 of 2, 50%")

    done = concerted("progress", "update", "t", "2", "--data", '{"built": true}', "--json").json()

    assert (done["status"], done["step_data"]) == ("completed", {"2": {"built": True}})
    assert concerted("progress", "wait", "t").code == 0


def test_participants_move_their_own_step_and_the_last_is_named(concerted: Any) -> None:
    concerted(
        "progress", "create", "t", "--steps", "4", "--participants", "ann,bob", "--completes-with", "participants",
        "--weights", '{"ann": 3, "bob": 1}', "--metadata", '{"release": 7}', "--as", "lead",
    )  # fmt: skip

    concerted("progress", "update", "t", "4", "--as", "ann")
    shown = concerted("progress", "show", "t")

    assert shown.out.splitlines()[0].startswith("t active: step 0 of 4, 75%; bob has done least")
    assert shown.out.splitlines()[2:] == ["ann             4", "bob             0"]
    assert concerted("progress", "update", "t", "4", "--as", "bob").out.startswith("t completed")


def test_a_step_that_is_reached_is_exit_code_0_and_one_that_is_not_4(concerted: Any) -> None:
    concerted("progress", "create", "t", "--steps", "4")
    concerted("progress", "update", "t", "2")

    assert concerted("progress", "wait", "t", "--step", "2").code == 0
    assert concerted("progress", "wait", "t", "--percent", "50").code == 0
    assert concerted("progress", "wait", "t", "--percent", "51", "--wait", "50ms").code == 4
    waited = concerted("progress", "wait", "t", "--step", "3", "--wait", "50ms")
    assert (waited.code, "it is not reached yet; to go on waiting" in waited.err) == (4, True)


def test_a_tracker_that_was_called_off_is_exit_code_1_for_who_waits(concerted: Any) -> None:
    concerted("progress", "create", "t", "--steps", "4", "--as", "ann")

    assert concerted("progress", "cancel", "t", "--as", "bob").code == 5
    assert concerted("progress", "cancel", "t", "--reason", "enough", "--as", "ann").code == 0
    assert concerted("progress", "wait", "t", "--step", "1").code == 1
    assert concerted("progress", "update", "t", "1", "--as", "ann").code == 1


def test_trackers_are_listed_for_who_takes_part_and_for_who_made_them(concerted: Any) -> None:
    concerted("progress", "create", "a", "--steps", "1", "--as", "ann")
    concerted("progress", "create", "b", "--steps", "1", "--participants", "ann")
    concerted("progress", "create", "c", "--steps", "1", "--participants", "bob")

    listed = concerted("progress", "list", "--for", "ann", "--json").json()

    assert [one["id"] for one in listed["primitives"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["create", "t"], 2, "--steps"),
        (["create", "t", "--steps", "0"], 2, "--steps"),
        (["create", "t", "--steps", "2", "--weights", "[1]"], 2, "is no object"),
        (["wait", "t", "--step", "1", "--percent", "3"], 2, "give one of them"),
        (["show", "t"], 3, "there is no such progress tracker"),
        (["update", "t", "1"], 3, "there is no such progress tracker"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], code: int, told: str) -> None:
    ended = concerted("progress", *words)

    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert told in ended.err
