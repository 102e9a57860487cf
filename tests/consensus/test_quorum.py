"""Quorum rules: tables, and brute force beside them (Ongaro & Ousterhout 2014, section 6)."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.quorum import Configuration, agreed, is_quorum, majority, tally
from concerted.errors import Invalid

THREE = Configuration.of((1, 2, 3))
JOINT = THREE.change((3, 4, 5))


@pytest.mark.parametrize(("count", "most"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_any_two_majorities_have_a_voter_in_common(count: int, most: int) -> None:
    assert majority(count) == most
    assert 2 * most > count


@pytest.mark.parametrize(
    ("votes", "result"),
    [
        ({1: True}, "pending"),
        ({1: True, 2: True}, "won"),
        ({1: True, 2: False}, "pending"),
        ({1: True, 2: False, 3: False}, "lost"),
        ({1: True, 7: True, 8: True}, "pending"),
    ],
)
def test_an_election_among_three(votes: dict[int, bool], result: str) -> None:
    assert tally(THREE, votes) == result


@pytest.mark.parametrize(
    ("votes", "result"),
    [
        ({1: True, 2: True}, "pending"),
        ({3: True, 4: True}, "pending"),
        ({1: True, 3: True, 4: True}, "won"),
        ({1: True, 2: True, 4: False, 5: False}, "lost"),
        ({1: False, 2: False, 3: True, 4: True, 5: True}, "lost"),
    ],
)
def test_a_joint_configuration_needs_both_majorities(votes: dict[int, bool], result: str) -> None:
    """Section 6: "Agreement (for elections and entry commitment) requires separate majorities from both [...]"."""
    assert tally(JOINT, votes) == result
    assert is_quorum(JOINT, votes) == (result == "won")


def test_learners_count_for_nothing() -> None:
    """Thesis 4.2.1: the log is replicated to them, and they are not counted."""
    with_learners = Configuration.of((1, 2, 3), (4, 5))
    assert tally(with_learners, {1: True, 4: True, 5: True}) == "pending"
    assert agreed(with_learners, {1: 9, 4: 9, 5: 9}) == 0
    assert with_learners.members == (1, 2, 3, 4, 5)


def test_an_id_is_given_once() -> None:
    without_three = THREE.change((1, 2)).final()
    with pytest.raises(Invalid, match="above 3"):
        without_three.change((1, 2, 3))
    assert without_three.change((1, 2), (4,)).final().learners == (4,)


@pytest.mark.parametrize(
    ("voters", "learners"), [((), (1,)), ((1, 1), ()), ((1, 2), (2,)), ((0, 1), ())], ids=["none", "twice", "both", "0"]
)
def test_a_configuration_that_makes_no_sense_is_refused(voters: tuple[int, ...], learners: tuple[int, ...]) -> None:
    with pytest.raises(Invalid):
        Configuration.of(voters, learners)


def test_a_change_leads_through_the_joint_configuration() -> None:
    assert (JOINT.voters, JOINT.outgoing) == ((3, 4, 5), (1, 2, 3))
    assert JOINT.is_joint
    assert JOINT.is_voter(1)
    assert JOINT.final() == Configuration(voters=(3, 4, 5), last_id=5)


ids = st.integers(1, 7)
configurations = st.builds(
    lambda old, new: Configuration.of(range(1, 8)).change(sorted(old)).final().change(sorted(new & old or old)),
    st.frozensets(ids, min_size=1, max_size=7),
    st.frozensets(ids, min_size=1, max_size=7),
)


@given(configurations, st.dictionaries(ids, st.booleans()))
def test_the_count_of_an_election_is_what_trying_all_its_ends_says(
    configuration: Configuration, votes: dict[int, bool]
) -> None:
    silent = [node for node in configuration.members if node not in votes]
    ends = set()
    for choice in itertools.product((True, False), repeat=len(silent)):
        whole = votes | dict(zip(silent, choice, strict=True))
        ends.add(
            all(
                sum(whole[node] for node in half) > len(half) / 2
                for half in (configuration.voters, configuration.outgoing)
                if half
            )
        )
    assert tally(configuration, votes) == ("pending" if len(ends) > 1 else "won" if ends == {True} else "lost")


@given(configurations, st.dictionaries(ids, st.integers(0, 9)))
def test_what_is_agreed_is_the_most_that_a_quorum_has_reached(
    configuration: Configuration, reached: dict[int, int]
) -> None:
    index = agreed(configuration, reached)
    assert is_quorum(configuration, {node: reached.get(node, 0) >= index for node in configuration.members})
    assert not is_quorum(configuration, {node: reached.get(node, 0) > index for node in configuration.members})


@given(configurations, st.frozensets(ids), st.frozensets(ids))
def test_two_quorums_of_a_configuration_share_a_server(
    configuration: Configuration, some: frozenset[int], others: frozenset[int]
) -> None:
    if all(is_quorum(configuration, dict.fromkeys(each, True)) for each in (some, others)):
        assert some & others
