"""A Raft server alone on a table, and a cluster in a room where everything arrives, under all invariants."""

from collections.abc import Callable, Sequence

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.messages import Append, Appended, RequestVote, Vote
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import Stored, Write
from concerted.consensus.ready import NOTHING, ReadId, Ready
from concerted.consensus.sessions import Command
from concerted.sim.cluster.room import Room
from concerted.sim.protocols.raft import RAFT


def log_of(*terms: int, after: int = 0) -> tuple[Entry, ...]:
    """Make a log as the paper draws it: one box with a term for each entry."""
    commands = [Command(0, 100 * index + term).encode() for index, term in enumerate(terms, after + 1)]
    return tuple(Entry(index, term, commands[index - after - 1]) for index, term in enumerate(terms, after + 1))


class Alone:
    """Server 1 of three, whose disk is quick and whose peers are the test."""

    def __init__(self, term: int = 0, vote: int | None = None, log: Sequence[Entry] = (), voters=(1, 2, 3), **how):
        self.now = 0.0
        snapshot = how.pop("snapshot", Snapshot(configuration=Configuration.of(voters)))
        stored = Stored(term, vote, snapshot, tuple(log))
        self.raft = Raft(1, Settings(**how), stored, dice=lambda: 0.5, now=0.0)
        self.ready: list[Ready] = []

    def _do(self, ready: Ready) -> Ready:
        self.ready.append(ready)
        first = ready
        while ready.write is not None:
            ready = self.raft.written(ready.write.number, self.now)
            if ready is not NOTHING:
                self.ready.append(ready)
        return first

    def hears(self, message, after_s: float = 0.0) -> Ready:
        self.now += after_s
        return self._do(self.raft.receive(message, self.now))

    def wakes(self) -> Ready:
        self.now = max(self.now, self.raft.next_deadline)
        return self._do(self.raft.wake(self.now))

    def proposes(self, *commands: bytes) -> Ready:
        return self._do(self.raft.propose(commands, self.now))

    def reads(self, *ids: int) -> Ready:
        return self._do(self.raft.read([ReadId(each) for each in ids], self.now))

    def transfers(self, successor: int) -> Ready:
        return self._do(self.raft.transfer(successor, self.now))

    def sent(self, kind: type) -> list:
        """Return what it has said of this kind since it was asked last, and forget all that was said."""
        found = [message for ready in self.ready for message in ready.messages if isinstance(message, kind)]
        self.ready.clear()
        return found

    def append(self, prev: int, prev_term: int, *entries: Entry, source=2, term=None, commit=0, session=1, round=0):
        """Give it a message of the leader's, and return its answer."""
        term = self.raft.term if term is None else term
        self.ready.clear()
        self.hears(Append(1, source, term, session, prev, prev_term, commit, round, entries))
        return self.sent(Appended)[-1]

    def asked_for_vote(self, source=2, term=None, last=(0, 0), **how) -> Vote:
        term = self.raft.term + 1 if term is None else term
        self.ready.clear()
        self.hears(RequestVote(1, source, term, 1, *last, **how))
        return self.sent(Vote)[-1]

    def is_elected(self) -> "Alone":
        """Stand, and be voted for by 2."""
        self.wakes()
        asked = [each for each in self.sent(RequestVote) if each.to == 2]
        if asked:
            self.hears(Vote(1, 2, self.raft.term, asked[0].session, True, pre=True))
            [asked] = [each for each in self.sent(RequestVote) if each.to == 2]
            self.hears(Vote(1, 2, self.raft.term, asked.session, True))
        assert self.raft.role == "leader"
        return self

    def acknowledges(self, source: int, index: int | None = None, round: int = 0) -> Ready:
        """Let a follower say that it has stored the log, up to an index."""
        index = self.raft.log.last_index if index is None else index
        session = {2: 1, 3: 2, 4: 3, 5: 4}[source]
        return self.hears(Appended(1, source, self.raft.term, session, True, index, round))

    def log(self) -> list[int]:
        log = self.raft.log
        return [entry.term for entry in log.between(log.snapshot.index, log.last_index)]


class RaftRoom(Room[Raft]):
    """A room in which some servers may have logs from the beginning."""

    def __init__(self, voters: Sequence[int] = (1, 2, 3), logs=None, **how):
        writes = {node: Write(0, term, None, entries=tuple(log)) for node, (term, log) in (logs or {}).items()}
        super().__init__(RAFT, Settings(**how), voters, writes if logs is not None else None)

    def log(self, node: int) -> list[int]:
        log = self[node].log
        return [entry.term for entry in log.between(log.snapshot.index, log.last_index)]


@pytest.fixture
def alone() -> type[Alone]:
    return Alone


@pytest.fixture
def room() -> type[RaftRoom]:
    return RaftRoom


@pytest.fixture
def boxes() -> Callable[..., tuple[Entry, ...]]:
    return log_of
