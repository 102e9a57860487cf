"""Who is missing, in words: the names, who of them is gone and why, and how many more there are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from concerted.persistent import Map

__all__ = ["NAMED_MAX", "SAID_MAX", "all_named", "first_named", "in_words"]

NAMED_MAX = 256  # names in an answer or an event; beyond them it counts
SAID_MAX = 10  # names in a sentence


def first_named(names: Map[str, Any]) -> tuple[str, ...]:
    """Return the first names in their order, at most NAMED_MAX.  O(n log n): for what happens once."""
    return tuple(names)[:NAMED_MAX]


def all_named(names: Map[str, Any]) -> tuple[str, ...]:
    """Return all names in their order, or none if they are more than NAMED_MAX.  O(1) in their number."""
    return tuple(names) if len(names) <= NAMED_MAX else ()


def in_words(names: Collection[str], lost: Mapping[str, str], count: int | None = None) -> str:
    """Say who is missing, the gone first: `bob, who is gone: no heartbeat for 20 s; cy; and 3 more`.

    names: in the order in which they are said, so many of them as are known.  count: how many are missing.
    """
    count = len(names) if count is None else count
    ordered = [*(name for name in names if name in lost), *(name for name in names if name not in lost)]
    parts = [f"{name}, who is gone: {lost[name]}" if name in lost else name for name in ordered[:SAID_MAX]]
    more = count - len(parts)
    if more > 0:
        parts.append(f"and {more:,} more" if parts else f"{more:,} {'party' if more == 1 else 'parties'}")
    return _joined(parts)


def _joined(parts: Sequence[str]) -> str:
    """Join names with commas; with semicolons where one of them has a comma itself."""
    return ("; " if any("," in part for part in parts) else ", ").join(parts)
