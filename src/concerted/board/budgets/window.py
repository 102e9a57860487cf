"""The window of a budget: for how long what was spent counts against its limit.

| window | what was spent counts |
|---|---|
| no period | for ever |
| `fixed` | until its period is over; periods follow each other from the budget's creation on |
| `sliding` | for a whole period, and at most a SLICES-th of it longer |

Time is cut into slices: periods, or SLICES-ths of them.  What is spent is added up by slice, and counts until its slice
is *freed*.  A sliding window frees a slice one period after the slice has ended; so in no stretch of time as long as a
period, wherever it begins, is more than the limit spent.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from concerted.values import Instant

__all__ = ["SLICES", "Kind", "Slices", "Window", "add", "freed_at", "live", "next_freed_at", "slice_at", "total"]

Kind = Literal["fixed", "sliding"]
Slices = tuple[tuple[int, int], ...]  # (which slice, how much was spent in it), ascending

SLICES = 60  # of one period, in a sliding window


class Window(msgspec.Struct, frozen=True):
    """From when on slices are counted, and how long a period is; None: it never ends."""

    created_at: Instant
    period_s: float | None
    kind: Kind


def slice_at(window: Window, at: Instant) -> int:
    """Return in which slice an instant falls: the last that has begun by then."""
    if window.period_s is None:
        return 0
    index = max(0, int((at - window.created_at) / _slice_s(window)))
    while _begins_at(window, index + 1) <= at:  # the quotient may be off by one in its last digit
        index += 1
    while index > 0 and _begins_at(window, index) > at:
        index -= 1
    return index


def freed_at(window: Window, index: int) -> Instant | None:
    """Return from when on what was spent in this slice counts no longer; None: never."""
    if window.period_s is None:
        return None
    over = _begins_at(window, index + 1)
    return over if window.kind == "fixed" else over + window.period_s


def live(window: Window, slices: Slices, now: Instant) -> Slices:
    """Return the slices that count still."""
    if not slices or window.period_s is None:
        return slices
    first = _first_live(window, now)
    if slices[0][0] >= first:
        return slices
    return tuple(one for one in slices if one[0] >= first)


def total(window: Window, slices: Slices, now: Instant) -> int:
    """Return what was spent and counts still."""
    return sum(amount for _, amount in live(window, slices, now))


def add(window: Window, slices: Slices, index: int, amount: int, now: Instant) -> Slices:
    """Return the slices that count still, with so much more (or less) in one of them, if it is among them."""
    counted = live(window, slices, now)
    if not amount or not live(window, ((index, amount),), now):
        return counted
    by_slice = dict(counted)
    by_slice[index] = by_slice.get(index, 0) + amount
    return tuple(sorted((which, sum_) for which, sum_ in by_slice.items() if sum_))


def next_freed_at(window: Window, slices: Slices, now: Instant) -> Instant | None:
    """Return when something of what was spent is freed next; of a fixed window always the end of its period."""
    if window.period_s is None:
        return None
    if window.kind == "fixed":
        return freed_at(window, slice_at(window, now))
    counted = live(window, slices, now)
    return freed_at(window, counted[0][0]) if counted else None


def _first_live(window: Window, now: Instant) -> int:
    """Return the first slice that counts still.  `freed_at` is what says so; the rest here is where to begin."""
    period_s = window.period_s or 0.0
    index = slice_at(window, now if window.kind == "fixed" else now - period_s)
    while index > 0 and (freed_at(window, index - 1) or 0.0) > now:
        index -= 1
    while (freed_at(window, index) or 0.0) <= now:
        index += 1
    return index


def _slice_s(window: Window) -> float:
    assert window.period_s is not None
    return window.period_s if window.kind == "fixed" else window.period_s / SLICES


def _begins_at(window: Window, index: int) -> Instant:
    return window.created_at + index * _slice_s(window)
