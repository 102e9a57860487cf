"""The invariants of Raft, looked at after every step of every server and at every message that leaves.

What is checked against what: logs against every entry that was ever in any log; leaders against what was committed
before; a commitment against the disks of all, as they are at that instant; a message against the disk of its sender.

Source: Ongaro & Ousterhout 2014, figure 3 and section 5.4.3.
"""

from __future__ import annotations

from collections.abc import Mapping

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration, NodeId, is_quorum
from concerted.consensus.raft.messages import Append, Appended, Message, RequestVote, Vote
from concerted.consensus.raft.node import Raft, RaftReady
from concerted.consensus.raft.storage import Write
from concerted.sim.cluster.checks import Broken, Checks
from concerted.sim.cluster.replica import Replica

__all__ = ["RaftChecks"]

RaftReplica = Replica[Raft]


class RaftChecks(Checks[Raft]):
    """Everything that was ever in a log, chosen, or led.

    ends: (term, index), how far was committed when a leader of that term had last committed something.
    """

    def __init__(self, replicas: Mapping[NodeId, RaftReplica]) -> None:
        super().__init__(replicas)
        self.ends: list[tuple[int, int]] = []
        self._led: dict[NodeId, tuple[Raft, int, int]] = {}  # who led at its last step, in which term, how long a log
        self._entries: dict[tuple[int, int], tuple[int | None, Entry]] = {}

    def stepped(self, replica: RaftReplica, ready: RaftReady) -> None:
        """Check one server after one input."""
        self.steps += 1
        raft, node = replica.running, replica.id
        assert raft is not None, f"server {node} is dead"
        server, led = raft.server, self._led.get(node)
        if server.role != "leader":
            if led is not None:
                del self._led[node]
        elif led is None or led[0] is not raft or led[1] != server.term:
            self.one_leader_per_term(replica)
            self._leader_completeness(replica)
            self._led[node] = (raft, server.term, raft.log.last_index)
        elif ready.write is not None or raft.log.last_index != led[2]:
            # A step that writes nothing and leaves the log as long as it was has rewritten none of it.
            self._leader_append_only(replica, led[2], ready)
            self._led[node] = (raft, server.term, raft.log.last_index)
        if ready.write is not None:
            self._newest_configuration(replica)
        if ready.committed or ready.restore is not None:
            self.advanced(replica, ready)

    def wrote(self, replica: RaftReplica, write: Write) -> None:
        """Check one disk after one write; what was never written was never said to anybody."""
        self.kept(write)
        if write.entries:
            self._log_matching(replica, write.entries)

    def sends(self, replica: RaftReplica, message: Message) -> None:
        """Nothing is sent before that on which it rests is durable (figure 2: "updated before responding to RPCs")."""
        disk = replica.disk.contents
        term = message.term - 1 if isinstance(message, RequestVote) and message.pre else message.term
        if term > disk.term:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has term {disk.term}")
        if isinstance(message, Append):
            if message.entries and disk.last_index < message.entries[-1].index:
                raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} ends at {disk.last_index}")
        elif isinstance(message, Appended):
            if message.success:
                self._stored(replica, message)
        elif isinstance(message, Vote):
            if message.granted and not message.pre:
                self._promised(replica, message, message.to)
        elif isinstance(message, RequestVote) and not message.pre:
            self._promised(replica, message, replica.id)

    # Figure 3

    def _leader_append_only(self, replica: RaftReplica, ended: int, ready: RaftReady) -> None:
        """A leader never overwrites or deletes entries in its log; it only appends new entries."""
        first = ready.write.entries[0].index if ready.write is not None and ready.write.entries else None
        if replica.core.log.last_index < ended or (first is not None and first <= ended):
            raise Broken(f"leader append-only: leader {replica.id} has rewritten its log, which ended at {ended}")

    def _newest_configuration(self, replica: RaftReplica) -> None:
        """Whatever was committed of it, the newest configuration in the log is in force (section 6); what is cut off is
        in no log."""
        log = replica.core.log
        at = log.configuration_index
        held: Configuration | None = log.snapshot.configuration
        if at > log.snapshot.index:
            held = log.between(at - 1, at)[0].configuration if at <= log.last_index else None
        if held != log.configuration:
            raise Broken(f"configuration: server {replica.id} uses {log.configuration}, and its log has {held} at {at}")

    def _log_matching(self, replica: RaftReplica, entries: tuple[Entry, ...]) -> None:
        """If two logs contain an entry with the same index and term, they are identical up to it.

        By induction: of each such entry all logs must have the same content, and the same term before it.
        """
        prev_term = replica.disk.contents.term_at(entries[0].index - 1)
        for entry in entries:
            known = self._entries.setdefault((entry.index, entry.term), (prev_term, entry))
            if known != (prev_term, entry):
                raise Broken(
                    f"log matching: server {replica.id} has {entry} behind an entry of term {prev_term}, "
                    f"and another has {known[1]} behind one of term {known[0]}"
                )
            prev_term = entry.term

    def _leader_completeness(self, replica: RaftReplica) -> None:
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

    def state_machine_safety(self, replica: RaftReplica, committed: tuple[Entry, ...]) -> None:
        """No two servers apply different entries at the same index; and an entry is chosen once a quorum has it."""
        super().state_machine_safety(replica, committed)
        last = committed[-1]
        if not self.ends or last.index > self.ends[-1][1]:
            self._held_by_a_quorum(replica, last)
            self.ends.append((replica.core.term, last.index))

    # Disks

    def _held_by_a_quorum(self, replica: RaftReplica, entry: Entry) -> None:
        """What is committed, and may be acknowledged, is on the disks of a quorum."""
        configuration = replica.core.log.configuration
        holders = {
            node: self.replicas[node].disk.contents.term_at(entry.index) == entry.term
            or self.replicas[node].disk.contents.snapshot.index >= entry.index
            for node in configuration.members
        }
        if not is_quorum(configuration, holders):
            raise Broken(f"committed too early: {entry} by {replica.id}, on the disks of {holders} in {configuration}")

    def _promised(self, replica: RaftReplica, message: Vote | RequestVote, candidate: NodeId) -> None:
        disk = replica.disk.contents
        if (disk.term, disk.vote) != (message.term, candidate):
            raise Broken(
                f"not persisted: {message} leaves, and the disk of {replica.id} "
                f"has a vote for {disk.vote} in term {disk.term}"
            )

    def _stored(self, replica: RaftReplica, message: Appended) -> None:
        """Who says that it has stored a leader's log up to an index has stored that."""
        disk = replica.disk.contents
        if disk.last_index < message.index:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} ends at {disk.last_index}")
        leader = self.replicas[message.to].running
        if leader is None or leader.server.role != "leader" or leader.server.term != message.term:
            return
        here, there = disk.term_at(message.index), leader.log.term_at(message.index)
        if here is not None and there is not None and here != there:
            raise Broken(
                f"not stored: {message} leaves, and at {message.index} the disk of {replica.id} has an entry "
                f"of term {here}, the leader one of term {there}"
            )
