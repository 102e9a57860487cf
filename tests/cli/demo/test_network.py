"""The demo's network, between two sockets."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from concerted.agent.wire import Frame, Hello, Notice, Welcome, write_line
from concerted.cli.demo.network import Network
from concerted.messages import Beat, Envelope
from concerted.values import AgentId, Profile

ANN = AgentId("ann")
WITHIN_S = 10.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cn-") as name:  # short enough for a socket
        yield Path(name)


class Coordinator:
    """The other side: keeps what it is told, and what it needs to answer."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.ended = asyncio.Event()
        self.said_goodbye = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.reading = asyncio.ensure_future(self.read(reader))

    async def read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self.heard.append(line)
            if b"bye" in line:
                self.said_goodbye.set()
        self.ended.set()


@contextlib.asynccontextmanager
async def between(folder: Path, drop: float, seed: int = 1) -> AsyncIterator[tuple[Network, Coordinator]]:
    coordinator = Coordinator()
    server = await asyncio.start_unix_server(coordinator.arrived, path=str(folder / "c"))
    async with Network(folder / "n", folder / "c", drop, seed) as network:
        yield network, coordinator
    server.close()
    if coordinator.writer is not None:
        coordinator.writer.close()


def hello() -> bytes:
    return write_line(Frame(hello=Hello(profile=Profile(id=ANN))))


def beat() -> bytes:
    return write_line(Frame(beat=Beat(agent=ANN)))


def command(key: str) -> bytes:
    return write_line(
        Envelope(id="1", type="GET_STATUS", destination=ANN, idempotency_key=key, payload=msgspec.Raw(b"{}"))
    )


async def talk(folder: Path, drop: float, seed: int = 1) -> tuple[Network, list[bytes], list[bytes]]:
    """Have a worker send 300 heartbeats and the coordinator 300 commands; return what arrived of each."""
    async with between(folder, drop, seed) as (network, coordinator), asyncio.timeout(WITHIN_S):
        reader, writer = await asyncio.open_unix_connection(str(folder / "n"))
        writer.write(hello() + beat() * 300 + write_line(Frame(bye="done")))
        await coordinator.said_goodbye.wait()
        assert coordinator.writer is not None
        coordinator.writer.write(write_line(Notice(welcome=Welcome(agent=ANN, beat_s=1.0))))
        coordinator.writer.write(b"".join(command(f"key {number % 200}") for number in range(300)))
        coordinator.writer.close()
        came = (await reader.read()).splitlines()
        writer.close()
        return network, coordinator.heard, came


def test_what_opens_and_ends_a_connection_always_arrives(folder: Path) -> None:
    network, heard, came = asyncio.run(talk(folder, 1.0))

    assert heard == [hello(), write_line(Frame(bye="done"))]
    assert came == [write_line(Notice(welcome=Welcome(agent=ANN, beat_s=1.0))).strip()]
    assert (network.traffic.sent, network.traffic.dropped) == (600, 600)


def test_a_share_of_the_messages_is_lost_and_counted(folder: Path) -> None:
    network, heard, came = asyncio.run(talk(folder, 0.2))

    traffic = network.traffic
    assert (traffic.to_workers, traffic.from_workers) == (300, 300)
    assert len(heard) == 2 + 300 - traffic.dropped_from_workers
    assert len(came) == 1 + 300 - traffic.dropped_to_workers
    assert 60 < traffic.dropped < 180
    assert traffic.delivered_again == 100


def test_the_same_seed_loses_the_same(folder: Path) -> None:
    first, _, _ = asyncio.run(talk(folder, 0.2, seed=5))
    (folder / "c").unlink(missing_ok=True)
    (folder / "n").unlink(missing_ok=True)
    again, _, _ = asyncio.run(talk(folder, 0.2, seed=5))

    assert first.traffic.dropped_from_workers == again.traffic.dropped_from_workers > 0


def test_without_loss_everything_arrives_in_order(folder: Path) -> None:
    _, heard, came = asyncio.run(talk(folder, 0.0))

    assert heard == [hello(), *[beat()] * 300, write_line(Frame(bye="done"))]
    assert [line + b"\n" for line in came[1:]] == [command(f"key {number % 200}") for number in range(300)]


def test_a_worker_that_leaves_is_hung_up_on_at_the_other_end(folder: Path) -> None:
    async def scene() -> None:
        async with between(folder, 0.0) as (_, coordinator), asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_unix_connection(str(folder / "n"))
            writer.write(hello())
            writer.close()
            await coordinator.ended.wait()
            assert coordinator.heard == [hello()]

    asyncio.run(scene())


def test_without_a_coordinator_the_network_hangs_up(folder: Path) -> None:
    async def scene() -> None:
        async with Network(folder / "n", folder / "c", 0.0, 1), asyncio.timeout(WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(folder / "n"))
            assert await reader.read() == b""
            writer.close()

    asyncio.run(scene())
