"""One value for a key, sentence by sentence of Lamport, Paxos made simple, 2001, section 2."""

import itertools

import pytest

from concerted.consensus.paxos.messages import (
    AcceptedValue,
    AcceptValue,
    Chosen,
    PrepareValue,
    PromiseValue,
    RefusedValue,
)
from concerted.consensus.ready import Refusal


def asked(replica, kind=PrepareValue, to=2):
    """Return what it has just asked of a peer."""
    return next(each for each in replica.sent(kind) if each.to == to)


def accepting(replica, value=b"mine"):
    """Let it propose, and get as far as phase 2; return what it asks of 2."""
    replica.agrees("k", value)
    replica.value_promised(asked(replica))
    return asked(replica, AcceptValue)


# The problem (2.1)


def test_only_a_value_that_was_proposed_is_chosen_and_only_one_is_and_only_that_is_learnt(room) -> None:
    """2.1: "Only a value that has been proposed may be chosen, only a single value is chosen, and a process never
    learns that a value has been chosen unless it actually has been"; the invariants look at each."""
    three = room()
    for node, value in ((1, b"a"), (2, b"b"), (3, b"c")):
        three.begin(node, "k", value)
    three.settle().pass_time(30.0)
    assert three.values() in ([b"a"] * 3, [b"b"] * 3, [b"c"] * 3)


def test_each_key_is_an_instance_of_its_own(room) -> None:
    three = room().agree(1, "k", b"a").agree(2, "l", b"b")
    assert (three.values("k"), three.values("l")) == ([b"a"] * 3, [b"b"] * 3)


@pytest.mark.parametrize("count", [1, 3, 5, 7])
def test_any_minority_may_be_dead(room, count: int) -> None:
    """2.2: "any majority of the agents"; "any two majorities have at least one agent in common"."""
    group = room(tuple(range(1, count + 1)))
    for node in range(2, count // 2 + 2):
        group.replicas[node].die()
    group.agree(1, "k", b"a")
    assert group[1].chosen("k") == b"a"


def test_without_a_majority_nothing_is_chosen(room) -> None:
    """2.2: "a large enough set of agents"; whoever is cut off with a minority must not decide."""
    five = room((1, 2, 3, 4, 5)).cut_off(1, 2).agree(1, "k", b"a").pass_time(300.0)
    assert five.values() == [None] * 5
    five.cut.clear()
    assert five.pass_time(20.0).values() == [b"a"] * 5


def test_a_chosen_value_says_how_many_rounds_of_ballots_were_tried(alone) -> None:
    """2.4: "using ever-higher proposal numbers"; an attempt that gets no answer is followed by the next round."""
    proposer = alone()
    proposer.agrees("k", b"mine")
    proposer.wakes()
    proposer.ready.clear()
    proposer.wakes()
    proposer.value_promised(asked(proposer))
    proposer.value_accepted(asked(proposer, AcceptValue))
    assert [each.rounds for ready in proposer.ready for each in ready.chosen] == [3]


# The acceptor (2.2)


def test_an_acceptor_accepts_the_first_proposal_that_it_receives(alone) -> None:
    """P1: "An acceptor must accept the first proposal that it receives"."""
    assert isinstance(alone().accept_value(1002, b"a"), AcceptedValue)


def test_an_acceptor_accepts_more_than_one_proposal(alone) -> None:
    """2.2: "an acceptor must be allowed to accept more than one proposal"."""
    acceptor = alone()
    acceptor.accept_value(1002, b"a")
    assert isinstance(acceptor.accept_value(2003, b"b"), AcceptedValue)
    assert acceptor.disk.instances["k"].value == b"b"


def test_an_acceptor_accepts_nothing_below_its_promise(alone) -> None:
    """P1a: "An acceptor can accept a proposal numbered n iff it has not responded to a prepare request having a number
    greater than n"."""
    acceptor = alone()
    acceptor.prepare_value(2002)
    assert acceptor.accept_value(1003, b"a") == RefusedValue(3, 1, "k", 1003, 1, 2002)
    assert isinstance(acceptor.accept_value(2002, b"a"), AcceptedValue), "what was promised itself is accepted"


def test_an_acceptor_ignores_a_prepare_request_below_its_promise_and_says_so(alone) -> None:
    """2.2: "there is no reason for the acceptor to respond to the new prepare request"; 2.3: "it should probably inform
    the proposer"."""
    acceptor = alone()
    acceptor.prepare_value(2002)
    assert acceptor.prepare_value(1003) == RefusedValue(3, 1, "k", 1003, 1, 2002)
    assert acceptor.disk.instances["k"].promised == 2002


def test_an_acceptor_promises_and_tells_the_highest_numbered_proposal_that_it_has_accepted(alone) -> None:
    """Phase 1b: "it responds to the request with a promise not to accept any more proposals numbered less than n and
    with the highest-numbered proposal (if any) that it has accepted"."""
    acceptor = alone()
    assert acceptor.prepare_value(1002) == PromiseValue(2, 1, "k", 1002, 1, 0, b"")
    acceptor.accept_value(1002, b"a")
    acceptor.accept_value(2003, b"b")
    assert acceptor.prepare_value(3002) == PromiseValue(2, 1, "k", 3002, 1, 2003, b"b")


def test_a_promise_is_on_the_disk_before_it_leaves(alone) -> None:
    """2.5: "An acceptor records its intended response in stable storage before actually sending the response"."""
    acceptor = alone()
    ready = acceptor.hears(PrepareValue(1, 2, "k", 1002, 1))
    assert [each.promised for each in ready.write.instances] == [1002]
    assert [type(each) for each in ready.messages] == [PromiseValue]


def test_a_promise_outlives_a_restart(alone) -> None:
    """2.2: "an acceptor must remember this information even if it fails and then restarts"."""
    acceptor = alone()
    acceptor.prepare_value(2002)
    acceptor.restart()
    assert isinstance(acceptor.accept_value(1003, b"a"), RefusedValue)


def test_what_was_accepted_outlives_a_restart(alone) -> None:
    acceptor = alone()
    acceptor.accept_value(1002, b"a")
    acceptor.restart()
    assert acceptor.prepare_value(2003) == PromiseValue(3, 1, "k", 2003, 1, 1002, b"a")


# The proposer (2.2, 2.4)


def test_a_proposer_asks_everybody_for_a_promise_first(alone) -> None:
    """Phase 1a: "A proposer selects a proposal number n and sends a prepare request with number n to a majority"."""
    proposer = alone()
    ready = proposer.agrees("k", b"mine")
    assert [(each.to, each.ballot) for each in ready.messages] == [(2, 1001), (3, 1001)]
    assert ready.write.instances[0].promised == 1001, "its own acceptor has promised as well"


def test_its_own_value_is_proposed_if_none_was_accepted(alone) -> None:
    """P2c, phase 2a: "is any value if the responses reported no proposals"."""
    assert accepting(alone()).value == b"mine"


def test_the_value_of_the_highest_numbered_proposal_is_proposed_in_the_place_of_its_own(alone) -> None:
    """P2c, phase 2a: "v is the value of the highest-numbered proposal among the responses"."""
    proposer = alone((1, 2, 3, 4, 5))
    proposer.agrees("k", b"mine")
    request = asked(proposer)
    proposer.value_promised(request, 2, 3, b"old")
    proposer.value_promised(request, 3, 7, b"newer")
    assert asked(proposer, AcceptValue).value == b"newer"


def test_its_own_acceptor_is_asked_as_well(alone) -> None:
    """2.5: "Each process plays the role of proposer, acceptor, and learner"; what it has accepted itself counts."""
    proposer = alone()
    proposer.accept_value(1002, b"theirs")
    proposer.agrees("k", b"mine")
    proposer.value_promised(asked(proposer))
    assert asked(proposer, AcceptValue).value == b"theirs"


def test_nothing_is_proposed_before_a_majority_has_promised(alone) -> None:
    """Phase 2a: "If the proposer receives a response to its prepare requests (numbered n) from a majority"."""
    proposer = alone((1, 2, 3, 4, 5))
    proposer.agrees("k", b"mine")
    request = asked(proposer)
    for _ in range(3):
        proposer.value_promised(request, 2)
    assert proposer.sent(AcceptValue) == [], "each acceptor counts once"
    proposer.value_promised(request, 4)
    assert len(proposer.sent(AcceptValue)) == 4


def test_an_answer_about_another_attempt_is_not_counted(alone) -> None:
    """Phase 2a: "(numbered n)"."""
    proposer = alone()
    proposer.agrees("k", b"mine")
    old = asked(proposer)
    proposer.wakes()
    assert asked(proposer).ballot > old.ballot
    proposer.value_promised(old)
    assert proposer.sent(AcceptValue) == []


def test_a_proposer_that_has_promised_more_to_another_does_not_count_itself(alone) -> None:
    """P1a holds for its own acceptor."""
    proposer = alone()
    proposer.agrees("k", b"mine")
    request = asked(proposer)
    proposer.prepare_value(2003)
    proposer.value_promised(request)
    accept = asked(proposer, AcceptValue)
    proposer.value_accepted(accept, 2)
    assert proposer.chosen() == [], "2 alone is no majority"
    proposer.value_accepted(accept, 3)
    assert proposer.chosen() == [("k", b"mine")]


def test_a_proposer_never_uses_a_number_twice(alone) -> None:
    """2.5: "each proposer remembers (in stable storage) the highest-numbered proposal it has tried to issue"."""
    proposer = alone()
    proposer.agrees("k", b"mine")
    first = asked(proposer).ballot
    proposer.restart()
    proposer.agrees("k", b"mine")
    assert asked(proposer).ballot > first


def test_the_next_number_is_above_that_for_which_it_was_refused(alone) -> None:
    """2.4: "using ever-higher proposal numbers"."""
    proposer = alone()
    proposer.agrees("k", b"mine")
    request = asked(proposer)
    proposer.hears(RefusedValue(1, 2, "k", request.ballot, request.session, 9002))
    proposer.wakes()
    assert asked(proposer).ballot == 10_001


def test_two_that_propose_in_turn_come_to_an_end(room) -> None:
    """2.4: "two proposers each keep issuing a sequence of proposals with increasing numbers, none of which are ever
    chosen": here a message takes longer than the first attempts last, so each prepares before the other is accepted."""
    three = room(retry_s=0.5)
    for node in (1, 2):
        three.begin(node, "k", b"%d" % node)
    under_way, ballots, step = [], set(), 0
    while not any(three.values()):
        step += 1
        assert step < 1000, "a hundred seconds, with a second for each message"
        for replica in three.alive():
            replica.now += 0.1
            replica.wake()
            while replica.waiting:
                replica.carry_out()
        ballots |= {each.ballot for each in three.network if isinstance(each, PrepareValue)}
        under_way += [(step + 10, each) for each in three.network]
        three.network.clear()
        while under_way and under_way[0][0] <= step:
            message = under_way.pop(0)[1]
            three.replicas[message.to].receive(message)
    assert len(ballots) > 4, "they were in each other's way"
    three.settle().pass_time(20.0)
    assert three.values() in ([b"1"] * 3, [b"2"] * 3)


def test_each_attempt_is_given_twice_as_long_up_to_an_election_timeout(alone) -> None:
    proposer = alone(retry_s=1.0)
    proposer.agrees("k", b"mine")
    waits = []
    for _ in range(6):
        waits.append(proposer.paxos._synod.next_deadline - proposer.now)
        proposer.now = proposer.paxos._synod.next_deadline
        proposer._do(proposer.paxos.wake(proposer.now))
    assert waits == pytest.approx([0.75, 1.5, 3.0, 6.0, 7.5, 7.5])


# The learner


def test_a_value_is_chosen_when_a_majority_has_accepted_it(alone) -> None:
    """2.2: "a value is chosen when a single proposal with that value has been accepted by a majority"."""
    proposer = alone((1, 2, 3, 4, 5))
    proposer.agrees("k", b"mine")
    request = asked(proposer)
    for source in (2, 3):
        proposer.value_promised(request, source)
    accept = asked(proposer, AcceptValue)
    for _ in range(2):
        proposer.value_accepted(accept, 2)
    assert proposer.chosen() == []
    proposer.value_accepted(accept, 5)
    assert proposer.chosen() == [("k", b"mine")]


def test_it_counts_itself_only_for_what_is_on_its_disk(alone) -> None:
    one = alone((1,))
    ready = one.paxos.agree("k", b"mine", one.now)
    assert ready.chosen == ()
    assert [each.value for each in one.paxos.written(ready.write.number, one.now).chosen] == [b"mine"]


def test_all_learners_are_told(alone) -> None:
    """2.3: "have each acceptor, whenever it accepts a proposal, respond to all learners"; here by the proposer, as the
    distinguished learner, which "informs the other learners when a value has been chosen"."""
    proposer = alone()
    accept = accepting(proposer)
    proposer.value_accepted(accept)
    assert [(each.to, each.value) for each in proposer.sent(Chosen)] == [(2, b"mine"), (3, b"mine")]


def test_a_learner_that_missed_it_learns_it_by_proposing(room) -> None:
    """2.3: "If a learner needs to know whether a value has been chosen, it can have a proposer issue a proposal"."""
    three = room().cut_off(3).agree(1, "k", b"a")
    three.cut.clear()
    assert three.values() == [b"a", b"a", None]
    assert three.agree(3, "k", b"late").values() == [b"a"] * 3


def test_a_later_proposer_learns_the_same_even_if_nobody_had_learnt_it(room) -> None:
    """P2b: "If a proposal with value v is chosen, then every higher-numbered proposal issued by any proposer has value
    v"."""
    three = room()
    three.begin(1, "k", b"a")
    while three[1].chosen("k") is None:
        for replica in three.alive():
            while replica.waiting:
                replica.carry_out()
        messages, three.network[:] = three.network[:], []
        for message in messages:
            if not isinstance(message, Chosen):
                three.replicas[message.to].receive(message)
    three.replicas[1].die()
    three.network.clear()
    assert [three[node].chosen("k") for node in (2, 3)] == [None, None]
    three.agree(3, "k", b"late").pass_time(10.0)
    assert [three[node].chosen("k") for node in (2, 3)] == [b"a", b"a"]


def test_once_chosen_it_is_told_again_and_outlives_a_restart(alone) -> None:
    replica = alone()
    replica.value_accepted(accepting(replica))
    replica.restart()
    assert [(each.key, each.value) for each in replica.agrees("k", b"other").chosen] == [("k", b"mine")]
    assert replica.prepare_value(9002) == Chosen(2, 1, "k", 9002, 1, b"mine")


def test_a_restart_with_the_old_disk_in_the_middle_changes_nothing_that_was_chosen(room) -> None:
    for died in itertools.product((1, 2, 3), repeat=2):
        three = room().cut_off(3).agree(1, "k", b"a")
        three.cut.clear()
        for node in died:
            three.restart(node)
        assert three.agree(3, "k", b"late").pass_time(10.0).values() == [b"a"] * 3


# What may be chosen


def test_a_value_that_is_not_valid_is_neither_proposed_nor_accepted(alone) -> None:
    replica = alone(valid=lambda key, value: value != b"bad" or key != "k")
    assert replica.agrees("k", b"bad").refused == Refusal("invalid")
    assert replica.accept_value(1002, b"bad") is None
    assert replica.agrees("other", b"bad").refused is None


def test_a_value_that_is_too_long_is_refused(alone) -> None:
    assert alone(value_bytes=3).agrees("k", b"long").refused == Refusal("invalid")


def test_there_may_be_only_so_many_keys(alone) -> None:
    replica = alone(keys_count=1)
    assert replica.agrees("k", b"a").refused is None
    assert replica.agrees("l", b"a").refused == Refusal("overloaded")
    assert replica.agrees("k", b"b").refused is None, "a key that is known goes on"
    assert isinstance(replica.prepare_value(1002, "m"), PromiseValue), "what others propose is not refused"


def test_a_value_that_waits_is_proposed_once(alone) -> None:
    replica = alone()
    replica.agrees("k", b"a")
    assert replica.agrees("k", b"b").is_empty
