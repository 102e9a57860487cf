"""What a leader knows of one follower, and how fast it may send to it.

    probe --a success--> replicate --a refusal--> probe
    probe, replicate --what it lacks is compacted away--> snapshot --it has caught up--> replicate

In `probe` the leader does not know where the logs part: one message at a time.  In `replicate` it sends ahead without
waiting (pipelining), up to a number of messages under way.  In `snapshot` it sends the log's snapshot piece by
piece, and no entries until that has arrived.

Source: Ongaro & Ousterhout 2014, section 5.3 (nextIndex, matchIndex); etcd-io/raft, package tracker, for the states.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from concerted.consensus.entries import Snapshot
from concerted.consensus.pieces import Piece, Sending

__all__ = ["Progress"]

State = Literal["probe", "replicate", "snapshot"]


@dataclass(slots=True)
class Progress:
    """One follower in a leader's care.

    session: a number that no other stay of any follower has, and that every answer must carry.  match: up to where
    its log is known to be the leader's.  next: the first entry to send.  round: the newest round of heartbeats that
    it has answered.  active: whether it has answered since the last check of the quorum.  probing: a probe is under
    way.  sending: the snapshot that is on its way; snapshot_at: when its last piece was sent.  under_way: the last
    index of each unanswered message with entries, oldest first.
    """

    session: int
    next: int
    match: int = 0
    state: State = "probe"
    round: int = 0
    active: bool = True
    probing: bool = False
    sending: Sending | None = None
    snapshot_at: float = 0.0
    under_way: deque[int] = field(default_factory=deque)

    def may_send(self, window: int) -> bool:
        """Say whether entries may be sent now.  window: how many messages may be under way."""
        if self.state == "replicate":
            return len(self.under_way) < window
        return self.state == "probe" and not self.probing

    def sent(self, last_index: int) -> None:
        """Take note of a message with entries up to an index."""
        if self.state == "replicate":
            self.next = last_index + 1
            self.under_way.append(last_index)
        else:
            self.probing = True

    def next_piece(self, snapshot: Snapshot, size_bytes: int, now: float) -> Piece:
        """Return what is to be sent now of the log's snapshot, which may be a newer one than that on its way."""
        if self.sending is None or self.sending.snapshot.index != snapshot.index:
            self.sending = Sending(snapshot)
        self.state, self.snapshot_at = "snapshot", now
        self.under_way.clear()
        return self.sending.piece(size_bytes)

    def piece_arrived(self, index: int, offset: int, arrived_bytes: int) -> bool:
        """Take the answer to the piece at an offset of a snapshot; say whether another piece is to be sent now."""
        sending = self.sending
        return sending is not None and sending.snapshot.index == index and sending.answered(offset, arrived_bytes)

    def acknowledged(self, index: int) -> bool:
        """Take note that the logs are the same up to an index; say whether that is news."""
        news = index > self.match
        if news:
            self.match = index
        if self.next <= self.match:
            self.next = self.match + 1
        while self.under_way and self.under_way[0] <= index:
            self.under_way.popleft()
        if self.state == "probe" or (self.sending is not None and self.match >= self.sending.snapshot.index):
            self.state, self.probing, self.next = "replicate", False, self.match + 1
            self.sending = None
        return news

    def refused(self, prev_index: int, hint: int) -> bool:
        """Step back after a refusal; say whether it was about what was sent last, and not an old one.

        hint: the last index at which the logs may be the same.
        """
        if self.state == "snapshot" or prev_index <= self.match:
            return False
        if self.state == "probe":
            if prev_index != self.next - 1:
                return False
            self.next = max(min(prev_index, hint + 1), self.match + 1)
        else:
            self.state, self.next = "probe", self.match + 1
            self.under_way.clear()
        self.probing = False
        return True
