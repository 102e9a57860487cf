"""Laws of judgement: a decision closes early exactly when no completion of its ballots can change it."""

from fractions import Fraction
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus.decisions.rule import Rule, check
from concerted.consensus.decisions.tally import Outcome, Tally, count, final, open_tally, settled
from concerted.values import AgentId

SHARES = ["0", "1/3", "1/2", "0.6", "2/3", "3/4", "1"]


@st.composite
def decisions(draw: st.DrawFn) -> tuple[Rule, dict[AgentId, int], tuple[str, ...], dict[AgentId, str]]:
    """Return a rule, an electorate, options, and the ballots that are there."""
    weights = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    electorate = {AgentId(f"v{i}"): weight for i, weight in enumerate(weights)}
    options = draw(st.sampled_from([("accept",), ("accept",), ("red", "blue")]))
    rules = st.builds(
        Rule,
        threshold=st.sampled_from(SHARES),
        comparison=st.sampled_from([">", ">="]),
        base=st.sampled_from(["electorate", "cast"]),
        quorum=st.sampled_from(["0", "0", *SHARES]),
        vetoes=st.lists(st.sampled_from(sorted(electorate)), max_size=2, unique=True).map(tuple),
        silence=st.sampled_from(["nothing", "abstain", "reject", "accept"]),
    )
    rule = draw(rules.filter(lambda rule: not check(rule, electorate, options)))
    voters = draw(st.lists(st.sampled_from(sorted(electorate)), unique=True))
    choices = st.sampled_from([*options, "reject", "abstain"])
    return rule, electorate, options, {voter: draw(choices) for voter in voters}


def tallied(rule: Rule, electorate: dict[AgentId, int], options: tuple[str, ...], cast: dict[AgentId, str]) -> Tally:
    tally = open_tally(electorate, options, rule)
    for voter, choice in cast.items():
        tally = count(tally, rule, voter, choice, electorate[voter])
    return tally


@given(decisions())
def test_it_is_settled_exactly_when_every_completion_comes_to_the_same(
    decision: tuple[Rule, dict[AgentId, int], tuple[str, ...], dict[AgentId, str]],
) -> None:
    rule, electorate, options, cast = decision
    missing = [voter for voter in electorate if voter not in cast]
    outcomes = set()
    for ways in product((None, *options, "reject", "abstain"), repeat=len(missing)):
        more = {voter: way for voter, way in zip(missing, ways, strict=True) if way is not None}
        verdict = final(rule, tallied(rule, electorate, options, cast | more))
        outcomes.add((verdict.outcome, verdict.chosen))
    early = settled(rule, tallied(rule, electorate, options, cast))
    assert (early is not None) == (len(outcomes) == 1)
    if early is not None:
        assert {(early.outcome, early.chosen)} == outcomes


@given(decisions())
def test_the_outcome_is_that_of_the_plain_definition(
    decision: tuple[Rule, dict[AgentId, int], tuple[str, ...], dict[AgentId, str]],
) -> None:
    rule, electorate, options, cast = decision
    verdict = final(rule, tallied(rule, electorate, options, cast))
    assert (verdict.outcome, verdict.chosen) == plain(rule, electorate, options, cast)


@given(decisions())
def test_the_order_of_ballots_does_not_matter(
    decision: tuple[Rule, dict[AgentId, int], tuple[str, ...], dict[AgentId, str]],
) -> None:
    rule, electorate, options, cast = decision
    backwards = dict(reversed(cast.items()))
    one = final(rule, tallied(rule, electorate, options, cast))
    other = final(rule, tallied(rule, electorate, options, backwards))
    assert (one.outcome, one.chosen) == (other.outcome, other.chosen)


def plain(
    rule: Rule, electorate: dict[AgentId, int], options: tuple[str, ...], cast: dict[AgentId, str]
) -> tuple[Outcome, str | None]:
    """Judge by the words of docs/decisions.md, voter by voter, and slowly."""
    if any(cast.get(voter) == "reject" for voter in rule.vetoes):
        return "rejected", None
    total = sum(electorate.values())
    if sum(electorate[voter] for voter in cast) < Fraction(rule.quorum) * total:
        return "lapsed", None
    choices = {voter: cast.get(voter, rule.silence) for voter in electorate}
    if "accept" not in options:
        assert rule.silence != "accept"

    def accepted_by(changed: dict[AgentId, str]) -> list[str]:
        sides = sum(electorate[voter] for voter, choice in changed.items() if choice in (*options, "reject"))
        base = total if rule.base == "electorate" else sides
        found = []
        for option in options:
            yes = sum(electorate[voter] for voter, choice in changed.items() if choice == option)
            needed = Fraction(rule.threshold) * base
            if yes and (yes > needed or (yes == needed and rule.comparison == ">=")):
                found.append(option)
        return found

    passing = accepted_by(choices)
    assert len(passing) <= 1
    if passing:
        return "accepted", passing[0]
    if rule.base == "electorate":
        silent = [voter for voter, choice in choices.items() if choice == "nothing"]
        could = [option for option in options if accepted_by(choices | dict.fromkeys(silent, option))]
        return ("lapsed" if silent and could else "rejected"), None
    took_sides = any(choice in (*options, "reject") for choice in choices.values())
    return ("rejected" if took_sides else "lapsed"), None
