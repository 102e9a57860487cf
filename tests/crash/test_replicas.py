"""Groups of replicas, each a process of its own, are killed, stopped, torn and filled up while clients decide.

What clients were told is compared with what stands in the files of all replicas when the last is stopped: whatever was
acknowledged is there, nothing was carried out twice, and all logs are the same.  What they were told while faults came
is also given to the checker of `concerted.testing`: a decision that needs every voter is a meeting of these.
"""

import asyncio
import contextlib
import random
import resource
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.keeping import Bounds
from concerted.ports.decisions import CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.given import Given, read_given
from concerted.replicas.kept import Kept
from concerted.replicas.protocols.algorithms import kind_of
from concerted.replicas.spec import Group
from concerted.replicas.wire import Asked, Channel, Hello, Told, connect
from concerted.testing import Recorder, check_linearizable, models

VOTERS = [f"v{number}" for number in range(7)]
CLIENTS = 4
BETWEEN = 15  # acknowledged commands from one fault to the next
THINKS_S = 0.15  # how long a client thinks between two decisions
BOUNDS = Bounds(objects_count=1_000_000)  # without a coordinator nothing leaves a group
PATIENCE_S = 180.0  # how long a client asks for the same thing
WITHIN_S = 390.0  # how long one test may take


class Crew:
    """A group and its processes.  acknowledged: (decision, voter) -> the reason given with the ballot."""

    def __init__(self, folder: Path, sockets: Path, count: int, algorithm: str, *words: str) -> None:
        self.group = Group(
            id="ops",
            algorithm=algorithm,
            secret="s",
            replicas={node: f"{sockets}/{node}" for node in range(1, count + 1)},
            election_timeout_s=0.4,
            heartbeat_interval_s=0.08,
            bounds=BOUNDS,
        )
        self.folder = folder
        self.dice = random.Random(count)
        self.processes: dict[int, Process] = {}
        self.acknowledged: dict[tuple[str, str], str] = {}
        self.recorder = Recorder("clients")
        self.client = GroupClient(self.group, "crew")
        self._words = words
        (folder / "group.json").write_bytes(msgspec.json.encode(self.group))

    async def start(self, *nodes: int) -> None:
        """Start replicas, and wait until they listen."""
        for node in nodes:
            command = [str(self.folder / "group.json"), str(node), str(self.folder), *self._words]
            with self.complaints(node).open("ab") as stderr:
                self.processes[node] = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "concerted.replicas.process", *command, stdin=PIPE, stdout=PIPE, stderr=stderr
                )
        for node in nodes:
            said = await self.processes[node].stdout.readline()
            assert said == b"ready\n", self.complaints(node).read_text()

    def complaints(self, node: int) -> Path:
        """Name the file with what a replica says on its standard error."""
        return self.folder / f"{node}.err"

    def assert_nobody_complains(self) -> None:
        for node in self.group.replicas:
            said = self.complaints(node).read_text()
            assert not said, f"replica {node}: {said}"

    async def kill(self, *nodes: int) -> None:
        for node in nodes:
            self.processes[node].kill()
        for node in nodes:
            await self.processes.pop(node).wait()

    async def leader(self) -> int:
        """Return who leads, by what most of those that are up say; it is up itself."""
        while True:
            said = [await self.client.status(node, timeout_s=PATIENCE_S) for node in sorted(self.processes)]
            term = max(each.term for each in said)
            named = Counter(each.leader for each in said if each.term == term)
            leader, times = named.most_common(1)[0]
            if leader in self.processes and times > len(self.group.replicas) // 2:
                return leader
            await asyncio.sleep(0.01)

    async def stop(self) -> "list[Found]":
        """Let all apply the same, stop them in peace, and return what is in their files."""
        while True:
            said = [await self.client.status(node, timeout_s=PATIENCE_S) for node in sorted(self.group.replicas)]
            if len({(each.applied, each.term) for each in said}) == 1:
                break
            await asyncio.sleep(0.05)
        for process in self.processes.values():
            process.stdin.close()
        for process in self.processes.values():
            assert await process.wait() == 0, "a replica did not end in peace"
        self.processes.clear()
        return [found(self.folder, self.group, node) for node in sorted(self.group.replicas)]

    async def close(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await self.client.close()

    # Load

    @contextlib.asynccontextmanager
    async def load(self) -> AsyncIterator[Callable[[int], object]]:
        """Let clients decide one thing after the other, and give what waits until more commands were answered."""
        over = asyncio.Event()
        working = [asyncio.create_task(self._decide(number, over)) for number in range(CLIENTS)]

        async def progress(count: int = BETWEEN) -> None:
            wanted = len(self.acknowledged) + count
            while len(self.acknowledged) < wanted:
                failed = [each.exception() for each in working if each.done()]
                assert not failed, failed
                self.assert_nobody_complains()
                await asyncio.sleep(0.05)

        try:
            yield progress
        finally:
            over.set()
            await asyncio.gather(*working)

    async def _decide(self, number: int, over: asyncio.Event) -> None:
        client = GroupClient(self.group, f"c{number}")
        count = 0
        while not over.is_set():
            count += 1
            id = f"c{number}-{count}"
            opening = CreateDecision(
                id=id, question="?", electorate=dict.fromkeys(VOTERS, 1), rule=rule_of("unanimous")
            )
            await client.do(opening, timeout_s=PATIENCE_S)
            votes = [self._vote(client, id, voter, f"{voter} of {id}") for voter in VOTERS]
            await asyncio.gather(*votes, self._look(client, id))
            await asyncio.sleep(THINKS_S)
        await client.close()

    async def _vote(self, client: GroupClient, id: str, voter: str, reason: str) -> None:
        ballot = CastBallot(id=id, choice="accept", reason=reason)
        with self.recorder.operation(id, "arrive", voter) as call:
            told = await client.do(ballot, agent=voter, timeout_s=PATIENCE_S)
            call.returned(told.voted)
        self.acknowledged[id, voter] = reason

    async def _look(self, client: GroupClient, id: str) -> None:
        with self.recorder.operation(id, "arrived") as call:
            told = await client.read(GetDecision(id=id), timeout_s=PATIENCE_S)
            call.returned(sorted(told.approved_by))


class Executed(Kept):
    """What a group keeps, which remembers what was carried out."""

    def __init__(self, group: Group) -> None:
        super().__init__(group.algorithm)
        self.ballots: Counter[tuple[str, str, str]] = Counter()

    def _carry_out(self, body: bytes) -> bytes:
        given, command = read_given(body)
        if isinstance(command, CastBallot):
            self.ballots[command.id, given.agent, command.reason] += 1
        return super()._carry_out(body)


@dataclass(frozen=True)
class Found:
    """What is in a replica's file."""

    group: Group
    snapshot: Snapshot
    entries: tuple[Entry, ...]

    def replayed(self) -> Executed:
        """Apply it."""
        kept = Executed(self.group)
        if self.snapshot.index:
            kept.restore(self.snapshot)
        for entry in self.entries:
            kept.apply(entry)
        return kept


def found(folder: Path, group: Group, node: int) -> Found:
    stored = kind_of(group.algorithm).storage.recover(node, (folder / f"{node}.log").read_bytes()).stored
    if group.algorithm == "paxos":  # all of them are chosen, since all replicas have applied the same
        return Found(group, stored.snapshot, tuple(proposal.entry for proposal in stored.proposals))
    return Found(group, stored.snapshot, stored.entries)


def assert_nothing_lost_or_twice(crew: Crew, logs: list[Found]) -> None:
    """Compare what clients were told with the files of all replicas, of which none was compacted."""
    first, *others = logs
    assert all(other.entries == first.entries for other in others), "the logs differ"
    kept = first.replayed()
    for (id, voter), reason in crew.acknowledged.items():
        assert kept.ballots[id, voter, reason] == 1, f"the ballot of {voter} on {id} was lost, or carried out twice"
    assert set(kept.ballots.values()) == {1}, "some ballot was carried out twice"
    assert_decisions_stand(crew, kept)
    assert check_linearizable(crew.recorder.history(), models.Arrivals(len(VOTERS))).valid


def assert_decisions_stand(crew: Crew, kept: Kept) -> None:
    ids = sorted({id for id, _ in crew.acknowledged})
    assert ids
    for id in ids:
        told, _ = kept.look(look(id))
        voted = {voter for decision, voter in crew.acknowledged if decision == id}
        assert voted <= set(told.approved_by)
        if len(voted) == len(VOTERS):
            assert told.status == "accepted"
            assert verify(told.certificate).valid


def look(id: str) -> bytes:
    return msgspec.msgpack.encode(Given(msgspec.json.encode(GetDecision(id=id)), "test"))


@pytest.fixture
def crew_of(tmp_path: Path, places: Path) -> Callable[..., object]:
    """Return what starts a group of so many replicas."""

    @contextlib.asynccontextmanager
    async def start(count: int, *, algorithm: str = "raft", compact_entries: int = 1_000_000) -> AsyncIterator[Crew]:
        crew = Crew(tmp_path, places, count, algorithm, "--compact-entries", str(compact_entries))
        try:
            async with asyncio.timeout(WITHIN_S):
                await crew.start(*crew.group.replicas)
                yield crew
        finally:
            await crew.close()

    return start


@pytest.mark.parametrize(
    ("algorithm", "count", "kills"), [("raft", 3, 30), ("raft", 5, 20), ("paxos", 3, 30), ("paxos", 5, 20)]
)
def test_leaders_are_killed_again_and_again_and_nothing_is_lost_or_done_twice(
    crew_of, algorithm: str, count: int, kills: int
) -> None:
    async def run() -> None:
        async with crew_of(count, algorithm=algorithm) as crew:
            async with crew.load() as progress:
                for _ in range(kills):
                    await progress()
                    leader = await crew.leader()
                    await crew.kill(leader)
                    if crew.dice.random() < 0.5:
                        await progress()  # the others go on alone
                    await crew.start(leader)
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())


def test_followers_are_killed_and_the_group_hardly_notices(crew_of) -> None:
    async def run() -> None:
        async with crew_of(5) as crew:
            async with crew.load() as progress:
                for _ in range(4):
                    leader = await crew.leader()
                    followers = crew.dice.sample(sorted(crew.processes.keys() - {leader}), 2)
                    await crew.kill(*followers)
                    await progress()
                    await crew.start(*followers)
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())


@pytest.mark.parametrize("algorithm", ["raft", "paxos"])
def test_a_leader_that_was_stopped_shows_nothing_stale_when_it_wakes(crew_of, algorithm: str) -> None:
    async def run() -> None:
        async with crew_of(3, algorithm=algorithm) as crew:
            opening = CreateDecision(id="d", question="?", electorate=dict.fromkeys(VOTERS, 1))
            await crew.client.do(opening, timeout_s=PATIENCE_S)
            for voter in VOTERS[:3]:
                leader = await crew.leader()
                address, told = crew.group.address(leader), asyncio.Queue()
                channel = await connect(address, Hello("ops", "s"), partial(Channel, put(told)))
                channel.send(msgspec.msgpack.encode(Asked(1, "status")))
                await told.get()  # it has let us in
                crew.processes[leader].send_signal(signal.SIGSTOP)
                channel.send(msgspec.msgpack.encode(Asked(2, "read", look("d"))))
                rest = GroupClient(without(crew.group, leader), "rest")
                await rest.do(CastBallot(id="d", choice="accept"), agent=voter, timeout_s=PATIENCE_S)
                crew.processes[leader].send_signal(signal.SIGCONT)
                answer = await told.get()
                assert answer.status == "not_leader" or f'"{voter}"' in answer.body.decode()
                assert voter in (await crew.client.read(GetDecision(id="d"), timeout_s=PATIENCE_S)).approved_by
                channel.close()
                await rest.close()

    asyncio.run(run())


def put(told: asyncio.Queue) -> Callable[[Channel, bytes], None]:
    return lambda _channel, frame: told.put_nowait(msgspec.msgpack.decode(frame, type=Told))


def without(group: Group, node: int) -> Group:
    replicas = {each: address for each, address in group.replicas.items() if each != node}
    return msgspec.structs.replace(group, replicas=replicas)


@pytest.mark.parametrize("algorithm", ["raft", "paxos"])
def test_what_clients_are_told_while_leaders_are_killed_and_stopped_is_linearizable(crew_of, algorithm: str) -> None:
    async def run() -> None:
        async with crew_of(3, algorithm=algorithm) as crew:
            async with crew.load() as progress:
                for _ in range(8):
                    await progress()
                    leader = await crew.leader()
                    if crew.dice.random() < 0.3:
                        await crew.kill(leader)
                        await crew.start(leader)
                    else:
                        crew.processes[leader].send_signal(signal.SIGSTOP)
                        await progress()
                        crew.processes[leader].send_signal(signal.SIGCONT)
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())


def test_all_are_killed_at_once_and_what_was_acknowledged_is_there(crew_of) -> None:
    async def run() -> None:
        async with crew_of(3) as crew:
            async with crew.load() as progress:
                for _ in range(4):
                    await progress()
                    await crew.kill(*sorted(crew.processes))
                    await crew.start(*crew.group.replicas)
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())


@pytest.mark.parametrize("algorithm", ["raft", "paxos"])
def test_kills_while_logs_are_compacted_lose_nothing(crew_of, algorithm: str) -> None:
    async def run() -> None:
        async with crew_of(3, algorithm=algorithm, compact_entries=10) as crew:
            async with crew.load() as progress:
                for _ in range(12):
                    victim = crew.dice.choice(sorted(crew.processes))
                    await crew.kill(victim)
                    await progress(4 * BETWEEN)  # so that it needs a snapshot
                    await crew.start(victim)
                    await progress(crew.dice.randrange(BETWEEN))
            logs = await crew.stop()
            assert min(log.snapshot.index for log in logs) > 100, "nothing was compacted"
            first, *others = [log.replayed() for log in logs]
            assert all(other.dump() == first.dump() for other in others)
            assert_decisions_stand(crew, first)
            assert check_linearizable(crew.recorder.history(), models.Arrivals(len(VOTERS))).valid

    asyncio.run(run())


def test_a_torn_tail_costs_nothing_that_was_acknowledged(crew_of) -> None:
    async def run() -> None:
        async with crew_of(3) as crew:
            async with crew.load() as progress:
                for node in (1, 2, 3):
                    await progress()
                    await crew.kill(*sorted(crew.processes))
                    with (crew.folder / f"{node}.log").open("ab") as stream:
                        stream.write(crew.dice.randbytes(crew.dice.randrange(1, 200)))
                    await crew.start(*crew.group.replicas)
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())


@pytest.mark.parametrize("whose", ["leader", "follower"])
def test_a_full_disk_ends_one_replica_with_a_reason_and_the_group_goes_on(crew_of, whose: str) -> None:
    async def run() -> None:
        async with crew_of(3) as crew:
            async with crew.load() as progress:
                await progress()
                leader = await crew.leader()
                victim = leader if whose == "leader" else next(node for node in (1, 2, 3) if node != leader)
                full = (crew.folder / f"{victim}.log").stat().st_size + 500
                process = crew.processes.pop(victim)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, full))
                assert await process.wait() == 1
                said = crew.complaints(victim).read_text()
                assert said.startswith(f"replica {victim}: the log")
                assert "could not be written" in said
                assert said.count("\n") == 1
                crew.complaints(victim).write_text("")
                await progress()
                await crew.start(victim)
                await progress()
            assert_nothing_lost_or_twice(crew, await crew.stop())

    asyncio.run(run())
