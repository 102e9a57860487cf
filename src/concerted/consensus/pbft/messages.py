"""What PBFT replicas say to each other, what clients ask of them, and the digests of both.

The names are the paper's.  A *statement* is signed by its `source`, and whoever has it can show it to others; the other
bodies have in them only what others have signed, or what has a digest that 2f + 1 have signed.  So the envelope need
not be trusted.  Statements do not name whom they are for: a replica says the same to all, or it is a liar.

    client --Request--> PrePrepare --2f Prepare--> prepared --2f + 1 Commit--> committed --> executed
    every K sequence numbers: Checkpoint, 2f + 1 of them make it stable
    timeout --> ViewChange, 2f + 1 of them --> NewView

Source: Castro & Liskov, Practical Byzantine Fault Tolerance, OSDI 1999 ("the paper"), sections 4.2 to 4.4; Castro's
thesis (MIT 2001), section 5.2, for what makes up for lost messages.
"""

from __future__ import annotations

import hashlib

import msgspec

from concerted.consensus.quorum import NodeId

__all__ = [
    "NULL", "Batch", "Body", "Checkpoint", "Commit", "Fetch", "Message", "NewView", "Outline", "Piece", "PrePrepare",
    "Prepare", "Prepared", "Proposal", "Relay", "Request", "Stable", "State", "Statement", "Status", "Transfer",
    "ViewChange", "Vote", "batch_digest", "encoded", "read_request", "unsigned",
]  # fmt: skip


class Request(msgspec.Struct, frozen=True, array_like=True):
    """<REQUEST, o, t, c> (4.1).  number: the client's own, t; it is carried out at most once under it."""

    client: str
    number: int
    body: bytes
    signature: bytes = b""

    def encode(self) -> bytes:
        """Return the bytes of an entry's command."""
        return _encoder.encode(self)

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from others."""
        return self.client, self.number


Batch = tuple[Request, ...]


class PrePrepare(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """<PRE-PREPARE, v, n, d>: the primary gives sequence number `seq` to the batch with this digest (4.2)."""

    view: int
    seq: int
    digest: bytes
    source: NodeId
    signature: bytes = b""


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """<PREPARE, v, n, d, i>: a backup has accepted that (4.2)."""

    view: int
    seq: int
    digest: bytes
    source: NodeId
    signature: bytes = b""


class Commit(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """<COMMIT, v, n, D(m), i>: it is prepared here (4.2)."""

    view: int
    seq: int
    digest: bytes
    source: NodeId
    signature: bytes = b""


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """<CHECKPOINT, n, d, i>: the state after `seq` has this digest (4.3)."""

    seq: int
    digest: bytes
    source: NodeId
    signature: bytes = b""


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """The set Pm: a pre-prepare and 2f matching prepares of different backups (4.4)."""

    pre_prepare: PrePrepare
    prepares: tuple[Prepare, ...]


class ViewChange(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """<VIEW-CHANGE, v + 1, n, C, P, i> (4.4).

    stable: n, the sequence number of the last stable checkpoint; proof: C, what makes it stable.  prepared: P, one for
    each sequence number above it at which something was prepared, ascending.
    """

    view: int
    stable: int
    proof: tuple[Checkpoint, ...]
    prepared: tuple[Prepared, ...]
    source: NodeId
    signature: bytes = b""


class NewView(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """<NEW-VIEW, v + 1, V, O> (4.4).  view_changes: V, 2f + 1 of them.  pre_prepares: O, which follows from V."""

    view: int
    view_changes: tuple[ViewChange, ...]
    pre_prepares: tuple[PrePrepare, ...]
    source: NodeId
    signature: bytes = b""


class Status(msgspec.Struct, frozen=True, array_like=True, tag=7):
    """What a replica that waits for something has, so that others can send the rest (thesis 5.2).

    lacks: sequence numbers at which it knows of a batch, and does not have it.
    """

    view: int
    active: bool
    stable: int
    executed: int
    lacks: tuple[int, ...]
    source: NodeId
    signature: bytes = b""


class Fetch(msgspec.Struct, frozen=True, array_like=True, tag=8):
    """A replica that is behind asks for the state at a checkpoint: for a piece of it, or (piece 0) its outline."""

    seq: int
    piece: int
    source: NodeId
    signature: bytes = b""


class Proposal(msgspec.Struct, frozen=True, array_like=True, tag=9):
    """<<PRE-PREPARE, v, n, d>, m>: a pre-prepare and its batch, by whomever it is passed on (4.2)."""

    pre_prepare: PrePrepare
    batch: Batch


class Relay(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """Requests of clients, passed on by a backup (4.4)."""

    requests: Batch


class Stable(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """The proof that a checkpoint is stable: 2f + 1 matching checkpoints of different replicas (4.3)."""

    proof: tuple[Checkpoint, ...]


class State(msgspec.Struct, frozen=True, array_like=True):
    """Everything that follows from the log up to `seq`.

    index: entries that came of it.  done: whose requests were carried out, by numbers.  data: the state machine's.
    """

    seq: int = 0
    index: int = 0
    done: bytes = b""
    data: bytes = b""

    def piece(self, number: int, size_bytes: int) -> bytes:
        """Return a piece of its data; the first is number 1."""
        return self.data[(number - 1) * size_bytes : number * size_bytes]

    def outline(self, piece_bytes: int) -> Outline:
        """Return what is signed of it.  piece_bytes: of each piece but the last; the same at all replicas."""
        count = -(-len(self.data) // piece_bytes)
        pieces = (hashlib.sha256(self.piece(number, piece_bytes)).digest() for number in range(1, count + 1))
        return Outline(self.seq, self.index, self.done, tuple(pieces))


class Outline(msgspec.Struct, frozen=True, array_like=True):
    """A state without its data.  pieces: the SHA-256 digest of each piece of that, so that each can be proved alone."""

    seq: int
    index: int
    done: bytes
    pieces: tuple[bytes, ...]

    def digest(self) -> bytes:
        """Return what checkpoints say of the state."""
        return _digest(self)

    def is_piece(self, number: int, data: bytes) -> bool:
        """Say whether this is a piece of the data of the state."""
        return 0 < number <= len(self.pieces) and hashlib.sha256(data).digest() == self.pieces[number - 1]


class Transfer(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """The answer to Fetch: of what the state consists (4.3; thesis 5.3)."""

    outline: Outline


class Piece(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """The answer to Fetch of a piece (thesis 5.3)."""

    seq: int
    number: int
    data: bytes


Vote = PrePrepare | Prepare | Commit
Statement = PrePrepare | Prepare | Commit | Checkpoint | ViewChange | NewView | Status | Fetch
Body = (
    PrePrepare | Prepare | Commit | Checkpoint | ViewChange | NewView | Status | Fetch | Proposal | Relay | Stable
    | Transfer | Piece
)  # fmt: skip


class Message(msgspec.Struct, frozen=True, array_like=True):
    """One body on its way.  source: who sends it, who need not be who has signed it."""

    to: NodeId
    source: NodeId
    body: Body


def batch_digest(batch: Batch) -> bytes:
    """Return D(m)."""
    return _digest(batch)


def unsigned(context: bytes, said: Statement | Request) -> bytes:
    """Return what is signed.  context: names the group, so that nothing said in one counts in another."""
    kind = type(said).__name__
    return _encoder.encode((context, kind, msgspec.structs.replace(said, signature=b"")))


def encoded(said: Statement) -> bytes:
    """Return a statement as bytes, to be kept or shown."""
    return _encoder.encode(said)


def read_request(command: bytes) -> Request:
    """Read a command back.

    Raises:
        msgspec.DecodeError: it is no request.
    """
    return _requests.decode(command)


def _digest(value: object) -> bytes:
    return hashlib.sha256(_encoder.encode(value)).digest()


_encoder = msgspec.msgpack.Encoder()
_requests = msgspec.msgpack.Decoder(Request)

NULL = batch_digest(())
