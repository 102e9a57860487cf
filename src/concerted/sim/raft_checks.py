"""The invariants of Raft, looked at after every step of every server and at every message that leaves.

What is checked against what: logs against every entry that was ever in any log; leaders against what was committed
before; a commitment against the disks of all, as they are at that instant; a message against the disk of its sender.

Source: Ongaro & Ousterhout 2014, figure 3 and section 5.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId, is_quorum
from concerted.consensus.raft.messages import Append, Appended, Message, RequestVote, Vote
from concerted.consensus.raft.ready import Ready
from concerted.consensus.sessions import Answer
from concerted.sim.raft_cluster import Before, Replica

__all__ = ["Broken", "RaftChecks"]


class Broken(Exception):
    """An invariant does not hold.  Its text says which, and what shows it."""


class RaftChecks:
    """Everything that was ever in a log, chosen, or led.

    replicas: all there are, for their disks.  chosen: the entries that are committed, in order.  ends: (term, index),
    how far was committed when a leader of that term had last committed something.
    """

    def __init__(self, replicas: Mapping[NodeId, Replica]) -> None:
        self.replicas = replicas
        self.chosen: list[Entry] = []
        self.ends: list[tuple[int, int]] = []
        self.leaders: dict[int, NodeId] = {}
        self.steps = 0
        self._entries: dict[tuple[int, int], tuple[int | None, Entry]] = {}
        self._answers: dict[tuple[int, int], tuple[int, Answer]] = {}

    def stepped(self, replica: Replica, before: Before, ready: Ready) -> None:
        """Check one server after one input."""
        self.steps += 1
        raft = replica.core
        if raft.role == "leader":
            self._one_leader_per_term(replica)
            if before.is_leader and before.term == raft.term:
                self._leader_append_only(replica, before, ready)
            else:
                self._leader_completeness(replica)
        if ready.write is not None and ready.write.entries:
            self._log_matching(replica, ready.write.entries)
        if ready.restore is not None:
            self._restored(replica, ready.restore)
        if ready.committed:
            self._state_machine_safety(replica, ready.committed)

    def sends(self, replica: Replica, message: Message) -> None:
        """Nothing is sent before that on which it rests is durable (figure 2: "updated before responding to RPCs")."""
        disk = replica.disk.contents
        term = message.term - 1 if isinstance(message, RequestVote) and message.pre else message.term
        if term > disk.term:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has term {disk.term}")
        if isinstance(message, Vote) and message.granted and not message.pre:
            self._promised(replica, message, message.to)
        elif isinstance(message, RequestVote) and not message.pre:
            self._promised(replica, message, replica.id)
        elif isinstance(message, Append) and message.entries and disk.last_index < message.entries[-1].index:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} ends at {disk.last_index}")
        elif isinstance(message, Appended) and message.success:
            self._stored(replica, message)

    def applied(self, replica: Replica, entry: Entry, answer: Answer | None) -> None:
        """Each command of a client is carried out once: every repeat is answered as the first time (thesis 6.3)."""
        if answer is None or answer.status != "done":
            return
        name = (answer.session, answer.number)
        at, first = self._answers.setdefault(name, (entry.index, answer))
        if first != answer:
            raise Broken(
                f"applied twice: command {name} came to {first.result!r} at {at} "
                f"and to {answer.result!r} at {entry.index} (server {replica.id})"
            )

    # Figure 3

    def _one_leader_per_term(self, replica: Replica) -> None:
        """Election safety: at most one leader can be elected in a given term."""
        raft = replica.core
        other = self.leaders.setdefault(raft.term, replica.id)
        if other != replica.id:
            raise Broken(f"election safety: {other} and {replica.id} were both elected in term {raft.term}")

    def _leader_append_only(self, replica: Replica, before: Before, ready: Ready) -> None:
        """A leader never overwrites or deletes entries in its log; it only appends new entries."""
        first = ready.write.entries[0].index if ready.write is not None and ready.write.entries else None
        if replica.core.log.last_index < before.last_index or (first is not None and first <= before.last_index):
            raise Broken(f"leader append-only: leader {replica.id} has rewritten its log, which ended at {before}")

    def _log_matching(self, replica: Replica, entries: tuple[Entry, ...]) -> None:
        """If two logs contain an entry with the same index and term, they are identical up to it.

        By induction: of each such entry all logs must have the same content, and the same term before it.
        """
        prev_term = replica.core.log.term_at(entries[0].index - 1)
        for entry in entries:
            known = self._entries.setdefault((entry.index, entry.term), (prev_term, entry))
            if known != (prev_term, entry):
                raise Broken(
                    f"log matching: server {replica.id} has {entry} behind an entry of term {prev_term}, "
                    f"and another has {known[1]} behind one of term {known[0]}"
                )
            prev_term = entry.term

    def _leader_completeness(self, replica: Replica) -> None:
        """What is committed in a term is in the logs of the leaders of all later terms.

        By log matching it is enough to look at the last such entry.
        """
        raft = replica.core
        index = next((index for term, index in reversed(self.ends) if term < raft.term), 0)
        if index <= raft.log.snapshot.index:
            return
        if raft.log.term_at(index) != self.chosen[index - 1].term:
            raise Broken(
                f"leader completeness: {replica.id} leads term {raft.term} without {self.chosen[index - 1]}, "
                "which was committed before"
            )

    def _state_machine_safety(self, replica: Replica, committed: tuple[Entry, ...]) -> None:
        """No two servers apply different entries at the same index; and an entry is chosen once a quorum has it."""
        for entry in committed:
            if entry.index <= len(self.chosen):
                if self.chosen[entry.index - 1] != entry:
                    raise Broken(
                        f"state-machine safety: server {replica.id} applies {entry}, "
                        f"where {self.chosen[entry.index - 1]} was committed"
                    )
            elif entry.index == len(self.chosen) + 1:
                self.chosen.append(entry)
            else:
                raise Broken(f"state-machine safety: {replica.id} commits {entry} after {len(self.chosen)}")
        last = committed[-1]
        if not self.ends or last.index > self.ends[-1][1]:
            self._held_by_a_quorum(replica, last)
            self.ends.append((replica.core.term, last.index))

    def _restored(self, replica: Replica, snapshot: Snapshot) -> None:
        if snapshot.index > len(self.chosen) or self.chosen[snapshot.index - 1].term != snapshot.term:
            raise Broken(
                f"state-machine safety: {replica.id} takes a snapshot at {snapshot.index} of what is not chosen"
            )

    # Disks

    def _held_by_a_quorum(self, replica: Replica, entry: Entry) -> None:
        """What is committed, and may be acknowledged, is on the disks of a quorum."""
        configuration = replica.core.log.configuration
        holders = {
            node: self.replicas[node].disk.contents.term_at(entry.index) == entry.term
            or self.replicas[node].disk.contents.snapshot.index >= entry.index
            for node in configuration.members
        }
        if not is_quorum(configuration, holders):
            raise Broken(f"committed too early: {entry} by {replica.id}, on the disks of {holders} in {configuration}")

    def _promised(self, replica: Replica, message: Vote | RequestVote, candidate: NodeId) -> None:
        disk = replica.disk.contents
        if (disk.term, disk.vote) != (message.term, candidate):
            raise Broken(
                f"not persisted: {message} leaves, and the disk of {replica.id} "
                f"has a vote for {disk.vote} in term {disk.term}"
            )

    def _stored(self, replica: Replica, message: Appended) -> None:
        """Who says that it has stored a leader's log up to an index has stored that."""
        disk = replica.disk.contents
        if disk.last_index < message.index:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} ends at {disk.last_index}")
        leader = self.replicas[message.to]
        if leader.raft is None or leader.raft.role != "leader" or leader.raft.term != message.term:
            return
        here, there = disk.term_at(message.index), leader.raft.log.term_at(message.index)
        if here is not None and there is not None and here != there:
            raise Broken(
                f"not stored: {message} leaves, and at {message.index} the disk of {replica.id} has an entry "
                f"of term {here}, the leader one of term {there}"
            )
