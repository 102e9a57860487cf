"""What PBFT replicas say and write, in words: `Prepare 0/3 "a"` is of view 0 and number 3, and of the batch of a.

Digests have names: a batch is called by its requests, a state by a letter, in the order in which they come up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from concerted.consensus.pbft.messages import (
    NULL,
    Batch,
    Body,
    Checkpoint,
    Commit,
    Fetch,
    NewView,
    Outline,
    Piece,
    Prepare,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Stable,
    Status,
    Transfer,
    ViewChange,
    Vote,
    batch_digest,
)
from concerted.consensus.pbft.storage import Write

__all__ = ["Words"]


class Words:
    """Says what is said, and remembers by which names.  piece_bytes: of states, as replicas have it set."""

    def __init__(self, piece_bytes: int = 1 << 20) -> None:
        self._piece_bytes = piece_bytes
        self._batches = {NULL: "nothing"}
        self._states: dict[bytes, str] = {}

    def body(self, said: Body) -> str:
        """Return what a message says, without who has signed it."""
        match said:
            case Proposal():
                self.batch(said.batch)
                return self._vote(said.pre_prepare)
            case PrePrepare() | Prepare() | Commit():
                return self._vote(said)
            case Checkpoint():
                return f"Checkpoint {said.seq} {self._state(said.digest)}"
            case Stable():
                return f"Stable {self._proof(said.proof)}"
            case Transfer():
                return f"Transfer {said.outline.seq} {self.state(said.outline)} in {len(said.outline.pieces)}"
            case Fetch():
                return f"Fetch {said.seq}" + (f" piece {said.piece}" if said.piece else "")
            case Piece():
                return f"Piece {said.number} of {said.seq}"
            case Relay():
                return f"Relay {requests_in_words(said.requests)}"
            case Status():
                where = f"in view {said.view}" if said.active else f"in no view, wants {said.view}"
                lacks = f", lacks {', '.join(map(str, said.lacks))}" if said.lacks else ""
                return f"Status {where}, executed {said.executed}, stable {said.stable}{lacks}"
            case ViewChange() | NewView():
                return self._of_views(said)

    def write(self, write: Write) -> str:
        """Return what goes to a disk."""
        words = []
        if write.view_change is not None:
            words.append(self.body(write.view_change))
        if write.new_view is not None:
            words.append(self.body(write.new_view))
        if write.snapshot is not None:
            words.append(f"stable {self._proof(write.snapshot.proof)}")
        for proposal in write.accepted:
            self.batch(proposal.batch)
            words.append(f"accepted {self._place(proposal.pre_prepare)}")
        words += [f"prepared {self._place(each.pre_prepare)}" for each in write.prepared]
        words += [f"{self.state(state.outline(self._piece_bytes))} after {state.seq}" for state in write.states]
        return ", ".join(words)

    def batch(self, batch: Batch) -> str:
        """Return the name of a batch."""
        return self._batches.setdefault(batch_digest(batch), requests_in_words(batch))

    def state(self, outline: Outline) -> str:
        """Return the name of a state."""
        return self._state(outline.digest())

    def _of_views(self, said: ViewChange | NewView) -> str:
        if isinstance(said, ViewChange):
            stable = f"stable {self._proof(said.proof)}, " if said.proof else ""
            prepared = ", ".join(self._place(each.pre_prepare) for each in said.prepared)
            return f"ViewChange {said.view} {stable}prepared [{prepared}]"
        sources = ", ".join(str(each.source) for each in said.view_changes)
        return f"NewView {said.view} by {sources}: [{', '.join(map(self._place, said.pre_prepares))}]"

    def _vote(self, vote: Vote) -> str:
        return f"{type(vote).__name__} {self._place(vote)}"

    def _place(self, vote: Vote) -> str:
        return f"{vote.view}/{vote.seq} {self._batches.get(vote.digest, 'of what nobody knows')}"

    def _proof(self, proof: Sequence[Checkpoint]) -> str:
        sources = ", ".join(str(each.source) for each in proof)
        return f"{proof[0].seq} by {sources}: {self._state(proof[0].digest)}"

    def _state(self, digest: bytes) -> str:
        return self._states.setdefault(digest, f"state {chr(ord('A') + len(self._states))}")


def requests_in_words(requests: Sequence[Request]) -> str:
    """Return what clients want, each in quotes."""
    return " ".join(f'"{_wanted(request)}"' for request in requests) or "nothing"


def _wanted(request: Request) -> str:
    found: Any = msgspec.msgpack.decode(request.body)
    return str(found[1])
