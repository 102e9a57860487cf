"""The steps of a scenario that only Paxos has."""

import pytest

from concerted.errors import Invalid
from concerted.sim.scenarios.script import play_script


def problems(steps: str) -> tuple[str, ...]:
    return play_script("protocol paxos\nservers 1 2 3\n" + steps + "\n").problems


def test_a_value_is_proposed_and_chosen() -> None:
    assert problems("agree 1 colour red\nexpect chosen 1 colour nothing\nsettle\nexpect chosen 3 colour red") == ()
    assert problems("agree 1 colour red\nsettle\nexpect chosen 2 colour blue") == (
        "line 5: expect chosen 2 colour blue: 2 takes b'red' for chosen",
    )


def test_the_transcript_tells_what_is_learnt() -> None:
    told = play_script("protocol paxos\nservers 1\nagree 1 colour red\n").text
    assert '    1 learns that colour is "red"' in told


def test_a_value_that_is_not_valid_is_refused() -> None:
    assert problems("agree 1 colour !red\nexpect refused invalid\nexpect quiet") == ()


def test_who_holds_a_lease_is_seen() -> None:
    assert problems("expect lease none\nelect 1\nexpect lease 1\npass 9.9\nexpect lease none") == ()
    assert problems("expect lease 1") == ("line 3: expect lease 1: nobody has a lease",)


def test_who_proposes_what_for_which_key_must_be_said() -> None:
    with pytest.raises(Invalid, match="agree 1 colour red"):
        problems("agree 1 red")
