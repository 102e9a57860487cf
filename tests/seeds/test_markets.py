"""Larger published problems: generalised assignments and combinatorial auctions, to the best value known or near it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from concerted.allocation.optimum.effort import Effort
from concerted.allocation.optimum.generalised import assign_generalised
from concerted.allocation.optimum.packing import pack
from concerted.config.settings import Auction

GAPS = [
    # Best known values: fontanf/generalizedassignmentsolver, data.csv.  above: by how much we may miss it.
    ("gap12-0", 974, 0.0),
    ("a05100", 1698, 0.0),
    ("a10100", 1360, 0.0),
    ("b10100", 1407, 0.003),
    ("c10100", 1402, 0.003),
    ("d10100", 6347, 0.01),
    ("e10100", 11577, 0.015),
]

AUCTIONS = [
    # Optima by HiGHS and CP-SAT, or the best that they have found.  least: the part of it that we must reach.
    ("2atom-1000-1000-0000", 238498690.0, 1.0),
    ("3atom-1000-500-0002", 123773.3073, 1.0),
    ("3atom-500-500-0002", 83903.936, 0.99),
    ("arbitrary-100-500-0000", 7257.6108, 0.97),
    ("arbitrary-1000-500-0000", 35638.1177, 0.92),
]


@pytest.mark.parametrize(("steps", "more"), [(8_000_000, 0.0), (Auction().search_steps, 0.001)])
@pytest.mark.parametrize(("name", "known", "above"), GAPS)
def test_a_generalised_assignment_is_near_the_best_known_also_by_the_steps_of_a_plan(
    data: Callable[[str], Path], name: str, known: int, above: float, steps: int, more: float
) -> None:
    numbers = np.array(data(f"allocation/gap/{name}.txt").read_text("utf-8").split(), np.int64)
    agents, tasks = numbers[:2].tolist()
    costs, sizes = numbers[2 : 2 + 2 * agents * tasks].reshape(2, agents, tasks)
    room = numbers[-agents:]
    found = assign_generalised(costs.T, sizes.T, room, np.full(tasks, 10**7), Effort(steps))
    columns, everyone = np.array(found.column_of), np.arange(tasks)
    assert (np.bincount(columns, sizes[columns, everyone], agents) <= room).all()
    assert costs[columns, everyone].sum() == found.cost
    assert found.bound <= known <= found.cost <= known * (1 + above + more)


@pytest.mark.parametrize(("name", "known", "least"), AUCTIONS)
def test_a_combinatorial_auction_is_near_the_best_known(
    data: Callable[[str], Path], name: str, known: float, least: float
) -> None:
    text = gzip.decompress(data(f"allocation/cats/{name}.txt.gz").read_bytes()).decode()
    bids = [line.split() for line in text.splitlines() if line[:1].isdigit()]
    wanted: dict[str, list[int]] = {}
    for at, (_, _, *goods, _) in enumerate(bids):
        for good in goods:
            wanted.setdefault(good, []).append(at)
    values = np.array([round(float(price) * 10_000) for _, price, *_ in bids], np.int64)
    found = pack(values, list(wanted.values()), effort=Effort(12_000_000))
    sold = [good for bid in found.chosen for good in bids[bid][2:-1]]
    assert len(set(sold)) == len(sold)
    assert values[list(found.chosen)].sum() == found.value
    assert known * least * (1 - 1e-6) <= found.value / 10_000 <= found.bound / 10_000
