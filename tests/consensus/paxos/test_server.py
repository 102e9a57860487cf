"""One replica's state."""

import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.log import Log
from concerted.consensus.paxos.server import Leadership, Server, follow, promise
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.quorum import Configuration


@pytest.fixture
def server() -> Server:
    log = Log(Snapshot(configuration=Configuration.of((1, 2, 3))))
    return Server(1, Settings(), dice=lambda: 0.5, log=log, promised=2001)


def test_a_promise_is_never_taken_back(server: Server) -> None:
    with pytest.raises(AssertionError, match="has promised 2001"):
        promise(server, 1002)


def test_a_higher_promise_ends_what_it_was_about(server: Server) -> None:
    server.role, server.leader = "leader", 1
    server.leadership = Leadership(1, 0, 0, 0.0, 0.0, early_reads=[7], reads=[(1, (8, 9))])
    promise(server, 3003)
    assert (server.role, server.leader, server.promised) == ("follower", None, 3003)
    assert server.lost_reads == [7, 8, 9]


def test_the_same_promise_changes_nothing(server: Server) -> None:
    server.leader = 2
    promise(server, 2001)
    assert server.leader == 2


def test_who_gives_up_waits_before_it_tries_again(server: Server) -> None:
    server.role, server.now = "preparing", 100.0
    follow(server)
    assert server.election_at == 115.0
    server.now = 110.0
    follow(server)
    assert server.election_at == 115.0, "who follows already goes on waiting"


def test_peers_are_all_others(server: Server) -> None:
    assert server.peers == (2, 3)
