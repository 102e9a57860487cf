"""Reads that see everything acknowledged before they were asked, without a slot in the log.

Nobody else can lead while a leader holds its lease: a majority has heard it within an election timeout, by the clocks
of that majority, and promises nobody else anything so long.  The leader counts from before it sent what they heard, and
less by what clocks may drift apart (`Settings.lease_s`).  So it answers reads from its own state.  Without a lease it
lets a majority answer a round of heartbeats that was begun after the question; whoever did had promised nobody else.

A new leader does not know how much of what it has found was chosen, and acknowledged, before.  Until all of that is
chosen, reads wait.

Source: Gray & Cheriton, Leases, 1989; Chandra, Griesemer & Redstone, Paxos made live, 2007, section 5.2; Ongaro's
thesis 2014, section 6.4 for the rounds.
"""

from __future__ import annotations

from concerted.consensus.paxos.accept import heartbeat
from concerted.consensus.paxos.server import Server
from concerted.consensus.quorum import agreed
from concerted.consensus.ready import ReadId

__all__ = ["ask", "confirm", "has_lease", "waiting_count"]


def ask(server: Server, reads: tuple[ReadId, ...]) -> None:
    """Begin reads; those that need a round take the same one."""
    leading = server.leading
    if server.log.commit_index < leading.recovered_index:
        leading.early_reads += reads
    elif has_lease(server):
        server.reads += reads
    else:
        heartbeat(server)
        leading.reads.append((leading.round, reads))
        confirm(server)


def has_lease(server: Server) -> bool:
    """Say whether nobody else can lead, as far as clocks keep to the bound."""
    return server.leadership is not None and server.now < server.leadership.lease_until


def confirm(server: Server) -> None:
    """Take note of the rounds that a majority has answered: they renew the lease, and let their reads go ahead."""
    leading = server.leading
    if leading.early_reads and server.log.commit_index >= leading.recovered_index:
        early, leading.early_reads = tuple(leading.early_reads), []
        ask(server, early)
    if not leading.begun:
        return  # nothing has been begun that a majority has not answered
    rounds = {peer: progress.round for peer, progress in leading.followers.items()}
    answered = agreed(server.configuration, rounds | {server.id: leading.round})
    while leading.begun and leading.begun[0][0] <= answered:
        leading.lease_until = leading.begun.popleft()[1] + server.settings.lease_s
    while leading.reads and leading.reads[0][0] <= answered:
        server.reads += leading.reads.pop(0)[1]


def waiting_count(server: Server) -> int:
    """Return how many reads wait."""
    leading = server.leading
    return len(leading.early_reads) + sum(len(reads) for _, reads in leading.reads)
