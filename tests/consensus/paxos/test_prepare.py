"""Phase 1 for all open slots, and who leads, sentence by sentence of Lamport, Paxos made simple, 2001."""

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.paxos.messages import Accept, Prepare, Promise, Proposal, Refused
from concerted.consensus.sessions import Command

# The acceptor


def test_one_promise_is_for_all_slots(alone) -> None:
    """3: "A newly chosen leader executes phase 1 for infinitely many instances of the consensus algorithm"; "Using the
    same proposal number for all instances, it can do this by sending a single reasonably short message"."""
    acceptor = alone(drift=1.0)
    acceptor.accept(1002, Entry(1, 1002, b"a"), Entry(3, 1002, b"c"))
    acceptor.now = 10.0
    answer = acceptor.prepare(2003)
    assert (answer.accepted, answer.upto, answer.is_last) == (
        (Proposal(1002, Entry(1, 1002, b"a")), Proposal(1002, Entry(3, 1002, b"c"))),
        3,
        True,
    )
    for index in (1, 2, 7):
        assert isinstance(acceptor.accept(1002, Entry(index, 1002, b"z")), Refused)


def test_a_promise_is_on_the_disk_before_it_leaves_and_outlives_a_restart(alone) -> None:
    """2.5: "An acceptor records its intended response in stable storage before actually sending the response"."""
    acceptor = alone()
    ready = acceptor.hears(Prepare(1, 2, 1002, 1, 0))
    assert (ready.write.promised, [type(each) for each in ready.messages]) == (1002, [Promise])
    acceptor.restart()
    assert acceptor.prepare(1002 - 1) == Refused(1, 1, 1001, 1, 1002)


def test_a_number_that_is_not_higher_is_refused(alone) -> None:
    """Phase 1b: "with number n greater than that of any prepare request to which it has already responded"."""
    acceptor = alone()
    acceptor.prepare(2002)
    assert acceptor.prepare(1003) == Refused(3, 1, 1003, 1, 2002)
    assert isinstance(acceptor.prepare(2002), Promise), "the answer may have been lost"
    assert isinstance(acceptor.prepare(2003, pre=True), Promise)
    assert isinstance(acceptor.prepare(2002, pre=True), Refused), "nobody needs to ask whether, who has it"


def test_a_promise_comes_in_parts_if_it_is_long(alone) -> None:
    acceptor = alone(batch_count=2, drift=1.0)
    acceptor.accept(1002, *(Entry(index, 1002) for index in range(1, 6)))
    acceptor.now = 10.0
    parts, after = [], 0
    while not parts or not parts[-1].is_last:
        parts.append(acceptor.prepare(2003, after))
        after = parts[-1].upto
    assert [[each.entry.index for each in part.accepted] for part in parts] == [[1, 2], [3, 4], [5]]


def test_who_hears_a_leader_promises_nobody_else_anything_for_an_election_timeout(alone) -> None:
    acceptor = alone()
    acceptor.accept(1002)
    for pre in (True, False):
        assert isinstance(acceptor.prepare(2003, pre=pre), Refused)
    assert isinstance(acceptor.prepare(2002), Promise), "the same leader may choose a higher ballot"
    acceptor.now += 10.0
    assert isinstance(acceptor.prepare(3003), Promise)


def test_after_a_restart_it_cannot_know_whom_it_has_heard_and_waits(alone) -> None:
    acceptor = alone()
    acceptor.accept(1002)
    acceptor.now = 1.0
    acceptor.restart()
    for ballot in (2003, 2002):
        assert isinstance(acceptor.prepare(ballot), Refused)
    acceptor.now = 11.0
    assert isinstance(acceptor.prepare(2003), Promise)


def test_without_leases_nobody_waits_after_a_restart(alone) -> None:
    acceptor = alone(drift=1.0)
    acceptor.accept(1002)
    acceptor.restart()
    assert isinstance(acceptor.prepare(2003), Promise)


# The proposer


def test_a_ballot_is_raised_only_when_a_majority_would_promise_it(alone) -> None:
    replica = alone()
    replica.wakes()
    asked = replica.sent(Prepare)
    assert {(each.to, each.ballot, each.pre) for each in asked} == {(2, 1001, True), (3, 1001, True)}
    assert replica.disk.promised == 0
    replica.promised(asked[0])
    assert replica.disk.promised == 1001
    assert {each.pre for each in replica.sent(Prepare)} == {False}


def test_a_majority_of_promises_makes_a_leader_and_each_acceptor_counts_once(alone) -> None:
    """Phase 2a: "from a majority of acceptors"."""
    replica = alone((1, 2, 3, 4, 5))
    request = replica.prepares((2, 3))
    for _ in range(3):
        replica.promised(request, 2)
    assert replica.paxos.role == "preparing"
    replica.promised(request, 5)
    assert replica.paxos.role == "leader"


@pytest.mark.parametrize(("ballot", "session"), [(-1000, 0), (0, -1)])
def test_a_promise_about_another_ballot_or_campaign_is_not_counted(alone, ballot: int, session: int) -> None:
    replica = alone()
    request = replica.prepares()
    replica.hears(Promise(1, 2, request.ballot + ballot, request.session + session, 0, 0, 0))
    assert replica.paxos.role == "preparing"


def test_who_would_have_promised_has_not_promised(alone) -> None:
    """A walk found it: before a restart the replica had asked whether this ballot would be promised, in a campaign that
    had the same number; that answer, late, was taken for the promise itself."""
    replica = alone()
    request = replica.prepares()
    replica.hears(Promise(1, 3, request.ballot, request.session, 0, 0, 0, pre=True))
    assert replica.paxos.role == "preparing"


def test_a_promise_counts_when_its_last_part_is_here(alone) -> None:
    replica = alone(batch_count=1, promised=1002)
    request = replica.prepares()
    parts = [Proposal(1002, Entry(index, 1002, b"%d" % index)) for index in (1, 2)]
    for _ in range(2):
        replica.promised(request, accepted=parts[:1], is_last=False)
    [again] = replica.sent(Prepare)
    assert (replica.paxos.role, again.after) == ("preparing", 1)
    replica.promised(again, accepted=parts[1:])
    assert replica.paxos.role == "leader"
    assert [entry.command for entry in replica.paxos.log.between(0, 2)] == [b"1", b"2"]


def test_in_each_slot_the_highest_numbered_proposal_reported_is_proposed_again(alone) -> None:
    """3, phase 2a: P2c for each slot; its own acceptor reports as well."""
    replica = alone((1, 2, 3, 4, 5), drift=1.0)
    replica.accept(3002, Entry(1, 3002, b"mine"), Entry(2, 3002, b"mine"))
    request = replica.prepares((2, 3))
    replica.promised(request, 2, [Proposal(1003, Entry(1, 1003, b"old")), Proposal(3005, Entry(2, 1003, b"new"))])
    replica.promised(request, 3, [Proposal(3004, Entry(2, 3004, b"less new"))])
    accept = replica.sent(Accept)[0]
    assert [(entry.index, entry.command) for entry in accept.entries] == [(1, b"mine"), (2, b"new")]


def test_a_gap_is_filled_with_a_no_op(alone) -> None:
    """3: "it can fill the gap immediately by proposing, as commands 136 and 137, a special "no-op" command that leaves
    the state unchanged"."""
    replica = alone(promised=1002).is_elected([Proposal(1002, Entry(3, 1002, b"c"))])
    accept = replica.sent(Accept)[0]
    assert [(entry.index, entry.command) for entry in accept.entries] == [(1, None), (2, None), (3, b"c")]


def test_what_others_know_to_be_chosen_is_learnt_with_the_promise(alone) -> None:
    """3: "the new leader, being a learner in all instances of the consensus algorithm, should know most of the
    commands that have already been chosen"; and what it does not know, it learns."""
    replica = alone(promised=1002)
    request = replica.prepares()
    replica.ready.clear()
    replica.promised(request, accepted=[Proposal(1002, Entry(1, 1002, b"a"))], commit=1, is_last=False)
    assert (replica.paxos.role, replica.committed()) == ("preparing", [b"a"])


@pytest.mark.parametrize("pre", [True, False])
def test_who_lacks_what_is_compacted_away_is_promised_nothing(alone, pre: bool) -> None:
    """It is to be led, and sent the snapshot; whoever knows most to be chosen is refused by nobody for this."""
    replica = alone()
    replica.accept(1002, Entry(1, 1002, b"a"), Entry(2, 1002, b"b"), commit=2)
    replica.paxos.compact(1, b"state", replica.now)
    behind = replica.hears(Prepare(1, 2, 2002, 7, 0, pre), after_s=100.0)
    assert behind.messages == (Refused(2, 1, 2002, 7, 1002),)
    level = replica.hears(Prepare(1, 2, 2002, 7, 1, pre))
    assert isinstance(level.messages[0], Promise)


def test_a_majority_of_whom_one_is_far_behind_gets_a_leader(room) -> None:
    """Whichever of the two runs out of patience first, and however often."""
    three = room().elect(1).cut_off(3)
    three.propose(1, Command(0, 1).encode())
    three.pass_time(5.0)
    for node in (1, 2):
        three.replicas[node].compact(0)
    three.settle()
    three.replicas[1].die()
    three.cut.clear()
    three.elect(3)
    assert three.leader() is None
    three.pass_time(60.0)
    assert (three.leader(), three[3].log.snapshot.index) == (2, 1)


def test_a_proposer_that_a_majority_refuses_gives_up_and_goes_above_next_time(alone) -> None:
    """2.3: "It is probably a good idea to abandon a proposal if some proposer has begun trying to issue a
    higher-numbered one"."""
    replica = alone()
    request = replica.prepares()
    for source in (2, 3):
        replica.hears(Refused(1, source, request.ballot, request.session, 7002))
    assert replica.paxos.role == "follower"
    replica.wakes()
    assert replica.sent(Prepare)[0].ballot == 8001


def test_a_leader_that_hears_of_a_higher_ballot_steps_down(alone) -> None:
    replica = alone().is_elected()
    session = replica.paxos._server.leading.session
    replica.hears(Refused(1, 2, replica.paxos.term, session, 7002))
    assert (replica.paxos.role, replica.paxos.leader) == ("follower", None)


def test_who_hears_a_leader_does_not_go_on_to_prepare(alone) -> None:
    replica = alone(promised=1002)
    replica.wakes()
    asked = replica.sent(Prepare)[0]
    replica.accept(1002)
    replica.promised(asked)
    assert (replica.paxos.role, replica.paxos.leader, replica.disk.promised) == ("follower", 2, 1002)


def test_a_leader_that_no_majority_answers_steps_down(alone) -> None:
    replica = alone().is_elected()
    while replica.now < 40.0 and replica.paxos.role == "leader":
        replica.wakes()
    assert replica.paxos.role == "follower"


# All together


def test_only_one_leads_and_it_stays(room) -> None:
    """2.4: "If enough of the system [...] is working properly, liveness can therefore be achieved by electing a single
    distinguished proposer"."""
    three = room().pass_time(60.0)
    first = three.leader()
    assert first is not None
    three.pass_time(300.0)
    assert (three.leader(), len(three.checks.leaders)) == (first, 1)


def test_who_comes_back_from_a_minority_disturbs_nobody(room) -> None:
    three = room().elect(1).cut_off(3).pass_time(200.0)
    three.cut.clear()
    three.pass_time(60.0)
    assert (three.leader(), len(three.checks.leaders)) == (1, 1)
    assert three[3].leader == 1


def test_with_partial_connectivity_the_hub_leads(room) -> None:
    """Only 3 is connected with a majority; everybody else hears of no leader, and asks in vain."""
    five = room((1, 2, 3, 4, 5)).elect(1)
    five.cut = {(a, b) for a in five.replicas for b in five.replicas if a != b and 3 not in (a, b)}
    five.pass_time(120.0)
    assert five.leader() == 3
    leaders = len(five.checks.leaders)
    five.pass_time(300.0)
    assert (five.leader(), len(five.checks.leaders)) == (3, leaders)


def test_without_a_majority_nobody_leads(room) -> None:
    five = room((1, 2, 3, 4, 5)).cut_off(1, 2)
    for node in (4, 5):
        five.replicas[node].die()
    five.pass_time(300.0)
    assert (five.leader(), five.checks.leaders) == (None, {})
