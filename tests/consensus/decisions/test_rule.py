from fractions import Fraction

import pytest

from concerted.consensus.decisions.rule import Rule, check, in_words, rule_of, share
from concerted.errors import Invalid
from concerted.values import AgentId

ANN, BOB = AgentId("ann"), AgentId("bob")
BOTH = {ANN: 1, BOB: 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2/3", Fraction(2, 3)),
        ("75%", Fraction(3, 4)),
        ("33.3%", Fraction(333, 1000)),
        ("0.1", Fraction(1, 10)),
        ("1", Fraction(1)),
    ],
)
def test_a_share_is_an_exact_fraction(text: str, value: Fraction) -> None:
    assert share(text) == value


@pytest.mark.parametrize("text", ["", "two thirds", "2/0", "3/2", "101%", "-1/2", "1e-9", "1/2 ", "1" * 41, "٢/٣", 0.5])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        share(text)


@pytest.mark.parametrize(
    ("text", "comparison", "threshold"),
    [
        ("majority", ">", "1/2"),
        ("all", ">=", "1"),
        ("2/3", ">=", "2/3"),
        (">2/3", ">", "2/3"),
        (">= 1/2", ">=", "1/2"),
    ],
)
def test_a_text_says_how_much_is_enough(text: str, comparison: str, threshold: str) -> None:
    rule = rule_of(text)
    assert (rule.comparison, rule.threshold) == (comparison, threshold)


@pytest.mark.parametrize("text", ["1/2", "50%", "0.5"])
def test_a_bare_half_is_refused_since_nobody_can_tell_what_a_tie_is(text: str) -> None:
    with pytest.raises(Invalid, match="is a tie enough"):
        rule_of(text)


def test_fields_are_put_over_a_text() -> None:
    assert rule_of("2/3", vetoes=[BOB], quorum="1/2") == Rule(
        threshold="2/3", comparison=">=", vetoes=(BOB,), quorum="1/2"
    )
    assert rule_of({"base": "cast"}) == Rule(base="cast")
    assert rule_of(Rule(base="cast"), silence="reject") == Rule(base="cast", silence="reject")


def test_a_part_that_is_misspelt_does_not_become_another_rule() -> None:
    with pytest.raises(Invalid, match="a rule has no part treshold; the parts are threshold, comparison, base"):
        rule_of({"treshold": "2/3"})
    with pytest.raises(Invalid, match="no part veto;"):
        rule_of("2/3", veto=[BOB])


@pytest.mark.parametrize("given", [0.66, {"base": "everybody"}, {"threshold": 0.66}, "most"])
def test_what_is_no_rule_is_refused(given: object) -> None:
    with pytest.raises(Invalid):
        rule_of(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (Rule(threshold="1", comparison=">"), "more than everything"),
        (Rule(threshold="0", comparison=">="), "without anybody"),
        (Rule(threshold="x"), "threshold: 'x' is no share"),
        (Rule(quorum="2"), "quorum: '2' is more than everything"),
        (Rule(vetoes=(AgentId("cy"),)), "cy has a veto and no vote"),
    ],
)
def test_a_rule_that_makes_no_sense_is_told_so(rule: Rule, problem: str) -> None:
    (told,) = check(rule, BOTH)
    assert problem in told


def test_of_several_options_only_one_can_pass() -> None:
    assert check(Rule(), BOTH, ("red", "blue")) == []
    assert "could both pass" in check(Rule(comparison=">="), BOTH, ("red", "blue"))[0]
    assert "could both pass" in check(Rule(threshold="1/3"), BOTH, ("red", "blue"))[0]
    assert "silence cannot accept" in check(Rule(silence="accept"), BOTH, ("red", "blue"))[0]


def test_a_rule_in_words() -> None:
    assert in_words(Rule()) == "more than 1/2 of the electorate must accept"
    assert in_words(rule_of("all")) == "all of the electorate must accept", "at least 1 would sound like one voter"
    assert in_words(rule_of("all", base="cast")) == "all of the votes cast for or against must accept"
    assert in_words(rule_of("2/3", base="cast", quorum="1/2", vetoes=[BOB], silence="reject")) == (
        "at least 2/3 of the votes cast for or against must accept; at least 1/2 must vote; bob may veto; "
        "silence counts as reject"
    )
