"""Reads that see everything acknowledged before they were asked, without an entry in the log (ReadIndex, thesis 6.4).

A leader may have been deposed without knowing it.  So it notes how far it has committed, lets a quorum answer a
round of heartbeats that was begun after the question, and only then are reads at that point the newest there is.
Before it has committed an entry of its own term it does not know how far others have committed, and reads wait.

Source: Ongaro's thesis 2014, section 6.4; Ongaro & Ousterhout 2014, section 8.
"""

from __future__ import annotations

from concerted.consensus.quorum import agreed
from concerted.consensus.raft.replication import heartbeat
from concerted.consensus.raft.server import Server
from concerted.consensus.ready import ReadId

__all__ = ["ask", "confirm", "waiting_count"]


def ask(server: Server, reads: tuple[ReadId, ...]) -> None:
    """Begin reads, all of them with one round."""
    leading = server.leading
    if server.log.term_at(server.log.commit_index) != server.term:
        leading.early_reads += reads
        return
    heartbeat(server)
    leading.reads.append((leading.round, reads))
    confirm(server)


def confirm(server: Server) -> None:
    """Let reads go ahead whose round a quorum has answered; the Ready applies all that is committed before them."""
    leading = server.leading
    if leading.early_reads and server.log.term_at(server.log.commit_index) == server.term:
        early, leading.early_reads = tuple(leading.early_reads), []
        ask(server, early)
    if leading.reads:
        rounds = {peer: progress.round for peer, progress in leading.followers.items()}
        rounds[server.id] = leading.round
        answered = agreed(server.log.configuration, rounds)
        while leading.reads and leading.reads[0][0] <= answered:
            server.reads += leading.reads.pop(0)[1]


def waiting_count(server: Server) -> int:
    """Return how many reads wait."""
    leading = server.leading
    return len(leading.early_reads) + sum(len(reads) for _, reads in leading.reads)
