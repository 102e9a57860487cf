"""Evidence: two statements of one replica that contradict each other, so that anybody can see that it has lied.

An honest replica says one thing only of one matter, also after a restart, since it writes before it sends:

    of (view, number)  one digest, in its pre-prepare or prepare and in its commit     (4.2)
    of a number        one digest of the state after it, in its checkpoint             (4.3)
    of a view          one view-change, and as its primary one new-view                (4.4)

What is twice the same is no contradiction, nor is anything whose signature is not good.
"""

from __future__ import annotations

import msgspec

from concerted.consensus.pbft.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    Statement,
    ViewChange,
    encoded,
)
from concerted.consensus.pbft.replica import Replica
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.ready import Evidence

__all__ = ["accuse", "is_contradiction", "is_proof"]


def accuse(replica: Replica, first: Statement, second: Statement) -> None:
    """Report that somebody contradicts itself, the first time, if it does; both signatures were found good.

    Whoever holds a key can sign the same twice so that it looks different, and that is no contradiction.
    """
    if first.source not in replica.convicted and is_contradiction(first, second):
        replica.convicted.add(first.source)
        replica.out.evidence.append(Evidence(first.source, encoded(first), encoded(second)))


def is_contradiction(first: Statement, second: Statement) -> bool:
    """Say whether no honest replica says both."""
    if first.source != second.source:
        return False
    match first, second:
        case (PrePrepare() | Prepare() | Commit(), PrePrepare() | Prepare() | Commit()):
            return (first.view, first.seq) == (second.view, second.seq) and first.digest != second.digest
        case Checkpoint(), Checkpoint():
            return first.seq == second.seq and first.digest != second.digest
        case ViewChange() | NewView(), ViewChange() | NewView():
            alike = type(first) is type(second) and first.view == second.view
            return alike and _content(first) != _content(second)
    return False


def is_proof(evidence: Evidence, first: Statement, second: Statement, seal: Seal) -> bool:
    """Say whether these two statements, read from the evidence, prove what it says; for whoever is shown it."""
    return (
        (encoded(first), encoded(second)) == (evidence.first, evidence.second)
        and first.source == evidence.culprit
        and is_contradiction(first, second)
        and seal.is_valid(first)
        and seal.is_valid(second)
    )


def _content(said: ViewChange | NewView) -> bytes:
    """Return all but the signature, of which there may be several good ones."""
    return encoded(msgspec.structs.replace(said, signature=b""))
