"""A replica keeps a channel to each of the others, whatever becomes of these."""

import asyncio
from pathlib import Path

import msgspec

from concerted.consensus.raft.messages import TimeoutNow
from concerted.replicas import wire
from concerted.replicas.peers import Peers
from concerted.replicas.spec import Group
from concerted.replicas.wire import Channel, listen


class Neighbour:
    """Who listens where a replica should."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.frames: asyncio.Queue[object] = asyncio.Queue()
        self.channels: list[Channel] = []

    async def open(self) -> None:
        self.server = await listen(self.address, self._make)

    def close(self) -> None:
        self.server.close()
        for channel in self.channels:
            channel.abort()

    def _make(self) -> Channel:
        self.channels.append(Channel(lambda _channel, frame: self.frames.put_nowait(msgspec.msgpack.decode(frame))))
        return self.channels[-1]


def group(folder: Path) -> Group:
    return Group(id="ops", secret="s", replicas={node: f"{folder}/{node}" for node in (1, 2, 3)})


def word(to: int, term: int = 1) -> TimeoutNow:
    return TimeoutNow(to, 1, term, 1)


async def test_each_of_the_others_is_told_what_is_for_it(places: Path) -> None:
    neighbours = {node: Neighbour(f"{places}/{node}") for node in (2, 3)}
    for each in neighbours.values():
        await each.open()
    peers = Peers(group(places), 1)
    peers.open()
    for each in neighbours.values():
        assert await each.frames.get() == ["ops", "s", 1, f"{places}/1"]
    peers.send([word(2), word(3, 7), word(2, 2)])
    assert await neighbours[2].frames.get() == [[6, 2, 1, 1, 1], [6, 2, 1, 2, 1]]
    assert await neighbours[3].frames.get() == [[6, 3, 1, 7, 1]]
    await peers.close()
    for each in neighbours.values():
        each.close()


async def test_one_that_goes_and_comes_back_is_found_again(places: Path) -> None:
    neighbour = Neighbour(f"{places}/2")
    peers = Peers(group(places), 1)
    peers.open()
    peers.send([word(2)])  # nobody hears it
    for term in (1, 2, 3):
        await neighbour.open()
        assert await neighbour.frames.get() == ["ops", "s", 1, f"{places}/1"]
        peers.send([word(2, term)])
        assert await neighbour.frames.get() == [[6, 2, 1, term, 1]]
        neighbour.close()
    await peers.close()


async def test_one_that_reads_nothing_costs_a_bounded_amount_of_memory(places: Path, monkeypatch) -> None:
    monkeypatch.setattr("concerted.replicas.peers.UNSENT_BYTES", 1 << 20)
    neighbour = Neighbour(f"{places}/2")
    await neighbour.open()
    peers = Peers(group(places), 1)
    peers.open()
    await neighbour.frames.get()
    neighbour.channels[0]._transport.pause_reading()
    long = msgspec.structs.replace(word(2), session=1 << 60)
    for _ in range(200):
        peers.send([long] * 10_000)
        await asyncio.sleep(0)
    assert 1 << 20 < peers._channels[2].unsent_bytes < 1 << 21
    assert peers._channels[2].is_open, "it is told again when it reads; a snapshot on its way to it arrives"
    assert wire.UNSENT_BYTES > 1 << 21
    await peers.close()
    neighbour.close()
