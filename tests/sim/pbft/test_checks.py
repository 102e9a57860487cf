"""The invariants of PBFT: each is broken here on purpose, and is seen to be."""

import random

import msgspec
import pytest
from msgspec.structs import replace

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pbft.messages import (
    Commit,
    Message,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Request,
    ViewChange,
    batch_digest,
)
from concerted.consensus.pbft.replica import Slot, Waiting, slot_at
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import Write
from concerted.consensus.ready import Evidence, Ready
from concerted.sim.cluster.checks import Broken
from concerted.sim.pbft.cluster import PbftCluster
from concerted.sim.pbft.keys import SimSigner


@pytest.fixture
def cluster() -> PbftCluster:
    return PbftCluster(4, frozenset({4}), Settings(), random.Random(1), lambda _: None)


def wanted(cluster: PbftCluster, client: int = 0) -> Request:
    return cluster.want(cluster.clients[client])


def step(cluster: PbftCluster, node: int, *commands: bytes, first: int = 1) -> None:
    entries = tuple(Entry(index, index, command) for index, command in enumerate(commands, first))
    cluster.checks.stepped(cluster.replicas[node], Ready(committed=entries))


def signed(cluster: PbftCluster, statement):
    return Seal(statement.source, cluster.group, SimSigner(statement.source)).sign(statement)


def sends(cluster: PbftCluster, body) -> None:
    cluster.checks.sends(cluster.replicas[body.source], Message(3, body.source, body))


def test_who_waits_for_what_is_done_is_seen(cluster) -> None:
    request, state = wanted(cluster), cluster.replicas[1].core.replica
    state.waiting[request.key] = Waiting(request, 0.0)
    cluster.checks.stepped(cluster.replicas[1], Ready())
    state.done.add(*request.key)
    with pytest.raises(Broken, match="patience: replica 1"):
        cluster.checks.stepped(cluster.replicas[1], Ready())


def test_logs_that_differ_are_seen(cluster) -> None:
    one, two = wanted(cluster, 0).encode(), wanted(cluster, 1).encode()
    step(cluster, 1, one, two)
    step(cluster, 2, one)
    with pytest.raises(Broken, match="order: 3 carries out"):
        step(cluster, 3, two)


def test_a_gap_is_seen(cluster) -> None:
    with pytest.raises(Broken, match=r"carries out .* after 0"):
        step(cluster, 1, wanted(cluster).encode(), first=2)


def test_a_request_that_nobody_signed_is_seen(cluster) -> None:
    with pytest.raises(Broken, match="forged"):
        step(cluster, 1, replace(wanted(cluster), body=b"other").encode())


def test_a_request_that_is_carried_out_twice_is_seen(cluster) -> None:
    command = wanted(cluster).encode()
    with pytest.raises(Broken, match="carried out twice"):
        step(cluster, 1, command, command)


def commits(cluster: PbftCluster, node: int, digest: bytes) -> None:
    state = cluster.replicas[node].core.replica
    slot_at(state, 1).committed = digest
    state.executed = 1
    cluster.checks.stepped(cluster.replicas[node], Ready())


def test_a_commitment_that_f_and_one_have_not_prepared_is_seen(cluster) -> None:
    with pytest.raises(Broken, match="committed too early"):
        commits(cluster, 1, b"d")


def prepare_on_disk(cluster: PbftCluster, node: int, *batch: Request) -> Proposal:
    header = signed(cluster, PrePrepare(0, 1, batch_digest(batch), 1))
    cluster.replicas[node].disk.write(Write(1, accepted=(Proposal(header, batch),), prepared=(Prepared(header, ()),)))
    return Proposal(header, batch)


def test_two_batches_at_one_number_are_seen(cluster) -> None:
    for node in (2, 3):
        prepared = prepare_on_disk(cluster, node, wanted(cluster))
    commits(cluster, 2, prepared.pre_prepare.digest)
    with pytest.raises(Broken, match="agreement: replica 3 commits another batch at 1"):
        commits(cluster, 3, b"other")


def test_what_is_sent_before_it_is_written_is_seen(cluster) -> None:
    proposal = prepare_on_disk(cluster, 2, wanted(cluster))
    digest = proposal.pre_prepare.digest
    sends(cluster, signed(cluster, Prepare(0, 1, digest, 2)))
    sends(cluster, signed(cluster, Commit(0, 1, digest, 2)))
    for body in (Prepare(0, 2, digest, 2), Prepare(1, 1, digest, 2), Commit(0, 2, digest, 2), Commit(0, 1, digest, 3)):
        with pytest.raises(Broken, match="not persisted"):
            sends(cluster, signed(cluster, body))


def test_an_honest_replica_that_contradicts_itself_is_seen(cluster) -> None:
    proposal = prepare_on_disk(cluster, 2, wanted(cluster))
    sends(cluster, signed(cluster, Prepare(0, 1, proposal.pre_prepare.digest, 2)))
    with pytest.raises(Broken, match="contradiction"):
        sends(cluster, signed(cluster, Prepare(0, 1, b"other", 2)))


def accuse(cluster: PbftCluster, culprit: int, second: bytes = b"b") -> None:
    said = [msgspec.msgpack.encode(signed(cluster, Prepare(0, 1, digest, culprit))) for digest in (b"a", second)]
    ready = Ready(evidence=(Evidence(culprit, *said),))
    cluster.checks.stepped(cluster.replicas[1], ready)


def test_evidence_against_the_honest_is_seen(cluster) -> None:
    accuse(cluster, 4)
    assert cluster.checks.accused == {4}
    with pytest.raises(Broken, match="says that 2 lies, who is honest"):
        accuse(cluster, 2)
    with pytest.raises(Broken, match="proves nothing"):
        accuse(cluster, 4, second=b"a")


def test_what_was_acknowledged_and_is_not_in_the_log_is_seen(cluster) -> None:
    first, second = wanted(cluster, 0), wanted(cluster, 1)
    step(cluster, 1, first.encode())
    cluster.checks.acknowledged(first, 1)
    for request, index in ((first, 2), (second, 1)):
        with pytest.raises(Broken, match="acknowledged and lost"):
            cluster.checks.acknowledged(request, index)


def test_a_state_that_no_honest_replica_had_is_seen(cluster) -> None:
    with pytest.raises(Broken, match="state transfer"):
        cluster.checks.stepped(cluster.replicas[1], Ready(restore=Snapshot(index=1, term=1)))


def test_a_vote_in_a_view_that_was_left_is_seen(cluster) -> None:
    proposal = prepare_on_disk(cluster, 2, wanted(cluster))
    left = signed(cluster, ViewChange(1, 0, (), (), 2))
    cluster.replicas[2].disk.write(Write(2, view_change=left))
    sends(cluster, left)
    with pytest.raises(Broken, match="has left that view"):
        sends(cluster, signed(cluster, Prepare(0, 1, proposal.pre_prepare.digest, 2)))


def test_a_number_outside_of_the_watermarks_is_seen(cluster) -> None:
    state = cluster.replicas[1].core.replica
    state.slots[201] = Slot(201)
    with pytest.raises(Broken, match="watermarks: replica 1 has 201"):
        cluster.checks.stepped(cluster.replicas[1], Ready())
