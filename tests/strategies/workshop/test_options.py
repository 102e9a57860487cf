"""Options of a run over the settings of its strategy."""

import pytest

from concerted.config.settings import Auction, Criteria
from concerted.errors import Invalid
from concerted.strategies.workshop.options import overlay


def test_options_that_are_settings_are_put_over_them() -> None:
    rules = overlay(Auction(max_bids=5), {"award": "sequential", "bidding_timeout": 2.5})
    assert (rules.award, rules.bidding_timeout, rules.max_bids) == ("sequential", 2.5, 5)


def test_nested_settings_are_replaced_as_a_whole() -> None:
    rules = overlay(Auction(), {"evaluation_criteria": {"cost": 1.0, "time": 0.0, "quality": 0.0, "reliability": 0.0}})
    assert rules.evaluation_criteria == Criteria(cost=1.0, time=0.0, quality=0.0, reliability=0.0)


def test_without_such_options_the_settings_stay_the_very_same() -> None:
    rules = Auction()
    assert overlay(rules, {"sales": True, "colour": "blue"}) is rules


@pytest.mark.parametrize(
    "options", [{"award": "lottery"}, {"max_bids": 0}, {"bidding_timeout": -1.0}, {"evaluation_criteria": {"cost": 9}}]
)
def test_a_value_that_does_not_fit_is_refused_with_the_options_name(options: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=f"the options {next(iter(options))} of the run do not fit"):
        overlay(Auction(), options)
