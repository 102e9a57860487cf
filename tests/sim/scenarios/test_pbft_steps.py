"""The steps of a scenario that only PBFT has."""

import pytest

from concerted.errors import Invalid
from concerted.sim.scenarios.script import play_script

BEGIN = "protocol pbft\nservers 1 2 3 4 liars 1\n"


def problems(steps: str) -> tuple[str, ...]:
    return play_script(BEGIN + steps + "\n").problems


def test_a_request_is_carried_out_and_its_client_believes_two() -> None:
    steps = "propose 1 a\nexpect answered a nothing\nsettle\nexpect answered a 1\nexpect applied 4 1\nexpect view 4 0"
    assert problems(steps) == ()
    assert problems("propose 1 a\nsettle\nexpect answered a 2") == (
        "line 5: expect answered a 2: the client believes 1",
    )


def test_the_same_text_is_the_same_request() -> None:
    assert problems("propose 1 a\nsettle\npropose 2 a\nexpect refused done\nexpect applied 2 1") == ()


def test_a_liar_says_what_it_is_told() -> None:
    steps = "tell 1->2 pre-prepare 0/1 a\ndeliver\ntell 1->2 pre-prepare 0/1 b\n"
    assert problems(steps + "expect evidence none\ndeliver 1->2\nexpect evidence 1") == ()
    told = play_script(BEGIN + "tell 1->2 as 3 prepare 0/1 a\n").text
    assert '1->2 Prepare 0/1 "a", signed by 3 (a bad signature)' in told


def test_patience_ends_a_view() -> None:
    steps = "propose 2 a\ndrop\npatience 2\nexpect view 2 none\nexpect view 3 0"
    assert problems(steps) == ()


def test_what_a_liar_answers_is_one_answer() -> None:
    assert problems("propose 1 a\nanswer 1 a 7\nanswer 1 a 7\nexpect answered a nothing") == ()


def test_checkpoints_are_seen() -> None:
    steps = "protocol pbft\nset checkpoint_interval=2 window=4\nservers 1 2 3 4\npropose 1 a\nbriefly settle\n"
    assert play_script(steps + "propose 1 b\nsettle\nexpect stable 3 2\n").problems == ()
    assert play_script(steps + "expect stable 3 2\n").problems[0].endswith("replica 3 is stable at 0")


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("tell 2->1 prepare 0/1 a", "replica 2 does not lie"),
        ("tell 1->2 prepare zero a", "write them as 0/1"),
        ("tell 1->2 nonsense", "a liar can say"),
        ("patience 2", "waits for nothing"),
        ("servers 1 2 3 4", "the group is there already"),
        ("elect 1", "PBFT has no such step"),
    ],
)
def test_what_cannot_be_done_is_told(step: str, told: str) -> None:
    with pytest.raises(Invalid, match="line 3") as caught:
        problems(step)
    assert told in caught.value.message


def test_no_more_may_lie_than_the_group_survives() -> None:
    with pytest.raises(Invalid, match="at most 1 may lie"):
        play_script("protocol pbft\nservers 1 2 3 4 liars 1 2\n")
