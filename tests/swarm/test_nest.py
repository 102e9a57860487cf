"""The best of several by judges: medians that liars cannot move, quorums, bees."""

import math

import numpy as np
import pytest

from concerted.errors import Invalid
from concerted.swarm.nest import Bees, Halving, median


def test_the_middle_of_scores() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5


def judged(liars: int, seed: int) -> str:
    """Let 10 judges choose among 8 options, of which the last is best; liars are all for the first, which is worst."""
    dice = np.random.default_rng(seed)
    course = Halving.of([str(at) for at in range(8)], [f"j{at}" for at in range(10)])
    while course.winner is None:
        for option, judge in course.wanted():
            lies = int(judge[1:]) < liars
            course.tell(option, judge, float(option == "0") if lies else int(option) / 10 + dice.normal(0.0, 0.1))
        course.close()
    return course.winner


def test_a_fifth_of_liars_changes_nothing_and_nearly_all_do() -> None:
    assert [judged(2, seed) for seed in range(40)].count("7") >= 38
    assert judged(9, seed=1) == "0"


def test_half_of_the_options_go_in_each_round_and_the_rest_is_judged_twice_as_often() -> None:
    course = Halving.of(["a", "b", "c", "d", "e"], ["x", "y", "z"], each=2, repeats=2)
    counts = []
    while len(course.left) > 1:
        wanted = course.wanted()
        counts.append((len(course.left), len(wanted)))
        for option, judge in wanted:
            course.tell(option, judge, float(ord(option)))
        course.close()
    assert counts == [(5, 10), (3, 6), (2, 4)], "2 each, then 4 in all, then the 6 that three judges can give twice"
    assert course.left == ["e"]
    assert course.standing == ["d", "c", "b", "a"]


def test_everybody_judges_about_equally_often_and_first_those_who_have_not_seen_it() -> None:
    course = Halving.of([f"o{at}" for at in range(6)], [f"j{at}" for at in range(9)], each=3)
    wanted = course.wanted()
    judges = [judge for _, judge in wanted]
    assert {judges.count(judge) for judge in judges} == {2}
    assert len(set(wanted)) == 18


def test_a_judge_who_shouts_often_counts_once() -> None:
    course = Halving.of(["a", "b"], ["x", "y", "z"])
    for _ in range(5):
        course.tell("a", "x", 100.0)
    for judge in ("y", "z"):
        course.tell("a", judge, 1.0)
    assert course.score("a") == 1.0


def test_without_a_quorum_an_option_stands_behind_and_wins_nothing() -> None:
    course = Halving.of(["a", "b"], ["x", "y", "z"])
    course.tell("a", "x", 9.0)
    assert course.quorum == 2
    for judge in ("x", "y"):
        course.tell("b", judge, 1.0)
    assert course.ranking() == ["b", "a"]
    assert course.close() == ["a"]
    assert course.winner == "b"
    alone = Halving.of(["a"], ["x", "y"])
    assert alone.winner is None
    assert alone.score("a") == -math.inf


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Invalid, match="there are 2 options; give 1 to 1000, each once"):
        Halving.of(["a", "a"], ["x"])
    with pytest.raises(Invalid, match="there are 0 judges"):
        Halving.of(["a"], [])
    with pytest.raises(Invalid, match="a quorum of 3 with 2 judgements by 2 judges"):
        Halving.of(["a"], ["x", "y"], quorum=3)
    with pytest.raises(Invalid, match="x gives option a nan"):
        Halving.of(["a"], ["x"]).tell("a", "x", math.nan)


# Bees


def settled(worth: dict[str, float], seed: int, quorum: int = 24) -> tuple[str | None, int]:
    bees, dice = Bees.of(list(worth), [str(at) for at in range(30)], seed), np.random.default_rng(seed)
    while bees.winner(quorum) is None and bees.round < 300:
        seen = {bee: (option, worth[option] + dice.uniform(-0.1, 0.1)) for option, bee in bees.wanted()}
        bees.tell({bee: (option, min(max(one, 0.0), 1.0)) for bee, (option, one) in seen.items() if bee != "7"})
    return bees.winner(quorum), bees.round


def test_bees_settle_on_the_best_nest() -> None:
    found = [settled({"bush": 0.4, "hollow": 0.9, "chimney": 0.6}, seed) for seed in range(20)]
    assert [nest for nest, _ in found].count("hollow") >= 19


def test_of_two_equal_nests_one_is_chosen_all_the_same() -> None:
    """Stop signals break the deadlock (Seeley et al. 2012)."""
    found = [settled({"left": 0.8, "right": 0.8}, seed)[0] for seed in range(20)]
    assert None not in found
    assert {"left", "right"} == set(found)


def test_bees_that_are_for_something_look_at_that_and_others_anywhere() -> None:
    bees = Bees.of(["a", "b"], ["x", "y"], seed=1)
    bees.tell({"x": ("b", 1.0), "y": ("b", 0.0)})
    assert bees.support() == {"a": 0, "b": 1}
    assert all(option == "b" for option, bee in bees.wanted() if bee == "x")
    with pytest.raises(Invalid, match="y says that option a is worth"):
        bees.tell({"y": ("a", 1.5)})
