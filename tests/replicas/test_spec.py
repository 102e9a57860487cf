"""A group that cannot be is refused, with everything that is wrong with it."""

import msgspec
import pytest

from concerted.consensus.replica_group import tolerates
from concerted.errors import Invalid
from concerted.replicas.spec import Group, check_group, read_group, warnings_of


def group(count: int = 3, **fields) -> Group:
    return Group(id="ops", replicas={node: f"127.0.0.1:{7000 + node}" for node in range(1, count + 1)}, **fields)


def test_the_defaults_are_those_of_the_specification() -> None:
    assert (group().election_timeout_s, group().heartbeat_interval_s, group().batch_count) == (10.0, 2.0, 100)


def test_a_group_comes_back_as_it_was() -> None:
    wanted = group(5, secret="s", hosts={1: "ann"})
    assert read_group(msgspec.json.encode(wanted)) == wanted


@pytest.mark.parametrize(
    ("algorithm", "count", "failing"), [("raft", 3, 1), ("paxos", 5, 2), ("pbft", 4, 1), ("pbft", 13, 4)]
)
def test_how_many_may_fail_follows_from_how_many_there_are(algorithm, count: int, failing: int) -> None:
    assert tolerates(algorithm, count) == failing


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (group(4), "4 replicas: raft takes 1, 2, 3, 5, 7"),
        (group(3, algorithm="pbft"), "PBFT with fewer than 4 survives no lie"),
        (group(4, algorithm="pbft"), "replicas 1, 2, 3, 4 have no public key"),
        (Group(id="ops", replicas={1: "10.0.0.1:7000"}), "not of this machine's loopback"),
        (Group(id="ops", replicas={1: "nowhere"}), "write HOST:PORT, or the path of a socket"),
        (Group(id="ops", replicas={1: "127.0.0.1:99999"}), "write HOST:PORT"),
        (Group(id="ops", replicas={0: "/a/b"}), "ids begin at 1"),
        (Group(id="ops", replicas={1: "/a/b", 2: "/a/b", 3: "/c"}), "two replicas listen at one address"),
        (group(heartbeat_interval_s=10.0), "several heartbeats within it"),
        (group(election_timeout_s=0.001, heartbeat_interval_s=0.0001), "at least 0.05 s"),
        (group(batch_count=0), "a batch of 0"),
        (Group(id=" ", replicas={1: "/a/b"}), "cannot name a group"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_is_wrong(wrong: Group, words: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_group(wrong)
    assert words in refused.value.message


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        check_group(group(4, batch_count=0))
    assert len(refused.value.facts["problems"]) == 2


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(Invalid, match="describes no group"):
        read_group(b'{"id": 1}')


def test_who_relies_on_too_few_is_warned() -> None:
    (warning,) = warnings_of(group(2, secret="s"))
    assert "tolerates the loss of none" in warning
    assert "and no lies" in warning
    assert "one fault domain" in warnings_of(group(1, secret="s"))[0]
    assert warnings_of(group(3, secret="s")) == []


def test_who_listens_to_everybody_is_warned_unless_there_is_a_secret() -> None:
    (warning,) = warnings_of(group(3))
    assert "replicas 1, 2, 3 listen at HOST:PORT" in warning
    assert "give the description a `secret`" in warning
    assert warnings_of(Group(id="ops", replicas={1: "/a/1", 2: "/a/2", 3: "/a/3"})) == []
    (mixed,) = warnings_of(Group(id="ops", replicas={1: "/a/1", 2: "127.0.0.1:7002", 3: "/a/3"}))
    assert "replicas 2 listen" in mixed


def test_a_replica_that_is_none_has_no_address() -> None:
    with pytest.raises(Invalid, match="has no replica 9; it has 1, 2, 3"):
        group().address(9)
