"""Numbers of proposals."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.paxos.ballot import NODES, ballot_above, owner_of, round_of

nodes = st.integers(1, NODES - 1)
ballots = st.integers(0, 10**9)


def test_a_ballot_is_a_round_and_its_owner() -> None:
    assert ballot_above(3002, 7) == 4007
    assert (round_of(4007), owner_of(4007)) == (4, 7)


@given(ballots, nodes, ballots, nodes)
def test_different_proposers_never_use_the_same_number(above: int, node: int, other_above: int, other: int) -> None:
    """2.5: "different proposers choose their numbers from disjoint sets of numbers"."""
    assert (ballot_above(above, node) == ballot_above(other_above, other)) <= (node == other)


@given(ballots, nodes)
def test_the_next_number_is_higher(above: int, node: int) -> None:
    """2.5: "each proposer [...] begins phase 1 with a higher proposal number than any it has already used"."""
    assert ballot_above(above, node) > above
    assert owner_of(ballot_above(above, node)) == node
