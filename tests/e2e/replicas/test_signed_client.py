"""Groups in which a replica may lie: what clients believe, what is carried out, and for whom a client may speak."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from concerted.consensus.sessions import Answer
from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.ports.agreements import AppendToDecisionLog
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision, GetDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.clients.signed_client import SignedGroupClient, _same_events, _same_outcome, same_body
from concerted.replicas.kept import KeptEvent, Outcome
from concerted.replicas.keys import make_key, read_key
from concerted.replicas.server import Server
from concerted.replicas.spec import COORDINATOR, Group

OPEN = CreateDecision(id="d", question="ship?", electorate={"ann": 1, "bob": 1, "cy": 1})
LOOK = GetDecision(id="d")
ACCEPT = CastBallot(id="d", choice="accept")


def described(folder: Path) -> Group:
    keys = {node: make_key(folder / f"{node}.key") for node in (1, 2, 3, 4)}
    return Group(
        id="g",
        algorithm="pbft",
        replicas={node: f"{folder}/{node}.sock" for node in keys},
        hosts={1: "ann", 2: "bob", 3: "cy", 4: "dee"},
        keys=keys,
        clients={COORDINATOR: make_key(folder / "coordinator.key")},
        election_timeout_s=1.0,
        heartbeat_interval_s=0.2,
    )


class Signed:
    """Four replicas in one loop.  kinds: what stands in the place of an honest server."""

    def __init__(self, folder: Path, kinds: dict[int, type[Server]] | None = None) -> None:
        self.folder = folder
        self.group = described(folder)
        self.kinds = kinds or {}
        self.servers: dict[int, Server] = {}

    async def __aenter__(self) -> "Signed":
        for node in self.group.replicas:
            server = self.servers[node] = self.kinds.get(node, Server)(self.group, node, self.folder)
            await server.open()
        self.client = self.as_client(COORDINATOR, "coordinator.key")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        for server in self.servers.values():
            await server.close()

    async def primary(self) -> int:
        """Wait until 2f + 1 are in one view; return its primary."""
        while True:
            known = [server.replica.core.leader for server in self.servers.values()]
            for each in known:
                if each is not None and known.count(each) >= 3:
                    return each
            await asyncio.sleep(0)

    def as_client(self, name: str, key: str) -> SignedGroupClient:
        return SignedGroupClient(self.group, name, read_key(self.folder / key))


class Liar(Server):
    """Tells every client that everything was rejected, and shows a story of its own."""

    def answered(self, answer: Answer) -> None:
        """Answer with a lie."""
        super().answered(
            msgspec.structs.replace(answer, result=msgspec.json.encode(Outcome(1, 1, error={"code": "x"})))
        )


async def test_a_log_whose_primary_went_away_took_more_views_than_one(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(60):

        def append(number: int) -> AppendToDecisionLog:
            return AppendToDecisionLog(id="moves", value=number, request_id=str(number), algorithm="pbft")

        told = await there.client.do(append(1), timeout_s=50)
        assert told.rounds == 1
        await there.servers.pop(await there.primary()).close()
        while told.rounds == 1:  # until f + 1 of the others have signed that they are in a later view
            told = await there.client.do(append(told.last + 1), timeout_s=50)
        assert 2 <= told.rounds <= 1 + max(server.replica.core.term for server in there.servers.values())


async def test_a_group_decides_and_says_when(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(150):
        opened = await there.client.do(OPEN, timeout_s=50)
        assert (opened.algorithm, abs(opened.created_at - time.time()) < 30) == ("pbft", True)
        waiting = asyncio.ensure_future(there.client.wait(AwaitDecision(id="d"), timeout_s=50))
        for voter in ("ann", "bob"):
            await there.client.do(ACCEPT, agent=voter, timeout_s=50)
        assert (await waiting).status == "accepted"
        assert (await there.client.read(LOOK, timeout_s=50)).approved_by == ("ann", "bob")
        kinds = [each.kind for each in await there.client.history("decision:d", 1, timeout_s=50)]
        assert kinds == ["decision.ballot_cast", "decision.ballot_cast", "decision.closed"]


async def test_one_replica_that_lies_is_believed_by_nobody(tmp_path: Path) -> None:
    async with Signed(tmp_path, {1: Liar}) as there, asyncio.timeout(150):
        assert (await there.client.do(OPEN, timeout_s=50)).status == "voting"
        await there.client.do(ACCEPT, agent="ann", timeout_s=50)
        assert (await there.client.do(ACCEPT, agent="bob", timeout_s=50)).status == "accepted"


async def test_one_replica_may_be_away_whoever_it_is(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(100):
        await there.client.do(OPEN, timeout_s=90)
        primary = (await there.client.status(2, timeout_s=50)).leader
        await there.servers.pop(primary).close()
        assert (await there.client.do(ACCEPT, agent="ann", timeout_s=90)).ballot == "accept"


async def test_with_two_of_four_nothing_is_carried_out(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(150):
        await there.client.do(OPEN, timeout_s=50)
        for node in (3, 4):
            await there.servers.pop(node).close()
        with pytest.raises(TimedOut):
            await there.client.do(ACCEPT, agent="ann", timeout_s=1.5)


async def test_the_host_of_a_replica_speaks_for_itself_alone(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(150):
        await there.client.do(OPEN, timeout_s=50)
        bob = there.as_client("replica-2", "2.key")
        assert (await bob.do(ACCEPT, agent="bob", timeout_s=50)).ballot == "accept"
        with pytest.raises(NotAllowed, match="bob may not speak for ann"):
            await bob.do(ACCEPT, agent="ann", timeout_s=50)
        await bob.close()


async def test_what_nobody_has_signed_is_not_carried_out(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(150):
        stranger = GroupClient(there.group)
        with pytest.raises(TimedOut):
            await stranger.do(OPEN, timeout_s=1.0)
        await stranger.close()
        forger = there.as_client(COORDINATOR, "2.key")
        with pytest.raises(TimedOut):
            await forger.do(OPEN, timeout_s=1.0)
        await forger.close()
        with pytest.raises(Invalid, match="eve has no key in group g"):
            await there.as_client("eve", "2.key").do(OPEN, timeout_s=1.0)


async def test_a_deadline_passes_when_enough_say_that_it_is_past(tmp_path: Path) -> None:
    async with Signed(tmp_path) as there, asyncio.timeout(150):
        await there.client.do(OPEN, timeout_s=50)
        soon = CreateDecision(id="soon", question="?", electorate={"ann": 1}, deadline_at=time.time() + 3.0)
        await there.client.do(soon, timeout_s=50)
        told = await there.client.wait(AwaitDecision(id="soon"), timeout_s=50)
        assert (told.status, told.cause) == ("lapsed", "deadline")


async def test_a_replica_without_its_key_does_not_begin(tmp_path: Path) -> None:
    group = described(tmp_path)
    (tmp_path / "3.key").unlink()
    with pytest.raises(Invalid, match="without it nobody would believe us"):
        await Server(group, 3, tmp_path).open()
    (tmp_path / "3.key").write_text((tmp_path / "4.key").read_text())
    with pytest.raises(Invalid, match="does not belong to its public key"):
        await Server(group, 3, tmp_path).open()


def event(number: int) -> KeptEvent:
    return KeptEvent(number, 1.0, f"thing.{number}", None, None, {})


def story(*numbers: int) -> bytes:
    return msgspec.msgpack.encode([event(number) for number in numbers])


def agreed(*stories: bytes) -> list[int] | None:
    found = _same_events(list(stories), 2)
    return None if found is None else [each.index for each in msgspec.msgpack.decode(found, type=list[KeptEvent])]


def test_a_story_is_believed_as_far_as_enough_tell_it() -> None:
    assert agreed(story(1, 2)) is None
    assert agreed(story(1, 2), story(1, 2, 3)) == [1, 2]
    assert agreed(story(1, 2), story(7, 2)) is None
    assert agreed(story(1, 2), story(7, 2), story(1, 3)) == [1]
    assert agreed(story(), story(), story()) == []


def test_an_answer_is_believed_when_enough_give_it() -> None:
    assert same_body([b"a", b"b"], 2) is None
    assert same_body([b"a", b"b", b"a"], 2) == b"a"
    one, later, other = (
        msgspec.json.encode(Outcome(index, 1, ok=msgspec.Raw(ok))) for index, ok in ((1, b"7"), (9, b"7"), (1, b"8"))
    )
    assert _same_outcome([one, other], 2) is None
    assert _same_outcome([one, other, later], 2) == later
