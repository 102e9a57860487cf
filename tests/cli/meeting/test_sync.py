"""`concerted sync` in one process: what it makes, says and refuses, and with which exit code."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_point_is_made_in_an_empty_folder_and_completes_when_all_have_come(concerted: Any) -> None:
    made = concerted("sync", "create", "p", "--participants", "ann,bob", "--deadline", "10m", "--name", "stand-up")
    assert (made.code, made.out[:40]) == (0, "p waiting: 0 of 2 have arrived; it expir")

    first = concerted("sync", "arrive", "p", "--as", "ann", "--data", '{"x": 1}', "--no-wait")
    last = concerted("sync", "arrive", "p", "--as", "bob", "--json").json()

    assert first.code == 0
    assert "p waiting: 1 of 2" in first.out
    assert (last["status"], last["name"], last["sync_data"]) == ("completed", "stand-up", {"ann": {"x": 1}})
    assert concerted("sync", "wait", "p").code == 0


def test_two_can_say_the_same_line_whoever_comes_first(concerted: Any) -> None:
    line = ["sync", "arrive", "p", "--participants", "ann,bob", "--deadline", "10m", "--condition", "all"]

    assert concerted(*line, "--as", "ann", "--no-wait").code == 0
    ended = concerted(*line, "--as", "bob", "--create")

    assert (ended.code, ended.out) == (0, "p completed: 2 of 2 have arrived\n")


@pytest.mark.parametrize(("condition", "needed"), [("all", 3), ("majority", 2), ("1", 1), ("size(arrived) == 2", None)])
def test_a_condition_is_a_word_a_number_or_an_expression(concerted: Any, condition: str, needed: int | None) -> None:
    made = concerted("sync", "create", "p", "--participants", "a,b,c", "--condition", condition, "--json").json()

    assert made["needed"] == needed


def test_waiting_ends_in_time_with_exit_code_4_and_says_how_to_go_on(
    concerted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["sync", "arrive", "p", "--as", "ann", "--participants", "ann,bob", "--wait", "50ms"]
    monkeypatch.setattr("sys.argv", ["concerted", *line])

    ended = concerted(*line)

    assert ended.code == 4
    assert "ann has arrived, 1 of 2; waiting, at most 50ms" in ended.err
    assert "to go on waiting: concerted sync arrive p --as ann --participants ann,bob --wait 50ms" in ended.err
    assert concerted("sync", "status", "p", "--json").json()["arrived"] == 1


def test_a_deadline_that_has_passed_is_exit_code_4_and_who_comes_after_it_is_refused(
    concerted: Any, concerted_with_a_deadline: Any
) -> None:
    concerted_with_a_deadline("sync", "create", "p", "--participants", "ann,bob")

    waited = concerted("sync", "wait", "p")
    late = concerted("sync", "arrive", "p", "--as", "ann")

    assert (waited.code, waited.out[:9]) == (4, "p expired")
    assert late.code == 1
    assert "comes too late" in late.err


def test_a_point_that_was_called_off_is_exit_code_1_for_who_waits_and_0_for_who_called(concerted: Any) -> None:
    concerted("sync", "create", "p", "--participants", "ann,bob")

    cancelled = concerted("sync", "cancel", "p", "--reason", "no time")
    waited = concerted("sync", "wait", "p")

    assert cancelled.code == 0
    assert (waited.code, waited.out) == (1, "p cancelled: 0 of 2 have arrived; no time; missing: ann, bob\n")


def test_a_point_is_completed_by_hand_and_grows_by_its_creator(concerted: Any) -> None:
    concerted("sync", "create", "p", "--participants", "ann,bob", "--as", "ann")

    assert concerted("sync", "add", "p", "cy", "dan", "--as", "ann").out.startswith("p waiting: 0 of 4")
    assert concerted("sync", "complete", "p", "--as", "bob").code == 5
    done = concerted("sync", "complete", "p", "--as", "ann")
    assert (done.code, "completed by ann" in done.out) == (0, True)


def test_who_acts_is_named_by_an_option_or_once_for_all(concerted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["sync", "arrive", "p", "--participants", "ann,bob", "--no-wait"]
    nobody = concerted(*line)
    assert nobody.code == 2
    assert "Name it with --as WHO" in nobody.err

    monkeypatch.setenv("CONCERTED_AGENT", "ann")
    assert concerted(*line).code == 0
    assert concerted("sync", "status", "p", "--json").json()["arrived_agents"] == ["ann"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["create", "p"], "who takes part? Name at least two: --participants ann,bob"),
        (["create", "p", "--participants", "ann"], "at least two participants"),
        (["create", "p", "--participants", "ann,,bob"], "a name is missing in 'ann,,bob'"),
        (["create", "p", "--participants", "a,b", "--deadline", "5"], "add a unit: 5s"),
        (["create", "p", "--participants", "a,b", "--deadline", "soon"], "a duration such as"),
        (["create", "p", "--participants", "a,b", "--metadata", "[1]"], "is no object"),
        (["create", "p", "--participants", "a,b", "--condition", "9"], "between 1 and 2"),
        (["create", "p", "--participants", "a,b", "--condition", "size("], "size("),
        (["arrive", "p", "--as", "a", "--data", "{x"], "is no JSON"),
        (["arrive", "p", "--as", "a", "--condition", "majority"], "--condition is for making the point"),
        (["arrive", "p", "--as", "a", "--create"], "who takes part?"),
        (["arrive", "p", "--as", "a", "--wait", "1s", "--no-wait"], "give one of them"),
    ],
)
def test_wrong_input_is_told_in_one_line(concerted: Any, words: list[str], told: str) -> None:
    ended = concerted("sync", *words)

    assert ended.code == 2
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def test_what_is_not_there_is_exit_code_3_and_a_stranger_exit_code_5(concerted: Any) -> None:
    for words in (["arrive", "p", "--as", "ann"], ["wait", "p"], ["status", "p"], ["cancel", "p"]):
        assert concerted("sync", *words).code == 3
    concerted("sync", "create", "p", "--participants", "ann,bob")

    refused = concerted("sync", "arrive", "p", "--as", "zoe", "--json")

    assert refused.code == 5
    assert refused.json()["error"]["code"] == "not_allowed"
    assert "its creator local can add zoe" in refused.err


def test_the_same_point_with_something_else_is_refused_unless_one_arrives_at_it(concerted: Any) -> None:
    line = ["sync", "create", "p", "--participants", "ann,bob"]
    assert [concerted(*line).code, concerted(*line).code] == [0, 0]

    other = concerted(*line, "--condition", "majority")

    assert (other.code, "with other condition" in other.err) == (2, True)
    assert concerted("sync", "arrive", *line[2:], "--as", "ann", "--condition", "1", "--no-wait").code == 0


def test_points_are_listed_by_agent_and_by_page(concerted: Any) -> None:
    for name, who in (("a", "ann,bob"), ("b", "bob,cy"), ("c", "ann,cy")):
        concerted("sync", "create", name, "--participants", who)
    concerted("sync", "cancel", "a")

    def ids(*words: str) -> tuple[list[str], str | None]:
        page = concerted("sync", "list", "--json", *words).json()
        return [one["id"] for one in page["primitives"]], page["after"]

    assert ids() == (["a", "b", "c"], None)
    assert ids("--for", "ann") == (["a", "c"], None)
    assert ids("--status", "waiting", "--for", "ann") == (["c"], None)
    assert ids("--limit", "2") == (["a", "b"], "b")
    assert ids("--limit", "2", "--after", "b") == (["c"], None)
    assert "there are more: --after a" in concerted("sync", "list", "--limit", "1").err
