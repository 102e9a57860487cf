"""How hard a search looks: a budget that is counted and not timed, and dice that fall the same way everywhere.

A search that counts its steps comes to the same answer wherever and whenever it is run again.  A solver with
a time limit does not, so its use is asked for by `solver_s`, through `run.compute`, whose result is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from concerted.errors import Invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["DEFAULT", "Draws", "Effort"]

STEPS = 400_000


@dataclass(frozen=True, slots=True)
class Effort:
    """steps: how many moves or partial answers a search may look at; some two million to a second.  seed: of its dice.

    solver_s: how long HiGHS may look as well, where it is installed (by itself or in scipy); 0 is not at all.
    """

    steps: int = STEPS
    seed: int = 0
    solver_s: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.seed < 0 or not self.solver_s >= 0:
            raise Invalid(
                f"effort: steps is {self.steps}, seed {self.seed}, solver_s {self.solver_s}; "
                "steps must be at least 1, the others at least 0"
            )


DEFAULT = Effort()


class Draws:
    """Random numbers of a seed.

    Taken from the bits of PCG64, whose stream is fixed; what numpy makes of them may differ between its versions.
    """

    def __init__(self, seed: int) -> None:
        from numpy.random import PCG64

        self._raw: Callable[[int], NDArray[np.uint64]] = PCG64(seed).random_raw

    def below(self, limit: int, count: int) -> NDArray[np.int64]:
        """Draw `count` integers, each at least 0 and below `limit`, which is below 2**31."""
        return ((self._raw(count) >> 33) * limit >> 31).astype("int64")

    def unit(self, count: int) -> NDArray[np.float64]:
        """Draw `count` numbers, each at least 0 and below 1."""
        return (self._raw(count) >> 11).astype("float64") * 2.0**-53

    def shuffled(self, count: int) -> NDArray[np.int64]:
        """Draw an order of 0 .. count - 1."""
        return self._raw(count).argsort(kind="stable")
