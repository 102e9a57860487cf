"""JSON lines: framing, frames, envelopes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.agent.wire import (
    Frame,
    Hello,
    Lines,
    Notice,
    TooLong,
    Welcome,
    as_reply,
    read_envelope,
    read_frame,
    write_line,
)
from concerted.errors import Invalid
from concerted.messages import Beat, GetStatus, Reply
from concerted.testing.link_exam import envelope
from concerted.values import Profile


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and line.strip())), st.data())
def test_lines_come_out_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    reader, out, position = Lines(20), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, 30))
        out += reader.feed(stream[position : position + size])
        position += size
    assert out == lines


def test_a_line_too_long_is_noticed_before_it_ends_and_after_the_good_ones() -> None:
    lines = Lines(10)
    assert list(lines.feed(b"1234567890")) == []
    with pytest.raises(TooLong, match="11 bytes or more; the bound is 10"):
        list(lines.feed(b"1"))
    mixed = Lines(10).feed(b"good\n" + 11 * b"x" + b"\nnever seen\n")
    assert next(mixed) == b"good"
    with pytest.raises(TooLong):
        next(mixed)


def test_every_frame_survives_the_wire() -> None:
    profile = Profile(id="ann", capabilities={"writing": 0.5})
    frames = [
        Frame(hello=Hello(profile=profile, incarnation="i")),
        Frame(reply=Reply(agent="ann", status="ok", value=[1], key="k")),
        Frame(beat=Beat(agent="ann", running=("k",), progress={"k": (1, 2)})),
        Frame(changed=profile),
        Frame(ack="k"),
        Frame(bye=""),
    ]
    for frame in frames:
        line = write_line(frame)
        assert line.count(b"\n") == 1
        assert read_frame(line) == frame


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"Traceback (most recent call last):", "not_json"),
        (b'{"key": "k", "value": ', "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"key": "k", "value": ' + 100_000 * b"[", "not_json"),
        (b"42", "not_a_frame"),
        (b'{"level": "info"}', "not_a_frame"),
        (b'{"reply": {"agent": "ann", "status": "splendid"}}', "not_a_frame"),
    ],
)
def test_a_line_that_is_no_frame_is_named_and_shown(line: bytes, fault: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_frame(line)
    assert caught.value.facts["fault"] == fault
    assert len(caught.value.message) < 700


def test_the_short_form_is_a_reply_too() -> None:
    def read(line: bytes) -> Reply | None:
        return as_reply(read_frame(line), "ann")

    assert read(b'{"key": "k", "value": {"a": 1}}') == Reply(agent="ann", status="ok", value={"a": 1}, key="k")
    assert read(b'{"key": "k", "error": "no"}') == Reply(agent="ann", status="failed", error="no", key="k")
    assert read(b'{"key": "k", "status": "refused", "error": "no"}') == Reply(
        agent="ann", status="refused", error="no", key="k"
    )
    assert read(b'{"ack": "k"}') is None


def test_nobody_answers_in_the_name_of_another() -> None:
    line = write_line(Frame(reply=Reply(agent="bob", status="ok", key="k")))
    assert as_reply(read_frame(line), "ann") == Reply(agent="ann", status="ok", key="k")


def test_an_agent_reads_envelopes_and_notices_and_nothing_else() -> None:
    sent = envelope(GetStatus(), "k")
    got = read_envelope(write_line(sent))
    assert not isinstance(got, Notice)
    assert (got.type, got.idempotency_key, bytes(got.payload)) == ("GET_STATUS", "k", b"{}")
    welcome = Notice(welcome=Welcome(agent="ann", beat_s=1.0))
    assert read_envelope(write_line(welcome)) == welcome
    for line in (b"HTTP/1.1 400 Bad Request", b"{}", b'{"error": 3}'):
        with pytest.raises(Invalid):
            read_envelope(line)
