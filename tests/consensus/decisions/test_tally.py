"""The table of judgements: which ballots come to what under which rule, and when it is settled."""

import pytest

from concerted.consensus.decisions.rule import Rule, rule_of
from concerted.consensus.decisions.tally import Tally, count, final, open_tally, settled
from concerted.values import AgentId

VOTES = {"+": "accept", "-": "reject", "o": "abstain"}
CAST = rule_of("majority", base="cast")


def tallied(rule: Rule, votes: str, weights: tuple[int, ...] = ()) -> Tally:
    """Return the tally of voters v0, v1 ...: `+` accepts, `-` rejects, `o` abstains, `.` is silent."""
    names = [AgentId(f"v{i}") for i in range(len(votes))]
    electorate = dict(zip(names, weights or [1] * len(votes), strict=True))
    tally = open_tally(electorate, ("accept",), rule)
    for name, vote in zip(names, votes, strict=True):
        if vote != ".":
            tally = count(tally, rule, name, VOTES[vote], electorate[name])
    return tally


@pytest.mark.parametrize(
    ("rule", "votes", "outcome"),
    [
        (Rule(), "++.", "accepted"),
        (Rule(), "++--", "rejected"),  # a tie is no majority
        (rule_of(">=1/2"), "++--", "accepted"),
        (Rule(), "+-.", "lapsed"),  # the missing one could have changed it
        (Rule(), "--.", "rejected"),
        (Rule(), "...", "lapsed"),
        (Rule(), "+....", "lapsed"),  # no majority answers: nothing is decided
        (Rule(), "-....", "lapsed"),
        (Rule(), "ooo", "rejected"),
        (rule_of("2/3"), "++-", "accepted"),  # two of three are two thirds, exactly
        (rule_of(">2/3"), "++-", "rejected"),
        (rule_of("all"), "+++", "accepted"),
        (rule_of("all"), "++o", "rejected"),
        (CAST, "+..", "accepted"),
        (CAST, "oo+", "accepted"),
        (CAST, "ooo", "lapsed"),
        (CAST, "...", "lapsed"),
        (CAST, "+-o", "rejected"),
        (rule_of(CAST, quorum="2/3"), "+..", "lapsed"),
        (rule_of(CAST, quorum="2/3"), "+o.", "accepted"),  # who abstains takes part
        (rule_of("majority", silence="accept"), "-..", "accepted"),
        (rule_of("majority", silence="reject"), "+..", "rejected"),
        (rule_of("majority", silence="abstain"), "+..", "rejected"),
        (rule_of("majority", silence="accept", quorum="2/3"), "+..", "lapsed"),  # silence never takes part
        (rule_of("majority", vetoes=["v2"]), "++-", "rejected"),
        (rule_of("majority", vetoes=["v2"]), "++o", "accepted"),
        (rule_of("majority", vetoes=["v2"]), "++.", "accepted"),  # a silent veto is none
        (rule_of("majority", vetoes=["v2"], silence="reject"), "++.", "accepted"),
        (rule_of("majority", vetoes=["v0"], quorum="1"), "-..", "rejected"),
        (rule_of(">0"), "+...", "accepted"),
        (rule_of(">0"), "----", "rejected"),
    ],
)
def test_what_ballots_come_to(rule: Rule, votes: str, outcome: str) -> None:
    assert final(rule, tallied(rule, votes)).outcome == outcome


@pytest.mark.parametrize(
    ("rule", "votes", "outcome"),
    [
        (Rule(), "++.", "accepted"),
        (Rule(), "+-.", None),
        (Rule(), "--.", "rejected"),
        (Rule(), "+-+", "accepted"),
        (CAST, "++.", "accepted"),
        (CAST, "+..", None),
        (CAST, "oo.", None),
        (rule_of("majority", quorum="1"), "++.", None),  # the quorum is not there yet
        (rule_of("majority", vetoes=["v2"]), "++.", None),  # the veto may still come
        (rule_of("majority", vetoes=["v2"]), "++o", "accepted"),
        (rule_of("majority", vetoes=["v0"], quorum="1"), "-..", "rejected"),
        (rule_of("majority", vetoes=["v2"]), "--.", "rejected"),
        (rule_of("majority", silence="accept"), "+..", None),  # silence is not there before the end
    ],
)
def test_it_is_settled_when_no_missing_ballot_can_change_it(rule: Rule, votes: str, outcome: str | None) -> None:
    verdict = settled(rule, tallied(rule, votes))
    assert (None if verdict is None else verdict.outcome) == outcome


def test_weights_count_and_heads_do_not() -> None:
    assert final(Rule(), tallied(Rule(), "+---", (4, 1, 1, 1))).outcome == "accepted"
    assert final(Rule(), tallied(Rule(), "+---", (3, 1, 1, 1))).outcome == "rejected"


def test_a_threshold_is_compared_exactly_where_floats_fail() -> None:
    rule = rule_of("0.1")
    assert final(rule, tallied(rule, "+-", (3, 27))).outcome == "accepted"  # 0.1 * 30 is more than 3 as a float
    huge = rule_of(">2/3")
    assert final(huge, tallied(huge, "+-", (2 * 10**17, 10**17))).outcome == "rejected"
    assert final(huge, tallied(huge, "+-", (2 * 10**17 + 1, 10**17))).outcome == "accepted"


def test_of_several_options_the_one_that_passes_is_chosen() -> None:
    rule = Rule()
    electorate = {AgentId(name): 1 for name in "abcde"}
    tally = open_tally(electorate, ("red", "blue"), rule)
    for voter, choice in (("a", "red"), ("b", "blue"), ("c", "red")):
        tally = count(tally, rule, AgentId(voter), choice, 1)
    assert settled(rule, tally) is None
    assert final(rule, tally).outcome == "lapsed"
    tally = count(tally, rule, AgentId("d"), "red", 1)
    verdict = settled(rule, tally)
    assert verdict is not None
    assert (verdict.outcome, verdict.chosen) == ("accepted", "red")


def test_options_that_share_the_votes_are_rejected() -> None:
    rule = Rule()
    tally = open_tally({AgentId(name): 1 for name in "abc"}, ("red", "blue", "green"), rule)
    for voter, choice in (("a", "red"), ("b", "blue"), ("c", "green")):
        tally = count(tally, rule, AgentId(voter), choice, 1)
    verdict = final(rule, tally)
    assert (verdict.outcome, verdict.why) == ("rejected", "1 of 3 for red, it takes 2")


@pytest.mark.parametrize(
    ("rule", "votes", "why"),
    [
        (rule_of("2/3"), "++-", "2 of 3 for accept, it takes 2"),
        (rule_of("2/3"), "+..", "1 of 3 for accept, it takes 2, and 2 did not vote"),
        (rule_of("2/3", vetoes=["v1"]), "+-+", "vetoed by v1"),
        (rule_of("2/3", quorum="2/3"), "+..", "1 of 3 voted, at least 2/3 must"),
        (CAST, "o..", "nobody voted for or against"),
    ],
)
def test_an_outcome_says_why(rule: Rule, votes: str, why: str) -> None:
    assert final(rule, tallied(rule, votes)).why == why
