"""What the parties bring to a meeting, as a verdict shows it: bounded in number and in bytes; the log has all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from concerted.persistent import Map
from concerted.values import encode

__all__ = ["DATA_BYTES", "DATA_KEPT", "Gathered"]

DATA_KEPT = 256  # parties whose data is shown, the first that brought any
DATA_BYTES = 262_144  # how much of it, encoded; what does not fit any more is left out


@dataclass(frozen=True, slots=True)
class Gathered:
    """Data by party.  count: how many brought any, shown or not."""

    entries: Map[str, Any] = field(default_factory=Map)
    size_bytes: int = 0
    count: int = 0

    def joined_by(self, agent: str, data: Any) -> Gathered:
        """Return what there is when this party has come, too; None is no data."""
        if data is None:
            return self
        size_bytes = self.size_bytes + len(encode(data))
        if len(self.entries) >= DATA_KEPT or size_bytes > DATA_BYTES:
            return Gathered(self.entries, self.size_bytes, self.count + 1)
        return Gathered(self.entries.set(agent, data), size_bytes, self.count + 1)
