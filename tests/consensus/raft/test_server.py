"""One server's state, and how it becomes a follower (Ongaro & Ousterhout 2014, 5.1, figure 2)."""

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.log import Log
from concerted.consensus.raft.server import Server, follow, grace, may_campaign
from concerted.consensus.raft.settings import Settings


def server_with(*configurations: Configuration, **how) -> Server:
    first, *later = configurations
    entries = [Entry(index, 1, None, each) for index, each in enumerate(later, 1)]
    return Server(1, Settings(), lambda: 0.25, Log(Snapshot(configuration=first), entries), **how)


THREE = Configuration.of((1, 2, 3))


def test_a_higher_term_begins_without_a_vote_and_without_a_leader() -> None:
    server = server_with(THREE, term=3, vote=2, leader=2)
    follow(server, 4)
    assert (server.term, server.vote, server.leader) == (4, None, None)


def test_the_same_term_keeps_the_vote() -> None:
    server = server_with(THREE, term=3, vote=2)
    follow(server, 3, leader=3)
    assert (server.vote, server.leader) == (2, 3)


def test_terms_only_grow() -> None:
    """Paper 5.1: each server's term "increases monotonically over time"."""
    with pytest.raises(AssertionError, match="back from term 3 to 2"):
        follow(server_with(THREE, term=3), 2)


def test_a_timeout_is_rolled() -> None:
    assert grace(server_with(THREE)) == 12.5


def test_only_a_leader_knows_followers() -> None:
    with pytest.raises(AssertionError, match="no leader"):
        _ = server_with(THREE).leading


def test_who_may_stand() -> None:
    """Thesis 4.2.2: voters of the newest configuration, of the committed one, and of any between."""
    leaving = THREE.change((2, 3))
    assert may_campaign(server_with(THREE))
    assert not may_campaign(server_with(Configuration.of((2, 3))))
    assert not may_campaign(server_with(Configuration.of((2, 3), (1,))))
    gone = server_with(THREE, leaving, leaving.final())
    assert may_campaign(gone)
    gone.log.commit_to(2)
    assert not may_campaign(gone)
