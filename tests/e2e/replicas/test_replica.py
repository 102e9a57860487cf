"""One replica at work: what is too much is refused in part, and who finds a fault in itself stops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from concerted.consensus.ready import ReadId
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.errors import Unreachable
from concerted.replicas.file import ReplicaFile
from concerted.replicas.protocols.raft import KIND
from concerted.replicas.replica import Replica
from concerted.replicas.spec import Group


class Notes:
    """Writes down what a replica does."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.turned_away: list[tuple[int, str]] = []
        self.reads: list[tuple[ReadId, bool]] = []
        self.errors: list[str] = []
        self.leaders: list[int | None] = []
        self.news = asyncio.Event()

    async def until(self, there: Callable[[], object]) -> None:
        while not there():
            self.news.clear()
            await self.news.wait()

    def send(self, messages: Sequence[object]) -> None:
        pass

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.news.set()

    def refused(self, commands: Sequence[bytes], reason: str, leader: int | None) -> None:
        self.turned_away.append((len(commands), reason))
        self.news.set()

    def read(self, asked: ReadId, *, done: bool) -> None:
        self.reads.append((asked, done))
        self.news.set()

    def touched(self, streams: Sequence[str], settled: Sequence[str]) -> None:
        pass

    def led_by(self, leader: int | None, term: int) -> None:
        self.leaders.append(leader)
        self.news.set()

    def failed(self, error: Exception) -> None:
        self.errors.append(str(error))
        self.news.set()


@asynccontextmanager
async def alone(folder: Path, *, count: int = 1, compact_entries: int = 1000) -> AsyncIterator[tuple[Replica, Notes]]:
    """Run the first replica of a group of so many, of whom nobody else is there."""
    replicas = {node: f"/tmp/{node}" for node in range(1, count + 1)}
    group = Group(id="ops", replicas=replicas, election_timeout_s=0.05, heartbeat_interval_s=0.01)
    file = ReplicaFile.open(folder / "1.log", KIND.storage, 1, KIND.first(group, 1))
    notes = Notes()
    replica = Replica(group, 1, file, notes, compact_entries=compact_entries)
    replica.start()
    async with asyncio.timeout(150):
        if count == 1:  # it has written what it begins its term with
            is_done = False
            while not is_done:
                replica.read(ReadId(0))
                await notes.until(lambda: notes.reads)
                _, is_done = notes.reads.pop()
        yield replica, notes
    await replica.stop()


def opening(number: int) -> bytes:
    return Command(OPEN, number).encode()


async def test_commands_are_answered_in_the_order_of_the_log(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        for number in range(1, 101):
            replica.propose(opening(number))
        await notes.until(lambda: len(notes.answers) == 100)
        assert [each.number for each in notes.answers] == list(range(1, 101))
        assert [each.session for each in notes.answers] == sorted({each.session for each in notes.answers})


async def test_of_more_than_fits_only_what_is_too_much_is_turned_away(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        for number in range(1, 25_001):
            replica.propose(opening(number))
        await notes.until(lambda: len(notes.answers) + sum(count for count, _ in notes.turned_away) == 25_000)
        assert len(notes.answers) >= 9_000
        assert {reason for _, reason in notes.turned_away} == {"overloaded"}


async def test_without_a_majority_commands_and_reads_are_turned_away(tmp_path: Path) -> None:
    async with alone(tmp_path, count=3) as (replica, notes):
        replica.propose(opening(1))
        replica.read(ReadId(1))
        await notes.until(lambda: notes.turned_away and notes.reads)
        assert notes.turned_away == [(1, "not_leader")]
        assert notes.reads == [(1, False)]


async def test_reads_of_one_turn_are_confirmed_together(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        for number in range(1, 6):
            replica.read(ReadId(number))
        await notes.until(lambda: len(notes.reads) == 5)
        assert notes.reads == [(number, True) for number in range(1, 6)]


async def test_a_log_is_compacted_and_its_newest_entries_stay(tmp_path: Path) -> None:
    async with alone(tmp_path, compact_entries=20) as (replica, notes):
        for number in range(1, 201):
            replica.propose(opening(number))
            await notes.until(lambda number=number: len(notes.answers) == number)
        log = replica.core.log
        assert log.snapshot.index > 100
        assert log.last_index - log.snapshot.index >= 20, "so a follower that is a little behind needs no snapshot"
        kept = replica.kept.dump()
    async with alone(tmp_path, compact_entries=20) as (replica, notes):
        replica.propose(opening(201))
        await notes.until(lambda: notes.answers and notes.answers[-1].number == 201)
        again = msgspec.msgpack.decode(replica.kept.dump())
        assert again[0] == msgspec.msgpack.decode(kept)[0] + 2, "one entry of the new leader, and one session more"


@pytest.mark.parametrize("part", ["core", "kept"])
async def test_a_replica_that_finds_a_fault_in_itself_does_not_go_on(tmp_path: Path, monkeypatch, part: str) -> None:
    def broken(*_arguments: object) -> None:
        raise AssertionError("two and two are five")

    unseen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unseen.append(context))
    async with alone(tmp_path) as (replica, notes):
        monkeypatch.setattr(
            replica.core if part == "core" else replica.kept, "propose" if part == "core" else "apply", broken
        )
        replica.propose(opening(1))
        await notes.until(lambda: notes.errors)
        assert "does not go on: AssertionError('two and two are five')" in notes.errors[0]
        assert isinstance(unseen[0]["exception"], AssertionError), "and it is loud"
        monkeypatch.undo()
        replica.propose(opening(2))
        replica.receive([])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (notes.answers, len(notes.errors)) == ([], 1)


async def test_a_disk_that_fails_in_a_way_nobody_has_thought_of_ends_the_replica_too(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with alone(tmp_path) as (replica, notes):
        replica._file.write = lambda _writes: 1 / 0
        replica.propose(opening(1))
        await notes.until(lambda: notes.errors)
        assert "ZeroDivisionError" in notes.errors[0]


async def test_a_disk_that_refuses_ends_the_replica_with_its_words(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        replica._file.close()
        replica.propose(opening(1))
        await notes.until(lambda: notes.errors)
        assert "is closed; open it again" in notes.errors[0]
        assert notes.answers == []


async def test_it_can_be_stopped_while_the_disk_writes(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        for number in range(1, 1001):
            replica.propose(opening(number))
        await asyncio.sleep(0)
        assert replica._writing
    assert notes.answers == []
    async with alone(tmp_path) as (replica, _):
        assert replica.core.log.last_index >= 1001, "what was written is there, though nobody was told"


async def test_a_fault_of_the_replica_is_an_error_of_ours(tmp_path: Path) -> None:
    async with alone(tmp_path) as (replica, notes):
        replica.fail(Unreachable("first"))
        replica.fail(Unreachable("second"))
        assert notes.errors == ["first"]
