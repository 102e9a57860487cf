"""What only Paxos does on walks."""

from concerted.sim.cluster.walk import Walk, exchange
from concerted.sim.protocols.paxos import PAXOS
from concerted.sim.protocols.paxos_acts import KEYS, agree, argue, reign


def walks():
    """Begin some walks that have not taken a step."""
    return [Walk(PAXOS, seed, transcript=True) for seed in range(40)]


def test_somebody_proposes_a_value_and_the_checks_know_of_it() -> None:
    for walk in walks():
        agree(walk)
        assert sum(map(len, walk.checks.proposed.values())) == sum(each.core.agreeing_count for each in walk.alive())


def test_an_argument_ends_with_a_value_more_often_than_not() -> None:
    ended = 0
    for walk in walks():
        argue(walk)
        ended += any(each.core.chosen(key) is not None for each in walk.alive() for key in KEYS)
    assert ended > 20


def test_a_rival_of_a_leader_that_it_does_not_hear_would_lead_in_the_end() -> None:
    stood = 0
    for walk in walks():
        replica = walk.any_alive()
        walk.pass_time(30.0)
        replica.wake()
        exchange(walk, PAXOS.election)
        if walk.leader() is not None:
            reign(walk)
            stood += any(each.core.role == "asking" for each in walk.alive()) or len(walk.checks.leaders) > 1
    assert stood > 5


def test_no_clock_jumps_while_a_leader_reigns() -> None:
    """Leases rest on the pace of clocks; with one that jumps, two may lead (seed 2499)."""
    drifting = [walk for walk in walks() if walk.rates]
    assert len(drifting) > 10
    for walk in drifting:
        for _ in range(5):
            walk.pass_time(30.0)
            walk.any_alive().wake()
            exchange(walk, PAXOS.election)
            reign(walk)
            true = [replica.now / walk.rates[replica.id] for replica in walk.replicas.values()]
            assert max(true) - min(true) < 1e-6, f"seed {walk.seed}: {true}"


def test_nobody_does_anything_where_nobody_lives() -> None:
    walk = Walk(PAXOS, 0)
    for replica in walk.alive():
        replica.die()
    for act in (agree, argue, reign):
        act(walk)
    assert walk.checks.steps == 0
