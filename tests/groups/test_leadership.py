"""Leadership: the score in both modes, and who wins."""

import pytest

from concerted.groups.leadership import SKILLS, Candidate, elect, leadership_score, reelect
from concerted.values import AgentId

ALL = dict.fromkeys(SKILLS, 1.0)


def candidate(agent: str, level: float = 0.5, load: float = 0.0, health: float = 1.0) -> Candidate:
    return Candidate(AgentId(agent), dict.fromkeys(SKILLS, level), load, health)


def test_the_best_there_can_be_scores_a_hundred() -> None:
    assert leadership_score(candidate("ann", 1.0)) == 100.0


def test_who_can_nothing_is_fully_loaded_and_ill_scores_nothing() -> None:
    assert leadership_score(candidate("ann", 0.0, load=1.0, health=0.0)) == 0.0


def test_each_skill_is_worth_ten_points_and_others_none() -> None:
    bare = leadership_score(Candidate(AgentId("ann"), {}))
    for skill in SKILLS:
        assert leadership_score(Candidate(AgentId("ann"), {skill: 0.5})) == bare + 5.0
    assert leadership_score(Candidate(AgentId("ann"), {"python": 1.0})) == bare


@pytest.mark.parametrize(
    ("load", "sound", "specification"), [(0.0, 30, 30), (0.1, 27, 20), (0.3, 21, 0), (0.5, 15, 0), (1.0, 0, 0)]
)
def test_load_counts_in_proportion_or_as_the_specification_has_it(
    load: float, sound: float, specification: float
) -> None:
    ill = candidate("ann", 0.0, load=load, health=0.0)
    assert leadership_score(ill) == pytest.approx(sound)
    assert leadership_score(ill, "specification") == pytest.approx(specification)


def test_health_is_worth_thirty() -> None:
    assert leadership_score(candidate("ann", 0.0, load=1.0, health=0.5)) == 15.0


def test_what_agents_say_beyond_the_scale_counts_as_its_end() -> None:
    assert leadership_score(Candidate(AgentId("ann"), ALL | {"leadership": 7.0}, load=-3.0, health=9.0)) == 100.0
    assert leadership_score(Candidate(AgentId("ann"), {}, load=4.0, health=-1.0)) == 0.0


def test_the_highest_score_wins_and_all_scores_are_told() -> None:
    election = elect([candidate("ann", 0.2), candidate("bob", 0.9), candidate("cy", 0.4)])
    assert election is not None
    assert election.winner == "bob"
    assert list(election.scores.items()) == [("bob", 96.0), ("cy", 76.0), ("ann", 68.0)]


def test_of_equals_the_first_id_wins_in_whatever_order_they_come() -> None:
    for order in (["cy", "bob", "ann"], ["ann", "bob", "cy"]):
        election = elect([candidate(agent) for agent in order])
        assert election is not None
        assert election.winner == "ann"


def test_sums_that_differ_by_rounding_alone_are_equal() -> None:
    thirds = {"leadership": 0.1, "reliability": 0.2}
    same = {"leadership": 0.3, "reliability": 0.0}
    election = elect([Candidate(AgentId("bob"), thirds), Candidate(AgentId("ann"), same)])
    assert election is not None
    assert election.winner == "ann"


def test_nobody_to_elect_elects_nobody() -> None:
    assert elect([]) is None


def test_who_leads_goes_on_unless_another_is_better_by_the_margin() -> None:
    crew = [candidate("ann", 0.5), candidate("bob", 0.6)]  # 80 and 84 points
    assert elect(crew).winner == "bob"
    assert reelect(crew, AgentId("ann"), 5.0).winner == "ann"
    assert reelect(crew, AgentId("ann"), 3.0).winner == "bob"
    assert reelect(crew, AgentId("ann"), 5.0).scores == elect(crew).scores


def test_a_leader_that_is_gone_is_no_candidate() -> None:
    assert reelect([candidate("bob")], AgentId("ann"), 100.0).winner == "bob"
    assert reelect([candidate("bob")], None, 100.0).winner == "bob"
    assert reelect([], AgentId("ann"), 100.0) is None
