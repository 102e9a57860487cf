"""The invariants of Paxos, looked at whenever something is on a disk, leaves a replica, or is said to be chosen.

What is chosen is counted from the disks alone: a value that a majority has accepted in one ballot.  Everything else is
held against that: what is proposed in higher ballots, what learners learn, and what is answered.

Source: Lamport, Paxos made simple, 2001, sections 2.1, 2.2 and 2.5.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from concerted.consensus.entries import Entry
from concerted.consensus.paxos.ballot import Ballot, owner_of
from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    AcceptedValue,
    AcceptValue,
    Chosen,
    Message,
    Prepare,
    PrepareValue,
    Promise,
    PromiseValue,
)
from concerted.consensus.paxos.node import Paxos, PaxosReady
from concerted.consensus.paxos.storage import Instance, Write
from concerted.consensus.quorum import NodeId, majority
from concerted.sim.cluster.checks import Broken, Checks
from concerted.sim.cluster.replica import Replica

__all__ = ["Accounts", "PaxosChecks"]

PaxosReplica = Replica[Paxos]
Name = int | str  # of an instance: a slot of the log, or a key


class Accounts:
    """Who has accepted what, in every instance and ballot; and what was chosen by that."""

    def __init__(self, majority_count: int) -> None:
        self.majority_count = majority_count
        self.chosen: dict[Name, tuple[Ballot, Any]] = {}
        self._accepted: dict[tuple[Name, Ballot], tuple[Any, set[NodeId]]] = {}

    def accepted(self, node: NodeId, name: Name, ballot: Ballot, value: Any) -> None:
        """Take note that something is on a disk."""
        held, nodes = self._accepted.setdefault((name, ballot), (value, set()))
        if held != value:
            raise Broken(f"one value in a ballot: {held} and {value} are proposed for {name} in {ballot}")
        first = self.chosen.get(name)
        if first is not None and ballot > first[0] and first[1] != value:
            raise Broken(
                f"P2b: {first[1]} was chosen for {name} in {first[0]}, and {value} is accepted in {ballot} by {node}"
            )
        nodes.add(node)
        if len(nodes) >= self.majority_count:
            if first is not None and first[1] != value:
                raise Broken(f"one chosen value: {first[1]} in {first[0]} and {value} in {ballot} for {name}")
            if first is None or ballot < first[0]:
                self.chosen[name] = (ballot, value)

    def must_be_chosen(self, node: NodeId, name: Name, value: Any) -> None:
        """Look at what somebody takes for chosen."""
        if name not in self.chosen or self.chosen[name][1] != value:
            raise Broken(f"learnt, not chosen: {node} takes {value} for chosen for {name}: {self.chosen.get(name)}")


class PaxosChecks(Checks[Paxos]):
    """Everything that was ever accepted.

    values: how many were made up.  proposed: for each key, what was proposed.  accounts: of slots and keys.
    """

    def __init__(self, replicas: Mapping[NodeId, PaxosReplica]) -> None:
        super().__init__(replicas)
        self.values = 0
        self.proposed: defaultdict[str, list[bytes]] = defaultdict(list)
        self._accounts: Accounts | None = None
        self._values: dict[tuple[int, Ballot], Entry] = {}

    @property
    def accounts(self) -> Accounts:
        """What was accepted; members are all there are."""
        if self._accounts is None:
            self._accounts = Accounts(majority(len(self.replicas)))
        return self._accounts

    def stepped(self, replica: PaxosReplica, ready: PaxosReady) -> None:
        """Check one replica after one input."""
        super().stepped(replica, ready)
        for entry in ready.committed:
            self.accounts.must_be_chosen(replica.id, entry.index, entry)
        for agreed in ready.chosen:
            self.accounts.must_be_chosen(replica.id, agreed.key, agreed.value)
            if agreed.value not in self.proposed[agreed.key] or agreed.value.startswith(b"!"):
                raise Broken(f"validity: {agreed} was not proposed, or must not be chosen")
        paxos = replica.core
        if paxos.role == "leader":
            self.one_leader_per_term(replica)
            if paxos.has_lease(replica.now):
                self._leads_alone(replica)

    def wrote(self, replica: PaxosReplica, write: Write) -> None:
        """Account for what is accepted, which is so from the instant at which it is durable."""
        self.kept(write)
        for proposal in write.proposals:
            ballot, entry = proposal.ballot, proposal.entry
            if ballot != write.promised:
                raise Broken(f"P1a: {replica.id} has promised {write.promised} and accepts in {ballot}: {entry}")
            self._is_proposed(ballot, entry)
            self.accounts.accepted(replica.id, entry.index, ballot, entry)
        for instance in write.instances:
            if instance.is_chosen:
                self.accounts.must_be_chosen(replica.id, instance.key, instance.value)
            elif instance.accepted:
                self.accounts.accepted(replica.id, instance.key, instance.accepted, instance.value)

    def sends(self, replica: PaxosReplica, message: Message) -> None:
        """Look whether what an acceptor answers is on its disk before it leaves (2.5)."""
        disk = replica.disk.contents
        match message:
            case Prepare() if not message.pre and disk.promised != message.ballot:
                raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has {disk.promised}")
            case Promise() if not message.pre:
                self._promised(replica, message)
            case Accept() if any(entry.index not in disk.proposals for entry in message.entries):
                raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} lacks some of it")
            case Accepted():
                self._accepted(replica, message)
            case PrepareValue() | PromiseValue() | AcceptValue() | AcceptedValue() | Chosen():
                self._sends_of_key(replica, message, disk.instances.get(message.key, Instance(message.key)))

    # The log

    def _leads_alone(self, replica: PaxosReplica) -> None:
        """While a leader holds its lease, nobody leads in a higher ballot."""
        paxos = replica.core
        for other in self.replicas.values():
            if other.running is not None and other.core.role == "leader" and other.core.term > paxos.term:
                raise Broken(f"lease: {replica.id} holds it in {paxos.term}, and {other.id} leads in {other.core.term}")

    def _is_proposed(self, ballot: Ballot, entry: Entry) -> None:
        """A value is made up by the owner of a ballot, once, in that ballot; in others it is the same."""
        if entry.term > ballot:
            raise Broken(f"only proposed values: {entry} is accepted in {ballot}, before it was proposed")
        known = self._values.setdefault((entry.index, entry.term), entry)
        if known != entry:
            raise Broken(f"only proposed values: {entry} by {owner_of(ballot)}, where {known} was proposed")

    def _promised(self, replica: PaxosReplica, message: Promise) -> None:
        """A promise is on the disk, and tells all that was accepted."""
        disk = replica.disk.contents
        if disk.promised != message.ballot:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has {disk.promised}")
        held = [disk.proposals[at] for at in sorted(disk.proposals) if message.after < at <= message.upto]
        if (
            message.after < disk.snapshot.index
            or tuple(held) != message.accepted
            or (message.is_last and max(disk.proposals, default=0) > message.upto)
        ):
            raise Broken(f"promise: {message} leaves, and the disk of {replica.id} has {held}")

    def _accepted(self, replica: PaxosReplica, message: Accepted) -> None:
        """Who says that it has accepted all up to a slot has that on its disk, or knows that it is chosen."""
        disk = replica.disk.contents
        for index in range(max(disk.commit, disk.snapshot.index) + 1, message.index + 1):
            proposal = disk.proposals.get(index)
            if proposal is None or proposal.ballot != message.ballot:
                raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has {proposal} at {index}")

    # Single values

    def _sends_of_key(
        self,
        replica: PaxosReplica,
        message: PrepareValue | PromiseValue | AcceptValue | AcceptedValue | Chosen,
        held: Instance,
    ) -> None:
        if isinstance(message, Chosen):
            self.accounts.must_be_chosen(replica.id, message.key, message.value)
            return
        is_kept = held.promised >= message.ballot
        if isinstance(message, PromiseValue):
            is_kept = held.promised == message.ballot and (held.accepted, held.value) == (
                message.accepted,
                message.value,
            )
        elif isinstance(message, AcceptedValue):
            is_kept = held.accepted == message.ballot
        if not is_kept:
            raise Broken(f"not persisted: {message} leaves, and the disk of {replica.id} has {held}")
