"""What makes up for lost messages (Castro's thesis 2001, section 5.2)."""

import pytest

from concerted.consensus.pbft.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    Proposal,
    Relay,
    Stable,
    State,
    Status,
    ViewChange,
)

INFINITY = float("inf")


def test_who_waits_for_nothing_is_silent(alone) -> None:
    replica = alone(2)
    assert replica.pbft.next_deadline == 0.0, "it may be behind when it starts, and says so once"
    assert len(replica.wakes().messages) == 3
    assert replica.pbft.next_deadline == INFINITY
    replica.commits(replica.words.proposal())
    assert replica.pbft.next_deadline == INFINITY


def test_who_waits_says_what_it_has(alone) -> None:
    """Thesis 5.2: "replicas multicast small status messages that summarize their state"."""
    replica = alone(2, retry_interval_s=3.0)
    replica.wakes()
    replica.commits(replica.words.proposal(1))
    replica.hears(replica.words.prepare(3, replica.words.proposal(3)))
    assert replica.pbft.next_deadline == 3.0
    [status] = replica.said(Status, replica.wakes())
    assert status == replica.words.signed(Status(0, True, 0, 1, (3,), 2))
    assert replica.pbft.next_deadline == 6.0


def test_others_send_what_it_lacks(alone) -> None:
    """Thesis 5.2: "other replicas retransmit messages they have sent in the past"."""
    primary = alone(1)
    words = primary.words
    primary.is_asked(words.request(1))
    proposal = words.proposal(1)
    ready = primary.hears(words.signed(Status(0, True, 0, 0, (), 4)))
    assert [(message.to, message.body) for message in ready.messages] == [(4, proposal)]
    primary.hears(words.prepare(3, proposal))
    primary.hears(words.prepare(4, proposal))
    ready = primary.hears(words.signed(Status(0, True, 0, 0, (), 4)))
    assert [message.body for message in ready.messages] == [words.commit(1, proposal)], "it has the batch"
    ready = primary.hears(words.signed(Status(0, True, 0, 0, (1,), 4)))
    assert [message.body for message in ready.messages] == [proposal, words.commit(1, proposal)], "or has not"


def test_a_backup_sends_its_own_votes_and_a_batch_only_if_it_is_asked_for(alone) -> None:
    backup = alone(2)
    words = backup.words
    backup.hears(words.proposal(1))
    ready = backup.hears(words.signed(Status(0, True, 0, 0, (), 4)))
    assert [message.body for message in ready.messages] == [words.prepare(2, words.proposal(1))]
    ready = backup.hears(words.signed(Status(0, True, 0, 0, (1,), 4)))
    assert [type(message.body) for message in ready.messages] == [Proposal, Prepare]
    assert backup.hears(words.signed(Status(0, True, 0, 1, (), 4))).messages == (), "it has carried it out"


def test_one_in_an_older_view_is_sent_what_the_newer_began_with(alone) -> None:
    backup = alone(4)
    words = backup.words
    began = words.new_view(1, *(words.view_change(node, 1) for node in (1, 2, 3)))
    backup.hears(began)
    for view, active in ((0, True), (0, False), (1, False)):
        ready = backup.hears(words.signed(Status(view, active, 0, 0, (), 3)))
        assert [message.body for message in ready.messages] == [began]
    assert backup.hears(words.signed(Status(1, True, 0, 0, (), 3))).messages == ()
    assert backup.hears(words.signed(Status(2, False, 0, 0, (), 3))).messages == ()


def test_one_below_a_stable_checkpoint_is_sent_its_proof(alone) -> None:
    replica = alone(2, checkpoint_interval=2, window=4)
    words = replica.words
    for seq in (1, 2):
        replica.commits(words.proposal(seq))
    replica.compacts(b"state")
    [own] = replica.said(Checkpoint)
    ready = replica.hears(words.signed(Status(0, True, 0, 2, (), 3)))
    assert [message.body for message in ready.messages] == [own], "not stable yet, but said"
    state: State = replica.pbft.replica.snapshots[2]
    for each in words.stable(state, (3, 4)):
        replica.hears(each)
    ready = replica.hears(words.signed(Status(0, True, 0, 0, (), 3)))
    assert [message.body for message in ready.messages] == [Stable(replica.pbft.replica.held.proof)]


def test_a_status_that_is_not_signed_is_not_answered(alone) -> None:
    """Else anybody could have a replica send much for little."""
    primary = alone(1)
    primary.is_asked(primary.words.request(1))
    assert primary.hears(Status(0, True, 0, 0, (1,), 4)).messages == ()


def test_who_has_left_says_so_again(alone) -> None:
    backup = alone(3)
    backup.is_asked(backup.words.request())
    backup.times_out()
    ready = backup.wakes()
    assert {type(message.body) for message in ready.messages} >= {Status, ViewChange}
    assert backup.said(ViewChange, ready) == backup.said(ViewChange)


def test_requests_that_wait_are_told_to_all(alone) -> None:
    """So that f + 1 watch over the primary, though only one of them was asked."""
    backup = alone(3, retry_interval_s=2.0)
    backup.wakes()
    backup.is_asked(backup.words.request())
    ready = backup.wakes()
    assert [message.to for message in ready.messages if isinstance(message.body, Relay)] == [1, 2, 4]


@pytest.mark.parametrize("kind", [Proposal, Prepare, Commit, Checkpoint, ViewChange, NewView, Relay])
def test_a_group_goes_on_though_the_first_message_of_each_kind_to_each_is_lost(kind: type, room) -> None:
    group = room(checkpoint_interval=2, window=4)
    lost: set[tuple[int, int]] = set()

    def loses(message) -> bool:
        way = (message.source, message.to)
        if isinstance(message.body, kind) and way not in lost:
            lost.add(way)
            return True
        return False

    group.loses = loses
    for client in range(3):
        asks = group.ask(2, client=client)
        group.pass_time(60.0)
        assert asks.request is None
    group.replicas[1].die()
    asks = group.ask()
    group.pass_time(60.0)
    assert asks.request is None
    assert lost, "something was lost"


def test_who_hears_that_others_are_ahead_asks(alone) -> None:
    replica = alone(4)
    words = replica.words
    replica.wakes()
    replica.hears(words.signed(Status(0, True, 0, 5, (), 3)))
    assert replica.pbft.next_deadline == 2.0
    replica = alone(4)
    replica.wakes()
    replica.hears(words.prepare(2, words.proposal(1, view=7)))
    assert replica.pbft.next_deadline == INFINITY, "one may lie"
    replica.hears(words.prepare(3, words.proposal(1, view=5)))
    assert replica.pbft.next_deadline == 2.0, "f + 1 are in later views"


def test_what_a_status_says_does_not_decide_how_long_it_is_looked_at(alone) -> None:
    """A liar may say that it is behind the beginning of time."""
    replica = alone(2)
    words = replica.words
    replica.commits(words.proposal(1))
    far = words.signed(Status(0, True, 0, -(2**63), (-(2**63), 2**63), 4))
    assert [message.body for message in replica.hears(far).messages] == [
        words.prepare(2, words.proposal(1)),
        words.commit(2, words.proposal(1)),
    ]
