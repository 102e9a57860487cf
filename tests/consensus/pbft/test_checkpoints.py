"""Checkpoints, watermarks and state transfer (Castro & Liskov 1999, section 4.3), sentence by sentence."""

import msgspec
import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.messages import Checkpoint, Fetch, Message, Piece, Proposal, Stable, State, Transfer
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
    assert (state.index, state.data, state.outline(1 << 20).digest()) == (2, b"state", checkpoint.digest)


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
    ready = replica.gets(state, source=4)
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
    assert replica.gets(garbage(state), source=3) is NOTHING
    assert replica.pbft.replica.executed == 0
    assert replica.gets(state, source=4).restore is not None


def test_a_state_that_nobody_has_proved_is_not_taken(alone) -> None:
    replica, state = behind(alone)
    assert replica.gets(state, source=3) is NOTHING
    for proof in (replica.words.stable(state, (1, 3)), replica.words.stable(state, (1, 3, 3))):
        replica.hears(Stable(proof), source=3)
    assert replica.gets(state, source=3) is NOTHING


def fetches(ready) -> list[tuple[int, int, int]]:
    """Return whom a replica asks now, and for which piece of which state."""
    return [(each.to, each.body.seq, each.body.piece) for each in ready.messages if isinstance(each.body, Fetch)]


def arriving(alone):
    """Give a replica that has an outline of five pieces, from 3, and has asked for the first of them."""
    replica = alone(2, piece_bytes=3, **SHORT)
    state = State(4, 7, replica.pbft.replica.done.dump(), b"their state now")
    replica.hears(Stable(replica.words.stable(state, size=3)), source=3)
    replica.wakes()
    ready = replica.hears(Transfer(state.outline(3)), source=3)
    return replica, state, fetches(ready)


def test_a_large_state_is_asked_for_piece_by_piece(alone) -> None:
    """Thesis 5.3: a replica that is behind fetches the state in parts, of which it knows the digests."""
    replica, state, asked = arriving(alone)
    for number in range(1, 5):
        asked += fetches(replica.hears(Piece(4, number, state.piece(number, 3)), source=3))
    assert [(seq, number) for _, seq, number in asked] == [(4, number) for number in range(1, 6)]
    assert len({to for to, _, _ in asked}) == 1, "of one replica, as long as it answers"
    assert replica.pbft.replica.executed == 0, "nothing is used before all of it is there"
    ready = replica.hears(Piece(4, 5, state.piece(5, 3)), source=3)
    assert (ready.restore.data, ready.write.snapshot.state) == (state.data, state)


def test_a_piece_that_is_not_as_it_was_proved_is_not_taken_and_spoils_nothing(alone) -> None:
    replica, state, _ = arriving(alone)
    replica.hears(Piece(4, 1, state.piece(1, 3)), source=3)
    wrong = [Piece(4, 2, b"lie"), Piece(4, 2, state.piece(3, 3)), Piece(4, 3, state.piece(3, 3)), Piece(6, 2, b"eir")]
    assert all(replica.hears(each, source=4) is NOTHING for each in (*wrong, Piece(4, 1, state.piece(1, 3))))
    for number in range(2, 6):
        ready = replica.hears(Piece(4, number, state.piece(number, 3)), source=1)
    assert ready.restore.data == state.data


def test_a_replica_that_sends_no_piece_is_left_for_the_next_one_who_goes_on(alone) -> None:
    replica, state, [first] = arriving(alone)
    [second] = fetches(replica.hears(Piece(4, 1, state.piece(1, 3)), source=3))
    [third] = fetches(replica.wakes())
    assert (first[0], second[1:], third[1:]) == (second[0], (4, 2), (4, 2))
    assert third[0] != second[0]


def test_of_an_older_state_nothing_is_used_for_a_newer_one(alone) -> None:
    replica, state, _ = arriving(alone)
    replica.hears(Piece(4, 1, state.piece(1, 3)), source=3)
    newer = State(6, 9, state.done, b"their state now, and more")
    asked = fetches(replica.hears(Stable(replica.words.stable(newer, size=3)), source=3))
    assert [each[1:] for each in asked] == [(6, 0)], "at once, as a transfer was under way"
    assert replica.hears(Piece(4, 2, state.piece(2, 3)), source=3) is NOTHING
    assert replica.gets(newer, source=3).restore.data == newer.data


def test_who_dies_with_some_pieces_begins_again(alone) -> None:
    replica, state, _ = arriving(alone)
    replica.hears(Piece(4, 1, state.piece(1, 3)), source=3)
    replica.begin()
    assert replica.pbft.replica.executed == 0
    replica.hears(Stable(replica.words.stable(state, size=3)), source=3)
    assert replica.gets(state, source=4).restore.data == state.data


def test_a_piece_is_sent_to_whoever_asks_for_it(alone) -> None:
    replica, _ = at_checkpoint(alone)
    answers = [replica.hears(replica.words.signed(Fetch(2, number, 4))).messages for number in (1, 2, -1)]
    assert [[message.body for message in each] for each in answers] == [[Piece(2, 1, b"state")], [], []]


def test_the_same_of_a_state_is_sent_to_a_replica_once_in_a_retry_interval(alone) -> None:
    """Else a liar could have its network and its processor busy with nothing else."""
    replica, _ = at_checkpoint(alone)
    asks = [replica.words.signed(Fetch(2, number, 4)) for number in (0, 1)]
    assert [len(replica.hears(fetch).messages) for fetch in asks] == [1, 1]
    assert [len(replica.hears(fetch).messages) for _ in range(9) for fetch in asks] == [0] * 18
    assert len(replica.hears(replica.words.signed(Fetch(2, 1, 3))).messages) == 1, "to another one it is"
    replica.now += replica.settings.retry_interval_s
    assert [len(replica.hears(fetch).messages) for fetch in asks] == [1, 1]


def test_what_is_committed_above_a_state_is_carried_out_behind_it(alone) -> None:
    replica = alone(2, **SHORT)
    replica.hears(Stable(replica.words.stable(State(2, 3, b"\x90", b"x"))), source=3)
    replica.commits(replica.words.proposal(3))
    assert replica.carried_out() == []
    ready = replica.gets(State(2, 3, b"\x90", b"x"), source=3)
    assert [entry.index for entry in ready.committed] == [4]


def test_who_has_a_state_sends_it_with_the_proof_of_a_newer_one(alone) -> None:
    replica, own = at_checkpoint(alone)
    asks = replica.words.signed(Fetch(2, 0, 4))
    ready = replica.hears(asks)
    assert [message.body.outline.seq for message in ready.messages] == [2], "its own, though it is not stable yet"
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


def test_who_has_taken_over_a_state_asks_for_what_came_after_it(room) -> None:
    """Nobody may ever say it again unasked, and until then it lay beyond the watermarks."""
    group = room(**SHORT)
    group.cut_off(4)
    for _ in range(7):
        group.ask(1)
    group.heal()
    group.replicas[4].receive(Message(4, 1, Stable(group[1].replica.held.proof)))
    group.settle().pass_time(20.0)
    assert group.executed() == {1: 7, 2: 7, 3: 7, 4: 7}


def test_of_each_replica_the_newest_checkpoints_are_kept(alone) -> None:
    """Everything has a bound: a liar may sign any number of them."""
    replica = alone(2, **SHORT)
    for seq in range(2, 100, 2):
        replica.hears(replica.words.signed(Checkpoint(seq, b"d", 3)))
    replica.hears(replica.words.signed(Checkpoint(101, b"d", 3)))
    assert sorted(replica.pbft.replica.checkpoints[3]) == [92, 94, 96, 98]
