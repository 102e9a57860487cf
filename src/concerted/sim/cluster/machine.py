"""The state machine of a simulated cluster: registers behind sessions, whatever protocol keeps the log."""

from __future__ import annotations

from typing import Any

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.sessions import Answer, Sessions

__all__ = ["Machine"]


class Machine:
    """The state machine: registers by name, behind sessions.  A write is answered with the count of all writes."""

    def __init__(self, limit: int) -> None:
        self.sessions = Sessions(limit)
        self.registers: dict[str, Any] = {}
        self.index = 0

    def apply(self, entry: Entry) -> Answer | None:
        """Apply the next entry."""
        assert entry.index == self.index + 1, f"entry {entry.index} is applied after {self.index}"
        self.index = entry.index
        return self.sessions.apply(entry, self._carry_out)

    def _carry_out(self, body: bytes) -> bytes:
        register, value = _decode(body)
        self.registers[register] = value
        count = self.registers.get("writes", 0) + 1
        self.registers["writes"] = count
        return _encode(count)

    def dump(self) -> bytes:
        """Return everything, for a snapshot."""
        return _encode((self.index, self.registers, self.sessions.dump()))

    def restore(self, snapshot: Snapshot) -> None:
        """Become what another machine was."""
        self.index, self.registers, sessions = _decode(snapshot.data)
        assert self.index == snapshot.index, f"a snapshot of {self.index} under the name {snapshot.index}"
        self.sessions = Sessions.load(sessions)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
