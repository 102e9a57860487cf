"""Liars: each kind tells its lie, with its own key and no other."""

import random

import pytest

from concerted.consensus.pbft.messages import Message, Proposal, Relay, Status, Transfer, batch_digest
from concerted.consensus.pbft.settings import Settings
from concerted.sim.pbft.cluster import PbftCluster
from concerted.sim.pbft.liars import KINDS, Liar


def told_by(*kinds: str, node: int = 1, seed: int = 1, count: int = 60) -> tuple[PbftCluster, list[Message]]:
    """Let a liar hear requests and statuses, and return all that it says."""
    said: list[Message] = []
    rng = random.Random(seed)
    cluster = PbftCluster(4, frozenset({node}), Settings(), rng, lambda _: None)
    liar = Liar(cluster, node, rng, kinds, said.append)
    for turn in range(count):
        request = cluster.want(cluster.clients[turn % 3])
        cluster.clients[turn % 3].request = None
        liar.receive(Message(node, 2, Relay((request,))))
        liar.receive(Message(node, 2, Status(0, True, 0, 0, (), 2)))
        liar.go_on(float(turn))
        liar.scheme()
    return cluster, said


def proposals(said: list[Message]) -> dict[int, set[bytes]]:
    """Return the digests that were given to each number."""
    found: dict[int, set[bytes]] = {}
    for message in said:
        if isinstance(message.body, Proposal):
            found.setdefault(message.body.pre_prepare.seq, set()).add(message.body.pre_prepare.digest)
    return found


def test_one_without_a_lie_does_as_the_honest_do() -> None:
    _, said = told_by()
    assert proposals(said)
    assert all(len(digests) == 1 for digests in proposals(said).values())


def test_one_that_equivocates_gives_one_number_to_two_batches() -> None:
    _, said = told_by("equivocating")
    assert any(len(digests) > 1 for digests in proposals(said).values())


def test_one_that_smuggles_orders_what_no_client_has_signed() -> None:
    cluster, said = told_by("smuggling")
    ordered = [request for message in said if isinstance(message.body, Proposal) for request in message.body.batch]
    assert any(request not in cluster.checks.signed for request in ordered)
    assert any(seq > 200 for seq in proposals(said)), "and outside of the watermarks"


def test_one_that_forgets_uses_a_number_again() -> None:
    _, said = told_by("forgetful", count=200)
    assert any(len(digests) > 1 for digests in proposals(said).values())


def test_silence_is_silent() -> None:
    assert len(told_by("silent")[1]) < len(told_by()[1]) / 2


def test_one_that_selects_says_some_things_to_some_only() -> None:
    _, said = told_by("selective")
    receivers = {node: {type(message.body) for message in said if message.to == node} for node in (2, 3, 4)}
    assert len({frozenset(kinds) for kinds in receivers.values()}) > 1


def test_one_that_repeats_says_the_same_under_two_good_signatures() -> None:
    cluster, said = told_by("repeating")
    headers = [message.body.pre_prepare for message in said if isinstance(message.body, Proposal)]
    signatures: dict[int, set[bytes]] = {}
    for header in headers:
        assert cluster.replicas[2].core.replica.seal.is_valid(header)
        signatures.setdefault(header.seq, set()).add(header.signature)
    assert max(len(each) for each in signatures.values()) == 2
    assert all(len(digests) == 1 for digests in proposals(said).values())


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_but_itself_is_spoken_for_with_a_good_signature(kind: str) -> None:
    """A liar has its own key alone; what it says in the name of others is not signed by them, unless they said it."""
    cluster, said = told_by(kind, node=2, count=30)
    for message in said:
        body = message.body
        statement = body.pre_prepare if isinstance(body, Proposal) else body
        if isinstance(statement, Relay | Transfer) or getattr(statement, "source", 2) == 2:
            continue
        seal = cluster.replicas[1].core.replica.seal
        assert isinstance(statement, Status) or not seal.is_valid(statement)


def test_a_batch_goes_with_its_digest_even_in_a_lie() -> None:
    """Else it would be thrown away at once, and teach nothing."""
    _, said = told_by("equivocating", "yes", "smuggling")
    for message in said:
        if isinstance(message.body, Proposal):
            assert message.body.pre_prepare.digest == batch_digest(message.body.batch)
