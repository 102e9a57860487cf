"""Evidence: who contradicts itself is named, with what proves it; whoever is honest never is."""

import msgspec
import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.evidence import is_contradiction, is_proof
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Checkpoint, Commit, Prepare, Statement, ViewChange
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.ready import Evidence
from concerted.sim.pbft.keys import SimSigner, SimVerifier


def read(said: bytes) -> Statement:
    return msgspec.msgpack.decode(said, type=Statement)


def proves(words, evidence: Evidence) -> bool:
    seal = Seal(4, words.group, SimSigner(4))
    return is_proof(evidence, read(evidence.first), read(evidence.second), seal)


@pytest.mark.parametrize(
    ("culprit", "first", "second"),
    [
        (1, lambda w: w.proposal(1), lambda w: w.proposal(1, w.request(9))),
        (3, lambda w: w.prepare(3, w.proposal(1)), lambda w: w.prepare(3, w.proposal(1, w.request(9)))),
        (3, lambda w: w.commit(3, w.proposal(1)), lambda w: w.commit(3, w.proposal(1, w.request(9)))),
        (3, lambda w: w.prepare(3, w.proposal(1)), lambda w: w.commit(3, w.proposal(1, w.request(9)))),
        (1, lambda w: w.proposal(1), lambda w: w.commit(1, w.proposal(1, w.request(9)))),
        (3, lambda w: w.signed(Checkpoint(100, b"a", 3)), lambda w: w.signed(Checkpoint(100, b"b", 3))),
        (3, lambda w: w.view_change(3, 1), lambda w: w.view_change(3, 1, w.prepared(w.proposal()))),
    ],
)
def test_two_statements_that_contradict_each_other_are_evidence(culprit: int, first, second, alone) -> None:
    replica = alone(2)
    words = replica.words
    replica.hears(first(words))
    [evidence] = replica.hears(second(words)).evidence
    assert evidence.culprit == culprit
    assert proves(words, evidence)
    assert not proves(words, replace_first(evidence, b"", culprit)), "the statements must be those that are shown"
    assert not proves(words, Evidence(4, evidence.first, evidence.second)), "and of whom is accused"
    assert replica.hears(second(words)).evidence == (), "once is enough"


def replace_first(evidence: Evidence, signature: bytes, culprit: int) -> Evidence:
    statement = replace(read(evidence.first), signature=signature)
    return Evidence(culprit, msgspec.msgpack.encode(statement), evidence.second)


def test_a_primary_that_begins_its_view_twice_is_named(alone) -> None:
    replica = alone(4)
    words = replica.words
    replica.hears(words.new_view(1, *(words.view_change(node, 1) for node in (1, 2, 3))))
    other = words.new_view(1, *(words.view_change(node, 1) for node in (2, 3, 4)))
    [evidence] = replica.hears(other).evidence
    assert evidence.culprit == 2
    assert proves(words, evidence)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.prepare(3, w.proposal(1))),
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.commit(3, w.proposal(1))),
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.prepare(3, w.proposal(2, w.request(9)))),
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.prepare(3, w.proposal(1, w.request(9), view=1))),
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.prepare(4, w.proposal(1, w.request(9)))),
        (lambda w: w.signed(Checkpoint(100, b"a", 3)), lambda w: w.signed(Checkpoint(200, b"b", 3))),
        (lambda w: w.view_change(3, 1), lambda w: w.view_change(3, 2, w.prepared(w.proposal()))),
        (lambda w: w.view_change(3, 1), lambda w: replace(w.view_change(3, 1), signature=b"another good one")),
        (lambda w: w.view_change(3, 1), lambda w: w.new_view(1, w.view_change(3, 1))),
        (lambda w: w.prepare(3, w.proposal(1)), lambda w: w.signed(Checkpoint(1, b"b", 3))),
    ],
)
def test_what_an_honest_replica_may_say_is_no_contradiction(first, second, words) -> None:
    assert not is_contradiction(first(words), second(words))
    assert not is_contradiction(second(words), first(words))


@pytest.mark.parametrize(
    "forge",
    [
        lambda w: replace(w.prepare(3, w.proposal(1, w.request(9))), signature=b"forged"),
        lambda w: replace(w.prepare(4, w.proposal(1, w.request(9))), source=3),
        lambda w: replace(w.commit(3, w.proposal(1)), digest=b"other"),
    ],
)
def test_nobody_can_make_evidence_against_another(forge, alone) -> None:
    replica = alone(2)
    replica.hears(replica.words.prepare(3, replica.words.proposal(1)))
    assert replica.hears(forge(replica.words), source=4).evidence == ()


def test_one_who_was_restarted_says_the_same_as_before(room) -> None:
    """What was said is durable before it leaves; the room's invariants compare all that an honest replica ever says."""
    group = room()
    group.loses = lambda message: isinstance(message.body, Commit)
    group.ask()
    for node in (1, 2, 3, 4):
        group.restart(node)
    group.heal().pass_time(60.0)
    group.ask(client=1)
    assert group.cluster.checks.accused == set()
    said = [message.body for message in group.sent if isinstance(message.body, Prepare | Commit | ViewChange)]
    assert len(said) > len({msgspec.msgpack.encode(each) for each in said}), "it was said again"


class TwoSignatures(SimVerifier):
    """Of one content there may be several good signatures: whoever holds the key chooses."""

    def is_signed(self, who, data, signature):
        return super().is_signed(who, data, signature.removesuffix(b"again"))


@pytest.mark.parametrize(
    "says",
    [
        lambda w: w.view_change(2, 1, w.prepared(w.proposal())),
        lambda w: w.new_view(1, *(w.view_change(node, 1) for node in (1, 2, 3))),
        lambda w: w.signed(Checkpoint(100, b"a", 2)),
        lambda w: w.prepare(2, w.proposal(1)),
        lambda w: w.commit(2, w.proposal(1)),
    ],
)
def test_the_same_under_another_signature_is_no_contradiction(says, alone, words) -> None:
    words.group = Group("test", words.group.ids, TwoSignatures((*words.group.ids, "ann")))
    replica = alone(4, words=words)
    said = says(words)
    replica.hears(said)
    again = replace(said, signature=said.signature + b"again")
    assert Seal(4, words.group, SimSigner(4)).is_valid(again)
    assert replica.hears(again).evidence == ()
    assert replica.pbft.replica.convicted == set()
