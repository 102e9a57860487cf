"""The invariants of every replicated log, looked at after every step: one order, one answer, one leader in a term.

What is checked against what: what is carried out against everything that was ever carried out anywhere; leaders
against those before; answers against the first one.  What else a protocol promises is looked at by checks of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.sim.cluster.replica import Replica

__all__ = ["Broken", "Checks"]

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Broken(Exception):
    """An invariant does not hold.  Its text says which, and what shows it."""


class Checks(Generic[C]):
    """Everything that was ever chosen or led.

    replicas: all there are, for their disks.  chosen: the entries that are committed, in order.
    """

    def __init__(self, replicas: Mapping[NodeId, Replica[C]]) -> None:
        self.replicas = replicas
        self.chosen: list[Entry] = []
        self.leaders: dict[int, NodeId] = {}
        self.steps = 0
        self._answers: dict[tuple[int, int], tuple[int, Answer]] = {}
        self._snapshots: set[tuple[int, bytes]] = set()  # every snapshot that was ever on a disk: its index and data

    def stepped(self, replica: Replica[C], ready: Ready[Any, Any]) -> None:
        """Check one server after one input."""
        self.steps += 1
        if ready.committed or ready.restore is not None:
            self.advanced(replica, ready)

    def wrote(self, replica: Replica[C], write: Any) -> None:
        """Look at what is on a server's disk from now on."""

    def sends(self, replica: Replica[C], message: Any) -> None:
        """Look at a message that leaves a server now."""

    def applied(self, replica: Replica[C], entry: Entry, answer: Answer | None) -> None:
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

    def advanced(self, replica: Replica[C], ready: Ready[Any, Any]) -> None:
        """Check a server whose state machine is about to change."""
        if ready.restore is not None:
            self.restored(replica, ready.restore)
        if ready.committed:
            self.state_machine_safety(replica, ready.committed)

    def one_leader_per_term(self, replica: Replica[C]) -> None:
        """Election safety: at most one leader can be elected in a given term."""
        term = replica.core.term
        other = self.leaders.setdefault(term, replica.id)
        if other != replica.id:
            raise Broken(f"election safety: {other} and {replica.id} were both elected in term {term}")

    def state_machine_safety(self, replica: Replica[C], committed: tuple[Entry, ...]) -> None:
        """No two servers apply different entries at the same index."""
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

    def kept(self, write: Any) -> None:
        """Take note of a snapshot that is on a disk from now on."""
        if write.snapshot is not None:
            self._snapshots.add((write.snapshot.index, write.snapshot.data))

    def restored(self, replica: Replica[C], snapshot: Snapshot) -> None:
        """A snapshot that is taken from another server is one of what was chosen, and as somebody has taken it."""
        if (snapshot.index, snapshot.data) not in self._snapshots:
            raise Broken(f"state transfer: {replica.id} takes a snapshot at {snapshot.index} that nobody had")
        if snapshot.index > len(self.chosen) or self.chosen[snapshot.index - 1].term != snapshot.term:
            raise Broken(
                f"state-machine safety: {replica.id} takes a snapshot at {snapshot.index} of what is not chosen"
            )
