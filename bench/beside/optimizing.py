"""The functions that are searched for their least value, the same for everybody; numpy alone, and one thread."""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
WIDTH = 5.12  # to each side of 0


def rastrigin(rows: Array) -> Array:
    """Return a hilly function's values; the least is 0, at 0, among about 10^dimensions hollows."""
    return 10.0 * rows.shape[1] + (rows * rows - 10.0 * np.cos(2.0 * np.pi * rows)).sum(axis=1)


def moved(rows: Array) -> Array:
    """Return the same hills with the least value elsewhere in each dimension, so that nobody gains from the middle."""
    place = (np.arange(rows.shape[1]) * 0.618034 % 1.0 - 0.5) * 1.6 * WIDTH
    return rastrigin(rows - place)


FUNCTIONS: dict[str, Callable[[Array], Array]] = {"rastrigin": rastrigin, "moved": moved}
