"""Who wants what of decisions: everything that voters do comes up, and nothing is asked twice under two numbers."""

import random

from concerted.consensus.sessions import OPEN
from concerted.ports.decisions import CancelDecision, CastBallot, CreateDecision
from concerted.sim.decisions.errands import Asker, draw_askers


def drawn(count: int = 200) -> list[list[Asker]]:
    return [draw_askers(random.Random(seed), 0.0) for seed in range(count)]


def test_voters_do_everything_that_voters_do() -> None:
    twice_the_same = twice_otherwise = two_processes = silent = withdrawn = two_openers = 0
    for askers in drawn():
        wanted = [(asker.agent, each) for asker in askers for _, each in asker.errands]
        opened = [each for _, each in wanted if isinstance(each, CreateDecision)]
        two_openers += len({each.id for each in opened}) < len(opened)
        withdrawn += any(isinstance(each, CancelDecision) for _, each in wanted)
        for made in opened:
            for voter in made.electorate:
                cast = [each for agent, each in wanted if agent == voter and each.id == made.id]
                silent += not cast
                twice_the_same += len(cast) > len(set(cast))
                twice_otherwise += len({each.choice for each in cast if isinstance(each, CastBallot)}) > 1
        agents = [asker.agent for asker in askers]
        two_processes += len(set(agents)) < len(agents)
    assert min(twice_the_same, twice_otherwise, two_processes, silent, withdrawn, two_openers) > 10


def test_a_command_stays_the_same_until_it_is_answered() -> None:
    (asker, *_) = drawn(1)[0]
    first = asker.next_command()
    assert asker.next_command() == first
    assert asker.session == OPEN
    asker.session, asker.command = 5, b""
    second = asker.next_command()
    assert second == asker.next_command() != first
    assert asker.number == 1


def test_the_same_dice_draw_the_same() -> None:
    assert draw_askers(random.Random(7), 0.0) == draw_askers(random.Random(7), 0.0)
