"""The disk of one simulated replica: the bytes of its file, and what they must come to when they are read back."""

from __future__ import annotations

import random
from typing import Any

from concerted.consensus.quorum import NodeId
from concerted.consensus.storage import Storage

__all__ = ["Disk"]


class Disk:
    """One replica's file, and what it must come to.  What is read back from the bytes is compared with that.

    stored: what is there from the beginning.  contents: what was written, in the protocol's own form.  Each write is
    synced before the next one begins.  is_full: there is no room for another one.  is_damaged: a bit was flipped.
    """

    def __init__(self, storage: Storage[Any, Any], node: NodeId, stored: Any) -> None:
        self.storage = storage
        self.node = node
        self.contents: Any = storage.contents(stored)
        self.file = bytearray(storage.begin(node, stored))
        self._backup = bytes(self.file), storage.contents(stored)
        self.is_full = False
        self.is_damaged = False
        self._newest_at = self._header_bytes = len(self.file) - len(storage.frame(storage.whole(stored), 0))

    def write(self, write: Any) -> None:
        """Take a write, all of it; one with a snapshot makes a new file."""
        self.contents.take(write)
        if write.snapshot is not None:
            self.file = bytearray(self.storage.begin(self.node, self.contents.stored()))
            self._newest_at = self._header_bytes
        else:
            self._newest_at = len(self.file)
            self.file += self.storage.frame(write, len(self.file))

    def tear(self, write: Any, share: float) -> None:
        """Take only so much of a write: the replica dies while its disk writes."""
        if write.snapshot is None:  # a new file gets its name when it is whole
            data = self.storage.frame(write, len(self.file))
            self.file += data[: int(share * len(data))]

    def flip(self, rng: random.Random) -> None:
        """Flip one bit of what is durable, but none of the newest frame: there it would pass for a torn write."""
        self.file[rng.randrange(self._newest_at)] ^= 1 << rng.randrange(8)
        self.is_damaged = True

    def back_up(self) -> None:
        """Copy it."""
        self._backup = bytes(self.file), self.storage.contents(self.contents.stored())

    def restore(self) -> None:
        """Put that copy in its place, as if nothing had been written since: what no replica survives."""
        file, contents = self._backup
        self.file, self.contents = bytearray(file), contents

    def read(self) -> Any:
        """Return what a replica finds when it starts; what was torn is cut off.

        Raises:
            StoreDamaged: a bit was flipped.
        """
        found = self.storage.recover(self.node, bytes(self.file))
        assert found.stored == self.contents.stored(), f"the file of server {self.node} is not what was written"
        del self.file[found.size_bytes :]
        return found.stored
