"""The tie-break of an optimal assignment."""

from itertools import permutations

import numpy as np

from concerted.allocation.optimum.one_to_one import match_best, shadow_prices
from concerted.allocation.optimum.ties import settle


def settled(values: np.ndarray, found: list[int], likes: list[list[int]] | None = None) -> list[int]:
    """Settle an assignment; unless told, rows like columns in their order."""
    pairs = np.array(found, np.intp)
    liked = likes or [np.flatnonzero(row >= 0).tolist() for row in values]
    answer: list[int] = settle(values, pairs, shadow_prices(values, pairs), liked).tolist()
    return answer


EQUAL = np.full((3, 3), 5, np.int64)


def test_whatever_was_found_the_first_row_gets_what_it_likes_best() -> None:
    for found in permutations(range(3)):
        assert settled(EQUAL, list(found)) == [0, 1, 2]


def test_what_a_row_likes_is_its_own_affair() -> None:
    likes = [[2, 1, 0], [2, 0, 1], [0, 1, 2]]
    assert settled(EQUAL, [0, 1, 2], likes) == [2, 0, 1]


def test_nothing_is_moved_that_would_cost_something() -> None:
    values = np.array([[5, 6], [5, 7]], np.int64)
    assert settled(values, [0, 1]) == [0, 1], "the other way is worth one less"


def test_the_first_row_goes_first_where_not_all_can_be_served() -> None:
    values = np.array([[4], [4], [4]], np.int64)
    for found in ([-1, 0, -1], [-1, -1, 0]):
        assert settled(values, found) == [0, -1, -1]


def test_what_is_empty_and_costs_nothing_may_be_taken() -> None:
    values = np.array([[5, 5, 5]], np.int64)
    assert settled(values, [2]) == [0]


def test_a_chain_of_moves_is_gone() -> None:
    # Row 0 can have column 0 if row 1 goes to 1 and row 2 to 2.
    values = np.array([[3, -1, 3], [3, 3, -1], [-1, 3, 3]], np.int64)
    assert settled(values, [2, 0, 1]) == [0, 1, 2]


def test_it_does_not_matter_which_of_the_best_is_settled() -> None:
    dice = np.random.default_rng(3)
    for _ in range(15):
        values = dice.integers(-1, 3, (5, 4))
        best = _value(values, match_best(values).tolist())
        every = [way for way in _ways(5, 4) if _value(values, list(way)) == best]
        answers = {tuple(settled(values, list(way))) for way in every}
        assert len(answers) == 1


def _ways(rows: int, columns: int) -> set[tuple[int, ...]]:
    return set(permutations([*range(columns), *[-1] * rows], rows))


def _value(values: np.ndarray, way: list[int]) -> int:
    pairs = [(row, column) for row, column in enumerate(way) if column >= 0]
    if any(values[pair] <= 0 for pair in pairs):
        return -1
    return int(sum(values[pair] for pair in pairs))
