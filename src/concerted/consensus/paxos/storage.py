"""What one Paxos replica keeps on its disk, and its bytes.

"Stable storage, preserved during failures, is used to maintain the information that the acceptor must remember.  An
acceptor records its intended response in stable storage before actually sending the response" (2.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.ballot import Ballot, round_of
from concerted.consensus.paxos.messages import Proposal
from concerted.consensus.storage import Storage

__all__ = ["STORAGE", "Contents", "Instance", "Stored", "Write"]

EMPTY = Snapshot()


class Instance(msgspec.Struct, frozen=True, array_like=True):
    """What an acceptor and learner remembers of one key.

    promised: the highest ballot that it has promised.  accepted, value: the highest-numbered proposal that it has
    accepted; 0 if none.  is_chosen: whether this value is known to be chosen.
    """

    key: str
    promised: Ballot = 0
    accepted: Ballot = 0
    value: bytes = b""
    is_chosen: bool = False

    @property
    def rounds(self) -> int:
        """In how many rounds of ballots a value was sought, as far as this acceptor was asked."""
        return max(1, round_of(self.promised))


@dataclass(frozen=True, slots=True)
class Stored:
    """What a replica reads back from its disk when it starts.

    promised: for all slots of the log.  commit: up to here all is chosen.  proposals: accepted in the slots behind the
    snapshot, ascending, perhaps with gaps.  instances: of single values, in the order in which their keys came up.
    """

    promised: Ballot = 0
    commit: int = 0
    snapshot: Snapshot = EMPTY
    proposals: tuple[Proposal, ...] = ()
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, slots=True)
class Write:
    """What goes to the disk, at once.  promised, commit: as they are from now on.

    snapshot: stands for all slots up to its index.  proposals, instances: each takes the place of what was there for
    its slot or key.
    """

    number: int
    promised: Ballot
    commit: int
    snapshot: Snapshot | None = None
    proposals: tuple[Proposal, ...] = ()
    instances: tuple[Instance, ...] = ()


class Contents:
    """What a sequence of writes comes to."""

    def __init__(self, stored: Stored) -> None:
        self.promised, self.commit, self.snapshot = stored.promised, stored.commit, stored.snapshot
        self.proposals = {each.entry.index: each for each in stored.proposals}
        self.instances = {each.key: each for each in stored.instances}

    def take(self, write: Write) -> None:
        """Take the next write."""
        assert write.promised >= self.promised, f"a promise of {self.promised} is taken back for {write.promised}"
        self.promised, self.commit = write.promised, write.commit
        if write.snapshot is not None:
            self.snapshot = write.snapshot
            self.proposals = {at: each for at, each in self.proposals.items() if at > write.snapshot.index}
        for proposal in write.proposals:
            self.proposals[proposal.entry.index] = proposal
        for instance in write.instances:
            self.instances[instance.key] = instance

    def stored(self) -> Stored:
        """Return what a replica finds when it starts."""
        proposals = tuple(self.proposals[at] for at in sorted(self.proposals))
        return Stored(self.promised, self.commit, self.snapshot, proposals, tuple(self.instances.values()))


def _encode(write: Write) -> bytes:
    return _encoder.encode((write.promised, write.commit, write.snapshot, write.proposals, write.instances))


def _decode(payload: bytes) -> Write:
    return Write(0, *_writes.decode(payload))


def _whole(stored: Stored) -> Write:
    return Write(0, stored.promised, stored.commit, stored.snapshot, stored.proposals, stored.instances)


_encoder = msgspec.msgpack.Encoder()
_writes = msgspec.msgpack.Decoder(tuple[Ballot, int, Snapshot | None, tuple[Proposal, ...], tuple[Instance, ...]])

STORAGE: Storage[Stored, Write] = Storage("concerted paxos log", 1, Stored(), Contents, _encode, _decode, _whole)
