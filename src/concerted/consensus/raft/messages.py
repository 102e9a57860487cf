"""What Raft servers say to each other: seven messages.

The names are the paper's.  All are frozen.  Every message carries its sender's term, and every reply the `session` of
what it answers: a number that the asker gave to this campaign, or to this stay of a follower in its care.  A reply from
another term or session is not counted, so nothing said to an earlier leader, campaign or member is taken for an answer
(an acknowledgement that outlives a removal is the known way to lose data: etcd-io/raft calls it a stale MsgAppResp).

Source: Ongaro & Ousterhout 2014, figures 2 and 13; Ongaro's thesis 2014, sections 3.10 (TimeoutNow) and 9.6 (pre-vote).
"""

from __future__ import annotations

import msgspec

from concerted.consensus.entries import Entry
from concerted.consensus.pieces import Piece
from concerted.consensus.quorum import NodeId

__all__ = [
    "Append",
    "Appended",
    "Arrived",
    "InstallSnapshot",
    "Message",
    "RequestVote",
    "TimeoutNow",
    "Vote",
]


class RequestVote(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=1):
    """A candidate asks for a vote (5.2), or whether it would get one (pre; thesis 9.6).

    term: the term that it stands for; of a pre-vote, the one after its own.  last_index, last_term: where its log
    ends (5.4.1).  transfer: the leader asked it to stand, so a living leader is no reason to refuse (thesis 4.2.3).
    """

    to: NodeId
    source: NodeId
    term: int
    session: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False


class Vote(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=2):
    """The answer to RequestVote.  term: that of who answers."""

    to: NodeId
    source: NodeId
    term: int
    session: int
    granted: bool
    pre: bool = False


class Append(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=3):
    """AppendEntries: entries to follow the one at prev_index (5.3); without any, a heartbeat.

    commit: how far the leader's log is committed.  round: the newest round of heartbeats, which a read waits for
    (thesis 6.4).
    """

    to: NodeId
    source: NodeId
    term: int
    session: int
    prev_index: int
    prev_term: int
    commit: int
    round: int = 0
    entries: tuple[Entry, ...] = ()


class Appended(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=4):
    """The answer to Append and InstallSnapshot; it means "stored", never "approved".

    index: up to where the logs are known to be the same, if it succeeded; else the prev_index that was refused.
    hint_index, hint_term: of a refusal, where the leader should look for the last entry in common (end of 5.3).
    """

    to: NodeId
    source: NodeId
    term: int
    session: int
    success: bool
    index: int
    round: int = 0
    hint_index: int = 0
    hint_term: int = 0


class InstallSnapshot(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=5):
    """A piece of the leader's snapshot, for a follower that lacks what the leader's log holds no more (7)."""

    to: NodeId
    source: NodeId
    term: int
    session: int
    piece: Piece
    round: int = 0


class TimeoutNow(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=6):
    """The leader asks its successor to stand for election at once (thesis 3.10)."""

    to: NodeId
    source: NodeId
    term: int
    session: int


class Arrived(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=7):
    """The answer to InstallSnapshot while the snapshot is not whole; when it is, that is Appended (figure 13).

    index: of the snapshot; offset: of the piece that is answered.  arrived_bytes: how much of the snapshot is here.
    """

    to: NodeId
    source: NodeId
    term: int
    session: int
    index: int
    offset: int
    arrived_bytes: int
    round: int = 0


Message = RequestVote | Vote | Append | Appended | InstallSnapshot | TimeoutNow | Arrived
