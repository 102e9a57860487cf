"""Phase 2 for the slots of the log, learning, and snapshots for who is far behind (2.2, 2.3, 3).

The leader proposes a value for a slot as soon as it has one, while those before are still under way: "a leader can
propose commands for a number of instances ahead".  To who is behind it proposes again what is chosen already: that is
how learners catch up, and in any ballot nothing else could be proposed there.

Source: Lamport, Paxos made simple, 2001; etcd-io/raft for flow control.
"""

from __future__ import annotations

from concerted.consensus.paxos.messages import Accept, Accepted, Arrived, InstallSnapshot, Refused
from concerted.consensus.paxos.server import Server, follow, grace, promise
from concerted.consensus.progress import Progress
from concerted.consensus.quorum import NodeId, agreed

__all__ = [
    "broadcast",
    "heartbeat",
    "take_accept",
    "take_accepted",
    "take_arrived",
    "take_snapshot",
    "try_to_choose",
    "written",
]

# The leader: distinguished proposer, distinguished learner


def broadcast(server: Server) -> None:
    """Send every replica what it lacks, as far as its window allows."""
    for peer, progress in server.leading.followers.items():
        _send_entries(server, peer, progress)


def heartbeat(server: Server) -> None:
    """Send every replica something, entries or not, and begin a new round.

    A message without entries names the slot behind which the next would stand, so its answer also shows what was lost.
    """
    leading = server.leading
    leading.round += 1
    leading.begun.append((leading.round, server.now))
    leading.heartbeat_at = server.now + server.settings.heartbeat_interval_s
    for peer, progress in leading.followers.items():
        if progress.state == "snapshot":
            if server.now - progress.snapshot_at >= server.settings.heartbeat_interval_s:
                _send_piece(server, peer, progress)  # it, or its answer, was lost
            _send_accept(server, peer, progress, after=0)
        elif not _send_entries(server, peer, progress):
            _send_accept(server, peer, progress, after=progress.next - 1)


def take_accepted(server: Server, message: Accepted) -> None:
    """Learn from an acceptor's answer up to where it has accepted all, or where slots are missing."""
    progress = _heard(server, message)
    if progress is None:
        return
    if message.index >= message.after:
        assert message.index <= server.log.last_index, f"{message} is of more than leader {server.id} has"
        if progress.acknowledged(message.index):
            try_to_choose(server)
    elif not progress.refused(message.after, message.index):
        return
    _send_entries(server, message.source, progress)


def take_arrived(server: Server, message: Arrived) -> None:
    """Learn from a replica's answer how much of the snapshot it has, and send what comes next."""
    progress = _heard(server, message)
    if progress is not None and progress.piece_arrived(message.index, message.offset, message.arrived_bytes):
        _send_piece(server, message.source, progress)


def _heard(server: Server, message: Accepted | Arrived) -> Progress | None:
    """Take note that a replica has answered; None if that is about another ballot or campaign, and does not count."""
    leading = server.leading
    if (message.ballot, message.session) != (server.promised, leading.session):
        return None
    progress = leading.followers[message.source]
    progress.active = True
    progress.round = max(progress.round, message.round)
    return progress


def try_to_choose(server: Server) -> None:
    """Learn that a value is chosen: "accepted by a majority of acceptors" (2.3), all of them in this ballot.

    The leader itself counts for what is on its own disk.
    """
    leading = server.leading
    accepted = {peer: progress.match for peer, progress in leading.followers.items()}
    accepted[server.id] = leading.durable_index
    server.log.commit_to(agreed(server.configuration, accepted))


def written(server: Server, number: int) -> None:
    """Take note that the writes up to this number are durable."""
    leading = server.leading
    while leading.writes and leading.writes[0][0] <= number:
        leading.durable_index = leading.writes.popleft()[1]
    try_to_choose(server)


def _send_entries(server: Server, peer: NodeId, progress: Progress) -> bool:
    """Send one replica what it lacks; say whether anything was sent."""
    settings, log = server.settings, server.log
    sent = False
    while progress.next <= log.last_index and progress.may_send(settings.window):
        sent = True
        if progress.next <= log.snapshot.index:
            _send_piece(server, peer, progress)
        else:
            _send_accept(server, peer, progress, after=progress.next - 1, count=settings.batch_count)
    return sent


def _send_accept(server: Server, peer: NodeId, progress: Progress, *, after: int, count: int = 0) -> None:
    """Propose, to one acceptor, the values of at most `count` slots after an index (phase 2a)."""
    log, leading = server.log, server.leading
    entries = log.batch(after, count, server.settings.batch_bytes) if count else ()
    if entries:
        progress.sent(entries[-1].index)
    server.messages.append(
        Accept(peer, server.id, server.promised, leading.session, after, log.commit_index, leading.round, entries)
    )


def _send_piece(server: Server, peer: NodeId, progress: Progress) -> None:
    """Send what comes next of the snapshot: the leader's log does not hold what this replica lacks."""
    leading = server.leading
    piece = progress.next_piece(server.log.snapshot, server.settings.piece_bytes, server.now)
    server.messages.append(InstallSnapshot(peer, server.id, server.promised, leading.session, piece, leading.round))


# The acceptor and learner


def take_accept(server: Server, message: Accept) -> None:
    """Accept the proposals, unless a higher ballot was promised (phase 2b, P1a); learn what is chosen.

    What was accepted in this ballot up to the leader's mark is what it proposed there, and that is chosen.
    """
    if not _hear(server, message):
        return
    log = server.log
    for entry in message.entries:
        log.accept(message.ballot, entry)
    index = log.reached(message.ballot)
    log.commit_to(min(message.commit, index))
    _answer(server, message, after=message.after)


def take_snapshot(server: Server, message: InstallSnapshot) -> None:
    """Take the leader's snapshot, once it is whole, in the place of the slots up to its index, unless all is known."""
    if not _hear(server, message):
        return
    piece, arriving = message.piece, server.arriving
    if piece.index > server.log.commit_index:
        snapshot = arriving.take((message.source, message.ballot, message.session), piece)
        if snapshot is None:
            server.messages.append(
                Arrived(
                    message.source, server.id, message.ballot, message.session, piece.index, piece.offset,
                    arriving.size_bytes, message.round,
                )
            )  # fmt: skip
            return
        server.log.restore(snapshot)
        server.restore = snapshot
    _answer(server, message, after=piece.index)


def _hear(server: Server, message: Accept | InstallSnapshot) -> bool:
    """Take note that somebody leads in this ballot, and grant it an election timeout; or refuse."""
    if message.ballot < server.promised:
        refused = Refused(message.source, server.id, message.ballot, message.session, server.promised)
        server.messages.append(refused)
        return False
    assert server.role != "leader" or message.ballot > server.promised, f"two lead in ballot {message.ballot}"
    follow(server)
    promise(server, message.ballot)
    server.leader = server.granted_to = message.source
    server.granted_until = server.now + server.settings.election_timeout_s
    server.election_at = server.now + grace(server)
    if 0 < server.arriving.index <= server.log.commit_index:
        server.arriving.forget()  # what is chosen came first
    return True


def _answer(server: Server, message: Accept | InstallSnapshot, *, after: int) -> None:
    index = server.log.reached(message.ballot)
    server.messages.append(
        Accepted(message.source, server.id, message.ballot, message.session, index, after, message.round)
    )
