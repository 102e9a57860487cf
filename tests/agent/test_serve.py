"""An agent that lives by itself and serves several nodes of one database at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from concerted.agent import Agent, Service, ServiceLimits
from concerted.agent.addresses import NodePlaces, places_of
from concerted.agent.wire import Notice, read_frame, write_line
from concerted.errors import Conflict, NotAllowed, Overloaded, Unreachable
from concerted.links.socket import SocketLink
from concerted.testing.link_exam import Heard, task_envelope
from concerted.values import Task

URL = "postgresql://ann:secret@db.example/work"
QUICK = ServiceLimits(first_pause_s=0.005, longest_pause_s=0.02, look_s=0.01, stop_grace_s=1.0)

pytestmark = pytest.mark.usefixtures("places")


class Node:
    """A node, as far as agents see it."""

    def __init__(self, name: str, turns_away: list[Conflict | Overloaded] | None = None) -> None:
        self.path = NodePlaces(URL).own(name)
        self.heard = Heard()
        self._turns_away = turns_away or []
        self._links: asyncio.Queue[SocketLink] = asyncio.Queue()
        self._open: list[SocketLink] = []

    async def __aenter__(self) -> "Node":
        self._server = await asyncio.start_unix_server(self._accept, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        self.path.unlink(missing_ok=True)

    async def end(self) -> None:
        """End as a node does that is killed: the socket stays in its folder."""
        self._server.close()
        for link in self._open:
            await link.close("the node ends")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = read_frame(await reader.readline()).hello
        assert hello is not None
        if self._turns_away:
            writer.write(write_line(Notice(error=self._turns_away.pop(0).to_wire())))
            writer.close()
            return
        link = SocketLink(reader, writer, hello, beat_s=0.05)
        self._open.append(link)
        await link.open(self.heard)
        self._links.put_nowait(link)

    async def link(self) -> SocketLink:
        return await asyncio.wait_for(self._links.get(), 5)

    async def until_taken(self, key: str) -> None:
        await self.heard.until(lambda: any(key in beat.running for beat in self.heard.beats))


class Writer:
    """An agent that begins at once and is done when the gate opens."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun: list[str] = []
        self.agent = Agent("ann", capacity=3)

        @self.agent.task()
        async def write(task: Task) -> str:
            self.begun.append(task.id)
            await self.gate.wait()
            return f"{task.id} written"


@contextlib.asynccontextmanager
async def serving(agent: Agent, limits: ServiceLimits = QUICK) -> AsyncIterator[Service]:
    service = Service(agent, URL, limits=limits)
    running = asyncio.create_task(service.run())
    try:
        yield service
        service.stop()
        await asyncio.wait_for(running, 5)
    finally:
        running.cancel()
        await asyncio.wait([running])


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 15))


def test_it_serves_all_nodes_at_once_and_answers_each_what_that_one_has_asked() -> None:
    async def test() -> None:
        writer = Writer()
        async with Node("1-a") as one, Node("2-b") as two, serving(writer.agent):
            (await one.link()).send([task_envelope("x")])
            (await two.link()).send([task_envelope("y")])
            await one.until_taken("y")  # a heartbeat says all that is in hand, to everybody
            await two.until_taken("x")
            writer.gate.set()
            assert (await one.heard.answer("x")).value == "x written"
            assert (await two.heard.answer("y")).value == "y written"
        assert [reply.key for reply in one.heard.replies] == ["x"]
        assert [reply.key for reply in two.heard.replies] == ["y"]
        assert [node.heard.news[0] for node in (one, two)] == [("left", "it was stopped")] * 2

    run(test)


def test_it_waits_for_the_first_node_and_finds_the_next_ones() -> None:
    async def test() -> None:
        async with serving(Agent("ann")) as service:
            assert service.joined == []
            async with Node("2-b") as two:
                await two.link()
                async with Node("1-a") as one:
                    await one.link()
                    while len(service.joined) < 2:  # noqa: ASYNC110 - until it has heard that it is welcome
                        await asyncio.sleep(0.001)
                while len(service.joined) > 1:  # noqa: ASYNC110 - until it has noticed
                    await asyncio.sleep(0.001)
                async with Node("3-c") as three:
                    await three.link()

    run(test)


def test_what_a_node_asks_again_that_has_taken_over_is_done_once_and_answered_to_that_one() -> None:
    async def test() -> None:
        writer = Writer()
        async with Node("1-a") as one, Node("2-b") as two, serving(writer.agent):
            first, second = await one.link(), await two.link()
            first.send([task_envelope("x", epoch=1)])
            await one.until_taken("x")
            second.send([task_envelope("x", epoch=2)])
            while not second.holds("x"):  # noqa: ASYNC110 - until it has said that it has it
                await asyncio.sleep(0.001)
            first.send([task_envelope("x", epoch=1)])  # it was paused, and does not know yet
            assert (await one.heard.answer("x")).error == "stale coordinator epoch 1, have seen 2"
            writer.gate.set()
            assert (await two.heard.answer("x")).value == "x written"
            second.send([task_envelope("x", epoch=2)])
            await two.heard.until(lambda: len(two.heard.replies) == 2)
            assert two.heard.replies[1].cached
        assert [reply.status for reply in one.heard.replies] == ["refused"]
        assert writer.begun == ["x"]

    run(test)


def test_the_answer_to_a_node_that_is_gone_reaches_those_that_are_there() -> None:
    async def test() -> None:
        writer = Writer()
        async with Node("1-a") as one, Node("2-b") as two, serving(writer.agent) as service:
            (await one.link()).send([task_envelope("x")])
            await two.link()
            await two.until_taken("x")
            await one.end()
            while len(service.joined) > 1:  # noqa: ASYNC110 - until it has noticed
                await asyncio.sleep(0.001)
            writer.gate.set()
            assert (await two.heard.answer("x")).value == "x written"

    run(test)


def test_an_answer_for_which_there_is_no_node_reaches_the_next_one() -> None:
    async def test() -> None:
        writer = Writer()
        async with serving(writer.agent) as service:
            async with Node("1-a") as one:
                (await one.link()).send([task_envelope("x")])
                await one.until_taken("x")
            while service.joined:  # noqa: ASYNC110 - until it has noticed
                await asyncio.sleep(0.001)
            writer.gate.set()
            async with Node("2-b") as two:
                assert (await two.heard.answer("x")).value == "x written"

    run(test)


def test_the_sockets_of_dead_nodes_do_no_harm() -> None:
    async def test() -> None:
        async with Node("1-a") as dead, Node("2-b") as other:
            await dead.end()
            await other.end()
            async with Node("3-c") as alive, serving(Agent("ann")) as service:
                await alive.link()
                await alive.heard.until(lambda: len(alive.heard.beats) > 2)
                assert len(service.joined) == 1

    run(test)


def test_a_node_that_is_not_ready_is_asked_again_and_one_that_says_no_ends_the_service() -> None:
    async def test() -> None:
        async with Node("1-a", [Overloaded("later")]) as node, serving(Agent("ann")):
            await node.link()
        async with Node("1-a", [Conflict("there is another ann")]):
            with pytest.raises(Conflict, match="there is another ann"):
                await asyncio.wait_for(Agent("ann").serve(URL, limits=QUICK), 5)

    run(test)


def test_a_node_that_never_says_welcome_counts_for_nothing() -> None:
    async def test() -> None:
        async def stopped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        limits = ServiceLimits(first_pause_s=0.005, longest_pause_s=0.01, patience_s=0.02)
        async with await asyncio.start_unix_server(stopped, NodePlaces(URL).own("1-a")):
            with pytest.raises(Unreachable, match=r"no node of postgresql://ann@db.example/work runs on this machine"):
                await asyncio.wait_for(Agent("ann").serve(URL, limits=limits), 5)

    run(test)


def test_it_speaks_to_nobody_in_a_folder_that_others_can_write() -> None:
    async def test() -> None:
        async with Node("1-a") as node:
            node.path.parent.parent.chmod(0o777)
            with pytest.raises(NotAllowed, match="not a private folder"):
                await asyncio.wait_for(Agent("ann").serve(URL, limits=QUICK), 5)
            assert not node.heard.beats

    run(test)


def test_it_runs_once_at_a_time_for_a_database_whoever_logs_in(places: Path) -> None:
    service = Service(Agent("ann"), URL)
    with pytest.raises(Conflict, match="already runs in another process"):
        Service(Agent("ann"), "postgresql://bob@db.example/work")
    service._desk.inbox.close()
    assert places_of(URL).inbox("ann").is_relative_to(places / "state")
