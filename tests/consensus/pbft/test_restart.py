"""A replica that starts again goes on with all that it has signed, and says nothing else."""

import pytest

from concerted.consensus.pbft.messages import (
    Checkpoint,
    Commit,
    Message,
    NewView,
    Prepare,
    Proposal,
    Status,
    ViewChange,
)
from concerted.consensus.pbft.seal import Seal
from concerted.sim.pbft.keys import SimSigner


def asks(words, source: int = 4, view: int = 0, lacks=()):
    return words.signed(Status(view, True, 0, 0, tuple(lacks), source))


def test_a_backup_accepts_no_other_batch_after_a_restart(alone) -> None:
    backup = alone(2)
    words = backup.words
    backup.hears(words.proposal(1))
    backup.begin()
    backup.ready.clear()
    assert backup.hears(words.proposal(1, words.request(9))).write is None
    backup.hears(asks(words))
    assert backup.said(Prepare) == [words.prepare(2, words.proposal(1))]


def test_what_was_prepared_is_still_prepared(alone) -> None:
    backup = alone(2)
    words = backup.words
    proposal = words.proposal(1)
    backup.hears(proposal)
    backup.hears(words.prepare(3, proposal))
    backup.begin()
    backup.ready.clear()
    backup.hears(asks(words))
    assert backup.said(Commit) == [words.commit(2, proposal)]
    for node in (1, 3):
        backup.hears(words.commit(node, proposal))
    assert backup.carried_out() == [b"1"], "and the others tell it that it is committed"
    backup.begin()
    backup.is_asked(words.request(5))
    backup.times_out()
    assert backup.said(ViewChange)[0].prepared == (words.prepared(proposal, (2, 3)),)


def test_a_primary_gives_no_number_twice(alone) -> None:
    primary = alone(1)
    words = primary.words
    primary.is_asked(words.request(1))
    primary.begin()
    primary.ready.clear()
    primary.is_asked(words.request(2))
    assert [each.pre_prepare.seq for each in primary.said(Proposal)] == [2]


def test_who_had_left_a_view_does_not_come_back_to_it(alone) -> None:
    backup = alone(3)
    words = backup.words
    backup.is_asked(words.request(1))
    backup.times_out()
    [left] = backup.said(ViewChange)
    backup.begin()
    backup.ready.clear()
    assert (backup.pbft.term, backup.pbft.leader) == (1, None)
    assert backup.hears(words.proposal(1)).write is None
    backup.wakes()
    assert backup.said(ViewChange) == [left]


def test_who_was_in_a_later_view_is_in_it_again(alone) -> None:
    backup = alone(3)
    words = backup.words
    proposal = words.proposal(1)
    backup.hears(proposal)
    left = [words.view_change(node, 1, words.prepared(proposal)) for node in (1, 2, 4)]
    backup.hears(words.new_view(1, *left))
    backup.begin()
    backup.ready.clear()
    assert (backup.pbft.term, backup.pbft.leader) == (1, 2)
    backup.hears(asks(words, view=1, lacks=(1,)))
    again = words.proposal(1, view=1)
    assert backup.said(Proposal) == [again]
    assert backup.said(Prepare) == [words.prepare(3, again)]
    backup.commits(again)
    assert backup.carried_out() == [b"1"]


def test_a_new_primary_that_restarts_begins_its_view_no_second_time(alone) -> None:
    primary = alone(2)
    words = primary.words
    for node in (3, 4):
        primary.hears(words.view_change(node, 1))
    began = primary.pbft.replica.new_view
    primary.begin()
    primary.ready.clear()
    primary.hears(words.view_change(1, 1))
    ready = primary.hears(asks(words))
    assert [message.body for message in ready.messages] == [began]


def test_what_lies_behind_a_stable_checkpoint_is_carried_out_no_second_time(alone) -> None:
    replica = alone(2, checkpoint_interval=2, window=4)
    words = replica.words
    for seq in (1, 2):
        replica.commits(words.proposal(seq))
    replica.compacts(b"state")
    for each in words.stable(replica.pbft.replica.snapshots[2], (3, 4)):
        replica.hears(each)
    replica.begin()
    replica.ready.clear()
    assert replica.contents.stored().snapshot.data == b"state"
    replica.commits(words.proposal(3, words.request(1), words.request(3)))
    assert replica.carried_out() == [b"3"]
    assert replica.ready[-1].committed[0].index == 3


@pytest.mark.parametrize("node", [1, 2, 3, 4])
def test_a_group_goes_on_after_any_of_them_dies_behind_any_part_of_a_step(node: int, room) -> None:
    for behind in ("write", "send", "apply"):
        group = room(checkpoint_interval=2, window=4)
        for count in range(6):
            replica = group.replicas[node]
            group.ask(client=count % 2)
            request = group.cluster.want(group.cluster.clients[2])
            for each in group.alive():
                each.ask(request)
            if replica.waiting:
                replica.carry_out(behind)
            group.settle()
            if replica.running is None:
                replica.start()
            group.pass_time(40.0)
        assert group.answered == 12
        assert group.cluster.checks.accused == set()


def test_all_may_start_again_at_once(room) -> None:
    group = room(checkpoint_interval=3, window=6)
    for client in (0, 1, 2, 0):
        group.ask(client=client)
    for node in (1, 2, 3, 4):
        group.restart(node)
    group.pass_time(10.0)
    assert group.executed() == {1: 4, 2: 4, 3: 4, 4: 4}
    assert group.ask(client=1).request is None
    assert not [message for message in group.sent if isinstance(message.body, Checkpoint) and message.body.seq % 3]


def test_a_state_that_was_signed_outlives_a_restart_of_all(room) -> None:
    """4.3: whoever is behind a stable checkpoint gets its state from one of the f + 1 honest that have signed it.

    Here they all die before they know that it is stable; the one that knows is a liar, who never gives it away and has
    every new view begin behind it.
    """
    group = room(liars=[2], checkpoint_interval=2, window=4)
    heard: list[Checkpoint] = []

    def keeps(message) -> bool:
        if isinstance(message.body, Checkpoint) and message.to == 2:
            heard.append(message.body)
        return isinstance(message.body, Checkpoint)

    group.loses = keeps
    group.ask()
    group.ask(client=1)
    assert group.executed() == {1: 2, 3: 2, 4: 2}
    proof = tuple({each.source: each for each in heard}.values())
    seal = Seal(2, group.cluster.group, SimSigner(2))
    left: set[int] = set()

    def leaves(message) -> bool:
        """Be first to leave the view that others enter, or that this liar should have begun."""
        body = message.body
        if isinstance(body, NewView) or (isinstance(body, ViewChange) and group.cluster.group.primary(body.view) == 2):
            leave(body.view + 1)
        return isinstance(body, Proposal) and body.pre_prepare.view == 0

    def leave(view: int) -> None:
        if view not in left:
            left.add(view)
            said = seal.sign(ViewChange(view, 2, proof, (), 2))
            group.network += [Message(node, 2, said) for node in (1, 3, 4)]

    group.loses = leaves
    for node in (1, 3, 4):
        group.restart(node)
    asks = group.ask()
    group.pass_time(300.0)
    assert len(left) > 1
    assert asks.request is None
