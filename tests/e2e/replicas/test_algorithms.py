"""Whatever keeps the log: what groups promise holds with each protocol that trusts its replicas."""

import asyncio

import msgspec
import pytest

from concerted.consensus.decisions.rule import rule_of
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.protocols.algorithms import ALGORITHMS, kind_of

OPEN = CreateDecision(id="d", question="ship?", electorate={"ann": 1, "bob": 1, "cy": 1}, rule=rule_of("unanimous"))
LOOK = GetDecision(id="d")
ACCEPT = CastBallot(id="d", choice="accept")
TRUSTING = sorted(name for name in ALGORITHMS if name != "pbft")  # which needs keys


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_each_protocol_of_the_table_has_a_file_a_core_and_messages(algorithm: str) -> None:
    kind = kind_of(algorithm)
    assert algorithm in kind.storage.name
    assert kind.decoder().decode(b"\x90") == []


@pytest.mark.parametrize("algorithm", TRUSTING)
async def test_a_group_decides_while_its_leader_goes(running, algorithm: str) -> None:
    async with running(algorithm=algorithm) as there:
        await there.client.do(OPEN, timeout_s=100)
        waiting = asyncio.create_task(there.client.wait(AwaitDecision(id="d"), timeout_s=100))
        for voter in ("ann", "bob", "cy"):
            leader = await there.leader()
            await there.client.do(ACCEPT, agent=voter, timeout_s=100)
            await there.stop(leader)
            assert voter in (await there.client.read(LOOK, timeout_s=100)).approved_by
            await there.start(leader)
        assert (await waiting).status == "accepted"


@pytest.mark.parametrize("algorithm", TRUSTING)
async def test_all_may_be_away_and_nothing_is_forgotten(running, algorithm: str) -> None:
    async with running(algorithm=algorithm) as there:
        await there.client.do(OPEN, timeout_s=100)
        await there.client.do(ACCEPT, agent="ann", timeout_s=100)
        for node in (1, 2, 3):
            await there.stop(node)
        for node in (1, 2, 3):
            await there.start(node)
        assert (await there.client.read(LOOK, timeout_s=100)).approved_by == ("ann",)


@pytest.mark.parametrize(("every", "length"), [(10, 1), (120, 10_000)], ids=["in one piece", "in several"])
@pytest.mark.parametrize("algorithm", TRUSTING)
async def test_one_that_was_away_while_the_log_was_compacted_catches_up(running, algorithm, every, length) -> None:
    async with running(algorithm=algorithm, compact_entries=every) as there:
        await there.client.do(OPEN, timeout_s=100)
        behind = next(node for node in there.servers if node != there.servers[1].replica.core.leader)
        await there.stop(behind)
        for number in range(2 * every + 10):
            opening = msgspec.structs.replace(OPEN, id=f"d{number}", question="?" * length)
            await there.client.do(opening, timeout_s=100)
        assert all(len(each.replica.core.log.snapshot.data) > every * length for each in there.servers.values())
        await there.start(behind)
        alone = GroupClient(msgspec.structs.replace(there.group, replicas={behind: there.group.address(behind)}))
        seen = await alone.events(f"decision:d{2 * every + 9}", 0, timeout_s=100)
        assert [each.kind for each in seen] == ["decision.created"]
        await alone.close()


@pytest.mark.parametrize("algorithm", TRUSTING)
async def test_many_commands_at_once_are_each_done_once(running, algorithm: str) -> None:
    async with running(algorithm=algorithm) as there:
        voters = {f"v{number}": 1 for number in range(300)}
        opening = CreateDecision(id="big", question="?", electorate=voters, rule=rule_of("unanimous"))
        await there.client.do(opening, timeout_s=100)
        ballot = CastBallot(id="big", choice="accept")
        told = await asyncio.gather(*(there.client.do(ballot, agent=voter, timeout_s=100) for voter in voters))
        assert sorted(each.voted for each in told) == list(range(1, 301))
