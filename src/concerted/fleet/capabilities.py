"""The capability cache: what an agent last said it can do, believed for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Cached"]


@dataclass(frozen=True, slots=True)
class Cached:
    """An answer to GET_CAPABILITIES.  until: monotonic; a changed profile drops the answer altogether."""

    answer: Any
    until: float

    def fresh(self, now: float) -> bool:
        """Say whether the answer may still be used."""
        return now < self.until
