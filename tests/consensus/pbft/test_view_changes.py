"""View changes (Castro & Liskov 1999, sections 4.4 and 4.5.2), sentence by sentence, and bugs that others have had."""

import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.messages import (
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Proposal,
    Relay,
    Stable,
    State,
    Status,
    Transfer,
    ViewChange,
)

INFINITY = float("inf")


def test_who_waits_too_long_leaves_the_view_and_says_so(alone) -> None:
    """4.4: "If the timer of backup i expires in view v, the backup starts a view change to move the system to view
    v + 1. It stops accepting messages (other than checkpoint, view-change, and new-view messages) and multicasts a
    view-change message"."""
    backup = alone(3)
    backup.is_asked(backup.words.request())
    ready = backup.times_out()
    assert (backup.now, backup.pbft.term, backup.pbft.leader) == (10.0, 1, None)
    [left] = backup.said(ViewChange, ready)
    assert (left.view, left.stable, left.prepared) == (1, 0, ())
    assert ready.write.view_change == left, "it is durable before it is said"
    assert backup.hears(backup.words.proposal()).write is None
    assert backup.hears(backup.words.proposal(view=1)).write is None


def test_it_says_what_was_prepared_and_proves_it(alone) -> None:
    """4.4: P is "a set containing a set Pm for each request m that prepared at i with a sequence number higher
    than n"."""
    backup = alone(3)
    first, second = backup.words.proposal(1), backup.words.proposal(2)
    backup.hears(first)
    backup.hears(second)
    backup.hears(backup.words.prepare(4, second))
    backup.times_out()
    assert backup.said(ViewChange)[0].prepared == (backup.words.prepared(second, (3, 4)),)


def test_the_primary_of_the_new_view_begins_it_when_two_f_others_have_left(alone) -> None:
    """4.4: "When the primary p of view v + 1 receives 2f valid view-change messages for view v + 1 from other replicas,
    it multicasts a new-view message to all other replicas"."""
    primary = alone(2)
    proposal = primary.words.proposal(2)
    primary.hears(primary.words.view_change(3, 1))
    ready = primary.hears(primary.words.view_change(4, 1, primary.words.prepared(proposal)))
    [said] = primary.said(NewView, ready)
    assert [each.source for each in said.view_changes] == [2, 3, 4], "its own, as it has joined them"
    assert [(each.seq, each.digest) for each in said.pre_prepares][1] == (2, proposal.pre_prepare.digest)
    assert ready.write.new_view == said
    assert (primary.pbft.term, primary.pbft.leader) == (1, 2)


def test_a_view_change_that_proves_nothing_does_not_count(alone) -> None:
    primary = alone(2)
    primary.hears(primary.words.view_change(3, 1))
    primary.hears(replace(primary.words.view_change(4, 1), source=1))
    primary.hears(primary.words.view_change(4, 1, primary.words.prepared(primary.words.proposal(), (3,))))
    assert (primary.pbft.term, primary.said(NewView)) == (0, [])


def test_backups_redo_the_protocol_for_what_is_in_o(alone) -> None:
    """4.4: "It multicasts prepares for each message in O to all the other replicas, adds these prepares to its log, and
    enters view v + 1. [...] Replicas redo the protocol for messages between min-s and max-s but they avoid re-executing
    client requests"."""
    backup = alone(3)
    words = backup.words
    proposal = words.proposal(1)
    backup.commits(proposal)
    assert backup.carried_out() == [b"1"]
    left = [words.view_change(node, 1, words.prepared(proposal)) for node in (1, 2, 4)]
    ready = backup.hears(words.new_view(1, *left))
    again = words.proposal(1, view=1)
    assert backup.said(Prepare, ready) == [words.prepare(3, again)]
    backup.commits(again)
    assert backup.said(Commit)[-1] == words.commit(3, again)
    assert backup.carried_out() == [b"1"]


def test_a_gap_is_filled_with_nothing(alone) -> None:
    """4.4, case 2: a "null" request "goes through the protocol like other requests, but its execution is a no-op"."""
    backup = alone(3)
    words = backup.words
    backup.hears(words.proposal(2))
    left = [words.view_change(node, 1, words.prepared(words.proposal(2))) for node in (1, 2, 4)]
    backup.hears(words.new_view(1, *left))
    backup.commits(Proposal(words.pre_prepare(1, (), 1), ()))
    backup.commits(words.proposal(2, view=1))
    assert backup.carried_out() == [b"2"]
    assert backup.pbft.replica.executed == 2
    assert backup.pbft.replica.index == 1


def test_a_batch_that_is_missing_is_asked_for_before_it_is_prepared(alone) -> None:
    """4.4: "a replica may be missing some request message m"; it "can obtain the missing information from another
    replica"."""
    backup = alone(3)
    words = backup.words
    left = [words.view_change(node, 1, words.prepared(words.proposal(1))) for node in (1, 2, 4)]
    backup.hears(words.new_view(1, *left))
    assert backup.said(Prepare) == []
    backup.wakes()
    assert backup.said(Status)[-1].lacks == (1,)
    again = words.proposal(1, view=1)
    backup.hears(replace(again, batch=(words.request(9),)), source=1)
    assert backup.said(Prepare) == [], "that is not the batch with this digest"
    backup.hears(again, source=4)
    assert backup.said(Prepare) == [words.prepare(3, again)], "whoever passes it on"


def test_a_new_primary_is_given_the_batch_that_it_lacks_by_those_who_have_it(room) -> None:
    """4.4: O names a batch by its digest, and its primary may be the one who has not seen it."""
    group = room()
    group.loses = lambda message: isinstance(message.body, Proposal) and message.to == 2
    first = group.ask()
    assert group.executed() == {1: 1, 2: 0, 3: 1, 4: 1}
    group.replicas[1].die()
    second = group.ask()
    group.pass_time(11.0)
    assert group[2].leader == 2
    group.loses = lambda _: False
    group.pass_time(3.0)
    assert first.request is second.request is None
    assert group[2].leader == 2
    assert {node: group.executed()[node] for node in (2, 3, 4)} == {2: 2, 3: 2, 4: 2}


def test_a_new_primary_goes_on_behind_max_s_and_is_told_what_waits(room) -> None:
    """4.4: the sequence numbers of the new view follow those of O; and what the old primary has kept to itself is
    relayed anew."""
    group = room()
    group.ask(client=1)
    group.replicas[1].die()
    client = group.ask()
    group.pass_time(15.0)
    assert client.request is None
    assert group.views() == {2: 1, 3: 1, 4: 1}
    assert [entry.term for entry in group.cluster.checks.chosen] == [1, 2]


def test_the_timer_of_the_new_view_begins_when_two_f_and_one_have_left(alone) -> None:
    """4.5.2: "To avoid starting a view change too soon, a replica that multicasts a view-change message for view v + 1
    waits for 2f + 1 view-change messages for view v + 1 and then starts its timer to expire after some time T"."""
    backup = alone(3)
    backup.is_asked(backup.words.request())
    backup.times_out()
    for _ in range(20):
        backup.wakes()
    assert backup.pbft.term == 1, "it is alone, and says again what it has said"
    assert len([message for ready in backup.ready for message in ready.messages if message.to == 1
                and isinstance(message.body, ViewChange)]) > 10  # fmt: skip
    backup.hears(backup.words.view_change(1, 1))
    assert backup.pbft.replica.view_until is None
    backup.hears(backup.words.view_change(4, 1))
    began = backup.now
    backup.times_out()
    assert (backup.pbft.term, backup.now - began) == (2, 10.0)


def test_each_view_change_in_a_row_waits_twice_as_long(alone) -> None:
    """4.5.2: "If the timer expires before it receives a valid new-view message for v + 1 [...] it starts the view
    change for view v + 2 but this time it will wait 2T"."""
    backup = alone(4)
    backup.is_asked(backup.words.request())
    backup.times_out()
    waited = []
    for view in (1, 2):
        for node in (1, 2):
            backup.hears(backup.words.view_change(node, view))
        began = backup.now
        backup.times_out()
        waited.append(backup.now - began)
    assert waited == [10.0, 20.0]


def test_a_view_in_which_something_is_carried_out_ends_the_doubling(alone) -> None:
    """4.5.2: the wait grows only "if the timer expires [...] before it executes a request in the new view that it had
    not executed previously"."""
    backup = alone(4)
    words = backup.words
    backup.is_asked(words.request(2))
    for view in (1, 2):
        backup.times_out()
        for node in (1, 2):
            backup.hears(words.view_change(node, view))
    assert backup.pbft.replica.attempts == 2
    backup.hears(words.new_view(2, *(words.view_change(node, 2) for node in (1, 2, 4))))
    assert backup.pbft.replica.attempts == 2
    backup.commits(words.proposal(1, words.request(7), view=2))
    assert backup.pbft.replica.attempts == 0


def test_who_sees_that_f_and_one_want_later_views_joins_the_lowest(alone) -> None:
    """4.5.2: "if a replica receives a set of f + 1 valid view-change messages from other replicas for views greater
    than its current view, it sends a view-change message for the smallest view in the set, even if its timer has not
    expired"."""
    backup = alone(3)
    backup.hears(backup.words.view_change(1, 9))
    assert backup.pbft.term == 0, "one may be a liar"
    backup.hears(backup.words.view_change(1, 12))
    backup.hears(backup.words.view_change(1, 12))
    assert backup.pbft.term == 0, "and says so often"
    backup.hears(backup.words.view_change(4, 7))
    assert backup.pbft.term == 7
    assert [each.view for each in backup.said(ViewChange)] == [7]


def test_those_who_have_gone_on_to_later_views_count_as_having_left(alone) -> None:
    """4.5.2 waits for 2f + 1 view-changes for v + 1.  Here one of them has gone on to v + 2 already: whoever waits for
    the former would wait for ever, and both with it."""
    backup = alone(4)
    backup.is_asked(backup.words.request())
    backup.times_out()
    backup.hears(backup.words.view_change(1, 1))
    backup.hears(backup.words.view_change(3, 2))
    assert backup.pbft.replica.view_until == backup.now + 10.0


def test_liars_that_lead_one_view_after_the_other_do_not_stop_the_rest(room) -> None:
    """4.5.2: "faulty replicas cannot impede progress by forcing frequent view changes. [...] the primary cannot be
    faulty for more than f consecutive views"."""
    group = room(7, liars=(1, 2))
    client = group.ask()
    group.pass_time(45.0)
    assert client.request is None
    assert set(group.views().values()) == {2}


def test_a_request_that_only_backups_know_reaches_the_primary_or_ends_its_view(room) -> None:
    """4.4: backups watch over the primary for the sake of clients; here the first relay is lost."""
    group = room()
    group.cut.add((3, 1))
    client = group.ask(3)
    assert client.request is not None
    group.pass_time(5.0)
    assert client.request is None, "another one has relayed it"


def test_what_was_prepared_anywhere_outlives_views_that_bring_nothing(room) -> None:
    """4.5.1: "Any correct replica that commits locally at sequence number n in view v" has 2f + 1 behind it, of whom
    one is in any V: so what it has committed is what all commit there.  The invariants look at that."""
    group = room()
    group.loses = lambda message: isinstance(message.body, Commit) and message.to != 2
    client = group.ask()
    assert group.executed() == {1: 0, 2: 1, 3: 0, 4: 0}
    group.replicas[2].die()
    group.heal().pass_time(60.0)
    assert client.request is None
    assert group.executed() == {1: 1, 3: 1, 4: 1}


# Bugs that others have had


def test_a_view_change_completes_though_replicas_have_different_checkpoints(room) -> None:
    """Hyperledger Fabric, 1111 and 1120: with low watermarks that differ, a view change never completed."""
    group = room(checkpoint_interval=2, window=4)
    group.cut_off(4)
    for _ in range(5):
        group.ask(1)
    assert {node: group[node].replica.stable for node in group.executed()} == {1: 4, 2: 4, 3: 4, 4: 0}
    group.heal()
    group.replicas[1].die()
    client = group.ask()
    group.pass_time(60.0)
    assert client.request is None
    assert {node: group[node].replica.executed for node in (2, 3, 4)} == {2: 6, 3: 6, 4: 6}


def test_replicas_that_left_while_they_did_not_hear_each_other_come_together(room) -> None:
    """Hyperledger Fabric, issue 1917: view-changes that were lost were never said again, and all waited for ever."""
    group = room()
    group.cut = {(a, b) for a in (2, 3, 4) for b in (2, 3, 4) if a != b}
    client = group.ask()
    group.pass_time(60.0)
    assert client.request is not None
    group.heal().pass_time(60.0)
    assert client.request is None


def test_who_has_committed_to_a_batch_in_one_view_is_not_locked_to_it(room) -> None:
    """Neo, issue 792: a replica that has said COMMIT in one view helped nobody in the next one, so that with some of
    them in each of two views nobody ever went on."""
    group = room()
    group.loses = lambda message: (
        isinstance(message.body, Commit) or (isinstance(message.body, Prepare) and message.to != 2)
    )
    first = group.ask(client=0)
    assert [node for node, replica in group.replicas.items() if replica.core.replica.slots[1].prepared] == [2]
    group.pass_time(12.0)
    assert group.views() == {1: 1, 2: 1, 3: 1, 4: 1}, "also who has said COMMIT goes on to view 1"
    group.loses = lambda message: isinstance(message.body, Commit) and message.to != 3
    group.pass_time(12.0)
    second = group.ask(client=1)
    group.heal().pass_time(80.0)
    assert first.request is second.request is None
    assert len(set(group.executed().values())) == 1


def test_a_replica_whose_state_comes_from_others_is_active_again(room) -> None:
    """concord-bft, pull request 1177: a replica that was a checkpoint and a view behind had the new-view, took over the
    state of others, and then stayed without a view."""
    group = room(checkpoint_interval=2, window=4)
    group.cut_off(4)
    for _ in range(3):
        group.ask(1)
    group.heal()
    group.replicas[1].die()
    group.loses = lambda message: isinstance(message.body, Transfer)
    group.ask()
    group.pass_time(13.0)
    assert group[4].replica.executed == 0
    assert group.views()[4] == 1, "it is in the new view, and its state is not there yet"
    group.heal().pass_time(80.0)
    group.ask()
    group.pass_time(10.0)
    assert len(set(group.executed().values())) == 1
    assert len(set(group.views().values())) == 1


def test_a_new_view_brings_the_checkpoint_that_it_rests_on(alone) -> None:
    """4.4: a replica that has not the checkpoint at min-s adds its proof to its log, and gets the state."""
    backup = alone(3, checkpoint_interval=2, window=4)
    words, state = backup.words, State(4, 4, b"\x90", b"state")
    left = [words.view_change(1, 1), words.view_change(2, 1), words.view_change(4, 1, proof=words.stable(state))]
    backup.hears(words.new_view(1, *left))
    assert backup.pbft.leader == 2
    assert backup.gets(state, source=1).restore.index == 4
    assert backup.hears(words.proposal(5, view=1)).write is not None


@pytest.mark.parametrize("again", ["the same", "an older one"])
def test_a_new_view_is_entered_once(again: str, alone) -> None:
    backup = alone(4)
    words = backup.words
    first = words.new_view(1, *(words.view_change(node, 1) for node in (1, 2, 4)))
    second = words.new_view(2, *(words.view_change(node, 2) for node in (1, 2, 4)))
    backup.hears(first if again == "the same" else second, source=4)
    assert backup.hears(first).write is None
    assert backup.pbft.term == (1 if again == "the same" else 2)


def test_requests_that_wait_go_to_the_new_primary(alone) -> None:
    """4.4: what waits is relayed to the new primary, and its time begins anew."""
    backup = alone(3)
    words = backup.words
    backup.is_asked(words.request(5))
    ready = backup.hears(words.new_view(1, *(words.view_change(node, 1) for node in (1, 2, 4))), after_s=7.0)
    assert [message.body for message in ready.messages if message.to == 2] == [Relay((words.request(5),))]
    assert backup.pbft.replica.waiting["ann", 5].since == 7.0


def test_the_paper_is_held_to_with_the_right_kinds_of_messages(alone) -> None:
    """Stable, NewView and PrePrepare alone do nothing to a replica that has no use for them."""
    backup = alone(3)
    for body in (Stable(()), backup.words.pre_prepare(1)):
        assert backup.hears(body, source=1).is_empty
    assert isinstance(backup.words.pre_prepare(1), PrePrepare)
    assert backup.pbft.next_deadline < INFINITY


def test_what_a_new_view_has_beyond_the_watermarks_is_redone_when_they_move(alone) -> None:
    """4.4: backups redo the protocol for all that is in O, also who has the checkpoint only later on which it rests."""
    backup = alone(4, checkpoint_interval=2, window=4)
    words = backup.words
    state = State(4, 4, b"\x90", b"their state")
    six = words.proposal(6)
    left = [words.view_change(node, 1, words.prepared(six), proof=words.stable(state)) for node in (1, 2, 3)]
    began = words.new_view(1, *left)
    backup.hears(began)
    assert backup.said(Prepare) == [], "it is at 0, and its high watermark at 4"
    ready = backup.gets(state, source=1)
    nothing = Proposal(began.pre_prepares[0], ())
    assert backup.said(Prepare, ready) == [words.prepare(4, nothing)], "at 5; the batch of 6 is not here"
    assert [each.pre_prepare for each in ready.write.accepted] == [nothing.pre_prepare]
    backup.hears(words.proposal(6, words.request(9), view=1))
    assert backup.ready[-1].evidence[0].culprit == 2, "another batch than in its own new-view"
    again = words.proposal(6, view=1)
    assert backup.said(Prepare, backup.hears(again)) == [words.prepare(4, again)]
