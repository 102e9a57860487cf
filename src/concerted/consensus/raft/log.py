"""The replicated log in memory: a snapshot, the entries after it, and three marks.

    snapshot.index <= commit_index <= last_index,  durable_index <= last_index

What lies up to `commit_index` never changes.  What is to be written is handed out by `write`, in numbered writes that a
disk completes in order; `written` says that one is durable.  An entry that was cut off meanwhile does not become
durable by the completion of the write that once held it.

Source: Ongaro & Ousterhout 2014, sections 5.3, 5.4.1 and 7; etcd-io/raft for the hints.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration

__all__ = ["Log"]


class Log:
    """Entries by index.  A log that is read back from a disk is durable in whole and committed up to its snapshot.

    last_index: of the newest entry, or of the snapshot.  unwritten_index: from here on nothing has been handed out to
    be written.  configuration: the newest one, committed or not, which a server uses from the moment that it is in its
    log (section 6); configuration_index: where that stands.
    """

    def __init__(self, snapshot: Snapshot, entries: Sequence[Entry] = ()) -> None:
        self.snapshot = snapshot
        self._entries: list[Entry] = list(entries)
        self.last_index = snapshot.index + len(self._entries)
        indexes = [snapshot.index, *(entry.index for entry in entries)]
        assert all(after == before + 1 for before, after in pairwise(indexes)), f"a gap in {indexes}"
        self.commit_index = snapshot.index
        self.durable_index = self.last_index
        self.unwritten_index = self.last_index + 1
        self._writes: deque[list[int]] = deque()  # [number, up to which index], oldest first
        self._configurations = [(snapshot.index, snapshot.configuration)]
        self._note_configurations(self._entries)
        self._use_newest()

    # Looking

    @property
    def last_term(self) -> int:
        """The term of the newest entry, or of the snapshot."""
        return self._entries[-1].term if self._entries else self.snapshot.term

    def configuration_at(self, index: int) -> Configuration:
        """Return the newest configuration up to an index that is not before the snapshot."""
        return next(held for at, held in reversed(self._configurations) if at <= index)

    def configurations_in_force(self) -> list[Configuration]:
        """Return the newest configuration that is known to be committed, and all after it."""
        committed = self.configuration_at(self.commit_index)
        return [committed, *(held for at, held in self._configurations if at > self.commit_index)]

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry; None if it is compacted away or not there yet."""
        base = self.snapshot.index
        if base < index <= self.last_index:
            return self._entries[index - base - 1].term
        return self.snapshot.term if index == base else None

    def between(self, after: int, upto: int) -> tuple[Entry, ...]:
        """Return the entries with `after < index <= upto`."""
        base = self.snapshot.index
        assert base <= after, f"entries after {after} are compacted away up to {base}"
        return tuple(self._entries[after - base : upto - base]) if after < upto else ()

    def batch(self, after: int, count: int, size_bytes: int) -> tuple[Entry, ...]:
        """Return at most `count` entries after an index, with commands of at most so many bytes; at least one."""
        entries = self.between(after, after + count)
        size = 0
        for place, entry in enumerate(entries):
            size += len(entry.command or b"")
            if size > size_bytes and place:
                return entries[:place]
        return entries

    def is_not_ahead_of(self, last_index: int, last_term: int) -> bool:
        """Say whether a log that ends so is at least as up-to-date as this one (5.4.1).

        The later last term wins; of equal terms, the longer log.
        """
        return (last_term, last_index) >= (self.last_term, self.last_index)

    def last_not_after(self, index: int, term: int) -> tuple[int, int]:
        """Return the last (index, term) here that is at most `index` and of at most `term`: a hint (end of 5.3)."""
        index = min(index, self.last_index)
        while index > self.snapshot.index and self._entries[index - self.snapshot.index - 1].term > term:
            index -= 1
        return index, self.term_at(index) or 0

    # Growing

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries at the end: what a leader does, and the only thing that it ever does to its log (5.3)."""
        last_index, last_term = self.last_index, self.last_term
        for entry in entries:
            assert entry.index == last_index + 1, f"entry {entry.index} after {last_index}"
            assert entry.term >= last_term, f"an entry of term {entry.term} after one of {last_term}"
            last_index, last_term = entry.index, entry.term
        self._entries += entries
        self.last_index = last_index
        self._note_configurations(entries)

    def merge(self, entries: Sequence[Entry]) -> None:
        """Take a leader's entries: delete from the first that conflicts, and append what is missing (5.3).

        Entries that are here already stay: a delayed message must not cut off what a later one has brought.
        """
        for place, entry in enumerate(entries):
            term = self.term_at(entry.index)
            if term == entry.term:
                continue
            if term is not None:
                self._cut(entry.index)
            self.append(entries[place:])
            return

    def commit_to(self, index: int) -> None:
        """Move the mark of what is committed; it never goes back."""
        if index > self.commit_index:
            assert index <= self.last_index, f"committed up to {index}, and the log ends at {self.last_index}"
            self.commit_index = index

    def compact(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of the entries up to its index (section 7)."""
        assert self.snapshot.index < snapshot.index <= self.commit_index, f"a snapshot at {snapshot.index}"
        assert snapshot.term == self.term_at(snapshot.index), f"a snapshot of term {snapshot.term}"
        del self._entries[: snapshot.index - self.snapshot.index]
        self.snapshot = snapshot
        later = [(at, held) for at, held in self._configurations if at > snapshot.index]
        self._configurations = [(snapshot.index, snapshot.configuration), *later]
        self._use_newest()

    def restore(self, snapshot: Snapshot) -> None:
        """Put a leader's snapshot in the place of the whole log (section 7)."""
        assert snapshot.index > self.commit_index, f"the snapshot at {snapshot.index} is older than what is committed"
        self.snapshot, self._entries = snapshot, []
        self.last_index = snapshot.index + len(self._entries)
        self.commit_index = snapshot.index
        self._configurations = [(snapshot.index, snapshot.configuration)]
        self._use_newest()
        self._forget_writes(snapshot.index)
        self.unwritten_index = snapshot.index + 1

    # Writing

    def write(self, number: int) -> tuple[Entry, ...]:
        """Hand out what is to be written, as the write of this number; what stood at these indexes is replaced."""
        entries = self.between(max(self.unwritten_index - 1, self.snapshot.index), self.last_index)
        self.unwritten_index = self.last_index + 1
        self._writes.append([number, self.last_index])
        return entries

    def written(self, number: int) -> None:
        """Take note that all writes up to this number are durable."""
        while self._writes and self._writes[0][0] <= number:
            self.durable_index = max(self.durable_index, self._writes.popleft()[1])

    def _cut(self, index: int) -> None:
        """Delete an entry and all that follow it."""
        assert index > self.commit_index, f"entry {index} is committed, and a leader of a later term has another one"
        del self._entries[index - self.snapshot.index - 1 :]
        self.last_index = index - 1
        self._configurations = [(at, held) for at, held in self._configurations if at < index]
        self._use_newest()
        self._forget_writes(index - 1)
        self.unwritten_index = min(self.unwritten_index, index)

    def _forget_writes(self, upto: int) -> None:
        """Let no write that is under way count for more than the entries up to an index."""
        self.durable_index = min(self.durable_index, upto)
        for write in self._writes:
            write[1] = min(write[1], upto)

    def _note_configurations(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.configuration is not None:
                self._configurations.append((entry.index, entry.configuration))
                self._use_newest()

    def _use_newest(self) -> None:
        self.configuration_index, self.configuration = self._configurations[-1]
