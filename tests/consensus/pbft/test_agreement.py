"""Normal operation (Castro & Liskov 1999, section 4.2), sentence by sentence."""

import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.messages import Commit, Prepare, PrePrepare, Proposal, Relay, batch_digest
from concerted.sim.pbft.keys import SimSigner

LONG = bytes(60)


def test_the_primary_gives_a_number_to_what_it_is_asked_and_tells_all(alone) -> None:
    """4.2: "the primary, p, assigns a sequence number, n, to the request and multicasts a pre-prepare message with m
    piggybacked to all the backups"."""
    primary = alone(1)
    ready = primary.is_asked(primary.words.request())
    assert primary.said(Proposal) == [primary.words.proposal(1)]
    assert [message.to for message in ready.messages] == [2, 3, 4]
    assert ready.write.accepted == (primary.words.proposal(1),), "it is durable before it is sent"


def test_a_backup_accepts_and_says_prepare_to_all(alone) -> None:
    """4.2: "If backup i accepts the pre-prepare message, it enters the prepare phase by multicasting a prepare message
    to all other replicas and adds both messages to its log"."""
    backup = alone(2)
    ready = backup.hears(backup.words.proposal())
    assert backup.said(Prepare) == [backup.words.prepare(2, backup.words.proposal())]
    assert [message.to for message in ready.messages if isinstance(message.body, Prepare)] == [1, 3, 4]
    assert ready.write.accepted == (backup.words.proposal(),)


@pytest.mark.parametrize(
    ("why", "twist"),
    [
        ("its signature is not good", lambda w, p: change(p, signature=b"no")),
        ("the digest is not that of the batch", lambda w, p: Proposal(w.pre_prepare(1, [w.request(2)]), p.batch)),
        ("it is of another view", lambda w, p: w.proposal(1, view=1)),
        ("it is of a later view of the same primary", lambda w, p: w.proposal(1, view=4)),
        ("it is not of the primary", lambda w, p: Proposal(w.signed(change(p, source=3).pre_prepare), p.batch)),
        ("it lies at the low watermark", lambda w, p: w.proposal(0)),
        ("it lies above the high watermark", lambda w, p: w.proposal(11)),
        ("it has nothing in it", lambda w, p: Proposal(w.pre_prepare(1, ()), ())),
        ("it has more than a batch may have", lambda w, p: w.proposal(1, *(w.request(n) for n in range(1, 5)))),
        ("it is larger than a batch may be", lambda w, p: w.proposal(1, *(w.request(n, body=LONG) for n in (1, 2)))),
        ("no client has signed it", lambda w, p: w.proposal(1, replace(w.request(), body=b"other"))),
        ("another client has signed it", lambda w, p: w.proposal(1, replace(w.request(), client="bob"))),
        ("nobody knows the client", lambda w, p: w.proposal(1, w.request(client="eve"))),
    ],
)  # fmt: skip
def test_a_backup_accepts_nothing_of_which(why: str, twist, alone) -> None:
    """4.2: "A backup accepts a pre-prepare message provided: the signatures in the request and the pre-prepare message
    are correct and d is the digest for m; it is in view v; [...] the sequence number in the pre-prepare message is
    between a low water mark, h, and a high water mark, H"."""
    backup = alone(2, checkpoint_interval=5, window=10, batch_count=3, batch_bytes=100)
    assert not backup.hears(twist(backup.words, backup.words.proposal())).write, why
    assert backup.said(Prepare) == [], why
    assert backup.hears(backup.words.proposal()).write is not None, "but the right one is accepted"


def change(proposal: Proposal, **how) -> Proposal:
    return replace(proposal, pre_prepare=replace(proposal.pre_prepare, **how))


def test_a_backup_accepts_one_pre_prepare_only_for_a_number(alone) -> None:
    """4.2: "it has not accepted a pre-prepare message for view v and sequence number n containing a different
    digest"."""
    backup = alone(2)
    backup.hears(backup.words.proposal(1))
    other = backup.words.proposal(1, backup.words.request(7))
    assert backup.hears(other).write is None
    assert len(backup.said(Prepare)) == 1


def test_prepared_takes_two_f_prepares_of_backups_that_match(alone) -> None:
    """4.2: "prepared(m, v, n, i) [is] true if and only if replica i has inserted in its log: the request m, a
    pre-prepare for m in view v with sequence number n, and 2f prepares from different backups that match"."""
    backup = alone(2)
    proposal = backup.words.proposal()
    backup.hears(proposal)
    backup.hears(backup.words.signed(Prepare(0, 1, batch_digest(()), 3)))
    backup.hears(backup.words.signed(Prepare(1, 1, proposal.pre_prepare.digest, 4)))
    backup.hears(backup.words.signed(Prepare(0, 1, proposal.pre_prepare.digest, 1)))
    assert backup.said(Commit) == [], "a prepare for another digest, of another view, and of the primary"
    ready = backup.hears(backup.words.prepare(4, proposal))
    assert backup.said(Commit) == [backup.words.commit(2, proposal)]
    assert ready.write.prepared == (backup.words.prepared(proposal, (2, 4)),), "the proof is durable before it is said"


def test_a_prepare_counts_once_and_only_with_a_good_signature(alone) -> None:
    """4.2: "Replicas can accept prepare messages [...] provided their signatures are correct"."""
    primary = alone(1)
    primary.is_asked(primary.words.request())
    proposal = primary.words.proposal()
    primary.hears(primary.words.prepare(2, proposal))
    primary.hears(primary.words.prepare(2, proposal))
    primary.hears(replace(primary.words.prepare(2, proposal), source=3))
    assert primary.said(Commit) == []
    primary.hears(primary.words.prepare(3, proposal))
    assert primary.said(Commit) == [primary.words.commit(1, proposal)]


def test_prepares_may_come_before_the_pre_prepare(alone) -> None:
    """4.2: the three kinds of messages are logged, in whatever order they come."""
    backup = alone(2)
    proposal = backup.words.proposal()
    for body in (backup.words.commit(1, proposal), backup.words.commit(3, proposal), backup.words.prepare(3, proposal)):
        backup.hears(body)
    assert backup.hears(proposal).committed[0].command == backup.words.request().encode()


def test_committed_takes_two_f_and_one_commits_and_that_it_is_prepared_here(alone) -> None:
    """4.2: "committed-local(m, v, n, i) is true if and only if prepared(m, v, n, i) is true and i has accepted 2f + 1
    commits (possibly including its own) from different replicas that match the pre-prepare for m"."""
    backup = alone(2)
    proposal = backup.words.proposal()
    backup.hears(proposal)
    for node in (1, 3, 4):
        backup.hears(backup.words.commit(node, proposal))
    assert backup.carried_out() == [], "it is not prepared here"
    backup.hears(backup.words.prepare(3, proposal))
    assert backup.carried_out() == [b"1"]

    other = alone(2)
    other.hears(proposal)
    other.hears(other.words.prepare(3, proposal))
    other.hears(other.words.commit(3, proposal))
    other.hears(other.words.commit(3, proposal))
    other.hears(other.words.signed(Commit(0, 1, batch_digest(()), 4)))
    assert other.carried_out() == [], "its own and one other are two"
    other.hears(other.words.commit(1, proposal))
    assert other.carried_out() == [b"1"]


def test_numbers_are_carried_out_in_their_order(alone) -> None:
    """4.2: "Each replica i executes the operation requested by m after committed-local(m, v, n, i) is true and i's
    state reflects the sequential execution of all requests with lower sequence numbers"."""
    backup = alone(2)
    backup.commits(backup.words.proposal(2))
    assert backup.carried_out() == []
    backup.commits(backup.words.proposal(1))
    assert backup.carried_out() == [b"1", b"2"]


def test_entries_are_the_same_at_all_replicas(room) -> None:
    """4.2: the index counts entries, the term is the number of the batch, wherever it was decided."""
    group = room()
    for client in (0, 1, 2):
        group.ask(client=client)
    assert [(entry.index, entry.term) for entry in group.cluster.checks.chosen] == [(1, 1), (2, 2), (3, 3)]
    assert group.executed() == {1: 3, 2: 3, 3: 3, 4: 3}


def test_a_request_is_carried_out_once_however_often_the_primary_orders_it(alone) -> None:
    """4.1: "to ensure exactly-once semantics"; a primary that lies may give one request two numbers."""
    backup = alone(2)
    request = backup.words.request(1)
    backup.commits(backup.words.proposal(1, request, request))
    backup.commits(backup.words.proposal(2, request, backup.words.request(2)))
    assert backup.carried_out() == [b"1", b"2"]


def test_of_two_requests_under_one_number_one_is_carried_out(alone) -> None:
    """4.1: a client that signs two requests with one timestamp harms itself only."""
    backup = alone(2)
    one, two = (backup.words.request(1, body=body) for body in (b"one", b"two"))
    backup.is_asked(two)
    backup.commits(backup.words.proposal(1, one))
    backup.commits(backup.words.proposal(2, two))
    assert backup.carried_out() == [b"one"]
    assert backup.pbft.replica.waiting == {}


def test_requests_gather_while_batches_are_under_way(alone) -> None:
    """Thesis 5.1.4: what comes while agreement is under way shares the next one."""
    primary = alone(1, pipeline_count=1, batch_count=3)
    for number in range(1, 6):
        primary.is_asked(primary.words.request(number))
    assert [len(each.batch) for each in primary.said(Proposal)] == [1]
    primary.commits(primary.words.proposal(1))
    assert [len(each.batch) for each in primary.said(Proposal)] == [1, 3]
    second = primary.said(Proposal)[1]
    primary.commits(second)
    assert [len(each.batch) for each in primary.said(Proposal)] == [1, 3, 1]


def test_the_primary_stays_below_the_high_watermark(alone) -> None:
    """4.3: "The low water-mark h is equal to the sequence number of the last stable checkpoint; H = h + k"."""
    primary = alone(1, pipeline_count=100, checkpoint_interval=2, window=4)
    for number in range(1, 8):
        primary.is_asked(primary.words.request(number))
    assert [each.pre_prepare.seq for each in primary.said(Proposal)] == [1, 2, 3, 4]


def test_a_backup_relays_what_it_is_asked_and_begins_to_wait(alone) -> None:
    """4.4: "A backup starts a timer when it receives a request and the timer is not already running"."""
    backup = alone(2)
    backup.wakes()
    assert backup.pbft.next_deadline == float("inf")
    ready = backup.is_asked(backup.words.request())
    assert [(message.to, message.body) for message in ready.messages] == [(1, Relay((backup.words.request(),)))]
    assert backup.pbft.replica.waiting
    backup.commits(backup.words.proposal())
    backup.now += 100.0
    assert backup.pbft.next_deadline == float("inf"), "it stops the timer when it is no longer waiting"


def test_the_primary_takes_what_was_relayed_if_its_client_has_signed_it(alone) -> None:
    """4.1: requests are signed by clients; who passes them on need not be trusted."""
    primary = alone(1)
    forged = replace(primary.words.request(2), signature=SimSigner("bob").sign(b"x"))
    primary.hears(Relay((primary.words.request(1), forged)), source=3)
    assert [each.batch for each in primary.said(Proposal)] == [(primary.words.request(1),)]


def test_without_two_f_and_one_nothing_is_decided(room) -> None:
    """4: two of four may both be the ones who lie, for all that the other two know; so neither half goes on alone."""
    group = room().cut_off(1, 2)
    client = group.ask()
    group.pass_time(200.0)
    assert client.request is not None
    assert set(group.executed().values()) == {0}
    group.heal().pass_time(200.0)
    assert client.request is None


def test_two_clients_that_ask_different_replicas_at_once_are_put_into_one_order(room) -> None:
    """4.2: the primary alone gives numbers, whoever is asked."""
    group = room()
    group.cluster.replicas[2].ask(group.cluster.want(group.cluster.clients[0]))
    group.cluster.replicas[3].ask(group.cluster.want(group.cluster.clients[1]))
    group.settle()
    assert group.answered == 2
    assert set(group.executed().values()) == {max(group.executed().values())}


def test_seven_replicas_agree_with_two_that_are_silent(room) -> None:
    """4: "the algorithm provides safety and liveness if no more than f of 3f + 1 are faulty"."""
    group = room(7, liars=(6, 7))
    assert group.ask().request is None
    assert group.answered == 1


def test_a_pre_prepare_alone_is_not_taken_without_its_batch(alone) -> None:
    """4.2: a header comes with its batch, or in a new view."""
    backup = alone(2)
    backup.hears(backup.words.proposal().pre_prepare)
    assert backup.said(Prepare) == []
    assert isinstance(backup.words.proposal().pre_prepare, PrePrepare)


def test_nobody_waits_for_a_request_that_is_too_old_by_now(alone) -> None:
    """Else a client that lies could have a replica leave one view after the other, alone."""
    backup = alone(2, numbers_count=2)
    words = backup.words
    backup.is_asked(words.request(1))
    for number in (2, 3, 4):
        backup.commits(words.proposal(number - 1, words.request(number)))
    assert backup.pbft.replica.done.has("ann", 1)
    assert backup.pbft.replica.waiting == {}
    backup.wakes()
    assert backup.pbft.next_deadline == float("inf")
