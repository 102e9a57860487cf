"""What makes a certificate, and what follows from certificates: pure rules, the same for whoever looks.

    C: 2f + 1 checkpoints of different replicas, for one number and digest           (4.3)
    Pm: a pre-prepare and 2f matching prepares of different backups                  (4.2, 4.4)
    V: 2f + 1 view-changes of different replicas for one view                        (4.4)
    O: for each number between min-s and max-s what was prepared there in the newest view, or nothing   (4.4)

Source: Castro & Liskov 1999, sections 4.3 and 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import NULL, Checkpoint, NewView, Prepared, ViewChange
from concerted.consensus.pbft.seal import Seal

__all__ = ["chosen", "is_new_view", "is_prepared", "is_stable", "is_view_change", "min_s"]


def is_stable(proof: Sequence[Checkpoint], group: Group, seal: Seal) -> bool:
    """Say whether these prove a stable checkpoint (4.3)."""
    return (
        len({each.source for each in proof}) == len(proof) >= group.quorum
        and len({(each.seq, each.digest) for each in proof}) == 1
        and all(seal.is_valid(each) for each in proof)
    )


def is_prepared(prepared: Prepared, group: Group, seal: Seal) -> bool:
    """Say whether these prove that a batch was prepared at a number in a view (4.2)."""
    header = prepared.pre_prepare
    primary = group.primary(header.view)
    sources = [each.source for each in prepared.prepares]
    return (
        header.source == primary
        and len(set(sources)) == len(sources) >= 2 * group.faulty
        and primary not in sources
        and all(
            (each.view, each.seq, each.digest) == (header.view, header.seq, header.digest) for each in prepared.prepares
        )
        and seal.is_valid(header)
        and all(seal.is_valid(each) for each in prepared.prepares)
    )


def is_view_change(said: ViewChange, window: int, group: Group, seal: Seal) -> bool:
    """Say whether a view-change proves all that it says (4.4).  window: L, of numbers above its checkpoint."""
    seqs = [each.pre_prepare.seq for each in said.prepared]
    return (
        said.view > 0
        and seal.is_valid(said)
        and (said.stable == 0 if not said.proof else is_stable(said.proof, group, seal))
        and all(each.seq == said.stable for each in said.proof)
        and seqs == sorted(set(seqs))
        and all(said.stable < seq <= said.stable + window for seq in seqs)
        and all(0 <= each.pre_prepare.view < said.view for each in said.prepared)
        and all(is_prepared(each, group, seal) for each in said.prepared)
    )


def is_new_view(said: NewView, window: int, group: Group, seal: Seal) -> bool:
    """Say whether a new-view is of its primary, rests on 2f + 1 view-changes, and has the O that follows (4.4).

    O comes last: only what is proved says how long it is.
    """
    sources = {each.source for each in said.view_changes}
    return (
        said.view > 0
        and said.source == group.primary(said.view)
        and len(sources) == len(said.view_changes) >= group.quorum
        and all(each.view == said.view for each in said.view_changes)
        and all((each.view, each.source) == (said.view, said.source) for each in said.pre_prepares)
        and seal.is_valid(said)
        and all(seal.is_valid(each) for each in said.pre_prepares)
        and all(is_view_change(each, window, group, seal) for each in said.view_changes)
        and [(each.seq, each.digest) for each in said.pre_prepares] == chosen(said.view_changes)
    )


def min_s(view_changes: Sequence[ViewChange]) -> int:
    """Return "the sequence number of the latest stable checkpoint in V" (4.4)."""
    return max(each.stable for each in view_changes)


def chosen(view_changes: Sequence[ViewChange]) -> list[tuple[int, bytes]]:
    """Compute O: (number, digest) for each number from min-s + 1 to max-s; NULL where nothing was prepared (4.4)."""
    low = min_s(view_changes)
    newest: dict[int, tuple[int, bytes]] = {}
    for view_change in view_changes:
        for prepared in view_change.prepared:
            header = prepared.pre_prepare
            if header.seq > low and header.view > newest.get(header.seq, (-1, NULL))[0]:
                newest[header.seq] = (header.view, header.digest)
    return [(seq, newest[seq][1] if seq in newest else NULL) for seq in range(low + 1, max(newest, default=low) + 1)]
