"""Leadership transfer (thesis 3.10)."""

import pytest

from concerted.consensus.raft.messages import TimeoutNow
from concerted.consensus.sessions import Command


def leader(alone, **how):
    server = alone(**how).is_elected()
    server.acknowledges(2)
    server.ready.clear()
    return server


def test_a_successor_whose_log_is_whole_is_told_at_once(alone) -> None:
    """Thesis 3.10: "the prior leader sends a TimeoutNow request to the target server"."""
    server = leader(alone)
    server.transfers(2)
    assert [(each.to, each.term) for each in server.sent(TimeoutNow)] == [(2, 1)]


def test_a_successor_is_brought_up_to_date_first(alone) -> None:
    """Thesis 3.10, step 2: "The prior leader fully updates the target server's log to match its own log"."""
    server = leader(alone)
    server.transfers(3)
    assert not server.sent(TimeoutNow)
    server.acknowledges(2)
    assert not server.sent(TimeoutNow)
    server.acknowledges(3)
    assert len(server.sent(TimeoutNow)) == 1


def test_meanwhile_nothing_is_proposed(alone) -> None:
    """Thesis 3.10, step 1: "The prior leader stops accepting new client requests"."""
    server = leader(alone)
    server.transfers(3)
    assert server.proposes(b"x").refused.reason == "transferring"
    assert server.transfers(2).refused.reason == "transferring"


def test_a_transfer_that_takes_too_long_is_given_up(alone) -> None:
    """Thesis 3.10: "If leadership transfer does not complete after about an election timeout, the prior leader aborts
    the transfer and resumes accepting client requests"."""
    server = leader(alone)
    server.transfers(3)
    until = server.now + 10.0
    while server.now < until:
        server.wakes()
        server.acknowledges(2)
    assert server.proposes(b"x").refused is None


@pytest.mark.parametrize("successor", [1, 9])
def test_only_a_voter_that_is_another_can_take_over(alone, successor: int) -> None:
    assert leader(alone).transfers(successor).refused.reason == "no_target"


def test_a_follower_has_nothing_to_hand_over(alone) -> None:
    assert alone().transfers(2).refused.reason == "not_leader"


def test_the_successor_leads_in_the_next_term_while_all_are_well(room) -> None:
    three = room().elect(1)
    three.propose(1, Command(0, 1).encode())
    three.ask(1, lambda raft, now: raft.transfer(3, now))
    assert (three.leader(), three[3].term, three[1].role) == (3, 2, "follower")
    assert three.log(3) == [1, 1, 2]


def test_a_successor_that_is_dead_costs_nothing_but_time(room) -> None:
    three = room().elect(1)
    three.replicas[3].die()
    three.ask(1, lambda raft, now: raft.transfer(3, now))
    three.pass_time(20.0)
    assert three.leader() == 1
    assert three.propose(1, Command(0, 1).encode()).refused is None
