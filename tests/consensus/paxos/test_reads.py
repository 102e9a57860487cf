"""Reads by lease, and reads by a round."""

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.paxos.messages import Accept, Proposal


def test_a_leader_with_a_lease_answers_by_itself(alone) -> None:
    """Chandra et al. 2007, 5.2: "as long as the master has the lease [...] the master can serve a consistent read
    operation purely locally"."""
    leader = alone().is_elected()
    leader.acknowledges(2, round=1)
    assert leader.paxos.has_lease(leader.now)
    ready = leader.reads(7)
    assert (ready.reads, ready.messages) == ((7,), ())


def test_a_lease_counts_from_before_its_round_was_sent_and_ends_by_itself(alone) -> None:
    leader = alone(drift=0.1).is_elected()
    began = leader.now
    leader.now += 1.0
    leader.acknowledges(2, round=1)
    lease_s = 10.0 * 0.9 / 1.1
    assert leader.paxos.has_lease(began + lease_s - 0.01)
    assert not leader.paxos.has_lease(began + lease_s)


def test_an_answer_to_an_earlier_round_does_not_renew_the_lease(alone) -> None:
    leader = alone(drift=0.0).is_elected()
    began = leader.now
    leader.wakes()
    leader.acknowledges(2, round=1)
    assert not leader.paxos.has_lease(began + 10.0)


def test_without_a_lease_a_majority_answers_a_round_that_was_begun_later(alone) -> None:
    leader = alone((1, 2, 3, 4, 5), drift=1.0)
    request = leader.prepares((2, 3))
    for source in (2, 3):
        leader.promised(request, source)
    for source in (2, 3):
        leader.acknowledges(source, round=1)
    leader.ready.clear()
    ready = leader.reads(7)
    assert (ready.reads, {each.round for each in ready.messages}) == ((), {2})
    assert leader.acknowledges(2, round=2).reads == ()
    assert leader.acknowledges(2, round=2).reads == (), "each counts once"
    assert leader.acknowledges(3, round=2).reads == (7,)


def test_a_new_leader_reads_nothing_before_what_it_has_found_is_chosen(alone) -> None:
    """What it has found may have been acknowledged by a leader before it."""
    leader = alone(promised=1002).is_elected([Proposal(1002, Entry(1, 1002, b"a"))])
    leader.acknowledges(2, 0, round=1)
    assert leader.reads(7).reads == ()
    ready = leader.acknowledges(2, 1, round=1)
    assert ([entry.command for entry in ready.committed], ready.reads) == ([b"a"], (7,))


def test_reads_are_lost_when_somebody_else_leads(alone) -> None:
    leader = alone(drift=1.0).is_elected()
    leader.reads(7, 8)
    assert leader.hears(Accept(1, 2, 9002, 1, 0, 0)).lost_reads == (7, 8)


def test_only_so_many_reads_wait(alone) -> None:
    leader = alone(drift=1.0, reads_count=2).is_elected()
    assert leader.reads(7, 8).refused is None
    assert leader.reads(9).refused.reason == "overloaded"


def test_reads_are_refused_by_others(alone) -> None:
    replica = alone()
    replica.accept(1003)
    assert (replica.reads(7).refused.reason, replica.paxos.leader) == ("not_leader", 3)


def test_one_alone_has_a_lease_at_once(alone) -> None:
    one = alone((1,))
    one.wakes()
    assert one.reads(7).reads == (7,)


@pytest.mark.parametrize("drift", [0.01, 1.0])
def test_a_leader_that_is_cut_off_reads_nothing_old(room, drift) -> None:
    """The invariant of the clients, that an answer has all that anybody was told before, looks at every answer."""
    three = room(drift=drift).elect(1).pass_time(4.0).cut_off(1)
    three.pass_time(40.0)
    assert three.leader() in {2, 3}
    three.ask(1, lambda paxos, now: paxos.read([7], now))
    assert three.read.get(7) is None


def test_while_a_lease_holds_nobody_else_can_lead(room) -> None:
    """However soon the others lose patience, they do not promise before the lease is over."""
    three = room(drift=0.0).elect(1).pass_time(4.0).cut_off(1)
    replica = three.replicas[2]
    began = replica.now
    while three.leader() == 1:
        three.pass_time(0.5)
    assert replica.now - began >= three.settings.lease_s - three.settings.heartbeat_interval_s
