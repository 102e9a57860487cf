"""How a log is kept, whatever is promised over it: by what, and what that survives.

That an entry is kept says nothing about what anybody thinks of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from concerted.values import Instant

__all__ = [
    "ALGORITHMS", "BOUNDS", "ONE", "REPLICATED", "SIZES", "Algorithm", "Bounds", "Replicated", "Rounds",
    "deadline_problem", "is_elsewhere", "stored_by", "tolerates", "warnings_for",
]  # fmt: skip

Replicated = Literal["raft", "paxos", "pbft"]
Algorithm = Literal["single", "database", "raft", "paxos", "pbft"]

REPLICATED: tuple[Replicated, ...] = ("raft", "paxos", "pbft")  # by a group of replicas, and not by the store

ALGORITHMS: Mapping[Algorithm, str] = {
    "single": "the embedded store: one file, one fault domain",
    "database": "PostgreSQL: any coordinator may die; one fault domain, the database",
    "raft": "Raft: of 2f + 1 replicas f may crash, be slow or be cut off; none may lie",
    "paxos": "Paxos: of 2f + 1 replicas f may crash, be slow or be cut off; none may lie",
    "pbft": "PBFT: of 3f + 1 replicas f may do anything, and lie",
}


@dataclass(frozen=True, slots=True)
class Rounds:
    """Through which rounds of its protocol a log went.  Where one store keeps it there is but one.

    first: the round in which it was begun; newest: that of its newest entry.  A round is a term of Raft, a round of
    ballots of Paxos, a view of PBFT: whoever leads fails in all of them but the last.
    """

    first: int = 0
    newest: int = 0

    @property
    def count(self) -> int:
        """Return how many it took."""
        return self.newest - self.first + 1

    @classmethod
    def begun(cls, data: Mapping[str, Any]) -> Rounds:
        """Return those of a log whose first event has this data: a group's has the `term` in it."""
        first = int(data.get("term", 0))
        return cls(first, first)

    def after(self, data: Mapping[str, Any]) -> Rounds:
        """Return them after an event with this data."""
        newest = int(data.get("term", self.newest))
        return self if newest <= self.newest else Rounds(self.first, newest)


ONE = Rounds()


SIZES: Mapping[Replicated, tuple[int, ...]] = {
    "raft": (1, 2, 3, 5, 7), "paxos": (1, 2, 3, 5, 7), "pbft": (4, 7, 10, 13),
}  # fmt: skip


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How much a group of replicas keeps.  All of its replicas have the same bounds.

    objects_count: decisions, agreements and logs at once.  size_bytes: their events.  past_count: of those that have
    left it, how many it remembers the end of.  past_after_s: how long something that is over stays, after the
    coordinator has copied it.
    """

    objects_count: int = 10_000
    size_bytes: int = 128 << 20
    past_count: int = 100_000
    past_after_s: float = 24 * 3600.0

    def has_room(self, count: int, past_count: int) -> bool:
        """Say whether a group that keeps so many, and has kept so many more, may keep one more."""
        return count < self.objects_count and past_count < self.past_count


BOUNDS = Bounds()


def tolerates(algorithm: Replicated, count: int) -> int:
    """Return how many replicas of so many may fail; of PBFT, lie.

    Source: Ongaro & Ousterhout 2014, section 2; Castro & Liskov 1999, section 3.
    """
    return (count - 1) // (3 if algorithm == "pbft" else 2)


def warnings_for(id: str, count: int) -> tuple[str, ...]:
    """Return what somebody who relies on a group of so many replicas should know, in sentences."""
    match count:
        case 1:
            return (f"group {id} has one replica: one fault domain; 3 would tolerate the loss of one",)
        case 2:
            more = "3 would tolerate the loss of one, and 4 of pbft one that lies"
            return (f"group {id} has 2 replicas: it tolerates the loss of none, and no lies; {more}",)
        case _:
            return ()


def stored_by(algorithm: Algorithm) -> tuple[str, ...]:
    """Name what keeps a log that is kept like this."""
    return (ALGORITHMS[algorithm],)


def is_elsewhere(state: object) -> bool:
    """Say whether the log of this decision, agreement or log is kept by a group of replicas."""
    return getattr(state, "algorithm", None) in REPLICATED


def deadline_problem(deadline_at: Instant, now: Instant) -> str:
    """Say of a deadline that cannot be one what is wrong with it."""
    if math.isfinite(deadline_at):
        return f"its deadline is not in the future, it was {now - deadline_at:.1f} s ago; name one that is to come"
    return f"its deadline is not in the future, it is {deadline_at}; name an instant, or leave it out"
