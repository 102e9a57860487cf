"""A client finds who leads and asks until it is answered, always for the same thing, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.errors import Invalid, NotFound, TimedOut, Unreachable
from concerted.ports.decisions import AwaitDecision, CastBallot, GetDecision
from concerted.replicas.clients.client import GroupClient, Session
from concerted.replicas.kept import Outcome
from concerted.replicas.spec import Group
from concerted.replicas.wire import Asked, Channel, Told, listen

pack = msgspec.msgpack.encode
VOTE = CastBallot(id="d", choice="accept")
REFUSED = msgspec.json.encode(Outcome(5, 1, error=Invalid("no").to_wire()))
MISSING = msgspec.json.encode(Outcome(5, 1, error=NotFound("not here").to_wire()))


def ok(asked: Asked, body: bytes) -> Told:
    return Told(asked.id, "ok", body)


def done(asked: Asked, result: bytes = REFUSED) -> Told:
    """Answer a command like a replica: open session 7, or do it."""
    command = msgspec.msgpack.decode(asked.body, type=Command)
    if command.session == OPEN:
        return ok(asked, pack(Answer("opened", 7, command.number)))
    return ok(asked, pack(Answer("done", command.session, command.number, result)))


class Replica:
    """Who listens where a replica should, and answers by a rule: None is no answer, "gone" closes the channel."""

    def __init__(self, rule: Callable[[Asked], Told | str | None]) -> None:
        self.rule = rule
        self.asked: list[Asked] = []
        self.channels: list[Channel] = []
        self.news = asyncio.Event()

    async def was_asked(self, times: int) -> None:
        while len(self.asked) < times:
            self.news.clear()
            await self.news.wait()

    def make(self) -> Channel:
        self.channels.append(Channel(self._heard))
        return self.channels[-1]

    def commands(self) -> list[Command]:
        return [msgspec.msgpack.decode(each.body, type=Command) for each in self.asked if each.verb == "propose"]

    def _heard(self, channel: Channel, frame: bytes) -> None:
        if isinstance(msgspec.msgpack.decode(frame)[0], str):
            return  # the greeting
        asked = msgspec.msgpack.decode(frame, type=Asked)
        self.asked.append(asked)
        self.news.set()
        told = self.rule(asked)
        if told == "gone":
            channel.abort()
        elif told is not None:
            channel.send(pack(told))


@asynccontextmanager
async def group_of(folder: Path, *replicas: Replica) -> AsyncIterator[GroupClient]:
    group = Group(id="ops", replicas={node: f"{folder}/{node}" for node in range(1, len(replicas) + 1)})
    servers = [await listen(group.address(node), each.make) for node, each in enumerate(replicas, 1)]
    client = GroupClient(group, "ann")
    async with asyncio.timeout(30):
        yield client
    await client.close()
    for server in servers:
        server.close()
    for replica in replicas:
        for channel in replica.channels:
            channel.abort()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, f"tasks were left behind: {others}"


async def test_it_goes_where_it_is_sent(places: Path) -> None:
    follower, leader = Replica(lambda asked: Told(asked.id, "not_leader", leader=2)), Replica(done)
    async with group_of(places, follower, leader) as client:
        for _ in range(2):
            with pytest.raises(Invalid, match="no"):
                await client.do(VOTE, timeout_s=100)
    assert len(follower.asked) == 1, "it remembers who leads"
    assert [(each.session, each.number) for each in leader.commands()[1:]] == [(7, 1), (7, 2)]


async def test_it_does_not_follow_to_who_is_none_of_its_group(places: Path) -> None:
    async with group_of(places, Replica(lambda asked: Told(asked.id, "not_leader", leader=9)), Replica(done)) as client:
        with pytest.raises(Invalid, match="no"):
            await client.do(VOTE, timeout_s=100)


async def test_two_that_name_each_other_are_not_asked_without_a_pause(places: Path) -> None:
    replicas = [Replica(lambda asked, other=other: Told(asked.id, "not_leader", leader=other)) for other in (2, 1)]
    async with group_of(places, *replicas) as client:
        with pytest.raises(TimedOut):
            await client.do(VOTE, timeout_s=0.5)
    assert len(replicas[0].asked) < 20


async def test_a_command_whose_answer_was_lost_is_asked_again_under_its_number(places: Path) -> None:
    answers = iter([done, lambda _asked: "gone", lambda _asked: "gone"])
    first = Replica(lambda asked: next(answers, done)(asked))
    async with group_of(places, first, Replica(lambda _asked: "gone")) as client:
        with pytest.raises(Invalid, match="no"):
            await client.do(VOTE, timeout_s=100)
    _, *tries = first.commands()
    assert len(tries) == 3
    assert len(set(tries)) == 1, "the same session, number and body"


async def test_who_is_told_to_come_later_does(places: Path) -> None:
    answers = iter([lambda asked: Told(asked.id, "overloaded")] * 3)
    replica = Replica(lambda asked: next(answers, done)(asked))
    async with group_of(places, replica) as client:
        with pytest.raises(Invalid, match="no"):
            await client.do(VOTE, timeout_s=100)
    assert len(replica.asked) == 5


async def test_a_session_that_has_expired_is_replaced_by_another(places: Path) -> None:
    sessions = iter([7, 8])

    def rule(asked: Asked) -> Told:
        command = msgspec.msgpack.decode(asked.body, type=Command)
        if command.session == OPEN:
            return ok(asked, pack(Answer("opened", next(sessions), command.number)))
        if command.session == 7:
            return ok(asked, pack(Answer("expired", 7, command.number)))
        return done(asked)

    replica = Replica(rule)
    async with group_of(places, replica) as client:
        asked = [client.do(VOTE, timeout_s=100) for _ in range(5)]
        assert all(isinstance(each, Invalid) for each in await asyncio.gather(*asked, return_exceptions=True))
    assert sorted(each.number for each in replica.commands() if each.session == 8) == [1, 2, 3, 4, 5]


async def test_a_session_with_too_many_results_is_used_again_when_others_have_arrived(places: Path) -> None:
    def rule(asked: Asked) -> Told:
        command = msgspec.msgpack.decode(asked.body, type=Command)
        if command.session != OPEN and command.number == 1:
            return ok(asked, pack(Answer("overloaded", 7, 1)))
        return done(asked)

    replica = Replica(rule)
    async with group_of(places, replica) as client:
        with pytest.raises(Invalid, match="no"):
            await client.do(VOTE, timeout_s=30)
    asked = [(each.session, each.number, each.answered) for each in replica.commands()[1:]]
    assert asked == [(7, 1, 0), (7, 2, 1)]


async def test_many_at_once_open_one_channel_and_one_session(places: Path) -> None:
    replica = Replica(done)
    async with group_of(places, replica) as client:
        await asyncio.gather(*(client.do(VOTE, timeout_s=100) for _ in range(500)), return_exceptions=True)
    assert len(replica.channels) == 1
    assert [each.session for each in replica.commands()].count(OPEN) == 1


async def test_what_nobody_waits_for_any_more_may_be_forgotten_by_all(places: Path) -> None:
    replica = Replica(done)
    async with group_of(places, replica) as client:
        for _ in range(3):
            with pytest.raises(Invalid):
                await client.do(VOTE, timeout_s=100)
    assert [each.answered for each in replica.commands()[1:]] == [0, 1, 2]


def test_a_session_tells_up_to_where_all_is_answered() -> None:
    session = Session(7)
    assert session.answered == 0
    assert [session.begin() for _ in range(3)] == [1, 2, 3]
    session.end(2)
    assert session.answered == 0
    session.end(1)
    assert session.answered == 2
    session.end(3)
    assert session.answered == 3


async def test_a_replica_that_takes_too_long_is_left_for_another(places: Path, monkeypatch) -> None:
    monkeypatch.setattr("concerted.replicas.clients.lines.ANSWER_S", 0.05)
    async with group_of(places, Replica(lambda _asked: None), Replica(done)) as client:
        with pytest.raises(Invalid, match="no"):
            await client.do(VOTE, timeout_s=100)


async def test_who_waits_for_what_the_group_does_not_know_is_told(places: Path) -> None:
    async with group_of(places, Replica(lambda asked: ok(asked, MISSING))) as client:
        with pytest.raises(NotFound):
            await client.wait(AwaitDecision(id="d"), timeout_s=100)


async def test_who_gives_up_waiting_says_so(places: Path) -> None:
    replica = Replica(lambda _asked: None)
    async with group_of(places, replica) as client:
        with pytest.raises(TimedOut):
            await client.events("decision:d", 0, timeout_s=0.1)
        await replica.was_asked(2)
    assert [(each.id, each.verb) for each in replica.asked] == [(1, "events"), (1, "forget")]


@pytest.mark.parametrize("ask", [GetDecision(id="d"), VOTE])
async def test_without_anybody_who_listens_it_ends_in_time_and_leaves_nothing_behind(places: Path, ask) -> None:
    client = GroupClient(Group(id="ops", replicas={1: f"{places}/1", 2: f"{places}/2"}))
    with pytest.raises(TimedOut, match="2 of its 2 replicas must be up and see each other"):
        await (client.do(ask, timeout_s=0.2) if ask is VOTE else client.read(ask, timeout_s=0.2))
    with pytest.raises(TimedOut):
        await client.status(1, timeout_s=0.1)
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_is_closed_says_so_to_all_who_ask_it(places: Path) -> None:
    replica = Replica(lambda _asked: None)
    async with group_of(places, replica) as client:
        asked = asyncio.create_task(client.read(GetDecision(id="d"), timeout_s=100))
        await replica.was_asked(1)
        await client.close()
        with pytest.raises(Unreachable, match="is closed"):
            await asked
        with pytest.raises(Unreachable, match="is closed"):
            await client.read(GetDecision(id="d"), timeout_s=100)
