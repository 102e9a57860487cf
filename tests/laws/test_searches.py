"""Laws of searches: whatever is told, in whatever order, they stay in their space and never lose the best."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from concerted.swarm.search import Search
from concerted.swarm.space import Space

SPACE = Space.of({"x": {"float": [-2, 3]}, "n": {"int": [-1, 4]}, "c": {"choice": [None, "a", 7]}})
VALUES = st.floats(-1e6, 1e6) | st.just(math.inf)
STEPS = st.lists(st.tuples(st.sampled_from(["ask", "tell", "forget"]), VALUES, st.integers(0, 30)), max_size=40)


@given(st.sampled_from(["pso", "ring", "shade"]), st.integers(0, 2**64), STEPS)
def test_the_best_is_the_least_that_was_told_and_points_stay_inside(rule: Any, seed: int, steps: Any) -> None:
    search, out, told = Search(SPACE, rule=rule, seed=seed, population=5), [], [math.inf]
    for act, value, place in steps:
        if act == "ask" or not out:
            out.append(search.ask())
            point = out[-1].point
            assert -2 <= point["x"] <= 3
            assert point["n"] in range(-1, 5)
            assert point["c"] in (None, "a", 7)
            continue
        candidate = out.pop(place % len(out))
        if act == "tell":
            assert search.tell(candidate.id, value) == (value < min(told))
            told.append(value)
        else:
            search.forget(candidate.id)
    assert (math.inf if search.best is None else search.best.value) == min(told)
    assert search.open_count == len(out)
    again = Search.restored(SPACE, json.loads(json.dumps(search.state())))
    assert again.state() == search.state()
