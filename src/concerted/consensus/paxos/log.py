"""The slots of the log in memory: what this replica has accepted in each, and how far all is chosen.

    snapshot.index <= commit_index <= last_index

Each slot is an instance of Paxos of its own.  So there may be gaps, and what stands behind `commit_index` may be
replaced in a higher ballot; what stands before it is chosen, and never changes.

Source: Lamport, Paxos made simple, 2001, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.ballot import Ballot
from concerted.consensus.paxos.messages import Proposal

__all__ = ["Log"]


class Log:
    """Proposals by slot.  What is read back from a disk is chosen up to `commit`."""

    def __init__(self, snapshot: Snapshot, proposals: Sequence[Proposal] = (), commit: int = 0) -> None:
        self.snapshot = snapshot
        self.commit_index = max(snapshot.index, commit)
        self._slots: list[Proposal | None] = []
        self._unwritten: list[Proposal] = []
        self._run: tuple[Ballot, int] = (0, self.commit_index)
        for proposal in proposals:
            self._put(proposal)
        assert None not in self._slots[: self.commit_index - snapshot.index], f"gaps in what is chosen up to {commit}"

    # Looking

    @property
    def last_index(self) -> int:
        """The highest slot in which anything was accepted."""
        return self.snapshot.index + len(self._slots)

    def proposal_at(self, index: int) -> Proposal | None:
        """Return what was accepted in a slot; None if that is nothing, or compacted away."""
        offset = index - self.snapshot.index - 1
        return self._slots[offset] if 0 <= offset < len(self._slots) else None

    def term_at(self, index: int) -> int | None:
        """Return the ballot in which a slot's value was first proposed; None if there is no such value."""
        proposal = self.proposal_at(index)
        if proposal is None:
            return self.snapshot.term if index == self.snapshot.index else None
        return proposal.entry.term

    def between(self, after: int, upto: int) -> tuple[Entry, ...]:
        """Return the entries with `after < index <= upto`, of which none may be missing."""
        base = self.snapshot.index
        assert base <= after, f"slots after {after} are compacted away up to {base}"
        return tuple(_entries(self._slots[after - base : max(upto, after) - base]))

    def batch(self, after: int, count: int, size_bytes: int) -> tuple[Entry, ...]:
        """Return at most `count` entries after an index, with commands of at most so many bytes; at least one."""
        entries = self.between(after, min(after + count, self.last_index))
        return entries[: _fitting(entries, size_bytes)]

    def page(self, after: int, count: int, size_bytes: int) -> tuple[tuple[Proposal, ...], int]:
        """Return what was accepted in the next slots after an index, and up to which slot that is all there is."""
        base = self.snapshot.index
        found = tuple(each for each in self._slots[after - base : after - base + count] if each is not None)
        place = _fitting([each.entry for each in found], size_bytes)
        if place < len(found):
            return found[:place], found[place - 1].entry.index
        return found, max(after, min(after + count, self.last_index))

    def reached(self, ballot: Ballot) -> int:
        """Return up to where every slot is accepted in this ballot, or chosen.  Asked of ever higher ballots."""
        known, index = self._run
        index = max(self.commit_index, index if known == ballot else 0)
        while (proposal := self.proposal_at(index + 1)) is not None and proposal.ballot == ballot:
            index += 1
        self._run = (ballot, index)
        return index

    # Accepting

    def accept(self, ballot: Ballot, entry: Entry) -> None:
        """Accept a value in a slot; the caller knows that the ballot may be accepted."""
        before = self.proposal_at(entry.index)
        if entry.index <= self.commit_index:
            assert before is None or before.entry == entry, f"{before} is chosen, and {entry} is proposed in {ballot}"
            return
        if before is not None and before.ballot == ballot:
            assert before.entry == entry, f"two values in ballot {ballot}: {before.entry} and {entry}"
            return
        proposal = Proposal(ballot, entry)
        self._put(proposal)
        self._unwritten.append(proposal)

    def commit_to(self, index: int) -> None:
        """Move the mark of what is chosen; it never goes back."""
        if index > self.commit_index:
            assert index <= self.last_index, f"chosen up to {index}, and the log ends at {self.last_index}"
            self.commit_index = index

    def compact(self, snapshot: Snapshot) -> None:
        """Put a snapshot in the place of the slots up to its index, which are chosen."""
        assert self.snapshot.index < snapshot.index <= self.commit_index, f"a snapshot at {snapshot.index}"
        self._replace(snapshot)

    def restore(self, snapshot: Snapshot) -> None:
        """Take over what others know to be chosen.  What was accepted in later slots stays: that is a promise."""
        assert snapshot.index > self.commit_index, f"the snapshot at {snapshot.index} is older than what is chosen"
        self._replace(snapshot)
        self.commit_index = snapshot.index

    # Writing

    @property
    def has_unwritten(self) -> bool:
        """Whether something was accepted that was not handed out to be written yet."""
        return bool(self._unwritten)

    def write(self) -> tuple[Proposal, ...]:
        """Hand out what is to be written."""
        proposals, self._unwritten = self._unwritten, []
        return tuple(each for each in proposals if each.entry.index > self.snapshot.index)

    def _put(self, proposal: Proposal) -> None:
        offset = proposal.entry.index - self.snapshot.index - 1
        self._slots += [None] * (offset + 1 - len(self._slots))
        self._slots[offset] = proposal

    def _replace(self, snapshot: Snapshot) -> None:
        del self._slots[: snapshot.index - self.snapshot.index]
        self.snapshot = snapshot


def _entries(slots: Iterable[Proposal | None]) -> Iterable[Entry]:
    for proposal in slots:
        assert proposal is not None, "a gap in what is chosen, or proposed by a leader"
        yield proposal.entry


def _fitting(entries: Sequence[Entry], size_bytes: int) -> int:
    """Return how many of the first entries have commands of at most so many bytes in all; at least one."""
    size = 0
    for place, entry in enumerate(entries):
        size += len(entry.command or b"")
        if size > size_bytes and place:
            return place
    return len(entries)
