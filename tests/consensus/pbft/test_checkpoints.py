"""Checkpoints, watermarks and state transfer (Castro & Liskov 1999, section 4.3), sentence by sentence."""

import msgspec
import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.messages import Checkpoint, Fetch, Proposal, Stable, State, Transfer
from concerted.consensus.ready import NOTHING

SHORT = {"checkpoint_interval": 2, "window": 4}


def at_checkpoint(alone, node: int = 2):
    """Give a replica that has carried out two batches, and whose snapshot is taken."""
    replica = alone(node, **SHORT)
    for seq in (1, 2):
        replica.commits(replica.words.proposal(seq))
    assert replica.ready[-1].compact_at == 2
    replica.compacts(b"state")
    [checkpoint] = replica.said(Checkpoint)
    return replica, checkpoint


def test_a_checkpoint_is_taken_when_the_number_is_divisible_by_the_interval(alone) -> None:
    """4.3: "These proofs [...] are generated periodically, when a request with a sequence number divisible by some
    constant (e.g., 100) is executed"; the digest is of the state of the service."""
    replica, checkpoint = at_checkpoint(alone)
    assert (checkpoint.seq, checkpoint.source) == (2, 2)
    state = replica.pbft.replica.snapshots[2]
    assert (state.index, state.data, state.digest()) == (2, b"state", checkpoint.digest)


def test_nothing_more_is_handed_out_before_the_snapshot_is_there(alone) -> None:
    """4.3: the state has all requests up to n in it, and no other."""
    replica = alone(2, **SHORT)
    for seq in (1, 2, 3):
        replica.commits(replica.words.proposal(seq))
    assert replica.carried_out() == [b"1", b"2"]
    index = next(ready.compact_at for ready in replica.ready if ready.compact_at is not None)
    assert replica._do(replica.pbft.compact(index, b"", replica.now)).committed[0].index == 3


def test_a_snapshot_that_was_not_asked_for_does_nothing(alone) -> None:
    replica = alone(2, **SHORT)
    replica.commits(replica.words.proposal(1))
    assert replica.pbft.compact(1, b"", 0.0) is NOTHING
    assert replica.said(Checkpoint) == []


def test_a_checkpoint_is_stable_when_two_f_and_one_have_signed_its_digest(alone) -> None:
    """4.3: "Each replica collects checkpoint messages in its log until it has 2f + 1 of them for sequence number n with
    the same digest d signed by different replicas (including possibly its own such message)"."""
    replica, own = at_checkpoint(alone)
    words = replica.words
    replica.hears(words.signed(replace(own, source=3)))
    replica.hears(words.signed(replace(own, source=3)))
    replica.hears(replace(own, source=4))
    replica.hears(words.signed(Checkpoint(2, b"another digest", 1)))
    assert replica.pbft.replica.stable == 0, "two, one of them twice; a bad signature; another digest"
    ready = replica.hears(words.signed(replace(own, source=4)))
    assert replica.pbft.replica.stable == 2
    assert [each.source for each in ready.write.snapshot.proof] == [2, 3, 4]


def test_all_at_or_below_a_stable_checkpoint_is_discarded_and_the_watermarks_move(alone) -> None:
    """4.3: "the replica discards all pre-prepare, prepare and commit messages with sequence number less than or equal
    to n from its log; it also discards all earlier checkpoints [...] The checkpoint protocol is used to advance the low
    and high water marks"."""
    replica, own = at_checkpoint(alone)
    for node in (1, 3):
        replica.hears(replica.words.signed(replace(own, source=node)))
    state = replica.pbft.replica
    assert (state.slots, state.snapshots) == ({}, {})
    assert all(known == {} for known in state.checkpoints.values())
    assert replica.contents.accepted == {}, "from the disk as well"
    assert [seq for seq in range(10) if state.is_between_watermarks(seq)] == [3, 4, 5, 6]
    assert replica.hears(replica.words.proposal(7)).write is None
    assert replica.hears(replica.words.proposal(6)).write is not None


def test_a_primary_goes_on_when_the_watermarks_move(alone) -> None:
    primary = alone(1, pipeline_count=100, batch_count=1, **SHORT)
    for number in range(1, 7):
        primary.is_asked(primary.words.request(number))
    for proposal in primary.said(Proposal):
        primary.commits(proposal)
        if primary.ready[-1].compact_at is not None:
            primary.compacts()
    assert [each.pre_prepare.seq for each in primary.said(Proposal)] == [1, 2, 3, 4]
    own = primary.said(Checkpoint)[0]
    for node in (2, 3):
        primary.hears(primary.words.signed(replace(own, source=node)))
    assert [each.pre_prepare.seq for each in primary.said(Proposal)] == [1, 2, 3, 4, 5, 6]


def behind(alone):
    """Give a replica that has nothing, and a state at 4 that others have proved."""
    replica = alone(2, **SHORT)
    state = State(4, 7, replica.pbft.replica.done.dump(), b"their state")
    return replica, state


def test_who_is_behind_asks_one_after_the_other_for_the_state_that_was_proved(alone) -> None:
    """4.3 and 4.4: "i obtains missing [...] checkpoint information from another replica"."""
    replica, state = behind(alone)
    replica.wakes()
    replica.hears(Stable(replica.words.stable(state)), source=3)
    asked = []
    for _ in range(4):
        ready = replica.wakes()
        asked += [(message.to, message.body.seq) for message in ready.messages if isinstance(message.body, Fetch)]
    assert asked == [(1, 4), (3, 4), (4, 4), (1, 4)]
    ready = replica.hears(Transfer(state), source=4)
    assert (ready.restore.index, ready.restore.term, ready.restore.data) == (7, 4, b"their state")
    assert ready.write.snapshot.state == state, "it is durable before anything is said of it"
    assert (replica.pbft.replica.executed, replica.pbft.replica.stable) == (4, 4)


@pytest.mark.parametrize(
    "garbage",
    [
        lambda state: replace(state, data=b"garbage"),
        lambda state: replace(state, index=8),
        lambda state: replace(state, seq=6),
        lambda state: replace(state, done=msgspec.msgpack.encode([("ann", 9, [])])),
    ],
)
def test_a_state_without_the_digest_that_was_proved_is_not_taken(garbage, alone) -> None:
    """4.3: whoever sends a state may lie; 2f + 1 have signed its digest."""
    replica, state = behind(alone)
    replica.hears(Stable(replica.words.stable(state)), source=3)
    assert replica.hears(Transfer(garbage(state)), source=3) is NOTHING
    assert replica.pbft.replica.executed == 0
    assert replica.hears(Transfer(state), source=4).restore is not None


def test_a_state_that_nobody_has_proved_is_not_taken(alone) -> None:
    replica, state = behind(alone)
    assert replica.hears(Transfer(state), source=3) is NOTHING
    for proof in (replica.words.stable(state, (1, 3)), replica.words.stable(state, (1, 3, 3))):
        replica.hears(Stable(proof), source=3)
    assert replica.hears(Transfer(state), source=3) is NOTHING


def test_what_is_committed_above_a_state_is_carried_out_behind_it(alone) -> None:
    replica = alone(2, **SHORT)
    replica.hears(Stable(replica.words.stable(State(2, 3, b"\x90", b"x"))), source=3)
    replica.commits(replica.words.proposal(3))
    assert replica.carried_out() == []
    ready = replica.hears(Transfer(State(2, 3, b"\x90", b"x")), source=3)
    assert [entry.index for entry in ready.committed] == [4]


def test_who_has_a_state_sends_it_with_the_proof_of_a_newer_one(alone) -> None:
    replica, own = at_checkpoint(alone)
    asks = replica.words.signed(Fetch(2, 4))
    ready = replica.hears(asks)
    assert [message.body.state.seq for message in ready.messages] == [2], "its own, though it is not stable yet"
    for node in (1, 3):
        replica.hears(replica.words.signed(replace(own, source=node)))
    for seq in (3, 4):
        replica.commits(replica.words.proposal(seq))
    replica.compacts(b"newer")
    for node in (1, 3):
        replica.hears(replica.words.signed(replace(replica.said(Checkpoint)[-1], source=node)))
    kinds = [type(message.body) for message in replica.hears(asks).messages]
    assert kinds == [Stable, Transfer]
    assert replica.hears(replace(asks, source=3)).messages == (), "it has not asked"


def test_a_replica_that_was_away_becomes_what_the_others_are(room) -> None:
    group = room(**SHORT)
    group.cut_off(4)
    for _ in range(7):
        group.ask(1)
    assert group.executed() == {1: 7, 2: 7, 3: 7, 4: 0}
    group.heal().pass_time(20.0)
    group.ask(1)
    group.pass_time(20.0)
    assert group.executed() == {1: 8, 2: 8, 3: 8, 4: 8}
    machines = [replica.service for replica in group.alive()]
    assert len({machine.dump() for machine in machines}) == 1


def test_of_each_replica_the_newest_checkpoints_are_kept(alone) -> None:
    """Everything has a bound: a liar may sign any number of them."""
    replica = alone(2, **SHORT)
    for seq in range(2, 100, 2):
        replica.hears(replica.words.signed(Checkpoint(seq, b"d", 3)))
    replica.hears(replica.words.signed(Checkpoint(101, b"d", 3)))
    assert sorted(replica.pbft.replica.checkpoints[3]) == [92, 94, 96, 98]
