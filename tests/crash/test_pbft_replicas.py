"""Four replicas that sign, each a process of its own: the primary is killed again and again while ballots are cast.

With one of four away everything goes on, and whatever a client was told is in the log of all of them at the end.
"""

import asyncio
import contextlib
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.rule import rule_of
from concerted.ports.decisions import CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.signed_client import SignedGroupClient
from concerted.replicas.keys import make_key, read_key
from concerted.replicas.spec import COORDINATOR, Group

KILLS = 8
VOTERS_PER_KILL = 6
PATIENCE_S = 90.0


class Four:
    """A group and its processes."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        keys = {node: make_key(folder / f"{node}.key") for node in (1, 2, 3, 4)}
        self.group = Group(
            id="ledger",
            algorithm="pbft",
            replicas={node: f"{sockets}/{node}" for node in keys},
            hosts={1: "ann", 2: "bob", 3: "cy", 4: "dee"},
            keys=keys,
            clients={COORDINATOR: make_key(folder / "coordinator.key")},
            election_timeout_s=1.0,
            heartbeat_interval_s=0.2,
        )
        self.folder = folder
        self.processes: dict[int, Process] = {}
        self.client = SignedGroupClient(self.group, COORDINATOR, read_key(folder / "coordinator.key"))
        (folder / "group.json").write_bytes(msgspec.json.encode(self.group))

    async def start(self, node: int) -> None:
        words = ["-m", "concerted.replicas.process", f"{self.folder}/group.json", str(node), str(self.folder)]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        self.processes[node] = process

    async def kill_the_primary(self) -> int:
        said = [await self.client.status(node, timeout_s=PATIENCE_S) for node in sorted(self.processes)]
        newest = max(said, key=lambda each: each.term)
        node = newest.leader or newest.node
        self.processes[node].kill()
        await self.processes.pop(node).wait()
        return node

    async def vote(self, voter: str) -> None:
        told = await self.client.do(CastBallot(id="d", choice="accept"), agent=voter, timeout_s=PATIENCE_S)
        assert told.ballot == "accept"


@contextlib.asynccontextmanager
async def four(folder: Path) -> AsyncIterator[Four]:
    with tempfile.TemporaryDirectory(prefix="cc", dir="/tmp") as sockets:
        there = Four(folder, Path(sockets))
        try:
            await asyncio.gather(*(there.start(node) for node in there.group.replicas))
            yield there
        finally:
            for process in there.processes.values():
                process.kill()
                await process.wait()
            await there.client.close()


def test_the_primary_is_killed_again_and_again_and_no_ballot_is_lost(tmp_path: Path) -> None:
    voters = [f"v{number}" for number in range(KILLS * VOTERS_PER_KILL)]

    async def scene() -> None:
        async with four(tmp_path) as there, asyncio.timeout(500):
            opening = CreateDecision(
                id="d", question="ship?", electorate=dict.fromkeys(voters, 1), rule=rule_of("unanimous")
            )
            await there.client.do(opening, timeout_s=PATIENCE_S)
            for kill in range(KILLS):
                away = await there.kill_the_primary()
                now = voters[kill * VOTERS_PER_KILL : (kill + 1) * VOTERS_PER_KILL]
                await asyncio.gather(*(there.vote(voter) for voter in now))
                await there.start(away)
            told = await there.client.read(GetDecision(id="d"), timeout_s=PATIENCE_S)
            assert (told.status, sorted(told.approved_by)) == ("accepted", sorted(voters))
            assert verify(msgspec.json.encode(told.certificate).decode()).valid
            events = await there.client.history("decision:d", 0, timeout_s=PATIENCE_S)
            cast = [each.agent for each in events if each.kind == "decision.ballot_cast"]
            assert sorted(cast) == sorted(voters), "a ballot was counted twice, or lost"

    asyncio.run(scene())
