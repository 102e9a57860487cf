"""Leader election, sentence by sentence.

"The paper" is Ongaro & Ousterhout 2014, "the thesis" is Ongaro 2014.
"""

import pytest

from concerted.consensus.raft.messages import Append, RequestVote, TimeoutNow, Vote


def test_a_server_begins_as_a_follower(alone) -> None:
    """Paper 5.2: "When servers start up, they begin as followers"."""
    server = alone()
    assert (server.raft.role, server.raft.leader) == ("follower", None)


def test_a_follower_that_hears_a_leader_stays_one(alone) -> None:
    """Paper 5.2: "A server remains in follower state as long as it receives valid RPCs from a leader"."""
    server = alone(term=1)
    for _ in range(5):
        server.hears(Append(1, 2, 1, 1, 0, 0, 0), after_s=9.9)
        assert server.raft.wake(server.now).is_empty
    assert (server.raft.role, server.raft.leader) == ("follower", 2)


def test_an_election_timeout_lies_between_one_and_two_of_the_set_ones(alone) -> None:
    """Paper 5.2: "election timeouts are chosen randomly from a fixed interval (e.g., 150-300ms)"."""
    assert alone().raft.next_deadline == 15.0  # the dice of these tests say 0.5


def test_a_candidate_increments_its_term_votes_for_itself_and_asks_all(alone) -> None:
    """Paper 5.2: "a follower increments its current term and transitions to candidate state. It then votes for itself
    and issues RequestVote RPCs in parallel to each of the other servers"."""
    server = alone(term=4)
    server.wakes()
    [asked, _] = server.sent(RequestVote)
    ready = server.hears(Vote(1, 2, 4, asked.session, True, pre=True))
    assert (server.raft.role, server.raft.term, server.raft.leader) == ("candidate", 5, None)
    assert (ready.write.term, ready.write.vote) == (5, 1)
    assert [(each.to, each.term, each.pre) for each in ready.messages] == [(2, 5, False), (3, 5, False)]


def test_a_pre_candidate_raises_no_term_and_casts_no_vote(alone) -> None:
    """Thesis 9.6: "a candidate only increments its term if it first learns from a majority of the cluster that they
    would be willing to grant the candidate their votes"."""
    server = alone(term=4)
    ready = server.wakes()
    assert (server.raft.role, server.raft.term, ready.write) == ("pre-candidate", 4, None)
    assert [(each.to, each.term, each.pre) for each in ready.messages] == [(2, 5, True), (3, 5, True)]


def test_a_pre_vote_is_granted_without_being_one(alone) -> None:
    """Thesis 9.6: it changes nothing in who is asked, so it may be granted to any number of servers."""
    server = alone(term=4)
    for source in (2, 3):
        assert server.asked_for_vote(source, term=5, pre=True).granted
    assert server.raft.term == 4
    assert server.asked_for_vote(3, term=5).granted


def test_a_candidate_wins_with_votes_of_a_majority(alone) -> None:
    """Paper 5.2: "A candidate wins an election if it receives votes from a majority of the servers in the full cluster
    for the same term"."""
    server = alone(voters=(1, 2, 3, 4, 5))
    server.wakes()
    session = server.sent(RequestVote)[0].session
    for source in (2, 3):
        server.hears(Vote(1, source, 0, session, True, pre=True))
    session = server.sent(RequestVote)[0].session
    server.hears(Vote(1, 2, 1, session, True))
    assert server.raft.role == "candidate"
    server.hears(Vote(1, 3, 1, session, True))
    assert server.raft.role == "leader"


def test_a_vote_that_comes_twice_counts_once(alone) -> None:
    """Paper 5.4.3 rests on it: a majority is of servers, not of messages."""
    server = alone(voters=(1, 2, 3, 4, 5))
    server.wakes()
    session = server.sent(RequestVote)[0].session
    for _ in range(3):
        server.hears(Vote(1, 2, 0, session, True, pre=True))
    assert server.raft.role == "pre-candidate"


@pytest.mark.parametrize(
    "stray",
    [
        Vote(1, 2, 1, 2, True, pre=True),  # a pre-vote is no vote
        Vote(1, 2, 0, 2, True),  # an earlier term
        Vote(1, 2, 1, 1, True),  # an earlier campaign
        Vote(1, 9, 1, 2, True),  # a stranger
    ],
    ids=["pre-vote", "term", "campaign", "stranger"],
)
def test_only_votes_of_voters_for_this_campaign_count(alone, stray: Vote) -> None:
    """Paper 5.2: "from a majority of the servers in the full cluster for the same term"."""
    server = alone()
    server.wakes()
    server.hears(Vote(1, 2, 0, 1, True, pre=True))
    assert server.raft.role == "candidate"
    server.hears(stray)
    assert server.raft.role == "candidate"
    server.hears(Vote(1, 2, 1, 2, True))
    assert server.raft.role == "leader"


def test_a_server_votes_for_at_most_one_candidate_in_a_term(alone) -> None:
    """Paper 5.2: "Each server will vote for at most one candidate in a given term, on a first-come-first-served
    basis"."""
    server = alone()
    assert server.asked_for_vote(2, term=1).granted
    assert not server.asked_for_vote(3, term=1).granted
    assert server.asked_for_vote(2, term=1).granted, "an answer that was lost is given again"


def test_a_vote_outlives_a_restart(alone) -> None:
    """Paper figure 2: currentTerm and votedFor are "updated on stable storage before responding to RPCs"."""
    server = alone()
    ready = server.hears(RequestVote(1, 2, 1, 1, 0, 0))
    assert (ready.write.term, ready.write.vote) == (1, 2)
    again = alone(term=ready.write.term, vote=ready.write.vote)
    assert not again.asked_for_vote(3, term=1).granted
    assert again.asked_for_vote(2, term=1).granted


@pytest.mark.parametrize(
    ("last", "granted"), [((3, 2), True), ((9, 1), False), ((2, 2), False), ((1, 3), True), ((4, 2), True)]
)
def test_a_voter_refuses_a_log_that_is_behind_its_own(alone, boxes, last: tuple[int, int], granted: bool) -> None:
    """Paper 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate"."""
    server = alone(term=3, log=boxes(1, 2, 2))
    assert server.asked_for_vote(2, term=9, last=last, pre=True).granted is granted
    assert server.asked_for_vote(2, term=9, last=last).granted is granted
    assert server.raft.term == 9, "it takes the term over, granted or not"


def test_a_request_of_an_earlier_term_is_refused_with_the_newer_term(alone) -> None:
    """Paper 5.1: "If a server receives a request with a stale term number, it rejects the request"."""
    vote = alone(term=7).asked_for_vote(2, term=6)
    assert (vote.granted, vote.term) == (False, 7)


def test_a_candidate_gives_way_to_a_leader_of_its_term(alone) -> None:
    """Paper 5.2: "If the leader's term (included in its RPC) is at least as large as the candidate's current term, then
    the candidate recognizes the leader as legitimate and returns to follower state"."""
    server = alone()
    server.wakes()
    server.hears(Vote(1, 2, 0, 1, True, pre=True))
    server.hears(Append(1, 3, 1, 1, 0, 0, 0))
    assert (server.raft.role, server.raft.leader) == ("follower", 3)


def test_a_candidate_ignores_a_leader_of_an_earlier_term(alone) -> None:
    """Paper 5.2: "If the term in the RPC is smaller than the candidate's current term, then the candidate rejects the
    RPC and continues in candidate state"."""
    server = alone(term=3)
    server.wakes()
    server.hears(Vote(1, 2, 3, 1, True, pre=True))
    answer = server.append(0, 0, source=3, term=3)
    assert (server.raft.role, answer.success, answer.term) == ("candidate", False, 4)


def test_a_split_vote_is_followed_by_another_election(alone) -> None:
    """Paper 5.2: "each candidate will time out and start a new election by incrementing its term"."""
    server = alone()
    server.wakes()
    server.hears(Vote(1, 2, 0, 1, True, pre=True))
    server.hears(Vote(1, 2, 1, 2, False))
    server.hears(Vote(1, 3, 1, 2, False))
    assert server.raft.role == "follower"
    server.wakes()
    session = server.sent(RequestVote)[-1].session
    server.hears(Vote(1, 2, 1, session, True, pre=True))
    assert (server.raft.role, server.raft.term) == ("candidate", 2)


def test_a_leader_of_an_earlier_term_steps_down(alone) -> None:
    """Paper 5.1: "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower
    state"."""
    server = alone().is_elected()
    server.hears(Append(1, 3, 9, 1, 0, 0, 0))
    assert (server.raft.role, server.raft.term, server.raft.leader) == ("follower", 9, 3)


def test_a_new_leader_says_so_at_once(alone) -> None:
    """Paper 5.2: "Once a candidate wins an election, it becomes leader. It then sends heartbeat messages to all of the
    other servers to establish its authority"; here they bring the entry with which its term begins (section 8)."""
    server = alone()
    server.wakes()
    server.hears(Vote(1, 2, 0, 1, True, pre=True))
    ready = server.hears(Vote(1, 2, 1, 2, True))
    assert [(type(each), each.to, each.entries[0].term) for each in ready.messages] == [(Append, 2, 1), (Append, 3, 1)]


def test_a_cluster_of_one_leads_itself(alone) -> None:
    server = alone(voters=(1,)).is_elected()
    assert server.proposes(b"x").refused is None
    assert server.raft.log.commit_index == 2


def test_who_has_a_leader_helps_nobody_else(alone) -> None:
    """Thesis 4.2.3: "if a server receives a RequestVote request within the minimum election timeout of hearing from a
    current leader, it does not update its term or grant its vote"."""
    server = alone(term=1)
    server.hears(Append(1, 2, 1, 1, 0, 0, 0))
    for pre in (True, False):
        vote = server.asked_for_vote(3, term=9, last=(9, 9), pre=pre)
        assert (vote.granted, vote.term, server.raft.term) == (False, 1, 1)
    server.now += 10.0
    assert server.asked_for_vote(3, term=9, last=(9, 9)).granted


def test_the_leader_itself_helps_nobody_else(alone) -> None:
    """Thesis 4.2.3: servers that were removed, and hear no heartbeats, do not depose a leader that works."""
    server = alone().is_elected()
    assert not server.asked_for_vote(3, term=9, last=(9, 9)).granted
    assert (server.raft.role, server.raft.term) == ("leader", 1)


def test_a_successor_is_helped_in_spite_of_the_leader(alone) -> None:
    """Thesis 4.2.3: a request that comes of a transfer has a flag, since the leader itself has asked for it."""
    server = alone(term=1)
    server.hears(Append(1, 2, 1, 1, 0, 0, 0))
    assert server.asked_for_vote(3, term=2, last=(9, 9), transfer=True).granted


def test_a_successor_stands_at_once_and_without_a_pre_vote(alone) -> None:
    """Thesis 3.10: TimeoutNow does what the target's election timer would, at once."""
    server = alone(term=1)
    server.hears(Append(1, 2, 1, 1, 0, 0, 0))
    ready = server.hears(TimeoutNow(1, 2, 1, 1))
    assert (server.raft.role, server.raft.term) == ("candidate", 2)
    assert all(each.transfer and not each.pre for each in ready.messages)


def test_only_its_own_leader_makes_a_server_stand(alone) -> None:
    server = alone(term=1)
    server.hears(Append(1, 2, 1, 1, 0, 0, 0))
    server.hears(TimeoutNow(1, 3, 1, 1))
    server.hears(TimeoutNow(1, 2, 0, 1))
    assert server.raft.role == "follower"


def test_a_leader_that_no_majority_answers_steps_down(alone) -> None:
    """Thesis 6.2: "a leader steps down if an election timeout elapses without a successful round of heartbeats to a
    majority of its cluster"."""
    server = alone().is_elected()
    until = server.now + 2 * 10.0  # it was answered just now, by votes; the timeout after that is the first without
    while server.now < until:
        server.wakes()
    assert server.raft.role == "follower"


def test_a_leader_that_a_majority_answers_stays(alone) -> None:
    server = alone().is_elected()
    for _ in range(30):
        server.wakes()
        server.acknowledges(3)
    assert server.raft.role == "leader"


def test_a_learner_never_stands(alone) -> None:
    """Thesis 4.2.1: who is not counted could not win."""
    server = alone(voters=(2, 3))
    server.wakes()
    assert server.raft.role == "follower"
    assert not server.sent(RequestVote)


def test_a_server_that_was_cut_off_disturbs_nobody_when_it_is_back(room) -> None:
    """Thesis 9.6: without pre-vote its high term would depose a leader that works."""
    three = room().elect(1).cut_off(3).pass_time(200.0)
    assert (three[3].role != "leader", three[3].term) == (True, 1)
    three.cut.clear()
    three.pass_time(50.0)
    assert (three.leader(), three[1].term, three[3].leader) == (1, 1, 1)


def test_a_leader_that_only_hears_gives_way_to_one_that_also_speaks(room) -> None:
    """Thesis 6.2, and etcd's outage of 2020 at Cloudflare: a leader cut off from the followers, one way only."""
    three = room().elect(1)
    three.cut |= {(1, 2), (1, 3)}
    three.pass_time(100.0)
    assert three.leader() in {2, 3}
    assert three[1].role != "leader"


def test_only_a_hub_can_lead_and_it_does(room) -> None:
    """Partial connectivity: 2, 3, 4 and 5 hear 1 alone. Whoever led, in the end 1 leads, and its term stays.

    Described by Jensen, Howard & Mortier 2021, "Examining Raft's behaviour during partial network failures".
    """
    five = room((1, 2, 3, 4, 5)).elect(3)
    five.cut = {(a, b) for a in (2, 3, 4, 5) for b in (2, 3, 4, 5) if a != b}
    five.pass_time(300.0)
    term = five[1].term
    assert five.leader() == 1
    five.pass_time(300.0)
    assert (five.leader(), five[1].term) == (1, term)
