"""Garbage collection (4.3): checkpoints that 2f + 1 have signed, watermarks, and the state of others for who is behind.

    executed, n mod K = 0 --its snapshot is durable--> CHECKPOINT(n, d) --2f + 1 match--> stable: all up to n is gone
    2f + 1 match and it is not executed here --> target --FETCH, an outline with that digest--> arriving
    arriving --FETCH each piece, with the digest in the outline--> restored, stable;  --a newer target--> it begins anew

What is signed of a state is its outline, with a digest for each piece.  So each piece is proved by itself, whoever
sends it; a liar cannot spoil what others have sent, and pieces of two states are never mixed.  One piece is asked for
at a time, of one replica; in time of the next one, which goes on where that one was.

Source: Castro & Liskov 1999, section 4.3; Castro's thesis 2001, section 5.3 (state transfer; there the pieces are a
tree, here a list).
"""

from __future__ import annotations

from collections.abc import Sequence

from concerted.consensus.pbft.agreement import execute, propose, redo
from concerted.consensus.pbft.certificates import is_stable
from concerted.consensus.pbft.done import Done
from concerted.consensus.pbft.evidence import accuse
from concerted.consensus.pbft.messages import Body, Checkpoint, Fetch, Message, Piece, Stable, State, Transfer
from concerted.consensus.pbft.replica import Arriving, Handed, Replica, outline_of, say_to_all
from concerted.consensus.pbft.storage import Held
from concerted.consensus.quorum import NodeId

__all__ = [
    "adopt",
    "ask_for_state",
    "take_checkpoint",
    "take_fetch",
    "take_piece",
    "take_snapshot",
    "take_stable",
    "take_transfer",
]

KEPT = 4  # checkpoints of each replica: the newest


def take_snapshot(replica: Replica, data: bytes) -> None:
    """Take the state machine's state after all that was handed out, and tell all its digest (4.3)."""
    state = State(replica.executed, replica.index, replica.done.dump(), data)
    replica.compacting = False
    replica.snapshots[state.seq] = state
    replica.out.states.append(state)
    checkpoint = replica.seal.sign(Checkpoint(state.seq, outline_of(replica, state).digest(), replica.id))
    replica.checkpoints.setdefault(replica.id, {})[state.seq] = checkpoint
    say_to_all(replica, checkpoint)
    if replica.target and replica.target[0].seq == state.seq:
        adopt(replica, replica.target)
    _try(replica, state.seq)
    execute(replica)


def take_checkpoint(replica: Replica, message: Checkpoint) -> None:
    """Log what a replica says of its state; of each the newest few."""
    if message.seq <= replica.stable or message.seq % replica.settings.checkpoint_interval:
        return
    known = replica.checkpoints.setdefault(message.source, {}) if message.source in replica.group.ids else {}
    first = known.get(message.seq)
    if (first is not None and first.digest == message.digest) or not replica.seal.is_valid(message):
        return
    if first is not None:
        accuse(replica, first, message)
        return
    known[message.seq] = message
    if len(known) > KEPT:
        del known[min(known)]
    _try(replica, message.seq)


def take_stable(replica: Replica, message: Stable) -> None:
    """Take the proof of a checkpoint from whoever has it."""
    if is_stable(message.proof, replica.group, replica.seal):
        adopt(replica, message.proof)


def _try(replica: Replica, seq: int) -> None:
    """A checkpoint is stable when 2f + 1 different replicas have signed the same digest for it (4.3)."""
    said = [replica.checkpoints[node][seq] for node in sorted(replica.checkpoints) if seq in replica.checkpoints[node]]
    for digest in sorted({each.digest for each in said}):
        matching = [each for each in said if each.digest == digest]
        if len(matching) >= replica.group.quorum:
            adopt(replica, matching[: replica.group.quorum])


def adopt(replica: Replica, proof: Sequence[Checkpoint]) -> None:
    """Make a proved checkpoint stable; one that is not executed here becomes the target."""
    seq, digest = proof[0].seq, proof[0].digest
    if seq <= replica.stable:
        return
    if seq in replica.snapshots:
        state = replica.snapshots[seq]
        own = outline_of(replica, state).digest()
        assert own == digest, f"the state of replica {replica.id} after {seq} is not that of all others"
        _stabilise(replica, Held(state, tuple(proof)))
    elif not replica.target or replica.target[0].seq < seq:
        replica.target = tuple(proof)
        if replica.arriving is not None:  # of an older one, which others have forgotten by now
            replica.arriving = None
            ask_for_state(replica)


def _stabilise(replica: Replica, held: Held) -> None:
    """Discard all at or below a stable checkpoint, and move the watermarks (4.3)."""
    replica.held = replica.out.snapshot = held
    replica.slots = {seq: slot for seq, slot in replica.slots.items() if seq > held.seq}
    replica.snapshots = {seq: state for seq, state in replica.snapshots.items() if seq > held.seq}
    replica.outlines = {seq: outline for seq, outline in replica.outlines.items() if seq >= held.seq}
    for known in replica.checkpoints.values():
        for seq in [seq for seq in known if seq <= held.seq]:
            del known[seq]
    if replica.target and replica.target[0].seq <= held.seq:
        replica.target, replica.asked, replica.arriving = (), 0, None
    replica.next_seq = max(replica.next_seq, held.seq + 1)
    if replica.active:
        redo(replica)
    propose(replica)


# State transfer


def ask_for_state(replica: Replica) -> None:
    """Ask one replica for what is missing at the target; the next time another one, since any may lie or be silent."""
    if replica.target:
        replica.asked += 1
        _ask(replica)


def _ask(replica: Replica) -> None:
    """Ask the replica whose turn it is."""
    node = replica.others[(replica.asked - 1) % len(replica.others)]
    piece = 0 if replica.arriving is None else replica.arriving.next
    fetch = replica.seal.sign(Fetch(replica.target[0].seq, piece, replica.id))
    replica.out.messages.append(Message(node, replica.id, fetch))


def take_fetch(replica: Replica, message: Fetch) -> None:
    """Send what is asked for of a state, or the outline of the newer one that is stable here, with its proof.

    Whoever asks without end is sent the same once in a retry interval; who is honest asks somebody else meanwhile.
    """
    state = replica.held.state if message.seq <= replica.stable else replica.snapshots.get(message.seq)
    if message.source == replica.id or state is None or not replica.seal.is_valid(message) or message.seq < 1:
        return
    answers: list[Body] = [Stable(replica.held.proof)] if state.seq != message.seq else []
    if answers or message.piece == 0:
        answers.append(Transfer(outline_of(replica, state)))
    elif 0 < message.piece <= len(outline_of(replica, state).pieces):
        data = state.piece(message.piece, replica.settings.piece_bytes)
        answers.append(Piece(state.seq, message.piece, data))
    if answers and _is_in_time(replica, message.source, (state.seq, 0 if len(answers) > 1 else message.piece)):
        replica.out.messages += [Message(message.source, replica.id, body) for body in answers]


def _is_in_time(replica: Replica, node: NodeId, place: tuple[int, int]) -> bool:
    """Say whether a piece may go to a replica, and note that it does.  A set, and no order: what is played back in the
    name of the honest takes only itself from them."""
    handed = replica.handed.get(node)
    if handed is None or replica.now >= handed.since + replica.settings.retry_interval_s:
        handed = replica.handed[node] = Handed(replica.now)
    if place in handed.places:
        return False
    handed.places.add(place)
    return True


def take_transfer(replica: Replica, message: Transfer) -> None:
    """Begin to fetch a state, if its outline is the one that 2f + 1 have signed the digest of."""
    outline = message.outline
    if not replica.target or outline.seq <= replica.executed or replica.arriving is not None:
        return
    if (outline.seq, outline.digest()) != (replica.target[0].seq, replica.target[0].digest):
        return
    replica.arriving = Arriving(outline)
    _go_on(replica, replica.arriving)


def take_piece(replica: Replica, message: Piece) -> None:
    """Take a piece of the state that is being fetched, if it is the next one and as it was proved."""
    arriving = replica.arriving
    if arriving is None or (message.seq, message.number) != (arriving.outline.seq, arriving.next):
        return
    if arriving.outline.is_piece(message.number, message.data):
        arriving.pieces.append(message.data)
        _go_on(replica, arriving)


def _go_on(replica: Replica, arriving: Arriving) -> None:
    """Ask for the next piece; or become what others are, when there is none."""
    outline = arriving.outline
    if outline.seq <= replica.executed:
        return
    if arriving.next:
        _ask(replica)
        return
    state = State(outline.seq, outline.index, outline.done, b"".join(arriving.pieces))
    replica.outlines[state.seq] = outline
    replica.done = Done.load(replica.settings.numbers_count, state.done)
    replica.executed, replica.index = state.seq, state.index
    replica.compacting = False
    replica.out.restore = state
    replica.status_at = replica.now  # what came after it lay beyond the watermarks, and is said again to whoever asks
    _stabilise(replica, Held(state, replica.target))
    for key in [key for key in replica.waiting if replica.done.has(*key)]:
        del replica.waiting[key]
        replica.queue.pop(key, None)
    execute(replica)
