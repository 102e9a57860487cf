"""A Paxos replica alone on a table, whose peers are the test, and a room of them under all invariants."""

from collections.abc import Sequence

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    AcceptedValue,
    AcceptValue,
    Prepare,
    PrepareValue,
    Promise,
    PromiseValue,
)
from concerted.consensus.paxos.node import Paxos
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import Contents, Stored
from concerted.consensus.quorum import Configuration
from concerted.consensus.ready import NOTHING, ReadId, Ready
from concerted.sim.cluster.room import Room
from concerted.sim.protocols.paxos import PAXOS


class Alone:
    """Replica 1 of three, whose disk is quick and whose peers are the test."""

    def __init__(self, voters: Sequence[int] = (1, 2, 3), valid=lambda _key, _value: True, **how):
        self.now = 0.0
        first = Snapshot(configuration=Configuration.of(voters))
        self.disk = Contents(Stored(promised=how.pop("promised", 0), snapshot=first))
        self.settings, self.valid = Settings(**how), valid
        self.ready: list[Ready] = []
        self.restart()

    def restart(self) -> "Alone":
        """Begin anew with what is on the disk."""
        self.ready.clear()
        self.paxos = Paxos(
            1, self.settings, self.disk.stored(), dice=lambda: 0.5, now=self.now, valid=self.valid
        )  # fmt: skip
        return self

    def _do(self, ready: Ready) -> Ready:
        first = ready
        while ready is not NOTHING:
            self.ready.append(ready)
            if ready.write is None:
                break
            self.disk.take(ready.write)
            ready = self.paxos.written(ready.write.number, self.now)
        return first

    def hears(self, message, after_s: float = 0.0) -> Ready:
        self.now += after_s
        return self._do(self.paxos.receive(message, self.now))

    def wakes(self) -> Ready:
        self.now = max(self.now, self.paxos.next_deadline)
        return self._do(self.paxos.wake(self.now))

    def proposes(self, *commands: bytes) -> Ready:
        return self._do(self.paxos.propose(commands, self.now))

    def agrees(self, key: str, value: bytes) -> Ready:
        return self._do(self.paxos.agree(key, value, self.now))

    def reads(self, *ids: int) -> Ready:
        return self._do(self.paxos.read([ReadId(each) for each in ids], self.now))

    def sent(self, kind: type) -> list:
        """Return what it has said of this kind since it was asked last, and forget all that was said."""
        found = [message for ready in self.ready for message in ready.messages if isinstance(message, kind)]
        self.ready.clear()
        return found

    def chosen(self) -> list[tuple[str, bytes]]:
        """Return what it has said to be chosen since it was asked last."""
        found = [(each.key, each.value) for ready in self.ready for each in ready.chosen]
        self.ready.clear()
        return found

    def committed(self) -> list[bytes | None]:
        """Return the commands that came out since it was asked last."""
        found = [entry.command for ready in self.ready for entry in ready.committed]
        self.ready.clear()
        return found

    # The log

    def prepares(self, encouraged_by: Sequence[int] = (2,)) -> Prepare:
        """Run out of patience, be encouraged, and ask for promises; return what it asks 2."""
        self.wakes()
        [asked] = [each for each in self.sent(Prepare) if each.to == 2]
        for source in encouraged_by:
            self.promised(asked, source)
        return next(each for each in self.sent(Prepare) if each.to == 2)

    def promised(self, asked: Prepare, source: int = 2, accepted=(), **how) -> Ready:
        """Let an acceptor promise what was asked."""
        how = {"upto": max([asked.after, *(each.entry.index for each in accepted)]), "commit": 0} | how
        return self.hears(
            Promise(1, source, asked.ballot, asked.session, asked.after, accepted=tuple(accepted), pre=asked.pre, **how)
        )

    def is_elected(self, accepted=(), **how) -> "Alone":
        """Lead, by the promise of 2."""
        self.promised(self.prepares(), accepted=accepted, **how)
        assert self.paxos.role == "leader"
        return self

    def acknowledges(self, source: int, index: int | None = None, *, after: int = 0, round: int = 0) -> Ready:
        """Let an acceptor say that it has accepted all, up to a slot."""
        index = self.paxos.log.last_index if index is None else index
        session = self.paxos._server.leading.session
        return self.hears(Accepted(1, source, self.paxos.term, session, index, after, round))

    def accept(self, ballot: int, *entries: Entry, after=0, commit=0, round=0):
        """Give it a proposal of the owner of a ballot, and return its answer."""
        self.ready.clear()
        self.hears(Accept(1, ballot % 1000, ballot, 1, after, commit, round, entries))
        return next(message for ready in self.ready for message in ready.messages)

    def prepare(self, ballot: int, after: int = 0, *, pre: bool = False):
        """Ask it for a promise, and return its answer."""
        self.ready.clear()
        self.hears(Prepare(1, ballot % 1000, ballot, 1, after, pre))
        return next(message for ready in self.ready for message in ready.messages)

    # Single values

    def prepare_value(self, ballot: int, key: str = "k"):
        """Ask it for a promise about a key, and return its answer."""
        self.ready.clear()
        self.hears(PrepareValue(1, ballot % 1000, key, ballot, 1))
        return next(message for ready in self.ready for message in ready.messages)

    def accept_value(self, ballot: int, value: bytes, key: str = "k"):
        """Propose a value to it, and return its answer."""
        self.ready.clear()
        self.hears(AcceptValue(1, ballot % 1000, key, ballot, 1, value))
        return next((message for ready in self.ready for message in ready.messages), None)

    def value_promised(self, asked: PrepareValue, source: int = 2, accepted: int = 0, value: bytes = b"") -> Ready:
        """Let an acceptor promise."""
        return self.hears(PromiseValue(1, source, asked.key, asked.ballot, asked.session, accepted, value))

    def value_accepted(self, asked: AcceptValue, source: int = 2) -> Ready:
        """Let an acceptor accept."""
        return self.hears(AcceptedValue(1, source, asked.key, asked.ballot, asked.session))


class PaxosRoom(Room[Paxos]):
    """A room in which values are proposed for keys as well."""

    def __init__(self, voters: Sequence[int] = (1, 2, 3), **how):
        super().__init__(PAXOS, Settings(**how), voters)

    def begin(self, node: int, key: str, value: bytes) -> Ready:
        """Let a replica propose; nothing arrives yet."""
        self.checks.proposed[key].append(value)
        replica = self.replicas[node]
        return replica.give(lambda paxos: paxos.agree(key, value, replica.now))

    def agree(self, node: int, key: str, value: bytes) -> "PaxosRoom":
        """Let a replica propose, and let everything arrive."""
        self.begin(node, key, value)
        return self.settle()

    def values(self, key: str = "k") -> list[bytes | None]:
        """Return what each replica takes for chosen."""
        return [self[node].chosen(key) for node in self.replicas]

    def commands(self, node: int) -> list[bytes | None]:
        """Return what a replica has in its slots behind its snapshot."""
        log = self[node].log
        return [entry.command for entry in log.between(log.snapshot.index, log.commit_index)]


@pytest.fixture
def alone() -> type[Alone]:
    return Alone


@pytest.fixture
def room() -> type[PaxosRoom]:
    return PaxosRoom
