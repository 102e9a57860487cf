"""One server's state: figure 2 of the paper as a dataclass, and what it has to say since the last step.

    follower --timeout--> pre-candidate --a majority would vote--> candidate --a majority votes--> leader
    any --a higher term--> follower        candidate, pre-candidate --a leader of this term, or defeat--> follower
    leader --no majority heard for an election timeout--> follower

The other modules of this package are functions over it, one for each section of the paper.

Source: Ongaro & Ousterhout 2014, figures 2 and 4; Ongaro's thesis 2014, sections 6.2 and 9.6 for the other arrows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from concerted.consensus.entries import Snapshot
from concerted.consensus.pieces import Arriving
from concerted.consensus.progress import Progress
from concerted.consensus.quorum import NodeId
from concerted.consensus.raft.log import Log
from concerted.consensus.raft.messages import Message
from concerted.consensus.raft.settings import Settings
from concerted.consensus.ready import ReadId

__all__ = ["Leadership", "Role", "Server", "follow", "grace", "may_campaign"]

Role = Literal["follower", "pre-candidate", "candidate", "leader"]

NEVER = float("-inf")


@dataclass(slots=True)
class Leadership:
    """What only a leader knows; it is gone when the leader steps down.

    followers: by id, ascending.  sessions: how many stays of followers there have been.  round: the newest round of
    heartbeats.  reads: (round that a quorum must answer, ids), oldest first.  early_reads: those that came before
    anything of this term was committed.  successor: to whom it is handing over, until `transfer_until`.
    """

    heartbeat_at: float
    quorum_check_at: float
    followers: dict[NodeId, Progress] = field(default_factory=dict)
    sessions: int = 0
    round: int = 0
    reads: list[tuple[int, tuple[ReadId, ...]]] = field(default_factory=list)
    early_reads: list[ReadId] = field(default_factory=list)
    successor: NodeId | None = None
    transfer_until: float = 0.0

    def next_deadline(self) -> float:
        """Return when something is due."""
        due = self.heartbeat_at if self.heartbeat_at < self.quorum_check_at else self.quorum_check_at
        return due if self.successor is None else min(due, self.transfer_until)


@dataclass(slots=True)
class Server:
    """The state of one server.  dice: gives a number 0 <= x < 1.  now: the instant of the input that is looked at.

    term, vote: persistent, as the log is.  leader: who leads this term, as far as is known.  heard_at: when that one
    was heard last.  election_at: when to stand for election; of no account in a leader.  campaign: counts the times
    that this server has stood.  votes: what it was answered.  leadership: there in a leader alone.
    arriving: the snapshot of which a leader has sent pieces.

    messages, restore, new_snapshot, reads, lost_reads: go out with the next Ready.
    """

    id: NodeId
    settings: Settings
    dice: Callable[[], float]
    log: Log
    term: int = 0
    vote: NodeId | None = None
    role: Role = "follower"
    leader: NodeId | None = None
    now: float = 0.0
    heard_at: float = NEVER
    election_at: float = 0.0
    campaign: int = 0
    votes: dict[NodeId, bool] = field(default_factory=dict)
    leadership: Leadership | None = None
    arriving: Arriving = field(default_factory=Arriving)
    messages: list[Message] = field(default_factory=list)
    restore: Snapshot | None = None
    new_snapshot: Snapshot | None = None
    reads: list[ReadId] = field(default_factory=list)
    lost_reads: list[ReadId] = field(default_factory=list)

    @property
    def leading(self) -> Leadership:
        """The leadership of a server that is known to lead."""
        assert self.leadership is not None, f"server {self.id} is no leader"
        return self.leadership


def follow(server: Server, term: int, leader: NodeId | None = None) -> None:
    """Become, or stay, a follower of a term (5.1): "if a server's term is out of date, it immediately reverts"."""
    assert term >= server.term, f"server {server.id} would go back from term {server.term} to {term}"
    if term > server.term:
        server.term, server.vote, server.leader = term, None, None
    if server.leadership is not None:
        server.lost_reads += server.leadership.early_reads
        server.lost_reads += [read for _, reads in server.leadership.reads for read in reads]
        server.leadership = None
        server.leader = None  # nobody leads who does not know it
    if server.role != "follower":
        server.election_at = server.now + grace(server)
    server.role = "follower"
    server.votes = {}
    if leader is not None and server.leader != leader:
        assert server.leader is None, f"term {term} has two leaders, {server.leader} and {leader}"
        server.leader = leader


def grace(server: Server) -> float:
    """Roll an election timeout: one to two of the set ones, so that split votes are rare (5.2)."""
    return server.settings.election_timeout_s * (1.0 + server.dice())


def may_campaign(server: Server) -> bool:
    """Say whether this server is a voter of a configuration that may still be in force.

    That is any one since the newest that it knows to be committed: a server that is leaving may be the only one with
    the newest entries, and is needed until the configuration without it is committed (thesis 4.2.2).  After a restart
    it knows of no commitment but its snapshot's.
    """
    return any(each.is_voter(server.id) for each in server.log.configurations_in_force())
