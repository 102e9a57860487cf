"""The socket link and the agent at its other end, over a real socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from concerted.agent import Agent, Service, ServiceLimits
from concerted.agent.addresses import places_of, socket_path
from concerted.agent.wire import Frame, Hello, Notice, read_frame, write_line
from concerted.errors import Conflict, Invalid, Unreachable
from concerted.links import socket as socket_module
from concerted.links.socket import SocketLink
from concerted.messages import Beat, Reply
from concerted.testing.link_exam import Heard, task_envelope
from concerted.values import Profile, Task

QUICK = ServiceLimits(first_pause_s=0.005, longest_pause_s=0.02, stop_grace_s=1.0)


class Owner:
    """A store's owner, as far as agents see it: every connection becomes a link."""

    def __init__(self, database: Path, beat_s: float = 0.05) -> None:
        self._path = socket_path(database)
        self._beat_s = beat_s
        self.links: asyncio.Queue[SocketLink] = asyncio.Queue()
        self.refusal: Conflict | None = None
        self.heard = Heard()

    async def __aenter__(self) -> "Owner":
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = read_frame(await reader.readline()).hello
        assert hello is not None
        if self.refusal is not None:
            writer.write(write_line(Notice(error=self.refusal.to_wire())))
            writer.close()
            return
        link = SocketLink(reader, writer, hello, self._beat_s)
        await link.open(self.heard)
        self.links.put_nowait(link)

    async def link(self) -> SocketLink:
        return await asyncio.wait_for(self.links.get(), 5)


@contextlib.asynccontextmanager
async def serving(agent: Agent, database: Path, limits: ServiceLimits = QUICK) -> AsyncIterator[Service]:
    service = Service(agent, f"sqlite:///{database}", limits=limits)
    running = asyncio.create_task(service.run())
    try:
        yield service
        service.stop()
        await asyncio.wait_for(running, 5)
    finally:
        running.cancel()
        await asyncio.wait([running])


def writer_agent(gate: asyncio.Event | None = None, done: list[str] | None = None) -> Agent:
    ann = Agent("ann", capabilities={"writing": 0.5})

    @ann.task()
    async def write(task: Task) -> str:
        if gate is not None:
            await gate.wait()
        if done is not None:
            done.append(task.id)
        return f"{task.id} written"

    return ann


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 15))


def test_an_agent_joins_works_beats_and_says_goodbye(tmp_path: Path) -> None:
    async def test() -> None:
        gate = asyncio.Event()
        async with Owner(tmp_path / "work.db") as owner:
            async with serving(writer_agent(gate), tmp_path / "work.db"):
                link = await owner.link()
                assert (link.agent, link.profile.capabilities) == ("ann", {"writing": 0.5})
                link.send([task_envelope("t")])
                await owner.heard.until(lambda: any("t" in beat.running for beat in owner.heard.beats))
                assert link.holds("t")
                gate.set()
                assert (await owner.heard.answer("t")).value == "t written"
                assert not link.holds("t")
            await owner.heard.until(lambda: "suspected" in owner.heard.kinds())
            assert owner.heard.news[0] == ("left", "it was stopped")
            await link.close("over")

    run(test)


def test_a_changed_profile_reaches_the_owner(tmp_path: Path) -> None:
    async def test() -> None:
        ann = writer_agent()
        async with Owner(tmp_path / "work.db") as owner, serving(ann, tmp_path / "work.db"):
            link = await owner.link()
            await owner.heard.until(lambda: owner.heard.beats)
            ann.change(capacity=4)
            await owner.heard.until(lambda: owner.heard.profiles)
            assert link.profile.capacity == 4

    run(test)


def test_an_agent_works_on_while_the_owner_changes_and_its_reply_reaches_the_next_one(tmp_path: Path) -> None:
    async def test() -> None:
        gate, done = asyncio.Event(), []
        async with serving(writer_agent(gate, done), tmp_path / "work.db") as service:
            async with Owner(tmp_path / "work.db") as first:
                link = await first.link()
                link.send([task_envelope("t")])
                await first.heard.until(lambda: any("t" in beat.running for beat in first.heard.beats))
                await link.close("the owner ends")
            while service.joined:  # noqa: ASYNC110 - until the agent has noticed
                await asyncio.sleep(0.001)
            gate.set()
            await service._desk.drain(1.0)
            async with Owner(tmp_path / "work.db") as second:
                link = await second.link()
                assert (await second.heard.answer("t")).value == "t written"
                link.send([task_envelope("t")])
                await second.heard.until(lambda: len(second.heard.replies) == 2)
                assert second.heard.replies[1].cached
                assert done == ["t"]

    run(test)


def test_a_stale_owner_is_refused_by_an_agent_that_has_met_the_new_one(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(writer_agent(), tmp_path / "work.db"):
            async with Owner(tmp_path / "work.db") as new:
                link = await new.link()
                link.send([task_envelope("a", epoch=2)])
                assert (await new.heard.answer("a")).ok
                await link.close("the connection goes")
            async with Owner(tmp_path / "work.db") as old:
                link = await old.link()
                link.send([task_envelope("b", epoch=1)])
                assert (await old.heard.answer("b")).error == "stale coordinator epoch 1, have seen 2"

    run(test)


def test_an_agent_that_stops_finishes_what_it_has_in_hand_and_begins_nothing_new(tmp_path: Path) -> None:
    async def test() -> None:
        gate = asyncio.Event()
        async with Owner(tmp_path / "work.db") as owner, serving(writer_agent(gate), tmp_path / "work.db") as service:
            link = await owner.link()
            link.send([task_envelope("t")])
            await owner.heard.until(lambda: any("t" in beat.running for beat in owner.heard.beats))
            service.stop()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            link.send([task_envelope("u")])
            assert (await owner.heard.answer("u")).error == "agent ann is leaving"
            gate.set()
            assert (await owner.heard.answer("t")).ok

    run(test)


def test_an_agent_that_is_turned_away_says_why(tmp_path: Path) -> None:
    async def test() -> None:
        async with Owner(tmp_path / "work.db") as owner:
            owner.refusal = Conflict("there is another ann")
            with pytest.raises(Conflict, match="there is another ann"):
                await asyncio.wait_for(writer_agent().serve(f"sqlite:///{tmp_path}/work.db", limits=QUICK), 5)

    run(test)


def test_an_agent_that_finds_no_owner_loses_its_patience(tmp_path: Path) -> None:
    limits = ServiceLimits(first_pause_s=0.005, longest_pause_s=0.01, patience_s=0.02)

    async def test() -> None:
        with pytest.raises(Unreachable, match="nobody owns sqlite:///"):
            await asyncio.wait_for(writer_agent().serve(f"sqlite:///{tmp_path}/work.db", limits=limits), 5)

    run(test)


def test_an_agent_runs_once_at_a_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/work.db"
    service = Service(writer_agent(), url)
    with pytest.raises(Conflict, match="already runs in another process"):
        Service(writer_agent(), url)
    service._desk.inbox.close()


def test_each_agent_has_an_inbox_of_its_own_in_a_private_folder(tmp_path: Path) -> None:
    places = places_of(f"sqlite:///{tmp_path}/work.db")
    paths = [places.inbox(name) for name in ("ann", "team/ann", "../ann")]
    assert len(set(paths)) == 3
    assert {path.parent for path in paths} == {tmp_path / "work.db.agents"}
    assert paths[0].parent.stat().st_mode & 0o777 == 0o700


def test_a_result_too_long_for_the_wire_is_a_failure(tmp_path: Path) -> None:
    async def test() -> None:
        ann = Agent("ann")
        ann.task()(lambda task: "x" * 2_000_000)
        async with Owner(tmp_path / "work.db") as owner, serving(ann, tmp_path / "work.db"):
            link = await owner.link()
            link.send([task_envelope("t")])
            reply = await owner.heard.answer("t")
            assert reply.status == "failed"
            assert "give a reference instead" in (reply.error or "")

    run(test)


# an agent that speaks the protocol by hand, and badly


@contextlib.asynccontextmanager
async def by_hand(folder: Path) -> AsyncIterator[tuple[Owner, SocketLink, asyncio.StreamReader, asyncio.StreamWriter]]:
    async with Owner(folder / "work.db") as owner:
        reader, writer = await asyncio.open_unix_connection(socket_path(folder / "work.db"))
        writer.write(write_line(Frame(hello=Hello(profile=Profile(id="ann")))))
        link = await owner.link()
        assert b'"welcome"' in await reader.readline()
        yield owner, link, reader, writer
        writer.close()
        await link.close("over")


def test_bad_lines_are_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "FAULTS", 3)

    async def test() -> None:
        async with by_hand(tmp_path) as (owner, _link, reader, writer):
            writer.write(b'hello?\n42\n{"changed": {"id": "bob"}}\nhello?\n')
            assert await reader.read() == b""
            kinds = owner.heard.kinds()
            assert kinds[:4] == ["not_json", "not_a_frame", "not_a_frame", "too_many_faults"]

    run(test)


def test_a_line_without_end_closes_the_connection(tmp_path: Path) -> None:
    async def test() -> None:
        async with by_hand(tmp_path) as (owner, _link, _reader, writer):
            writer.write(b"x" * 2_000_000)
            await owner.heard.until(lambda: "suspected" in owner.heard.kinds())
            assert owner.heard.kinds() == ["line_too_long", "suspected"]

    run(test)


def test_a_short_reply_and_an_ack_are_understood(tmp_path: Path) -> None:
    async def test() -> None:
        async with by_hand(tmp_path) as (owner, link, _reader, writer):
            link.send([task_envelope("t")])
            writer.write(b'{"ack": "t"}\n{"key": "t", "value": [1]}\n')
            assert await owner.heard.answer("t") == Reply(agent="ann", status="ok", value=[1], key="t")
            assert owner.heard.beats == [Beat(agent="ann", running=("t",))]

    run(test)


def test_heartbeats_say_what_is_held(tmp_path: Path) -> None:
    async def test() -> None:
        async with by_hand(tmp_path) as (owner, link, _reader, writer):
            now = 0.0
            link._clock = lambda: now
            link.send([task_envelope("a"), task_envelope("b")])
            assert (link.holds("a"), link.holds("b")) == (False, False)  # sent; whether it arrived nobody knows
            writer.write(write_line(Frame(ack="a")) + write_line(Frame(ack="b")))
            writer.write(write_line(Frame(beat=Beat(agent="ann"))))
            await owner.heard.until(lambda: len(owner.heard.beats) == 3)
            assert (link.holds("a"), link.holds("b")) == (True, True)  # taken just now: the heartbeat may be older
            now = 1.0
            writer.write(write_line(Frame(beat=Beat(agent="ann", running=("b", "c")))))
            await owner.heard.until(lambda: len(owner.heard.beats) == 4)
            assert (link.holds("a"), link.holds("b"), link.holds("c")) == (False, True, True)

    run(test)


def test_what_an_agent_does_not_read_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "QUEUE_BYTES", 100_000)

    async def test() -> None:
        async with by_hand(tmp_path) as (owner, link, _reader, _writer):
            for number in range(20):
                link.send([task_envelope(f"k{number}", text="x" * 100_000)])
            assert "queue_full" in owner.heard.kinds()
            assert link._writer.transport.get_write_buffer_size() < 1_000_000

    run(test)


def test_a_hello_without_a_profile_makes_no_link() -> None:
    missing: Any = None
    with pytest.raises(Invalid, match="must hold its profile"):
        SocketLink(missing, missing, Hello())
