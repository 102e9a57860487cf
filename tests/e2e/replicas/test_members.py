"""The members of a group of real replicas change while it works: everybody finds everybody, with old descriptions."""

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from concerted.errors import Invalid
from concerted.ports.decisions import CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.server import Server

OPEN = CreateDecision(id="d", question="ship?", electorate={"ann": 1, "bob": 1, "cy": 1})


@asynccontextmanager
async def replaced(there, old: int, node: int):
    """Have replica `node` take the place of `old`, as a coordinator does it; yield the description from then on."""
    group = there.group.with_joining(node, f"{there.folder}/{node}.sock", "dan")
    server = there.servers[node] = Server(group, node, there.folder, **there.options)
    await server.open()
    members = sorted(there.servers.keys() - {node})
    await there.client.change_members(members, [node], timeout_s=30)
    wanted = sorted({*members, node} - {old})
    await there.client.change_members(wanted, [], timeout_s=30)
    while True:
        if await is_done(there, wanted):
            break
        await asyncio.sleep(0.01)
    yield group.with_members(wanted)


async def is_done(there, wanted: list[int]) -> bool:
    told = [await there.client.status(node, timeout_s=30) for node in there.servers if node in there.group.replicas]
    return any(each.is_settled and list(each.voters) == wanted for each in told)


async def test_a_replica_that_joins_has_all_that_was_decided_before(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=30)
        async with replaced(there, 1, 4) as group:
            await there.stop(1)
            for node in (2, 3):  # with the new one there is a majority: it has to know everything
                await there.stop(node)
                await there.start(node)
            await there.stop(2)
            assert (await there.client.do(CastBallot(id="d", choice="accept"), agent="ann", timeout_s=30)).voted == 1
            while True:  # stored there, and applied when it hears that this is committed
                if there.servers[4].replica.kept.look(given(GetDecision(id="d")))[0].voted == 1:
                    break
                await asyncio.sleep(0.01)
            assert sorted(group.replicas) == [2, 3, 4]


async def test_a_client_with_an_old_description_finds_the_new_members(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=30)
        async with replaced(there, 1, 4) as group:
            await there.stop(1)
            old = GroupClient(there.group, "bob")
            new = GroupClient(group, "cy")
            try:
                while await there.leader() != 4:
                    leader = await there.leader()
                    await there.stop(leader)
                    there.client.learn(group)
                    await there.client.read(GetDecision(id="d"), timeout_s=30)
                    await there.start(leader)
                assert (await old.do(CastBallot(id="d", choice="accept"), timeout_s=30)).voted == 1
                assert sorted(old.group.replicas) == [2, 3, 4]
                assert (await new.do(CastBallot(id="d", choice="accept"), timeout_s=30)).status == "accepted"
            finally:
                await old.close()
                await new.close()


async def test_a_replica_that_has_left_is_looked_for_no_more(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=30)
        async with replaced(there, 1, 4):
            await there.stop(1)
            while True:
                if not any(1 in there.servers[node].peers.addresses for node in (2, 3, 4)):
                    break
                await asyncio.sleep(0.01)


async def test_who_is_to_vote_must_have_an_id_that_nobody_had(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=30)
        async with replaced(there, 1, 4):
            with pytest.raises(Invalid, match="ids are given once"):
                await there.client.change_members([2, 3, 4], [1], timeout_s=30)
            assert (await there.client.read(GetDecision(id="d"), timeout_s=30)).voted == 0, "the replica goes on"


async def test_the_members_of_a_group_of_paxos_do_not_change(running) -> None:
    async with running(algorithm="paxos") as there:
        with pytest.raises(Invalid, match="the members of a group of paxos are those that it began with"):
            await there.client.change_members([1, 2], [], timeout_s=30)


def given(command) -> bytes:
    return msgspec.msgpack.encode((msgspec.json.encode(command), "ann", False))
