"""A cluster on a table: real cores, and nothing happens but what somebody says; all that follows is written down.

A server carries out its Readys at once, unless its disk is held.  What it sends lies on the table until it is
delivered, dropped, or doubled.  Every invariant of the protocol is looked at all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.ready import ReadId, Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer, Command
from concerted.errors import Invalid
from concerted.sim.cluster.algorithm import Algorithm
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.partitions import Way
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.wording import entry_in_words, in_words

__all__ = ["Table", "Unexpected", "expect"]

MOST_ROUNDS = 1000  # of deliveries, until all is quiet

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Unexpected(Exception):
    """What a scenario expects has not come."""


def expect(is_so: bool, text: str) -> None:
    """Raise if something is not as a scenario expects it.  text: how it is."""
    if not is_so:
        raise Unexpected(text)


class Table(Generic[C]):
    """One cluster and all that was said of it.

    A server's dice show its id: of two that wait equally long, the lower one stands first.

    network: what is under way, oldest first.  held: servers whose disks wait.  said: the transcript, to be emptied by
    whoever reads it.  reads: read -> what it saw; None: it was lost.  refused: why the last input was.
    """

    def __init__(self, algorithm: Algorithm[C], settings: Any) -> None:
        self.algorithm = algorithm
        self.settings = settings
        self.replicas: dict[NodeId, Replica[C]] = {}
        self.checks = algorithm.checks(self.replicas)
        self.network: list[Any] = []
        self.cut: set[Way] = set()
        self.held: set[NodeId] = set()
        self.said: list[str] = []
        self.reads: dict[int, int | None] = {}
        self.refused: str | None = None
        self._commands = 0
        self._known: dict[NodeId, str] = {}

    # Servers

    def add(self, node: NodeId, configuration: Configuration) -> Replica[C]:
        """Put up a server that has not begun."""
        algorithm = self.algorithm
        if node in self.replicas:
            raise Invalid(f"server {node} is there already")
        disk = Disk(algorithm.storage, node, algorithm.first(configuration))
        self.replicas[node] = Replica(
            node,
            algorithm.start,
            self.settings,
            disk,
            self,
            lambda: node % 10 / 10,
            self.send,
            1000,
            self._answered,
            self._read,
        )
        return self.replicas[node]

    def __getitem__(self, node: NodeId) -> Replica[C]:
        """Return a server.

        Raises:
            Invalid: there is none of this id.
        """
        if node not in self.replicas:
            raise Invalid(f"there is no server {node}; there are {', '.join(map(str, self.replicas))}")
        return self.replicas[node]

    def alive(self) -> list[Replica[C]]:
        """Return all servers that live."""
        return [replica for replica in self.replicas.values() if replica.running is not None]

    def living(self, node: NodeId) -> Replica[C]:
        """Return a server that lives.

        Raises:
            Invalid: it does not.
        """
        replica = self[node]
        if replica.running is None:
            raise Invalid(f"server {node} is dead; `start {node}` first")
        return replica

    def leader(self) -> NodeId | None:
        """Return who leads the newest term."""
        leaders = [replica for replica in self.alive() if self.algorithm.leads(replica.core)]
        return max(leaders, key=lambda replica: replica.core.term).id if leaders else None

    def start(self, node: NodeId) -> None:
        """Begin a life."""
        replica = self[node]
        self.held.discard(node)
        replica.start()
        if replica.running is None:
            self.say(f"{node} does not start: store_damaged")
        self._known.pop(node, None)
        self._tell_state(replica)

    def die(self, node: NodeId, behind: str | None) -> None:
        """Let a server die, now or behind a part of what it carries out next."""
        replica = self.living(node)
        if behind is None:
            replica.die()
        elif not replica.waiting:
            raise Invalid(f"server {node} has nothing to carry out; `hold {node}` before what it is to die in")
        elif behind.endswith("%"):
            replica.die_writing(float(behind[:-1]) / 100.0)
        else:
            self.carry_out(replica, behind)
        self.say(f"{node} is dead")

    # Inputs

    def give(self, node: NodeId, act: Callable[..., Ready[Any, Any]], *args: Any) -> None:
        """Give a core an input, and carry out all that follows on this server."""
        replica = self.living(node)
        self.heed(replica, replica.give(act, *args))

    def heed(self, replica: Replica[C], ready: Ready[Any, Any]) -> None:
        """Say whether an input was refused, and carry out all that follows from it on this server."""
        self.refused = None if ready.refused is None else ready.refused.reason
        if ready.refused is not None:
            self.say(f"{replica.id} refuses: {self.words(ready.refused)}")
        self.go_on(replica)

    def wake(self, node: NodeId) -> None:
        """Let so much time go by for one server that something is due, and wake it."""
        replica = self.living(node)
        replica.now = max(replica.now, replica.core.next_deadline)
        self.give(node, type(replica.core).wake, replica.now)

    def propose(self, node: NodeId, texts: Sequence[str]) -> None:
        """Propose commands."""
        commands = []
        for text in texts:
            self._commands += 1
            commands.append(Command(0, self._commands, text.encode()).encode())
        replica = self.living(node)
        self.give(node, type(replica.core).propose, commands, replica.now)

    def read(self, node: NodeId) -> None:
        """Ask for a read, under the next number."""
        replica = self.living(node)
        self._commands += 1
        self.say(f"read {self._commands} is asked of {node}")
        self.give(node, type(replica.core).read, [ReadId(self._commands)], replica.now)

    def compact(self, node: NodeId) -> None:
        """Put a snapshot in the place of all that a server has applied."""
        replica = self.living(node)
        replica.compact(self.algorithm.compacted(replica.core))
        self.go_on(replica)

    def go_on(self, replica: Replica[C]) -> None:
        """Carry out what waits, unless this disk is held."""
        while replica.waiting and replica.id not in self.held:
            self.carry_out(replica)

    def carry_out(self, replica: Replica[C], behind: str | None = None) -> None:
        """Carry out the oldest Ready; or die behind a part of it."""
        ready = replica.waiting[0]
        if ready.write is not None:
            self.say(f"{replica.id} writes {self.words(ready.write)}")
        if ready.restore is not None:
            self.say(f"{replica.id} takes over the snapshot at {ready.restore.index}")
        replica.carry_out(behind)

    # The network

    def take(self, ways: Sequence[Way], count: int | None) -> list[Any]:
        """Take the oldest messages of some ways off the table; all of them if there is no count."""
        places = [place for place, each in enumerate(self.network) if (each.source, each.to) in ways][:count]
        found = [self.network[place] for place in places]
        self.network = [each for place, each in enumerate(self.network) if place not in places]
        return found

    def deliver(self, message: Any) -> None:
        """Let a message arrive."""
        replica = self.replicas[message.to]
        if (message.source, message.to) in self.cut or replica.running is None:
            self.say(f"lost: {message.source}->{message.to} {self.words(message)}")
            return
        self.say(f"{message.to} hears {message.source}: {self.words(message)}")
        self.give(message.to, type(replica.core).receive, message, replica.now)

    def settle(self) -> None:
        """Deliver everything, and what follows from it, until all is quiet."""
        for _ in range(MOST_ROUNDS):
            messages, self.network = self.network, []
            if not messages:
                return
            for message in messages:
                self.deliver(message)
        raise Invalid(f"it is not quiet after {MOST_ROUNDS} rounds; deliver by hand")

    def say(self, text: str) -> None:
        """Add a line to the transcript."""
        self.said.append(text)

    def words(self, said: Any) -> str:
        """Return a message, a write or a refusal in words."""
        return in_words(said)

    def send(self, message: Any) -> None:
        """Put what leaves a server on the table."""
        words = f"{message.source}->{message.to} {self.words(message)}"
        if (message.source, message.to) in self.cut or message.to not in self.replicas:
            self.say(f"lost: {words}")
        else:
            self.say(words)
            self.network.append(message)

    # What is seen

    def stepped(self, replica: Replica[C], ready: Ready[Any, Any]) -> None:
        """See what a server made of an input."""
        self.checks.stepped(replica, ready)
        for evidence in ready.evidence:
            self.say(f"{replica.id} has evidence that {evidence.culprit} lies")
        for agreed in ready.chosen:
            self.say(f'{replica.id} learns that {agreed.key} is "{agreed.value.decode()}"')
        self._tell_state(replica)

    def wrote(self, replica: Replica[C], write: Any) -> None:
        """See what is on a server's disk from now on."""
        self.checks.wrote(replica, write)

    def sends(self, replica: Replica[C], message: Any) -> None:
        """See a message that leaves a server now."""
        self.checks.sends(replica, message)

    def applied(self, replica: Replica[C], entry: Entry, answer: Answer | None) -> None:
        """See what a state machine made of an entry."""
        self.say(f"{replica.id} applies {entry_in_words(entry)}")
        self.checks.applied(replica, entry, answer)

    def _answered(self, replica: Replica[C], answer: Answer) -> None:
        """Nobody waits for the answer: what was applied is said already."""

    def _read(self, replica: Replica[C], read: ReadId, registers: dict[str, Any] | None) -> None:
        self.reads[read] = None if registers is None else replica.machine.index
        self.say(f"read {read} is lost" if registers is None else f"read {read} sees entry {replica.machine.index}")

    def _tell_state(self, replica: Replica[C]) -> None:
        if replica.running is None:
            return
        state = self.algorithm.state(replica.running)
        if self._known.get(replica.id) != state:
            self._known[replica.id] = state
            self.say(f"{replica.id} is {state}")
