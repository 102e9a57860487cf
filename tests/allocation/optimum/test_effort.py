"""How hard a search looks, and its dice."""

import pytest

from concerted.allocation.optimum.effort import DEFAULT, Draws, Effort
from concerted.errors import Invalid


def test_dice_fall_the_same_way_for_the_same_seed() -> None:
    # The first numbers of PCG64, seeded with 7: they must not change with the version of numpy.
    assert Draws(7).below(1_000, 5).tolist() == [625, 897, 775, 225, 300]
    assert Draws(7).unit(2).tolist() == pytest.approx([0.625095466, 0.897213801])
    assert Draws(8).below(1_000, 5).tolist() != Draws(7).below(1_000, 5).tolist()


def test_draws_stay_within_their_limits() -> None:
    draws = Draws(1)
    assert set(draws.below(3, 200).tolist()) == {0, 1, 2}
    assert all(0.0 <= one < 1.0 for one in draws.unit(200).tolist())
    assert sorted(draws.shuffled(20).tolist()) == list(range(20))


def test_no_solver_is_asked_unless_somebody_says_for_how_long() -> None:
    assert DEFAULT.solver_s == 0.0


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"seed": -1}, {"solver_s": -1.0}, {"solver_s": float("nan")}])
def test_an_effort_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(Invalid, match="steps must be at least 1, the others at least 0"):
        Effort(**wrong)  # type: ignore[arg-type]
