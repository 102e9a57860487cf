"""Dice that fall the same way everywhere: random numbers from a seed and a count of those drawn.

Only additions, multiplications and shifts are used: no logarithm or cosine, whose last digit hangs on the
machine.  So whoever replays a search on another computer gets the same candidates to the last bit.

Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from numpy import float64, int64, uint64
    from numpy.typing import NDArray

__all__ = ["Array", "Dice", "Ints"]

Array: TypeAlias = "NDArray[float64]"
Ints: TypeAlias = "NDArray[int64]"

LANES = 12  # 16-bit numbers in a sum that is nearly normal: its variance is then 1


class Dice:
    """A stream of random numbers.  seed, drawn: all that is needed to go on with it later."""

    def __init__(self, seed: int, drawn: int = 0) -> None:
        self.seed = seed % 2**64
        self.drawn = drawn

    def bits(self, count: int) -> NDArray[uint64]:
        """Return the next so many 64-bit numbers."""
        import numpy as np

        numbers = np.arange(self.drawn + 1, self.drawn + count + 1, dtype=np.uint64)
        self.drawn += count
        numbers *= np.uint64(0x9E3779B97F4A7C15)
        numbers += np.uint64(self.seed)
        numbers ^= numbers >> np.uint64(30)
        numbers *= np.uint64(0xBF58476D1CE4E5B9)
        numbers ^= numbers >> np.uint64(27)
        numbers *= np.uint64(0x94D049BB133111EB)
        numbers ^= numbers >> np.uint64(31)
        return numbers

    def uniform(self, *shape: int) -> Array:
        """Return numbers from 0 to below 1, in this shape."""
        import numpy as np

        count = 1
        for size in shape:
            count *= size
        return np.asarray((self.bits(count) >> np.uint64(11)) * 2.0**-53, dtype=np.float64).reshape(shape)

    def coarse(self, *shape: int) -> Array:
        """Return numbers from 0 to below 1 in steps of 2**-32: half the work, and fine enough for a push."""
        import numpy as np

        count = 1
        for size in shape:
            count *= size
        halves = self.bits((count + 1) // 2).astype("<u8", copy=False).view("<u4")
        return np.asarray(halves[:count] * 2.0**-32).reshape(shape)

    def below(self, bound: int, count: int) -> Ints:
        """Return whole numbers from 0 to below `bound`, which is at most 2**31."""
        import numpy as np

        return np.asarray((self.uniform(count) * bound).astype(np.int64))

    def normal(self, count: int) -> Array:
        """Return numbers that are nearly normal, mean 0 and deviation 1: sums of twelve, so none is beyond 6."""
        import numpy as np

        sums = self.bits(count * LANES // 4).view(np.uint16).reshape(count, LANES).sum(axis=1, dtype=np.int64)
        return np.asarray((sums + LANES // 2) / 65536.0 - LANES / 2, dtype=np.float64)

    def cauchy(self, count: int) -> Array:
        """Return numbers that are nearly Cauchy, middle 0 and scale 1: a normal over a normal."""
        import numpy as np

        both = self.normal(2 * count).reshape(2, count)
        return np.asarray(both[0] / np.where(both[1] == 0.0, 1.0, both[1]), dtype=np.float64)
