"""Replicas with their files and sockets: they decide, a minority may go, and who is a stranger is not heard."""

import asyncio
import contextlib
import os
import random
import stat
import time

import msgspec
import pytest

from concerted.consensus.decisions.rule import rule_of
from concerted.consensus.raft.messages import RequestVote, TimeoutNow
from concerted.errors import Conflict, NotAllowed, NotFound, TimedOut, Unreachable
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.server import Server
from concerted.replicas.wire import Hello

VOTERS = {"ann": 1, "bob": 1, "cy": 1}
OPEN = CreateDecision(id="d", question="ship?", electorate=VOTERS)
LOOK = GetDecision(id="d")
ACCEPT = CastBallot(id="d", choice="accept")


async def test_a_group_decides(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        waiting = asyncio.ensure_future(there.client.wait(AwaitDecision(id="d"), timeout_s=100))
        for voter in ("ann", "bob"):
            await there.client.do(ACCEPT, agent=voter, timeout_s=100)
        assert (await waiting).status == "accepted"
        assert (await there.client.read(LOOK, timeout_s=100)).approved_by == ("ann", "bob")


async def test_what_was_acknowledged_is_there_when_all_have_been_away(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        await there.client.do(ACCEPT, agent="ann", timeout_s=100)
        for node in (1, 2, 3):
            await there.stop(node)
        for node in (1, 2, 3):
            await there.start(node)
        assert (await there.client.read(LOOK, timeout_s=100)).approved_by == ("ann",)


async def test_a_minority_may_be_away_and_catches_up(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        leader = await there.leader()
        await there.stop(leader)
        await there.client.do(ACCEPT, agent="bob", timeout_s=100)
        await there.start(leader)
        alone = GroupClient(msgspec.structs.replace(there.group, replicas={leader: there.group.address(leader)}))
        assert [each.agent for each in await alone.events("decision:d", 1, timeout_s=100)] == ["bob"]
        await alone.close()


@pytest.mark.parametrize("algorithm", ["raft", "paxos"])
async def test_a_decision_whose_leader_went_away_took_more_rounds_than_one(running, algorithm: str) -> None:
    async with running(algorithm=algorithm) as there:
        opened = await there.client.do(OPEN, timeout_s=30)
        await there.stop(await there.leader())
        await there.client.do(ACCEPT, agent="bob", timeout_s=30)
        term = there.servers[await there.leader()].replica.core.term
        told = await there.client.read(LOOK, timeout_s=30)
        assert (opened.rounds, 2 <= told.rounds <= term) == (1, True)


async def test_without_a_majority_nothing_is_decided(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        for node in (1, 2):
            await there.stop(node)
        with pytest.raises(TimedOut, match="2 of its 3 replicas must be up and see each other"):
            await there.client.do(ACCEPT, agent="bob", timeout_s=1.0)
        await there.start(1)
        assert (await there.client.do(ACCEPT, agent="bob", timeout_s=100)).ballot == "accept"


async def test_two_clients_that_vote_for_one_voter_cast_one_ballot(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        other = GroupClient(there.group, "other")
        votes = [
            client.do(CastBallot(id="d", choice=choice), agent="bob", timeout_s=100)
            for client, choice in ((there.client, "accept"), (other, "reject"))
        ]
        first, second = await asyncio.gather(*votes)
        assert sorted([first.ignored, second.ignored]) == [False, True]
        assert first.ballot == second.ballot
        await other.close()


async def test_a_refusal_comes_back_as_the_error_it_is(running) -> None:
    async with running(1) as there:
        await there.client.do(OPEN, timeout_s=100)
        with pytest.raises(NotAllowed, match="zoe has no vote"):
            await there.client.do(ACCEPT, agent="zoe", timeout_s=100)
        with pytest.raises(NotFound, match="keeps no decision other"):
            await there.client.read(GetDecision(id="other"), timeout_s=100)


async def test_a_deadline_passes_though_nobody_says_anything(running) -> None:
    async with running() as there:
        await there.client.do(msgspec.structs.replace(OPEN, id="first"), timeout_s=100)  # somebody leads
        opening = msgspec.structs.replace(OPEN, deadline_at=time.time() + 2.0)
        await there.client.do(opening, timeout_s=100)
        told = await there.client.wait(AwaitDecision(id="d"), timeout_s=100)
        assert (told.status, told.cause) == ("lapsed", "deadline")


async def test_events_are_told_as_they_happen(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        assert [each.kind for each in await there.client.events("decision:d", 0, timeout_s=100)] == ["decision.created"]
        waiting = asyncio.ensure_future(there.client.events("decision:d", 1, timeout_s=100))
        await there.client.do(ACCEPT, agent="ann", timeout_s=100)
        assert [each.agent for each in await waiting] == ["ann"]


async def test_a_thousand_commands_at_once_are_all_done_once(running) -> None:
    async with running(3) as there:
        voters = {f"v{number}": 1 for number in range(1000)}
        opening = CreateDecision(id="big", question="ship?", electorate=voters, rule=rule_of("unanimous"))
        await there.client.do(opening, timeout_s=100)
        ballot = CastBallot(id="big", choice="accept")
        await asyncio.gather(*(there.client.do(ballot, agent=voter, timeout_s=100) for voter in voters))
        told = await there.client.read(GetDecision(id="big"), timeout_s=100)
        assert (told.voted, told.status) == (1000, "accepted")


def hello(group: str = "ops", secret: str = "s", node: int = 0) -> bytes:
    return framed(msgspec.msgpack.encode(Hello(group, secret, node)))


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "little") + payload


def asked(id: int, verb: str, body: bytes = b"", after: int = 0) -> bytes:
    return framed(msgspec.msgpack.encode([id, verb, body, "", after]))


STRANGERS = {
    "another secret": hello(secret="guess"),
    "another group": hello(group="others"),
    "a replica that is none": hello(node=9),
    "the replica itself": hello(node=1),
    "random bytes": random.Random(1).randbytes(5000),
    "a huge frame": b"\xff\xff\xff\x7f" + b"x" * 100_000,
    "a long greeting": hello(secret="s" * 70_000),
    "no greeting": asked(1, "status"),
    "a command that is none": hello() + asked(1, "propose", b"\xc1"),
    "a word that is none": hello() + asked(1, "obey"),
    "a client's huge frame": hello() + (9 << 20).to_bytes(4, "little"),
    "events from before the first": hello() + asked(1, "events", b"decision:d", -1),
    "a replica's nonsense": hello(node=2) + framed(b"nonsense"),
    "a replica's message of no kind": hello(node=2) + framed(msgspec.msgpack.encode([[99, 1, 2]])),
    "nothing": b"",
}


@pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS.keys())
async def test_who_cannot_be_understood_is_hung_up_on_and_hurts_nobody(running, said: bytes, monkeypatch) -> None:
    monkeypatch.setattr("concerted.replicas.server.GREETING_S", 0.2)
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        reader, writer = await asyncio.open_unix_connection(there.group.address(1))
        writer.write(said)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert (await there.client.do(ACCEPT, agent="ann", timeout_s=100)).ballot == "accept"
        assert not any(server.stopped.is_set() for server in there.servers.values())


async def test_what_a_replica_says_in_anothers_name_or_to_another_is_not_heard(running) -> None:
    async with running() as there:
        await there.client.do(OPEN, timeout_s=100)
        before = there.servers[1].replica.core.term
        _, writer = await asyncio.open_unix_connection(there.group.address(1))
        wrong = [TimeoutNow(1, 3, 99, 1), TimeoutNow(3, 2, 99, 1)]
        writer.write(hello(node=2) + framed(msgspec.msgpack.encode(wrong)))
        await writer.drain()
        await there.client.do(ACCEPT, agent="ann", timeout_s=100)
        assert there.servers[1].replica.core.term < 99
        assert before < 99
        writer.close()


async def test_more_guests_than_it_has_room_for_are_hung_up_on(running, monkeypatch) -> None:
    async with running(1) as there:
        await there.client.do(OPEN, timeout_s=100)
        monkeypatch.setattr("concerted.replicas.server.GUESTS_COUNT", len(there.servers[1]._guests))
        reader, writer = await asyncio.open_unix_connection(there.group.address(1))
        assert await reader.read() == b""
        writer.close()
        await there.client.do(ACCEPT, agent="ann", timeout_s=100)


async def test_clients_that_go_leave_nothing_behind(running) -> None:
    async with running(3) as there:
        await there.client.do(OPEN, timeout_s=100)
        leader = there.servers[await there.leader()]
        other = GroupClient(there.group, "other")
        working = [
            asyncio.create_task(work)
            for work in (
                other.wait(AwaitDecision(id="d"), timeout_s=100),
                other.events("decision:d", 1, timeout_s=100),
                *(other.read(LOOK, timeout_s=100) for _ in range(20)),
                *(other.do(ACCEPT, agent="bob", timeout_s=100) for _ in range(20)),
            )
        ]
        await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
        for each in working:
            each.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await other.close()
        await there.client.do(ACCEPT, agent="cy", timeout_s=100)
        await there.client.read(LOOK, timeout_s=100)
        assert (leader._commands.count, leader._commands._of, leader._reading, leader._watches._of) == (0, {}, {}, {})


async def test_who_gives_up_waiting_again_and_again_is_remembered_once_at_most(running) -> None:
    async with running(1) as there:
        await there.client.do(OPEN, timeout_s=100)
        for _ in range(5):
            with pytest.raises(TimedOut):
                await there.client.wait(AwaitDecision(id="d"), timeout_s=0.02)
        await there.client.read(LOOK, timeout_s=100)
        assert there.servers[1]._watches.count == 0


async def test_who_asks_when_too_many_wait_is_told_to_come_later(running, monkeypatch) -> None:
    async with running(1) as there:
        await there.client.do(OPEN, timeout_s=100)
        waiting = asyncio.create_task(there.client.wait(AwaitDecision(id="d"), timeout_s=100))
        while not there.servers[1]._watches.count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        monkeypatch.setattr("concerted.replicas.server.WAITING_COUNT", 1)
        with pytest.raises(TimedOut):
            await there.client.do(ACCEPT, agent="ann", timeout_s=0.1)
        monkeypatch.undo()
        for voter in ("ann", "bob"):
            await there.client.do(ACCEPT, agent=voter, timeout_s=100)
        assert (await waiting).status == "accepted"


async def test_who_waits_at_a_replica_that_takes_over_a_snapshot_is_told(running) -> None:
    async with running(3, compact_entries=5) as there:
        await there.client.do(OPEN, timeout_s=100)
        leader = await there.leader()
        behind = next(node for node in there.servers if node != leader)
        await there.stop(behind)
        for voter in ("ann", "bob"):
            await there.client.do(ACCEPT, agent=voter, timeout_s=100)
        for number in range(40):
            await there.client.do(msgspec.structs.replace(OPEN, id=f"d{number}"), timeout_s=100)
        assert there.servers[leader].replica.core.log.snapshot.index > 10
        alone = GroupClient(msgspec.structs.replace(there.group, replicas={behind: there.group.address(behind)}))
        waiting = asyncio.create_task(alone.events("decision:d39", 0, timeout_s=100))
        await there.start(behind)
        assert [each.kind for each in await waiting] == ["decision.created"]
        seen = await alone.events("decision:d", 0, timeout_s=100)
        assert seen[-1].kind == "decision.closed"
        await alone.close()


async def test_commands_that_wait_behind_a_write_when_leadership_ends_are_done_once(running) -> None:
    async with running(3) as there:
        await there.client.do(msgspec.structs.replace(OPEN, rule=rule_of("unanimous")), timeout_s=100)
        leader = await there.leader()
        voting = [
            asyncio.create_task(there.client.do(ACCEPT, agent=voter, timeout_s=100)) for voter in VOTERS for _ in "abc"
        ]
        server = there.servers[leader]
        while not server._commands.count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        server.replica.receive([RequestVote(leader, 1 + leader % 3, 50, 1, 1 << 40, 49, transfer=True)])
        assert server.replica.core.leader is None
        told = await asyncio.gather(*voting)
        assert {each.ballot for each in told} == {"accept"}
        assert server._commands.count == len(server._commands._of) == 0
        seen = await there.client.read(LOOK, timeout_s=100)
        assert seen.status == "accepted"


async def test_only_its_user_may_connect_to_a_replicas_socket(running) -> None:
    async with running(1) as there:
        assert stat.S_IMODE(os.stat(there.group.address(1)).st_mode) == 0o600


async def test_one_replica_cannot_run_twice(running) -> None:
    async with running(1) as there:
        with pytest.raises(Conflict, match="in use by another process"):
            await Server(there.group, 1, there.folder).open()


async def test_an_address_that_cannot_be_had_is_told(running, tmp_path) -> None:
    async with running(1) as there:
        elsewhere = msgspec.structs.replace(there.group, replicas={1: f"{tmp_path}/nowhere/1.sock"})
        with pytest.raises(Unreachable, match="cannot listen at"):
            await Server(elsewhere, 1, tmp_path / "other").open()


async def test_a_replica_says_how_it_stands(running) -> None:
    async with running() as there:
        leader = await there.leader()
        told = await there.client.status(leader, timeout_s=100)
        assert (told.group, told.node, told.algorithm, told.leader) == ("ops", leader, "raft", leader)
