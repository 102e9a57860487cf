"""Log replication (5.3), safety of commitment (5.4) and snapshots for who is far behind (7).

Source: Ongaro & Ousterhout 2014; etcd-io/raft for hints and flow control.
"""

from __future__ import annotations

from concerted.consensus.progress import Progress
from concerted.consensus.quorum import NodeId, agreed
from concerted.consensus.raft.messages import Append, Appended, Arrived, InstallSnapshot
from concerted.consensus.raft.server import Server, follow, grace

__all__ = [
    "broadcast",
    "care_for_members",
    "heartbeat",
    "take_append",
    "take_appended",
    "take_arrived",
    "take_snapshot",
    "try_to_commit",
]

# The leader


def broadcast(server: Server) -> None:
    """Send every follower the entries that it lacks, as far as its window allows."""
    for peer, progress in server.leading.followers.items():
        _send_entries(server, peer, progress)


def heartbeat(server: Server) -> None:
    """Send every follower something, entries or not, and begin a new round.

    An empty AppendEntries has the place where the next entry would follow, so its answer also shows what was lost.
    """
    leading = server.leading
    leading.round += 1
    leading.heartbeat_at = server.now + server.settings.heartbeat_interval_s
    for peer, progress in leading.followers.items():
        if progress.state == "snapshot":
            if server.now - progress.snapshot_at >= server.settings.heartbeat_interval_s:
                _send_piece(server, peer, progress)  # it, or its answer, was lost
            _send_append(server, peer, progress, after=0)
        elif not _send_entries(server, peer, progress):
            _send_append(server, peer, progress, after=progress.next - 1)


def care_for_members(server: Server) -> None:
    """Begin with followers that have joined, each in a session of its own; forget those that have left (6)."""
    leading, log = server.leading, server.log
    before, leading.followers = leading.followers, {}
    for node in log.configuration.members:
        if node == server.id:
            continue
        if node not in before:
            leading.sessions += 1
        leading.followers[node] = before.get(node) or Progress(leading.sessions, log.last_index + 1)


def take_appended(server: Server, message: Appended) -> None:
    """Learn from a follower's answer: what it has, or where to look for what we have in common (5.3)."""
    progress = _heard(server, message)
    if progress is None:
        return
    if message.success:
        assert message.index <= server.log.last_index, f"{message} is of more than leader {server.id} has"
        if progress.acknowledged(message.index):
            try_to_commit(server)
    else:
        hint, _ = server.log.last_not_after(message.hint_index, message.hint_term)
        if not progress.refused(message.index, hint):
            return
    _send_entries(server, message.source, progress)


def take_arrived(server: Server, message: Arrived) -> None:
    """Learn from a follower's answer how much of the snapshot it has, and send what comes next."""
    progress = _heard(server, message)
    if progress is not None and progress.piece_arrived(message.index, message.offset, message.arrived_bytes):
        _send_piece(server, message.source, progress)


def _heard(server: Server, message: Appended | Arrived) -> Progress | None:
    """Take note that a follower has answered; None if that is said by, or to, somebody else of this name."""
    progress = server.leading.followers.get(message.source)
    if progress is None or progress.session != message.session:
        return None
    progress.active = True
    progress.round = max(progress.round, message.round)
    return progress


def try_to_commit(server: Server) -> None:
    """Commit what a quorum has stored, if it is of this term (5.4.2, figure 8).

    "Only log entries from the leader's current term are committed by counting replicas"; those before it are then
    committed as well, by log matching.  The leader itself counts for what is on its own disk.
    """
    log = server.log
    if log.commit_index == log.last_index:
        return
    stored = {peer: progress.match for peer, progress in server.leading.followers.items()}
    stored[server.id] = log.durable_index
    index = agreed(log.configuration, stored)
    if index > log.commit_index and log.term_at(index) == server.term:
        log.commit_to(index)


def _send_entries(server: Server, peer: NodeId, progress: Progress) -> bool:
    """Send one follower what it lacks; say whether anything was sent."""
    settings, log = server.settings, server.log
    sent = False
    while progress.next <= log.last_index and progress.may_send(settings.window):
        sent = True
        if not _send_append(server, peer, progress, after=progress.next - 1, count=settings.batch_count):
            break
    return sent


def _send_append(server: Server, peer: NodeId, progress: Progress, *, after: int, count: int = 0) -> bool:
    """Send at most `count` entries after an index; or the snapshot, if that index is compacted away."""
    log, settings = server.log, server.settings
    prev_term = 0 if after == 0 else log.term_at(after)
    if prev_term is None or (count and after < log.snapshot.index):
        _send_piece(server, peer, progress)
        return False
    entries = log.batch(after, count, settings.batch_bytes) if count else ()
    if entries:
        progress.sent(entries[-1].index)
    server.messages.append(
        Append(
            to=peer,
            source=server.id,
            term=server.term,
            session=progress.session,
            prev_index=after,
            prev_term=prev_term,
            commit=log.commit_index,
            round=server.leading.round,
            entries=entries,
        )
    )
    return True


def _send_piece(server: Server, peer: NodeId, progress: Progress) -> None:
    """Send what comes next of the snapshot: the leader's log does not hold what this follower lacks (7)."""
    server.messages.append(
        InstallSnapshot(
            to=peer,
            source=server.id,
            term=server.term,
            session=progress.session,
            piece=progress.next_piece(server.log.snapshot, server.settings.piece_bytes, server.now),
            round=server.leading.round,
        )
    )


# A follower


def take_append(server: Server, message: Append) -> None:
    """Store the entries of this term's leader, if the one before them is here too: the consistency check (5.3)."""
    _hear(server, message)
    log = server.log
    if message.prev_index < log.commit_index:
        _answer(server, message, success=True, index=log.commit_index)  # so far every log of a leader is the same
    elif log.term_at(message.prev_index) == message.prev_term:
        if message.entries:
            log.merge(message.entries)
        last = message.prev_index + len(message.entries)
        log.commit_to(min(message.commit, last))  # what follows `last` here may conflict (figure 2, step 5)
        _answer(server, message, success=True, index=last)
    else:
        _answer(server, message, success=False, index=message.prev_index)


def take_snapshot(server: Server, message: InstallSnapshot) -> None:
    """Take the leader's snapshot, once it is whole, in the place of the log, unless the log has all of it (7)."""
    _hear(server, message)
    log, piece = server.log, message.piece
    if piece.index > log.commit_index:
        if log.term_at(piece.index) == piece.term:
            log.commit_to(piece.index)  # "log entries following it are retained"
        else:
            snapshot = server.arriving.take((message.source, message.term, message.session), piece)
            if snapshot is None:
                _answer_piece(server, message)
                return
            log.restore(snapshot)
            server.restore = snapshot
    _answer(server, message, success=True, index=log.commit_index)


def _hear(server: Server, message: Append | InstallSnapshot) -> None:
    """Acknowledge the leader of this term: nobody else can be (5.2)."""
    assert server.role != "leader", f"servers {server.id} and {message.source} both lead term {server.term}"
    if server.role != "follower" or server.leader != message.source:
        follow(server, message.term, message.source)
    server.heard_at = server.now
    server.election_at = server.now + grace(server)
    if 0 < server.arriving.index <= server.log.commit_index:
        server.arriving.forget()  # entries came first


def _answer_piece(server: Server, message: InstallSnapshot) -> None:
    server.messages.append(
        Arrived(
            to=message.source,
            source=server.id,
            term=server.term,
            session=message.session,
            index=message.piece.index,
            offset=message.piece.offset,
            arrived_bytes=server.arriving.size_bytes,
            round=message.round,
        )
    )


def _answer(server: Server, message: Append | InstallSnapshot, *, success: bool, index: int) -> None:
    prev_term = message.prev_term if isinstance(message, Append) else 0
    hint_index, hint_term = (0, 0) if success else server.log.last_not_after(index, prev_term)
    server.messages.append(
        Appended(
            to=message.source,
            source=server.id,
            term=server.term,
            session=message.session,
            success=success,
            index=index,
            round=message.round,
            hint_index=hint_index,
            hint_term=hint_term,
        )
    )
