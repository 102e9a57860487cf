"""One replica's state: proposer, acceptor and learner of all slots of the log, and what it has to say.

    follower --no leader is heard--> asking --a majority would promise--> preparing --a majority has promised--> leader
    asking, preparing, leader --a higher ballot, or a majority refuses--> follower
    leader --no majority heard for an election timeout--> follower

"Each process plays the role of proposer, acceptor, and learner.  The algorithm chooses a leader, which plays the roles
of the distinguished proposer and the distinguished learner" (2.5).  The other modules are functions over this state.

Source: Lamport, Paxos made simple, 2001, sections 2.5 and 3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.ballot import Ballot
from concerted.consensus.paxos.log import Log
from concerted.consensus.paxos.messages import Message, Proposal
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.pieces import Arriving
from concerted.consensus.progress import Progress
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import ReadId

__all__ = ["Campaign", "Leadership", "Role", "Server", "follow", "grace", "promise"]

Role = Literal["follower", "asking", "preparing", "leader"]

NEVER = float("-inf")


@dataclass(slots=True)
class Campaign:
    """An attempt to become the leader.

    session: counts the campaigns of this replica.  answered: who has promised all (or would), and who has refused.
    after: the slot behind which the next part of each promise begins.  found: the highest-numbered proposal in each
    open slot, of all that were reported.
    """

    ballot: Ballot
    session: int
    answered: dict[NodeId, bool] = field(default_factory=dict)
    after: dict[NodeId, int] = field(default_factory=dict)
    found: dict[int, Proposal] = field(default_factory=dict)


@dataclass(slots=True)
class Leadership:
    """What only a leader knows; it is gone when the leader steps down.

    recovered_index: what may have been chosen before it led ends here.  durable_index: up to here its own disk has what
    it proposes, or it is chosen.  writes: (number, last slot) of those under way.  followers: by id, ascending.
    round: the newest round of heartbeats.  begun: (round, instant) of those that a majority has not answered yet.
    lease_until: until then nobody else can lead.  reads: (round that a majority must answer, ids), oldest first.
    early_reads: those that came before `recovered_index` was chosen.
    """

    session: int
    recovered_index: int
    durable_index: int
    heartbeat_at: float
    quorum_check_at: float
    writes: deque[tuple[int, int]] = field(default_factory=deque)
    followers: dict[NodeId, Progress] = field(default_factory=dict)
    round: int = 0
    begun: deque[tuple[int, float]] = field(default_factory=deque)
    lease_until: float = NEVER
    reads: list[tuple[int, tuple[ReadId, ...]]] = field(default_factory=list)
    early_reads: list[ReadId] = field(default_factory=list)


@dataclass(slots=True)
class Server:
    """The state of one replica.  dice: gives a number 0 <= x < 1.  now: the instant of the input that is looked at.

    promised: persistent, as the log is.  seen: the highest ballot that anybody has spoken of.  leader: who leads in
    the promised ballot, as far as is known.  granted_to, granted_until: whom it has heard lead, and until when it
    promises nobody else anything; None: it cannot know, and nobody at all.  election_at: when to campaign.
    arriving: the snapshot of which a leader has sent pieces.
    """

    id: NodeId
    settings: Settings
    dice: Callable[[], float]
    log: Log
    promised: Ballot = 0
    role: Role = "follower"
    leader: NodeId | None = None
    now: float = 0.0
    seen: Ballot = 0
    granted_to: NodeId | None = None
    granted_until: float = NEVER
    election_at: float = 0.0
    campaigns: int = 0
    campaign: Campaign | None = None
    leadership: Leadership | None = None
    arriving: Arriving = field(default_factory=Arriving)
    messages: list[Message] = field(default_factory=list)
    restore: Snapshot | None = None
    new_snapshot: Snapshot | None = None
    reads: list[ReadId] = field(default_factory=list)
    lost_reads: list[ReadId] = field(default_factory=list)

    @property
    def configuration(self) -> Configuration:
        """Who takes part; that never changes."""
        return self.log.snapshot.configuration

    @property
    def peers(self) -> tuple[NodeId, ...]:
        """All others, ascending."""
        return tuple(node for node in self.configuration.voters if node != self.id)

    @property
    def leading(self) -> Leadership:
        """The leadership of a replica that is known to lead."""
        assert self.leadership is not None, f"replica {self.id} is no leader"
        return self.leadership


def promise(server: Server, ballot: Ballot) -> None:
    """Promise not to accept anything below a ballot from now on (P1a): whoever leads in a lower one is over."""
    assert ballot >= server.promised, f"replica {server.id} has promised {server.promised} and would promise {ballot}"
    if ballot > server.promised:
        follow(server)
        server.promised, server.leader = ballot, None


def follow(server: Server) -> None:
    """Propose nothing any more; wait for somebody who does."""
    if server.leadership is not None:
        server.lost_reads += server.leadership.early_reads
        server.lost_reads += [read for _, reads in server.leadership.reads for read in reads]
        server.leadership = None
        server.leader = None
    if server.role != "follower":
        server.election_at = server.now + grace(server)
    server.role, server.campaign = "follower", None


def grace(server: Server) -> float:
    """Roll how long to wait for a leader: one to two election timeouts, so that two rarely prepare at once (2.4)."""
    return server.settings.election_timeout_s * (1.0 + server.dice())
