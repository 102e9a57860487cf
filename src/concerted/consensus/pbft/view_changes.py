"""View changes (4.4) and the timeouts that keep them going (4.5.2).

    its timer expires --VIEW-CHANGE(v + 1) to all--> 2f + 1 have left --its primary: NEW-VIEW--> all are in v + 1

Three rules give liveness (4.5.2): whoever has left waits, from when 2f + 1 have, twice as long each time; whoever sees
that f + 1 want later views joins the lowest of these; and a liar alone can make nobody leave.

Source: Castro & Liskov 1999, sections 4.4 and 4.5.2.
"""

from __future__ import annotations

from concerted.consensus.pbft.agreement import propose, redo
from concerted.consensus.pbft.certificates import chosen, is_new_view, is_view_change, min_s
from concerted.consensus.pbft.checkpoints import adopt
from concerted.consensus.pbft.evidence import accuse
from concerted.consensus.pbft.messages import Message, NewView, PrePrepare, Relay, ViewChange
from concerted.consensus.pbft.replica import Replica, say_to_all, timeout_s

__all__ = ["announce", "leave", "resume", "take_new_view", "take_view_change", "time_out", "timer"]


def timer(replica: Replica) -> float:
    """Return when this replica gives up on its view, or on the one that it waits for; infinity if it does not."""
    if not replica.active:
        return float("inf") if replica.view_until is None else replica.view_until
    oldest = next(iter(replica.waiting.values()), None)
    if oldest is None or replica.leads:
        return float("inf")
    return oldest.since + timeout_s(replica)


def time_out(replica: Replica) -> None:
    """Give up on the view that this replica is in, or waits for."""
    leave(replica, replica.view + 1)


def leave(replica: Replica, view: int) -> None:
    """Stop accepting all but checkpoints, view-changes and new-views, and tell all what was prepared here (4.4)."""
    assert view > replica.view, f"replica {replica.id} would leave view {replica.view} for {view}"
    replica.view, replica.active = view, False
    replica.attempts += 1
    replica.view_until = None
    slots = [replica.slots[seq] for seq in sorted(replica.slots)]
    for slot in slots:
        slot.leave()
    said = replica.seal.sign(
        ViewChange(
            view=view,
            stable=replica.stable,
            proof=replica.held.proof,
            prepared=tuple(slot.prepared for slot in slots if slot.prepared is not None),
            source=replica.id,
        )
    )
    replica.out.view_change = said
    replica.view_changes[replica.id] = said
    say_to_all(replica, said)
    _consider(replica)


def announce(replica: Replica) -> None:
    """Say once more that this replica has left (thesis 5.2): what was said first may be lost."""
    if not replica.active:
        say_to_all(replica, replica.view_changes[replica.id])


def take_view_change(replica: Replica, message: ViewChange) -> None:
    """Log a view-change of somebody, if it proves all that it says; of each the one for the latest view."""
    if message.source == replica.id:
        return
    known = replica.view_changes.get(message.source)
    if known is not None and (message.view < known.view or message == known):
        return
    if not is_view_change(message, replica.settings.window, replica.group, replica.seal):
        return
    if known is not None and known.view == message.view:
        accuse(replica, known, message)
        return
    replica.view_changes[message.source] = message
    if message.view >= replica.view:
        _join(replica)
        _consider(replica)


def _join(replica: Replica) -> None:
    """Leave, without waiting any longer, for the least of the later views that f + 1 others want (4.5.2)."""
    later = [each.view for each in replica.view_changes.values() if each.view > replica.view]
    if len(later) >= replica.group.weak:
        leave(replica, min(later))


def _consider(replica: Replica) -> None:
    """Begin the new view as its primary, or begin to wait for it, when 2f + 1 have left (4.4, 4.5.2).

    Those who want a later view have left as well: else two who have each gone on would wait for ever.
    """
    if replica.active:
        return
    left = [each for each in replica.view_changes.values() if each.view >= replica.view]
    if len(left) >= replica.group.quorum and replica.view_until is None:
        replica.view_until = replica.now + timeout_s(replica)
    here = [
        replica.view_changes[node]
        for node in sorted(replica.view_changes)
        if replica.view_changes[node].view == replica.view
    ]
    if replica.primary == replica.id and len(here) >= replica.group.quorum:
        _begin(replica, tuple(here[: replica.group.quorum]))


def _begin(replica: Replica, view_changes: tuple[ViewChange, ...]) -> None:
    """Send NEW-VIEW, as the primary (4.4)."""
    headers = [
        replica.seal.sign(PrePrepare(replica.view, seq, digest, replica.id)) for seq, digest in chosen(view_changes)
    ]
    said = replica.seal.sign(NewView(replica.view, view_changes, tuple(headers), replica.id))
    say_to_all(replica, said)
    _enter(replica, said)


def take_new_view(replica: Replica, message: NewView) -> None:
    """Enter a new view, if all that it rests on is proved and its O is the one that follows from it (4.4)."""
    known = replica.new_view
    if message.source == replica.id or message == known:
        return
    if message.view < replica.view or (message.view == replica.view and replica.active and known is None):
        return
    if not is_new_view(message, replica.settings.window, replica.group, replica.seal):
        return
    if known is not None and known.view == message.view:
        accuse(replica, known, message)
        return
    if message.view > replica.view or not replica.active:
        _enter(replica, message)


def _enter(replica: Replica, said: NewView) -> None:
    replica.out.new_view = said
    resume(replica, said)
    for waiting in replica.waiting.values():
        waiting.since = replica.now
    if replica.leads:
        propose(replica)
    elif replica.waiting:
        oldest = [waiting.request for waiting in replica.waiting.values()][: replica.settings.batch_count]
        replica.out.messages.append(Message(replica.primary, replica.id, Relay(tuple(oldest))))


def resume(replica: Replica, said: NewView) -> None:
    """Be in the view that a new-view begins: adopt its checkpoint, and redo the protocol for what is in O (4.4)."""
    low = min_s(said.view_changes)
    proof = next(each.proof for each in said.view_changes if each.stable == low)
    replica.active = False
    if proof:
        adopt(replica, proof)
    replica.view, replica.active, replica.new_view, replica.view_until = said.view, True, said, None
    replica.queue = {key: waiting.request for key, waiting in replica.waiting.items()}
    replica.highest = low
    replica.next_seq = max(low + len(said.pre_prepares), replica.stable) + 1
    for slot in replica.slots.values():
        slot.leave()
    redo(replica)
