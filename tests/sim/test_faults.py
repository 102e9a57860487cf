"""Faults: read from words, written as words, drawn from dice."""

import dataclasses
import random

import pytest

from concerted.errors import Invalid
from concerted.sim.faults import NOT_OF_PLANS, Faults


def test_words_become_faults_and_faults_words():
    faults = Faults.parse("drop=0.2, duplicate=0.1,crash=3")
    assert faults == Faults(drop=0.2, duplicate=0.1, crash=3)
    assert faults.words() == "drop=0.2,duplicate=0.1,crash=3"
    assert Faults.parse(faults.words()) == faults


def test_no_words_are_no_faults():
    assert Faults.parse("") == Faults()
    assert Faults().words() == ""


def test_a_dash_is_as_good_as_an_underscore():
    assert Faults.parse("agent-crash=2") == Faults(agent_crash=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("drops=0.2", "did you mean drop?"),
        ("explode=1", "the faults are drop, duplicate"),
        ("drop=much", "expected a number, as in drop=0.2"),
        ("crash=1.5", "expected a whole number, as in crash=3"),
        ("drop=1.5", "it is a share, 0..1"),
        ("drop=0.95", "nothing is sure to arrive"),
        ("drop=nan", "finite"),
        ("delay=inf", "finite"),
        ("crash=-1", "at least 0"),
        ("drop", "expected a number"),
        ("drop=0.1,drop=0.2", "given twice"),
        ("swarm=7", "takes no value"),
    ],
)
def test_what_cannot_be_read_is_said_with_a_hint(words, told):
    with pytest.raises(Invalid, match=told.replace("?", r"\?")):
        Faults.parse(words)


def test_a_swarm_draws_another_mix_for_each_seed_and_the_same_for_the_same():
    swarm = Faults.parse("swarm")
    mixes = [swarm.draw(random.Random(seed)) for seed in range(30)]
    assert mixes == [swarm.draw(random.Random(seed)) for seed in range(30)]
    assert len({mix.words() for mix in mixes}) > 25
    assert not any(mix.swarm for mix in mixes)
    for kind in (
        "drop",
        "duplicate",
        "reorder",
        "crash",
        "pause",
        "disk",
        "agent_crash",
        "silence",
        "skew",
        "replay",
        "slow",
        "jump",
        "reset",
        "full",
        "flip",
    ):
        having = sum(getattr(mix, kind) > 0 for mix in mixes)
        assert 5 <= having <= 25, f"{kind} is in {having} of 30 mixes"


def test_a_swarm_draws_the_same_whatever_it_leaves_out():
    swarm = Faults.parse("swarm")
    for seed in range(30):
        whole, part = swarm.draw(random.Random(seed)), swarm.draw(random.Random(seed), NOT_OF_PLANS)
        assert part == dataclasses.replace(whole, **dict.fromkeys(NOT_OF_PLANS, 0))


def test_a_fault_that_there_is_not_is_refused():
    with pytest.raises(Invalid, match="fault flip: there is none in a simulation of a plan"):
        Faults(flip=1).without(NOT_OF_PLANS, "a plan")


def test_what_is_no_swarm_is_itself():
    assert Faults(drop=0.1).draw(random.Random(1)) == Faults(drop=0.1)


def test_a_swarm_keeps_what_is_set_beside_it():
    assert Faults.parse("swarm,amnesia=0.5").draw(random.Random(3)).amnesia == 0.5
