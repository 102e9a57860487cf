"""A group of replicas without disk, network and clock: the hall in which the exam of replicated logs is held.

Each replica is driven as `consensus.ready` says: written, then sent, then applied, then answered.  Files are bytes in
memory, time goes on when nothing else does, and a replica may be killed just after it has sent something.
"""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.keeping import Replicated
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import ReadId, Ready
from concerted.consensus.replica_group import tolerates
from concerted.consensus.sessions import OPEN, Answer, Command, Sessions
from concerted.replicas.protocols.algorithms import Kind, Making, kind_of
from concerted.replicas.protocols.entering import Proposed
from concerted.replicas.protocols.pbft import sealed
from concerted.replicas.spec import COORDINATOR, Group

__all__ = ["Hall", "Protocol", "Replica"]

Protocol = Replicated | Kind

KEY_BYTES = 32
PATIENCE_S = 600.0  # of the hall's time, for what must happen
STEPS = 100_000  # inputs, in the same
RETRY_S = 5.0  # after which a command that was not answered is proposed again


class Replica:
    """One replica.  applied: the bodies of the commands that it has carried out, in order.  sends: until it dies.

    restores: snapshots that it has taken over; snapshots: that its core has asked for.
    """

    def __init__(self, hall: Hall, node: NodeId) -> None:
        self.hall, self.node = hall, node
        self.kind = hall.kind
        self.data = self.kind.storage.begin(node, self.kind.first(hall.group, node))
        self.sends: int | None = None
        self.sent_in = 0  # the term in which it has last said something
        self.restores = self.snapshots = 0
        self.start()

    def start(self) -> None:
        """Begin with what the file holds."""
        storage, hall = self.kind.storage, self.hall
        stored = storage.recover(self.node, self.data).stored
        self.contents = storage.contents(stored)
        self.sessions, self.applied, self.index = Sessions(), list[bytes](), 0
        self.entries: dict[int, Entry] = {}
        self.answers: dict[tuple[int, int], Answer] = {}
        self.reads: dict[ReadId, tuple[bytes, ...] | None] = {}
        self.is_alive = True
        if stored.snapshot.index:
            self._restore(stored.snapshot)
        private = hall.private.get(self.node, "")
        self.entering = self.kind.entering(hall.group, self.node, private)
        self.core = self.kind.core(Making(hall.group, self.node, stored, hall.dice, hall.now, private))

    def kill(self) -> None:
        """Forget all that is not in the file."""
        self.is_alive = False

    def give(self, ready: Ready[Any, Any]) -> Ready[Any, Any]:
        """Carry out what an input of the core comes to, and all that follows; return it."""
        waiting = deque([ready])
        while waiting and self.is_alive:
            waiting.extend(self._carry_out(waiting.popleft()))
        return ready

    def compact(self) -> None:
        """Put what was applied in the place of the log."""
        self.give(self.core.compact(self.index, self._dump(), self.hall.now))

    def _carry_out(self, ready: Ready[Any, Any]) -> list[Ready[Any, Any]]:
        storage, core = self.kind.storage, self.core
        if ready.write is not None:
            self.contents.take(ready.write)
            if ready.write.snapshot is not None:
                self.data = storage.begin(self.node, self.contents.stored())
            else:
                self.data += storage.frame(ready.write, len(self.data))
        if ready.messages:
            self.hall.network.extend(ready.messages)
            self.sent_in = max(self.sent_in, core.term)
            if self.sends is not None:
                self.sends -= 1
                if self.sends <= 0:
                    self.sends = None
                    self.kill()
                    return []
        if ready.restore is not None:
            self.restores += 1
            self._restore(ready.restore)
        for entry in ready.committed:
            self._apply(entry)
        self.reads |= {asked: tuple(self.applied) for asked in ready.reads}
        self.reads |= dict.fromkeys(ready.lost_reads)
        after = []
        if ready.compact_at is not None:
            self.snapshots += 1
            assert ready.compact_at == self.index, f"compact at {ready.compact_at}, after {self.index} was applied"
            after.append(core.compact(ready.compact_at, self._dump(), self.hall.now))
        if ready.write is not None:
            after.append(core.written(ready.write.number, self.hall.now))
        return after

    def _apply(self, entry: Entry) -> None:
        assert entry.index == self.index + 1, f"entry {entry.index} is to be applied after {self.index}"
        self.index = entry.index
        self.entries[entry.index] = entry
        if entry.command is None:
            return
        command = self.entering.unwrap(entry.command).proposed.command
        if not command:
            return
        answer = self.sessions.apply(Entry(entry.index, entry.term, command), self._do)
        if answer is not None:
            self.answers[OPEN if answer.status == "opened" else answer.session, answer.number] = answer

    def _do(self, body: bytes) -> bytes:
        self.applied.append(body)
        return b"done " + body

    def _dump(self) -> bytes:
        return msgspec.msgpack.encode((self.index, self.sessions.dump(), self.applied))

    def _restore(self, snapshot: Snapshot) -> None:
        self.index, sessions, self.applied = msgspec.msgpack.decode(snapshot.data, type=tuple[int, bytes, list[bytes]])
        assert self.index == snapshot.index, f"a snapshot of entry {self.index} under the name {snapshot.index}"
        self.sessions = Sessions.load(sessions)
        self.entries = {}


class Hall:
    """A group of the fewest replicas of which one may fail.  away: replicas that nobody reaches."""

    def __init__(self, protocol: Protocol, seed: int = 1) -> None:
        self.kind = protocol if isinstance(protocol, Kind) else kind_of(protocol)
        self.now = 0.0
        self.network: deque[Any] = deque()
        self.away: set[NodeId] = set()
        nodes = range(1, 5 if self.kind.is_signed else 4)
        self.tolerates = tolerates("pbft" if self.kind.is_signed else "raft", len(nodes))
        names = (*nodes, COORDINATOR) if self.kind.is_signed else ()
        self.private = {name: new_key(os.urandom(KEY_BYTES)) for name in names}
        keys = {name: public_key(private) for name, private in self.private.items()}
        self.group = Group(
            id="exam",
            algorithm="pbft" if self.kind.is_signed else "raft",  # of the description; the cores are KIND's
            replicas={node: f"/exam/{node}" for node in nodes},
            keys={node: keys[node] for node in nodes if node in keys},
            clients={COORDINATOR: keys[COORDINATOR]} if keys else {},
            election_timeout_s=1.0,
            heartbeat_interval_s=0.2,
        )
        self.dice = random.Random(seed).random
        self.replicas: Mapping[NodeId, Replica] = {node: Replica(self, node) for node in nodes}
        self._number = 0
        self._session = self.do(Command(OPEN, 7)).session

    def alive(self) -> list[Replica]:
        """Return who is up and can be reached."""
        return [each for node, each in self.replicas.items() if each.is_alive and node not in self.away]

    def command(self, body: bytes) -> Command:
        """Return the next command of the hall's session."""
        self._number += 1
        return Command(self._session, self._number, body)

    def do(self, command: Command | bytes) -> Answer:
        """Have a command carried out; return what its client is told, by whoever tells first."""
        wanted = self.command(command) if isinstance(command, bytes) else command
        key = (wanted.session, wanted.number)
        until = self.now + PATIENCE_S
        while self.now < until:
            self.propose(wanted)
            self.run(lambda: any(key in each.answers for each in self.alive()), RETRY_S)
            for each in self.alive():
                if key in each.answers:
                    return each.answers[key]
        raise AssertionError(f"{wanted} was not carried out within {PATIENCE_S} s, though a quorum is there")

    def propose(self, command: Command, *, at: NodeId | None = None) -> None:
        """Propose a command once: to whoever takes it, and where clients sign to everybody."""
        for each in self.alive() if at is None else [self.replicas[at]]:
            given = self._signed(command) if self.kind.is_signed else command.encode()
            [wrapped] = each.entering.wrap([given], each.core.term)
            ready = each.give(each.core.propose([wrapped], self.now))
            if ready.refused is None and not self.kind.is_signed:
                return

    def run(self, is_done: Callable[[], bool], within_s: float = PATIENCE_S) -> bool:
        """Let messages arrive and time pass until something is so; say whether it came to be."""
        until = self.now + within_s
        for _ in range(STEPS):
            if is_done():
                return True
            if self.network:
                message = self.network.popleft()
                if not {message.to, message.source} & self.away and self.replicas[message.to].is_alive:
                    to = self.replicas[message.to]
                    to.give(to.core.receive(message, self.now))
                continue
            self.now = max(self.now, min((each.core.next_deadline for each in self._up()), default=until))
            if self.now >= until:
                self.now = until
                return is_done()
            for each in self._up():
                each.give(each.core.wake(self.now))
        raise AssertionError(f"{STEPS} inputs in {within_s} s of time: the replicas keep each other busy for nothing")

    def agree(self, count: int) -> None:
        """Wait until all that are up have carried out so many commands; see that these are the same everywhere."""
        self.run(lambda: all(len(each.applied) >= count for each in self.alive()))
        self.look()
        told = {each.node: len(each.applied) for each in self.alive()}
        assert set(told.values()) == {count}, f"{count} commands were answered; carried out are, by replica, {told}"

    def look(self) -> None:
        """See that no two replicas have applied anything else in one place."""
        first: dict[int, tuple[NodeId, Entry]] = {}
        for node, each in self.replicas.items():
            for index, entry in each.entries.items():
                other, known = first.setdefault(index, (node, entry))
                assert known == entry, f"entry {index} is {known} at replica {other}, and {entry} at {node}"

    def _up(self) -> list[Replica]:
        return [each for each in self.replicas.values() if each.is_alive]

    def _signed(self, command: Command) -> bytes:
        return sealed(self.group, COORDINATOR, self.private[COORDINATOR], Proposed(self.now, 0, command.encode()))
