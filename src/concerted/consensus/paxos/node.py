"""Paxos: one replica as a value that is fed inputs and gives back what is to be done.

    paxos = Paxos(1, Settings(), Stored(snapshot=...), dice=random.random, now=clock())
    ready = paxos.receive(message, now=clock())

One replica keeps a log (Multi-Paxos, section 3) and agrees on single values (the synod, section 2), over one file.
 Each input has a method; each returns one `Ready`, in which the order of things is part of the promise.  The core has
no clock, dice, disk or network: `now` is an instant of this replica's own monotonic clock, in seconds, `dice` a
function.  It asks to be woken at `next_deadline` and needs nothing in between.

Who takes part stands in the first snapshot and never changes.

Where what stands (Lamport, Paxos made simple, 2001): numbers of proposals (2.2) in `ballot`; single values (2) in
`synod`; a replica's state (2.5) in `server`; phase 1 and the choice of a leader (2.4, 3) in `prepare`; phase 2,
learning (2.3) and snapshots in `accept`; the slots (3) in `log`; leases and reads in `reads`; what is durable (2.5) in
`storage`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos import accept, prepare, reads
from concerted.consensus.paxos.ballot import Ballot
from concerted.consensus.paxos.log import Log
from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    Arrived,
    InstallSnapshot,
    Message,
    Prepare,
    Promise,
    Refused,
)
from concerted.consensus.paxos.server import Role, Server, grace
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import Stored, Write
from concerted.consensus.paxos.synod import Synod, Valid
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import NOTHING, ReadId, Ready, Refusal

__all__ = ["Paxos", "PaxosReady"]

PaxosReady = Ready[Message, Write]


class Paxos:
    """One replica.  Restarted, it is made anew from what its disk holds; nothing else outlives it.

    valid: whether a value may be agreed on for a key; it must say the same everywhere, at all times.
    """

    def __init__(
        self,
        node: NodeId,
        settings: Settings,
        stored: Stored,
        *,
        dice: Callable[[], float],
        now: float,
        valid: Valid = lambda _key, _value: True,
    ) -> None:
        configuration = stored.snapshot.configuration
        assert node in configuration.voters, f"replica {node} is none of {configuration.voters}"
        log = Log(stored.snapshot, stored.proposals, stored.commit)
        self._server = Server(node, settings, dice, log, stored.promised, now=now)
        self._server.election_at = now + grace(self._server)
        if stored.promised and settings.lease_s:
            self._server.granted_until = now + settings.election_timeout_s  # it may have granted that, and not know
        self._synod = Synod(node, configuration, settings, stored.instances, dice=dice, valid=valid)
        self._stored_promise = stored.promised
        self._handed_out = stored.snapshot.index  # up to here entries were given out to be applied
        self._number = 0

    # What there is to see

    @property
    def id(self) -> NodeId:
        """Its id, which no other replica ever has."""
        return self._server.id

    @property
    def term(self) -> Ballot:
        """The highest ballot that it has promised for the log."""
        return self._server.promised

    @property
    def role(self) -> Role:
        """What it is now."""
        return self._server.role

    @property
    def leader(self) -> NodeId | None:
        """Who leads in this ballot, as far as it knows."""
        return self._server.leader

    @property
    def log(self) -> Log:
        """Its log, to be looked at."""
        return self._server.log

    @property
    def next_deadline(self) -> float:
        """When to call `wake`, if no input comes before that changes it."""
        leading = self._server.leadership
        due = self._server.election_at if leading is None else min(leading.heartbeat_at, leading.quorum_check_at)
        return min(due, self._synod.next_deadline)

    def has_lease(self, now: float) -> bool:
        """Say whether it leads, and nobody else can yet."""
        self._begin(now)
        return reads.has_lease(self._server)

    def chosen(self, key: str) -> bytes | None:
        """Return what was agreed on for a key, as far as it knows."""
        return self._synod.value(key)

    @property
    def agreeing_count(self) -> int:
        """For how many keys it still proposes."""
        return self._synod.attempts_count

    # Inputs

    def receive(self, message: Message, now: float) -> PaxosReady:
        """Take a message from the network."""
        server = self._begin(now)
        assert message.to == server.id, f"a message for replica {message.to} came to {server.id}"
        match message:
            case Prepare():
                prepare.take_prepare(server, message)
            case Promise():
                prepare.take_promise(server, message)
            case Refused():
                prepare.take_refused(server, message)
            case Accept():
                accept.take_accept(server, message)
            case InstallSnapshot():
                accept.take_snapshot(server, message)
            case Accepted():
                if server.role == "leader":
                    accept.take_accepted(server, message)
            case Arrived():
                if server.role == "leader":
                    accept.take_arrived(server, message)
            case _:
                self._synod.receive(message)
        return self._ready()

    def propose(self, commands: Sequence[bytes], now: float) -> PaxosReady:
        """Propose commands for the next slots, as the leader; they are chosen there, all or the first of them, or not.

        Whoever asked learns that by an entry with this index and term among `committed`.
        """
        server, log = self._begin(now), self._server.log
        if server.role != "leader":
            return self._ready(Refusal("not_leader", server.leader))
        if log.last_index - log.commit_index + len(commands) > server.settings.uncommitted_count:
            return self._ready(Refusal("overloaded", server.id))
        assert commands, "a proposal of nothing"
        for index, command in enumerate(commands, log.last_index + 1):
            log.accept(server.promised, Entry(index, server.promised, command))
        accept.broadcast(server)
        return self._ready(index=log.last_index)

    def agree(self, key: str, value: bytes, now: float) -> PaxosReady:
        """Have one value chosen for a key, at any replica: this one, or another one that was proposed.

        It comes out in `chosen`, now or later; the same again if it is asked again.  A value that is not valid is
        refused, and so is one more key than there may be.
        """
        self._begin(now)
        return self._ready(self._synod.agree(key, value, now))

    def read(self, asked: Sequence[ReadId], now: float) -> PaxosReady:
        """Ask for reads, as the leader.  Each id comes back in `reads`, or in `lost_reads` if leadership ends first.

        now: not before they were asked.
        """
        server = self._begin(now)
        refused = None if server.role == "leader" else Refusal("not_leader", server.leader)
        if refused is None and reads.waiting_count(server) + len(asked) > server.settings.reads_count:
            refused = Refusal("overloaded", server.id)
        if refused is None:
            reads.ask(server, tuple(asked))
        return self._ready(refused)

    def compact(self, index: int, data: bytes, now: float) -> PaxosReady:
        """Put a snapshot in the place of the slots up to an index.

        data: the state machine's state after the entry at `index`, which came in an earlier Ready.
        """
        server, log = self._begin(now), self._server.log
        term = log.term_at(index)
        assert index <= self._handed_out, f"entry {index} was not given out to be applied"
        assert term is not None, f"entry {index} is compacted away already"
        server.new_snapshot = Snapshot(index, term, server.configuration, data)
        log.compact(server.new_snapshot)
        return self._ready()

    def wake(self, now: float) -> PaxosReady:
        """Do what is due.  Waking too early does nothing."""
        server = self._begin(now)
        leading = server.leadership
        if leading is None:
            if now >= server.election_at:
                prepare.campaign(server, pre=True)
        else:
            if now >= leading.quorum_check_at:
                prepare.check_quorum(server)
            if server.role == "leader" and now >= leading.heartbeat_at:
                accept.heartbeat(server)
        self._synod.wake(now)
        return self._ready()

    def written(self, number: int, now: float) -> PaxosReady:
        """Take note that the write of this number, and all before it, are durable."""
        server = self._begin(now)
        if server.role == "leader":
            accept.written(server, number)
        self._synod.written(number)
        return self._ready()

    # How an input begins and ends

    def _begin(self, now: float) -> Server:
        assert now >= self._server.now, f"time of replica {self.id} went back from {self._server.now} to {now}"
        self._server.now = now
        return self._server

    def _ready(self, refused: Refusal | None = None, index: int | None = None) -> PaxosReady:
        """Hand out everything that has come up since the last Ready."""
        server, synod, log = self._server, self._synod, self._server.log
        if server.role == "leader":
            reads.confirm(server)
        restore, server.restore = server.restore, None
        if restore is not None:
            self._handed_out = restore.index
            server.new_snapshot = restore
        committed = log.between(self._handed_out, log.commit_index)
        self._handed_out = log.commit_index
        messages = (*server.messages, *synod.messages)
        chosen, answered, lost = tuple(synod.chosen), tuple(server.reads), tuple(server.lost_reads)
        for gone in (server.messages, synod.messages, synod.chosen, server.reads, server.lost_reads):
            gone.clear()
        write = self._write()
        if not (write or messages or committed or answered or lost or chosen or refused):
            return NOTHING
        return Ready(write, messages, restore, committed, answered, lost, refused, index, chosen=chosen)

    def _write(self) -> Write | None:
        """Return what must be durable before this Ready's messages leave; None if all of it is already handed out.

        How far all is chosen goes with every write: on that an answer may rest which covers slots of lower ballots.
        """
        server, synod, log = self._server, self._synod, self._server.log
        snapshot, server.new_snapshot = server.new_snapshot, None
        is_new = server.promised != self._stored_promise or snapshot is not None
        if not (is_new or log.has_unwritten or synod.has_unwritten):
            return None
        self._number += 1
        self._stored_promise = server.promised
        if server.leadership is not None:
            server.leadership.writes.append((self._number, log.last_index))
        return Write(self._number, server.promised, log.commit_index, snapshot, log.write(), synod.write(self._number))
