"""What makes up for lost messages (thesis 5.2): who waits for something says what it has, and others send the rest.

The paper's links repeat what is lost.  Here a replica that is in no view, has requests that wait, numbers that are not
executed, or a checkpoint to fetch sends its STATUS every `retry_interval_s`; one that waits for nothing is silent.
Nothing is sent for another replica but what that one has signed itself.

Source: Castro's thesis 2001, section 5.2.
"""

from __future__ import annotations

from concerted.consensus.pbft.checkpoints import ask_for_state
from concerted.consensus.pbft.messages import Body, Message, Proposal, Relay, Stable, Status, Vote
from concerted.consensus.pbft.replica import Replica, Slot, say_to_all
from concerted.consensus.pbft.view_changes import announce
from concerted.consensus.quorum import NodeId

__all__ = ["is_waiting", "note_view", "repeat", "take_status"]

LACKS = 16  # numbers in one status whose batches are asked for
RESENT = 32  # numbers about which one status is answered


def is_waiting(replica: Replica) -> bool:
    """Say whether this replica waits for anything that others could send."""
    return (
        not replica.active
        or bool(replica.target)
        or bool(replica.waiting)
        or replica.highest > replica.executed
        or sum(view > replica.view for view in replica.seen_views.values()) >= replica.group.weak
        or (replica.executed > replica.stable and bool(replica.snapshots))
    )


def note_view(replica: Replica, said: Status | Vote) -> None:
    """Note that somebody is in a later view; if f + 1 are, one that is honest is, and there is a NEW-VIEW to be had."""
    if said.view > max(replica.view, replica.seen_views.get(said.source, 0)) and replica.seal.is_valid(said):
        replica.seen_views[said.source] = said.view


def repeat(replica: Replica) -> None:
    """Say what is here, and ask once more for what is not."""
    settings = replica.settings
    _say_status(replica)
    announce(replica)
    ask_for_state(replica)
    late = [
        waiting.request
        for waiting in replica.waiting.values()
        if waiting.since + settings.retry_interval_s <= replica.now
    ]
    if late and not replica.leads:
        say_to_all(replica, Relay(tuple(late[: settings.batch_count])))


def _say_status(replica: Replica) -> None:
    numbers = range(replica.stable + 1, replica.highest + 1)
    lacks = [seq for seq in numbers if seq in replica.slots and _lacks(replica, replica.slots[seq])]
    status = Status(
        replica.view, replica.active, replica.stable, replica.executed, tuple(lacks[:LACKS]), replica.id
    )  # fmt: skip
    say_to_all(replica, replica.seal.sign(status))


def _lacks(replica: Replica, slot: Slot) -> bool:
    if slot.accepted:
        return _holds_up(replica, slot)
    return slot.pre_prepare is not None or bool(slot.prepares) or bool(slot.commits)


def _holds_up(replica: Replica, slot: Slot) -> bool:
    """Say whether others may wait here for a commit: it was executed in an earlier view, not prepared in this one."""
    return slot.accepted and slot.seq <= replica.executed and not slot.is_prepared(replica.view)


def take_status(replica: Replica, message: Status) -> None:
    """Send what another one lacks, as far as it is here."""
    if message.source == replica.id or not replica.seal.is_valid(message):
        return
    if message.executed > replica.executed:  # this replica is behind, and asks in its turn
        replica.highest = max(replica.highest, min(message.executed, replica.stable + replica.settings.window))
    answers: list[Body] = []
    if message.stable < replica.stable:
        answers.append(Stable(replica.held.proof))
    own = replica.checkpoints.get(replica.id, {})
    answers += [own[seq] for seq in sorted(own) if seq > message.stable]
    if replica.active and replica.new_view is not None and (message.view, message.active) < (replica.view, True):
        answers.append(replica.new_view)
    if replica.active and message.active and message.view == replica.view:
        answers += _votes(replica, message)
        behind = range(max(message.executed, replica.stable) + 1, replica.executed + 1)
        if any(seq in replica.slots and _holds_up(replica, replica.slots[seq]) for seq in behind):
            _say_status(replica)  # this replica misses nothing, but prepares that it needs to help the other one
    replica.out.messages += [Message(message.source, replica.id, body) for body in answers]


def _votes(replica: Replica, message: Status) -> list[Body]:
    """Return what was said here of the numbers that another one has not executed, and the batches that it lacks."""
    found: list[Body] = []
    first = max(message.executed, replica.stable) + 1
    ahead = [seq for seq in range(first, min(replica.highest, first + RESENT - 1) + 1) if seq in replica.slots]
    behind = [seq for seq in sorted(set(message.lacks[:LACKS])) if seq in replica.slots and seq not in ahead]
    for slot in (replica.slots[seq] for seq in [*behind, *ahead]):
        if slot.pre_prepare is not None and slot.accepted and _needs_batch(replica, slot, message):
            found.append(Proposal(slot.pre_prepare, slot.batches[slot.pre_prepare.digest]))
        found += [votes[replica.id] for votes in (slot.prepares, slot.commits) if replica.id in votes]
    return found


def _needs_batch(replica: Replica, slot: Slot, message: Status) -> bool:
    if slot.seq in message.lacks:
        return True
    peer: NodeId = message.source
    return replica.leads and peer not in slot.prepares and peer not in slot.commits
