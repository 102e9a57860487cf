"""Normal operation (4.2): three phases by which all honest replicas carry out the same requests in the same order.

    primary: PRE-PREPARE(v, n, d), m --> backups: PREPARE --2f match--> prepared --> all: COMMIT
    --2f + 1 match--> committed --all before it are executed--> executed

Requests are gathered while batches are under way, so that under load many share one agreement.

Source: Castro & Liskov 1999, sections 4.2 and 4.4 (what starts a timer); Castro's thesis 2001, 5.1.4 (batching).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from concerted.consensus.entries import Entry
from concerted.consensus.pbft.evidence import accuse
from concerted.consensus.pbft.messages import (
    Batch,
    Commit,
    Message,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Vote,
    batch_digest,
)
from concerted.consensus.pbft.replica import Replica, Slot, Waiting, say_to_all, slot_at
from concerted.consensus.quorum import NodeId

__all__ = [
    "accept", "execute", "propose", "redo", "submit", "take_commit", "take_prepare", "take_proposal", "take_relay",
]  # fmt: skip

V = TypeVar("V", Prepare, Commit)

# Requests


def submit(replica: Replica, requests: Sequence[Request]) -> None:
    """Take requests that clients have signed: number them as the primary, or relay them and wait (4.1, 4.4)."""
    fresh = []
    for request in requests:
        if replica.done.has(*request.key):
            continue
        if request.key not in replica.waiting:
            replica.waiting[request.key] = Waiting(request, replica.now)
            replica.queue[request.key] = request
        fresh.append(request)
    if replica.leads:
        propose(replica)
    elif fresh and replica.active:
        replica.out.messages.append(Message(replica.primary, replica.id, Relay(tuple(fresh))))


def take_relay(replica: Replica, message: Relay) -> None:
    """Take what another replica has relayed, if it is not known yet."""
    room = replica.settings.waiting_count - len(replica.waiting)
    fresh = [
        request
        for request in message.requests[: replica.settings.batch_count]
        if request.key not in replica.waiting and not replica.done.has(*request.key) and replica.seal.is_valid(request)
    ]
    if fresh:
        submit(replica, fresh[: max(room, 0)])


# The primary


def propose(replica: Replica) -> None:
    """Give sequence numbers to what waits, in batches, as far as the watermarks and the pipeline allow."""
    settings = replica.settings
    while (
        replica.leads
        and replica.queue
        and replica.next_seq - 1 - replica.executed < settings.pipeline_count
        and replica.is_between_watermarks(replica.next_seq)
    ):
        batch = _gather(replica)
        header = replica.seal.sign(
            PrePrepare(replica.view, replica.next_seq, batch_digest(batch), replica.id)
        )  # fmt: skip
        replica.next_seq += 1
        say_to_all(replica, Proposal(header, batch))
        accept(replica, slot_at(replica, header.seq), header, batch)


def _gather(replica: Replica) -> Batch:
    """Take the next requests from the queue; at least one."""
    batch: list[Request] = []
    size = 0
    for request in replica.queue.values():
        size += len(request.body)
        if batch and (len(batch) == replica.settings.batch_count or size > replica.settings.batch_bytes):
            break
        batch.append(request)
    for request in batch:
        del replica.queue[request.key]
    return tuple(batch)


# Pre-prepare


def take_proposal(replica: Replica, message: Proposal) -> None:
    """Accept a pre-prepare if the signatures are good, it is of this view and between the watermarks, and no other one
    of this view and number was accepted before (4.2).

    A primary takes its own from others where its NEW-VIEW has a number whose batch it lacks, and nowhere else.
    """
    header = message.pre_prepare
    if not _concerns(replica, header) or header.source != replica.primary:
        return
    known = replica.slots[header.seq].pre_prepare if header.seq in replica.slots else None
    if header.source == replica.id and known != header:
        return
    if known is not None and known.digest != header.digest:
        if replica.seal.is_valid(header):
            accuse(replica, known, header)
        return
    if known is not None and replica.slots[header.seq].accepted:
        return
    if batch_digest(message.batch) != header.digest or not _is_sound(replica, message.batch):
        return
    if known is None and (not message.batch or not replica.seal.is_valid(header)):
        return  # only a new view has numbers for nothing
    accept(replica, slot_at(replica, header.seq), known or header, message.batch)


def _concerns(replica: Replica, vote: Vote) -> bool:
    return replica.active and vote.view == replica.view and replica.is_between_watermarks(vote.seq)


def _is_sound(replica: Replica, batch: Batch) -> bool:
    """Say whether a batch has only requests that clients have signed, and is not too large."""
    settings = replica.settings
    if len(batch) > settings.batch_count:
        return False
    if len(batch) > 1 and sum(len(request.body) for request in batch) > settings.batch_bytes:
        return False
    return all(replica.seal.is_valid(request) for request in batch)


def accept(replica: Replica, slot: Slot, header: PrePrepare, batch: Batch) -> None:
    """Enter the prepare phase: log the pre-prepare, and as a backup say PREPARE to all (4.2)."""
    slot.pre_prepare, slot.accepted = header, True
    replica.out.accepted.append(Proposal(header, () if header.digest in slot.batches else batch))
    slot.batches[header.digest] = batch
    for request in batch:
        replica.queue.pop(request.key, None)
        if request.key not in replica.waiting and not replica.done.has(*request.key):
            replica.waiting[request.key] = Waiting(request, replica.now)
    if replica.id != header.source:
        prepare = replica.seal.sign(Prepare(header.view, header.seq, header.digest, replica.id))
        slot.prepares[replica.id] = prepare
        say_to_all(replica, prepare)
    _try_to_prepare(replica, slot)


def redo(replica: Replica) -> None:
    """Redo the protocol for what the new view has in O, as far as the watermarks reach now (4.4)."""
    for header in () if replica.new_view is None else replica.new_view.pre_prepares:
        if not replica.is_between_watermarks(header.seq):
            continue
        slot = slot_at(replica, header.seq)
        if slot.pre_prepare is None:
            slot.pre_prepare = header
            if header.digest in slot.batches:
                accept(replica, slot, header, slot.batches[header.digest])


# Prepare


def take_prepare(replica: Replica, message: Prepare) -> None:
    """Log a backup's prepare, if it is of this view and between the watermarks, and its signature is good (4.2)."""
    if not _concerns(replica, message) or message.source == replica.primary:
        return
    known = replica.slots.get(message.seq)
    if known is not None and known.is_prepared(replica.view) and _agrees(known, message):
        return  # one more is of no use
    if replica.seal.is_valid(message):
        slot = slot_at(replica, message.seq)
        _log(replica, slot, slot.prepares, message)
        _try_to_prepare(replica, slot)


def _try_to_prepare(replica: Replica, slot: Slot) -> None:
    """prepared(m, v, n, i): m and its pre-prepare are logged, and 2f prepares of different backups that match (4.2)."""
    header = slot.pre_prepare
    if header is None or not slot.accepted or slot.is_prepared(replica.view):
        return
    matching = _matching(slot.prepares, header.digest)
    if len(matching) < 2 * replica.group.faulty:
        return
    slot.prepared = Prepared(header, tuple(matching[: 2 * replica.group.faulty]))
    replica.out.prepared.append(slot.prepared)
    commit = replica.seal.sign(Commit(header.view, header.seq, header.digest, replica.id))
    slot.commits[replica.id] = commit
    say_to_all(replica, commit)
    _try_to_commit(replica, slot)


# Commit


def take_commit(replica: Replica, message: Commit) -> None:
    """Log a commit, if it is of this view and between the watermarks, and its signature is good (4.2)."""
    if not _concerns(replica, message):
        return
    known = replica.slots.get(message.seq)
    if known is not None and _is_committed(replica, known) and _agrees(known, message):
        return
    if replica.seal.is_valid(message):
        slot = slot_at(replica, message.seq)
        _log(replica, slot, slot.commits, message)
        _try_to_commit(replica, slot)


def _try_to_commit(replica: Replica, slot: Slot) -> None:
    """committed-local(m, v, n, i): prepared, and 2f + 1 commits, its own among them, that match (4.2)."""
    if slot.pre_prepare is None or not _is_committed(replica, slot):
        return
    digest = slot.pre_prepare.digest
    assert slot.committed in {None, digest}, f"two batches are committed at {slot.seq}, seen by replica {replica.id}"
    slot.committed = digest
    execute(replica)


def _is_committed(replica: Replica, slot: Slot) -> bool:
    header = slot.pre_prepare
    return (
        header is not None
        and slot.is_prepared(replica.view)
        and len(_matching(slot.commits, header.digest)) >= replica.group.quorum
    )


# Execution


def execute(replica: Replica) -> None:
    """Hand out what is committed, each number after all lower ones (4.2), and each request once (4.1)."""
    while not replica.compacting:
        slot = replica.slots.get(replica.executed + 1)
        if slot is None or slot.committed is None:
            break
        replica.executed += 1
        for request in slot.batches[slot.committed]:
            _carry_out(replica, request)
        if replica.executed % replica.settings.checkpoint_interval == 0:
            replica.compacting = True
            replica.out.compact_at = replica.index
    _stop_waiting(replica)
    propose(replica)


def _carry_out(replica: Replica, request: Request) -> None:
    replica.waiting.pop(request.key, None)
    replica.queue.pop(request.key, None)
    if replica.done.add(*request.key):
        replica.index += 1
        replica.out.committed.append(Entry(replica.index, replica.executed, request.encode()))
        replica.attempts = 0 if replica.active else replica.attempts


def _stop_waiting(replica: Replica) -> None:
    """Wait no longer for what will never be carried out: its client has had so many others done that it is too old."""
    while replica.waiting and replica.done.has(*next(iter(replica.waiting))):
        key = next(iter(replica.waiting))
        del replica.waiting[key]
        replica.queue.pop(key, None)


# Votes


def _log(replica: Replica, slot: Slot, votes: dict[NodeId, V], vote: V) -> None:
    """Keep the first vote of each replica; whoever votes for something else as well has lied."""
    for other in (slot.pre_prepare, slot.prepares.get(vote.source), slot.commits.get(vote.source)):
        if other is not None and other.source == vote.source and other.digest != vote.digest:
            accuse(replica, other, vote)
    votes.setdefault(vote.source, vote)


def _matching(votes: Mapping[NodeId, V], digest: bytes) -> list[V]:
    return [votes[node] for node in sorted(votes) if votes[node].digest == digest]


def _agrees(slot: Slot, vote: Vote) -> bool:
    return slot.pre_prepare is not None and slot.pre_prepare.digest == vote.digest
