"""Raft: one server as a value that is fed inputs and gives back what is to be done.

    raft = Raft(1, Settings(), Stored(snapshot=...), dice=random.random, now=clock())
    ready = raft.receive(message, now=clock())

Each input has a method; each returns one `Ready`, in which the order of things is part of the promise.  The core has no
clock, dice, disk or network: `now` is an instant of this server's own monotonic clock, in seconds, `dice` a function.
It asks to be woken at `next_deadline` and needs nothing in between, so an idle follower costs nothing.

Where what stands (Ongaro & Ousterhout 2014): the state of figure 2 in `server`; elections (5.2, 5.4.1) in `elections`;
replication (5.3), commitment (5.4.2) and snapshots (7) in `replication`; changes of members (6) in `membership`;
clients (8; thesis 6.3 and 6.4) in `sessions` and `reads`; transfer of leadership (thesis 3.10) in `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.progress import Progress
from concerted.consensus.quorum import NodeId
from concerted.consensus.raft import elections, membership, reads, replication, transfer
from concerted.consensus.raft.log import Log
from concerted.consensus.raft.messages import (
    Append,
    Appended,
    Arrived,
    InstallSnapshot,
    Message,
    RequestVote,
    TimeoutNow,
    Vote,
)
from concerted.consensus.raft.server import Role, Server, follow, grace
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import Stored, Write
from concerted.consensus.ready import NOTHING, ReadId, Ready, Refusal

__all__ = ["Raft", "RaftReady"]

RaftReady = Ready[Message, Write]


class Raft:
    """One server.  Restarted, it is made anew from what its disk holds; nothing else outlives it.

    id: which no other server ever has.  next_deadline: when to call `wake`, if no input comes before that changes it.
    log, server: its log and all of its state, to be looked at.
    """

    def __init__(
        self, node: NodeId, settings: Settings, stored: Stored, *, dice: Callable[[], float], now: float
    ) -> None:
        log = Log(stored.snapshot, stored.entries)
        self.id = node
        self.log = log
        self.server = Server(node, settings, dice, log, stored.term, stored.vote, now=now)
        self.server.election_at = self.next_deadline = now + grace(self.server)
        self._stored_term, self._stored_vote = stored.term, stored.vote
        self._handed_out = log.commit_index  # up to here entries were given out to be applied
        self._number = 0

    # What there is to see

    @property
    def term(self) -> int:
        """The newest term that it has seen."""
        return self.server.term

    @property
    def role(self) -> Role:
        """What it is now."""
        return self.server.role

    @property
    def leader(self) -> NodeId | None:
        """Who leads this term, as far as it knows."""
        return self.server.leader

    @property
    def followers(self) -> Mapping[NodeId, Progress]:
        """What a leader knows of its followers, to be looked at; of others, nothing."""
        leading = self.server.leadership
        return {} if leading is None else leading.followers

    # Inputs

    def receive(self, message: Message, now: float) -> RaftReady:
        """Take a message from the network."""
        server = self._begin(now)
        assert message.to == server.id, f"a message for server {message.to} came to {server.id}"
        if message.term > server.term:
            self._adopt_term(message)
        if message.term < server.term and not isinstance(message, RequestVote):
            self._receive_late(message)
            return self._ready()
        match message:
            case Append():
                replication.take_append(server, message)
            case Appended():
                if server.role == "leader":
                    replication.take_appended(server, message)
                    transfer.go_on(server, message.source)
            case RequestVote():
                elections.take_request_vote(server, message)
            case Vote():
                elections.take_vote(server, message)
            case InstallSnapshot():
                replication.take_snapshot(server, message)
            case Arrived():
                if server.role == "leader":
                    replication.take_arrived(server, message)
            case TimeoutNow():
                elections.take_timeout_now(server, message)
        return self._ready()

    def propose(self, commands: Sequence[bytes], now: float) -> RaftReady:
        """Append commands to the log, as the leader; they are committed, all or the first of them, or never.

        Whoever asked learns that by an entry with this index and term among `committed`.
        """
        server = self._begin(now)
        refused = self._refusal(len(commands))
        if refused is not None:
            return self._ready(refused)
        assert commands, "a proposal of nothing"
        first = server.log.last_index + 1
        server.log.append([Entry(index, server.term, command) for index, command in enumerate(commands, first)])
        replication.broadcast(server)
        return self._ready(index=server.log.last_index)

    def read(self, asked: Sequence[ReadId], now: float) -> RaftReady:
        """Ask for reads, as the leader.  Each id comes back in `reads`, or in `lost_reads` if leadership ends first."""
        server = self._begin(now)
        refused = None if server.role == "leader" else Refusal("not_leader", server.leader)
        if refused is None and reads.waiting_count(server) + len(asked) > server.settings.reads_count:
            refused = Refusal("overloaded", server.id)
        if refused is None:
            reads.ask(server, tuple(asked))
        return self._ready(refused)

    def change_members(self, voters: Sequence[NodeId], learners: Sequence[NodeId], now: float) -> RaftReady:
        """Begin to change the members, as the leader; the change is done when its final configuration is committed.

        Raises:
            Invalid: there is no voter, or an id stands twice or belonged to somebody before.
        """
        server = self._begin(now)
        if server.role != "leader":
            return self._ready(Refusal("not_leader", server.leader))
        return self._ready(membership.change(server, voters, learners))

    def transfer(self, successor: NodeId, now: float) -> RaftReady:
        """Hand leadership over to a voter, as the leader.  It may fail, and then this server goes on leading."""
        server = self._begin(now)
        if server.role != "leader":
            return self._ready(Refusal("not_leader", server.leader))
        return self._ready(transfer.begin(server, successor))

    def compact(self, index: int, data: bytes, now: float) -> RaftReady:
        """Put a snapshot in the place of the log up to an index (section 7).

        data: the state machine's state after the entry at `index`, which came in an earlier Ready.
        """
        server, log = self._begin(now), self.server.log
        term = log.term_at(index)
        assert index <= self._handed_out, f"entry {index} was not given out to be applied"
        assert term is not None, f"entry {index} is compacted away already"
        server.new_snapshot = Snapshot(index, term, log.configuration_at(index), data)
        log.compact(server.new_snapshot)
        return self._ready()

    def wake(self, now: float) -> RaftReady:
        """Do what is due.  Waking too early does nothing."""
        server = self._begin(now)
        leading = server.leadership
        if leading is None:
            if now >= server.election_at:
                elections.time_out(server)
            return self._ready()
        if now >= leading.quorum_check_at:
            elections.check_quorum(server)
        if server.role == "leader":
            transfer.give_up_if_late(server)
            if now >= leading.heartbeat_at:
                replication.heartbeat(server)
        return self._ready()

    def written(self, number: int, now: float) -> RaftReady:
        """Take note that the write of this number, and all before it, are durable."""
        server = self._begin(now)
        server.log.written(number)
        if server.role == "leader":
            replication.try_to_commit(server)
        return self._ready()

    # How an input begins and ends

    def _begin(self, now: float) -> Server:
        assert now >= self.server.now, f"time of server {self.id} went back from {self.server.now} to {now}"
        self.server.now = now
        return self.server

    def _receive_late(self, message: Message) -> None:
        """Take a message of a term that is over (5.1): tell who led it; its answers and wishes count no more."""
        match message:
            case Append() | InstallSnapshot():
                self._refuse_former_leader(message)
            case Vote() if message.pre:
                elections.take_vote(self.server, message)  # it has the term of who answers, which may be behind

    def _adopt_term(self, message: Message) -> None:
        """Revert to a follower of a higher term (5.1), unless somebody only asks whether it could begin one."""
        server = self.server
        if isinstance(message, RequestVote) and (message.pre or (elections.is_sticky(server) and not message.transfer)):
            return
        follow(server, message.term)

    def _refuse_former_leader(self, message: Append | InstallSnapshot) -> None:
        """Tell who led an earlier term that this is over."""
        server = self.server
        server.messages.append(
            Appended(message.source, server.id, server.term, message.session, success=False, index=0)
        )

    def _refusal(self, count: int) -> Refusal | None:
        server = self.server
        leading = server.leadership
        if leading is None:
            return Refusal("not_leader", server.leader)
        if leading.successor is not None:
            return Refusal("transferring", server.id)
        if server.log.last_index - server.log.commit_index + count > server.settings.uncommitted_count:
            return Refusal("overloaded", server.id)
        return None

    def _ready(self, refused: Refusal | None = None, index: int | None = None) -> RaftReady:
        """Hand out everything that has come up since the last Ready."""
        server, log = self.server, self.log
        if server.role == "leader":
            membership.after_commit(server)
        leading = server.leadership
        if leading is None:
            self.next_deadline = server.election_at
        else:
            if leading.reads or leading.early_reads:
                reads.confirm(server)
            self.next_deadline = leading.next_deadline()
        restore = server.restore
        if restore is not None:
            self._handed_out, server.restore = restore.index, None
        committed: tuple[Entry, ...] = ()
        if log.commit_index > self._handed_out:
            committed = log.between(self._handed_out, log.commit_index)
            self._handed_out = log.commit_index
        messages: tuple[Message, ...] = ()
        if server.messages:
            messages, server.messages = tuple(server.messages), []
        ready_reads: tuple[ReadId, ...] = ()
        if server.reads:
            ready_reads, server.reads = tuple(server.reads), []
        lost_reads: tuple[ReadId, ...] = ()
        if server.lost_reads:
            lost_reads, server.lost_reads = tuple(server.lost_reads), []
        write = self._write(restore is not None)
        if not (write or messages or committed or ready_reads or lost_reads or refused):
            return NOTHING
        return Ready(write, messages, restore, committed, ready_reads, lost_reads, refused, index)

    def _write(self, restores: bool) -> Write | None:
        """Return what must be durable before this Ready's messages leave; None if all of it is already handed out."""
        server, log = self.server, self.log
        hard_changed = server.term != self._stored_term or server.vote != self._stored_vote
        snapshot = log.snapshot if restores else server.new_snapshot
        if not hard_changed and snapshot is None and log.unwritten_index > log.last_index:
            return None
        server.new_snapshot = None
        self._number += 1
        self._stored_term, self._stored_vote = server.term, server.vote
        return Write(self._number, server.term, server.vote, snapshot, restores, log.write(self._number))
