"""The list of everything wrong with one input: found in one pass, shown together, each with its place."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import NamedTuple

from concerted.errors import Invalid

__all__ = ["MAX_SHOWN", "Place", "Problems", "similar", "suggest"]

MAX_SHOWN = 100  # problems listed in full; the rest are counted

_MAX_COMPARED = 2_000  # names looked through for a similar one
_MAX_LISTED = 12  # known names listed when none is similar


class Place(NamedTuple):
    """Where something was written.  source: a file, or `env NAME` (line 0).  line, column: from 1."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problems:
    """What has been found so far.  `len()` is their number; text order is file order, environment last."""

    def __init__(self) -> None:
        self._found: list[tuple[bool, Place, str]] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, place: Place, key: str, what: str) -> None:
        """Note one.  key: the dotted path of what it is about, empty for the whole input."""
        self._found.append((not place.line, place, f"{place}: {key}: {what}" if key else f"{place}: {what}"))

    def lines(self) -> list[str]:
        """Return each as `file:line:column: key.path: what`, at most MAX_SHOWN and a count of the rest."""
        every = [line for _, _, line in sorted(self._found, key=lambda found: found[:2])]
        more = len(every) - MAX_SHOWN
        return every if more <= 0 else [*every[:MAX_SHOWN], f"... and {more} more"]

    def stop_if_any(self) -> None:
        """Raise `error()` if there are any."""
        if self._found:
            raise self.error()

    def error(self) -> Invalid:
        """Return them as an error: the message is all lines, `facts["problems"]` the list of them."""
        lines = self.lines()
        return Invalid("\n".join(lines), problems=lines)


def suggest(word: str, known: Collection[str], called: str = "known") -> str:
    """Return `; did you mean X?`, or `; known: A, B` if nothing is similar, or nothing if there is too much."""
    meant = similar(word, known)
    if meant:
        return f"; did you mean {meant}?"
    return f"; {called}: {', '.join(known)}" if 0 < len(known) <= _MAX_LISTED else ""


def similar(word: str, known: Collection[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that looks most like this one, if any does and there are not too many to look through.

    cutoff: how alike they must be, 0..1.
    """
    near = difflib.get_close_matches(word, list(known), 1, cutoff) if len(known) <= _MAX_COMPARED else []
    return near[0] if near else None
