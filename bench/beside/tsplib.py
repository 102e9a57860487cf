"""Reads TSPLIB95 files (Reinelt 1995): coordinates of the kinds EUC_2D, GEO and ATT, and explicit matrices."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

Matrix = list[list[float]]


def read(path: Path) -> Matrix:
    """Return the matrix of distances."""
    facts: dict[str, str] = {}
    numbers: list[float] = []
    section = ""
    for line in path.read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if line.strip().endswith("_SECTION"):
            section = line.strip()
        elif line.strip() == "EOF":
            break
        elif section in ("NODE_COORD_SECTION", "EDGE_WEIGHT_SECTION"):
            numbers += map(float, line.split())
        elif not section:
            facts[name.strip()] = value.strip()
    count, kind = int(facts["DIMENSION"]), facts["EDGE_WEIGHT_TYPE"]
    if kind == "EXPLICIT":
        return _explicit(count, facts["EDGE_WEIGHT_FORMAT"], numbers)
    points = [(numbers[3 * at + 1], numbers[3 * at + 2]) for at in range(count)]
    measure = {"EUC_2D": _euclidean, "ATT": _att, "GEO": _geo}[kind]
    return [[0.0 if one is other else measure(one, other) for other in points] for one in points]


def _explicit(count: int, form: str, numbers: list[float]) -> Matrix:
    rows = [[0.0] * count for _ in range(count)]
    left = iter(numbers)
    for one in range(count):
        for other in {"LOWER_DIAG_ROW": range(one + 1), "UPPER_ROW": range(one + 1, count)}[form]:
            rows[one][other] = rows[other][one] = next(left)
    return rows


def _euclidean(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(int(math.hypot(one[0] - other[0], one[1] - other[1]) + 0.5))


def _att(one: tuple[float, float], other: tuple[float, float]) -> float:
    exact = math.sqrt(((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) / 10.0)
    near = round(exact)
    return float(near + 1 if near < exact else near)


def _geo(one: tuple[float, float], other: tuple[float, float]) -> float:
    (lat1, long1), (lat2, long2) = (tuple(map(_radians, point)) for point in (one, other))
    q1, q2, q3 = math.cos(long1 - long2), math.cos(lat1 - lat2), math.cos(lat1 + lat2)
    return float(int(6378.388 * math.acos(0.5 * ((1.0 + q1) * q2 - (1.0 - q1) * q3)) + 1.0))


def _radians(degrees: float) -> float:
    whole = int(degrees)
    return 3.141592 * (whole + 5.0 * (degrees - whole) / 3.0) / 180.0


def published(name: str) -> tuple[Matrix, float]:
    """Return the distances of a file in the folder of published data, and the length of its shortest round trip."""
    folder = Path(os.environ["CONCERTED_DATA"]) / "allocation"
    cases = json.loads((folder / "answers.json").read_text("utf-8"))["cases"]
    (optimum,) = (case["optimum"] for case in cases if case.get("file") == f"tsplib/{name}.tsp")
    return read(folder / "tsplib" / f"{name}.tsp"), float(optimum)


def over_percent(rows: Matrix, order: list[int], optimum: float) -> float:
    """Return how much longer a trip is than the shortest, in percent."""
    assert sorted(order) == list(range(len(rows)))
    length = sum(rows[one][other] for one, other in zip(order, [*order[1:], order[0]], strict=True))
    return 100.0 * (length / optimum - 1.0)
