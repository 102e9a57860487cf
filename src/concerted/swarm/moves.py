"""Moves: places in the unit cube that are to be looked at, and by whom in the population."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from concerted.swarm.dice import Array, Ints

__all__ = ["Moves", "Rule"]


@dataclass(frozen=True, slots=True)
class Moves:
    """Rows to look at.  slots: whose they are, each once.  settings: what the rule wants to know of each later."""

    slots: Ints
    points: Array
    settings: Array | None = None

    def row(self, place: int) -> Moves:
        """Return one of them, as moves of one row."""
        some = slice(place, place + 1)
        return Moves(self.slots[some], self.points[some], None if self.settings is None else self.settings[some])


class Rule(Protocol):
    """How a population moves.  values: what each of it is worth so far, infinite if nothing is known."""

    values: Array
    best: Array

    def propose(self, count: int) -> Moves:
        """Return at least one and at most so many places to look at."""

    def accept(self, moves: Moves, values: Array) -> None:
        """Take note of what they are worth: numbers, infinite ones too, least is best."""

    def state(self) -> dict[str, Any]:
        """Return all there is, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
