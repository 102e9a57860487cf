"""Frames arrive whole, however a stream cuts them; who sends what is no frame is hung up on."""

import asyncio
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.errors import Invalid
from concerted.replicas import wire
from concerted.replicas.wire import Channel, Hello, connect, is_member, listen


class Pipe(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, unsent_bytes: int = 0) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.unsent_bytes = unsent_bytes
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"


def opened(pipe: Pipe, take=lambda _channel, _frame: None, **fields) -> Channel:
    channel = Channel(take, **fields)
    channel.connection_made(pipe)
    return channel


def hear(channel: Channel, data: bytes) -> None:
    """Let it read what the other side has sent, as far as there is room at once."""
    while data:
        room = channel.get_buffer(-1)
        count = min(len(room), len(data))
        room[:count] = data[:count]
        channel.buffer_updated(count)
        data = data[count:]


async def sent(*payloads: bytes) -> bytes:
    pipe = Pipe()
    channel = opened(pipe)
    for payload in payloads:
        channel.send(payload)
    await asyncio.sleep(0)
    return b"".join(pipe.written)


def received(pieces: list[bytes], **fields) -> tuple[list[bytes], Pipe]:
    frames: list[bytes] = []
    pipe = Pipe()

    async def run() -> None:
        channel = opened(pipe, lambda _channel, frame: frames.append(frame), **fields)
        for piece in pieces:
            hear(channel, piece)

    asyncio.run(run())
    return frames, pipe


def test_frames_arrive_whole_wherever_the_stream_is_cut() -> None:
    payloads = [b"", b"a", b"bc" * 100]
    data = asyncio.run(sent(*payloads))
    for first in range(len(data) + 1):
        for second in range(first, len(data) + 1, 7):
            assert received([data[:first], data[first:second], data[second:]])[0] == payloads


@given(st.lists(st.binary(max_size=50)), st.randoms(use_true_random=False))
def test_frames_arrive_whole_in_however_many_pieces(payloads: list[bytes], dice) -> None:
    data = asyncio.run(sent(*payloads))
    pieces = []
    while data:
        size = dice.randrange(1, 20)
        pieces.append(data[:size])
        data = data[size:]
    assert received(pieces)[0] == payloads


def test_frames_longer_than_many_reads_arrive_whole() -> None:
    payloads = [b"a" * 1_000_000, b"b", b"c" * 5_000]
    assert received([asyncio.run(sent(*payloads))])[0] == payloads


async def test_a_channel_takes_room_for_one_read_as_its_reads_grow_and_no_more_than_there_may_be() -> None:
    channel = opened(Pipe())
    assert len(channel.get_buffer(-1)) == wire.ROOM_BYTES
    hear(channel, (await sent(b"a" * 5_000_000)))
    assert len(channel.get_buffer(-1)) == wire.MOST_ROOM_BYTES


async def test_what_is_said_in_one_turn_is_one_write() -> None:
    pipe = Pipe()
    channel = opened(pipe)
    channel.send(b"a")
    channel.send(b"b")
    assert pipe.written == []
    await asyncio.sleep(0)
    assert len(pipe.written) == 1


def test_a_frame_that_is_too_long_ends_the_channel_before_it_is_read() -> None:
    frames, pipe = received([b"\x01\x00\x00\x00a\xff\xff\xff\x7f", b"b" * 100], longest_bytes=1000)
    assert frames == [b"a"]
    assert pipe.ended == "aborted"


def test_a_frame_that_is_refused_ends_the_channel_and_nothing_after_it_is_heard() -> None:
    frames, pipe = [], Pipe()

    def take(_channel: Channel, frame: bytes) -> None:
        frames.append(frame)
        raise Invalid("no")

    async def run() -> None:
        hear(opened(pipe, take), b"\x01\x00\x00\x00a\x01\x00\x00\x00b")

    asyncio.run(run())
    assert (frames, pipe.ended) == ([b"a"], "aborted")


async def test_whoever_does_not_read_what_it_is_sent_is_hung_up_on() -> None:
    pipe = Pipe(wire.UNSENT_BYTES + 1)
    channel = opened(pipe)
    channel.send(b"a")
    await asyncio.sleep(0)
    assert pipe.ended == "aborted"
    assert not channel.is_open


async def test_what_is_said_to_nobody_is_lost() -> None:
    pipe = Pipe()
    channel = opened(pipe)
    channel.connection_lost(None)
    channel.send(b"a")
    channel.close()
    channel.abort()
    await asyncio.sleep(0)
    assert (pipe.written, channel.unsent_bytes) == ([], 0)


async def test_what_was_said_before_a_channel_is_closed_is_sent() -> None:
    pipe = Pipe()
    channel = opened(pipe)
    channel.send(b"a")
    channel.close()
    assert b"".join(pipe.written) == b"\x01\x00\x00\x00a"
    assert pipe.ended == "closed"


@pytest.mark.parametrize("address", ["127.0.0.1:0", "unix"])
async def test_whoever_connects_says_who_it_is(address: str, places: Path) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    address = f"{places}/x.sock" if address == "unix" else address
    server = await listen(address, lambda: Channel(lambda _channel, frame: heard.put_nowait(frame)))
    if ":" in address:
        host, port = server.sockets[0].getsockname()
        address = f"{host}:{port}"
    channel = await connect(address, Hello("ops", "s", 2, "/2"), lambda: Channel(lambda *_: None))
    assert await heard.get() == b"\x94\xa3ops\xa1s\x02\xa2/2"
    channel.close()
    server.close()


async def test_a_socket_is_its_users_alone_and_that_of_a_dead_one_is_taken_over(places: Path) -> None:
    path = places / "x.sock"
    for _ in range(2):  # the second time it is there already
        server = await listen(str(path), lambda: Channel(lambda *_: None))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        server.close()


async def test_a_socket_at_which_somebody_listens_is_not_taken(places: Path) -> None:
    server = await listen(f"{places}/x.sock", lambda: Channel(lambda *_: None))
    with pytest.raises(OSError, match="in use"):
        await listen(f"{places}/x.sock", lambda: Channel(lambda *_: None))
    server.close()


@pytest.mark.parametrize(
    ("hello", "known"),
    [(Hello("ops", "s"), True), (Hello("ops", "t"), False), (Hello("op", "s"), False), (Hello("ops", ""), False)],
)
def test_only_who_knows_the_groups_secret_is_let_in(hello: Hello, known: bool) -> None:
    assert is_member(hello, "ops", "s") is known
