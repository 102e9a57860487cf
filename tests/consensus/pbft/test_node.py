"""A replica from outside: what every replicated log looks like, and what only this one refuses."""

import pytest

from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.consensus.pbft.group import Ed25519Signer, Ed25519Verifier, Group
from concerted.consensus.pbft.messages import Message, Proposal, Request
from concerted.consensus.pbft.node import Pbft
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import Stored
from concerted.consensus.ready import NOTHING, ReadId, Refusal
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.sim.pbft.keys import SimSigner


def test_it_is_a_replicated_log(alone) -> None:
    replica: ReplicatedLog = alone(2).pbft
    assert (replica.id, replica.term, replica.leader, replica.next_deadline) == (2, 0, 1, 0.0)


def test_reads_go_through_the_log(alone) -> None:
    ready = alone(1).pbft.read([ReadId(1), ReadId(2)], 0.0)
    assert (ready.refused, ready.lost_reads, ready.reads) == (Refusal("ordered", 1), (1, 2), ())


@pytest.mark.parametrize(
    "command",
    [
        lambda w: b"no request",
        lambda w: Request("ann", 1, b"not signed").encode(),
        lambda w: sealed_request("test", SimSigner("bob"), Request("ann", 1, b"by another")).encode(),
        lambda w: sealed_request("other", SimSigner("ann"), Request("ann", 1, b"for another group")).encode(),
        lambda w: sealed_request("test", SimSigner("eve"), Request("eve", 1, b"by a stranger")).encode(),
    ],
)
def test_what_no_client_has_signed_is_refused(command, alone) -> None:
    replica = alone(1)
    good = replica.words.request().encode()
    for commands in ([command(replica.words)], [good, command(replica.words)]):
        assert replica.pbft.propose(commands, 0.0).refused == Refusal("unsigned", 1)
    assert replica.pbft.replica.waiting == {}


def test_what_was_carried_out_is_refused_and_changes_nothing(alone) -> None:
    replica = alone(2)
    replica.commits(replica.words.proposal(1))
    ready = replica.is_asked(replica.words.request(1))
    assert (ready.refused, ready.messages) == (Refusal("done", 1), ())


def test_more_than_may_wait_is_refused(alone) -> None:
    replica = alone(2, waiting_count=2)
    words = replica.words
    assert replica.is_asked(words.request(1), words.request(2)).refused is None
    assert replica.is_asked(words.request(3)).refused == Refusal("overloaded", 1)


def test_who_wants_another_view_knows_no_leader(alone) -> None:
    replica = alone(3)
    replica.is_asked(replica.words.request())
    replica.times_out()
    assert (replica.pbft.term, replica.pbft.leader) == (1, None)
    assert replica.is_asked(replica.words.request(2)).refused is None, "it waits for the next view"


def test_its_own_words_do_nothing(alone) -> None:
    primary = alone(1)
    primary.is_asked(primary.words.request())
    for body in (primary.words.commit(1, primary.words.proposal()), primary.words.view_change(1, 5)):
        assert primary.hears(body, source=3) is NOTHING


def test_a_message_for_another_and_time_that_goes_back_are_our_own_bugs(alone) -> None:
    replica = alone(2)
    with pytest.raises(AssertionError, match="a message for replica 3 came to 2"):
        replica.pbft.receive(Message(3, 1, replica.words.proposal()), 0.0)
    replica.pbft.wake(5.0)
    with pytest.raises(AssertionError, match="went back"):
        replica.pbft.wake(4.0)


def test_waking_too_early_does_nothing(alone) -> None:
    replica = alone(2)
    replica.wakes()
    replica.is_asked(replica.words.request())
    assert replica.pbft.wake(1.0) is NOTHING


def test_four_replicas_with_real_keys_agree() -> None:
    pytest.importorskip("cryptography")
    private = {who: new_key(bytes([number]) * 32) for number, who in enumerate((1, 2, 3, 4, "ann"), 1)}
    public = {who: public_key(key) for who, key in private.items()}
    verifier = Ed25519Verifier({node: public[node] for node in (1, 2, 3, 4)}, {"ann": public["ann"]})
    group = Group("real", (1, 2, 3, 4), verifier)
    nodes = {
        node: Pbft(node, Settings(), Stored(), group=group, signer=Ed25519Signer(private[node]), now=0.0)
        for node in group.ids
    }
    request = sealed_request("real", Ed25519Signer(private["ann"]), Request("ann", 1, b"ship it"))
    committed: dict[int, list[bytes]] = {node: [] for node in group.ids}
    network = list(nodes[2].propose([request.encode()], 0.0).messages)
    kinds = set()
    while network:
        message = network.pop(0)
        kinds.add(type(message.body))
        ready = nodes[message.to].receive(message, 0.0)
        network += ready.messages
        committed[message.to] += [entry.command for entry in ready.committed]
    assert committed == {node: [request.encode()] for node in group.ids}
    assert Proposal in kinds
