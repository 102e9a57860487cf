"""What is searched: named dimensions of numbers, whole numbers and choices, and points in them.

A search works in the unit cube; each dimension says which value stands for a number from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from concerted.errors import Invalid
from concerted.swarm.dice import Array

__all__ = ["MOST_DIMENSIONS", "Dimension", "Space"]

MOST_DIMENSIONS = 1_000
KINDS = ("float", "int", "log", "choice")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing that can be chosen.  low, high: both included.  options: of a choice, in their order."""

    name: str
    kind: Literal["float", "int", "log", "choice"]
    low: float = 0.0
    high: float = 1.0
    options: tuple[Any, ...] = ()

    def value(self, level: float) -> Any:
        """Return the value at a level from 0 to 1."""
        if self.kind == "choice":
            return self.options[min(int(level * len(self.options)), len(self.options) - 1)]
        if self.kind == "int":
            return min(int(self.low) + int(level * (self.high - self.low + 1)), int(self.high))
        if self.kind == "log":  # rounded, because the last digit of a power hangs on the machine
            found = float(f"{self.low * (self.high / self.low) ** level:.12g}")
        else:
            found = self.low + level * (self.high - self.low)
        return min(max(found, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Space:
    """The dimensions, in their order."""

    dimensions: tuple[Dimension, ...]

    @classmethod
    def of(cls, described: Any) -> Space:
        """Read a space as it stands in a plan: `{x: {float: [-5, 5]}, n: {int: [1, 9]}, rate: {log: [1e-5, 1]},
        colour: {choice: [red, blue]}}`.

        Raises:
            Invalid: a dimension is of no known kind, or its bounds are no interval; it is named.
        """
        if not isinstance(described, Mapping) or not 1 <= len(described) <= MOST_DIMENSIONS:
            raise Invalid(f"a space is a mapping of 1 to {MOST_DIMENSIONS} dimensions: {{x: {{float: [0, 1]}}}}")
        return cls(tuple(_dimension(str(name), what) for name, what in described.items()))

    def __len__(self) -> int:
        return len(self.dimensions)

    def point(self, levels: Sequence[float] | Array) -> dict[str, Any]:
        """Return the values of one row of the unit cube, by name."""
        return {
            dimension.name: dimension.value(float(level))
            for dimension, level in zip(self.dimensions, levels, strict=True)
        }

    def bounds(self) -> tuple[Array, Array]:
        """Return the lower bounds and the widths, where all dimensions are floats.

        Raises:
            Invalid: one is not.
        """
        import numpy as np

        for dimension in self.dimensions:
            if dimension.kind != "float":
                raise Invalid(f"dimension {dimension.name} is {dimension.kind} and not float; take points one by one")
        low = np.array([dimension.low for dimension in self.dimensions])
        return low, np.array([dimension.high for dimension in self.dimensions]) - low


def _dimension(name: str, what: Any) -> Dimension:
    """Read one dimension."""
    if not isinstance(what, Mapping) or len(what) != 1 or next(iter(what)) not in KINDS:
        raise Invalid(f"dimension {name} is {what!r}; write one of {', '.join(KINDS)}: {{float: [0, 1]}}")
    ((kind, given),) = what.items()
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise Invalid(f"dimension {name}: {kind} takes a list, not {given!r}")
    if kind == "choice":
        return Dimension(name, "choice", options=tuple(given))
    numbers = [float(each) for each in given if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) != 2 or len(given) != 2 or not all(map(math.isfinite, numbers)) or not numbers[0] < numbers[1]:
        raise Invalid(f"dimension {name}: {kind} takes two numbers, the lower first, not {list(given)}")
    low, high = numbers
    if kind == "int" and not (low.is_integer() and high.is_integer()):
        raise Invalid(f"dimension {name}: int takes whole numbers, not {list(given)}")
    if kind == "log" and low <= 0:
        raise Invalid(f"dimension {name}: log takes numbers above 0, not {list(given)}")
    return Dimension(name, kind, low, high)
