"""Messages on a wire come back as they were, and digests are of what they say."""

import msgspec
import pytest

from concerted.consensus.pbft.messages import (
    NULL,
    Checkpoint,
    Commit,
    Fetch,
    Message,
    NewView,
    Outline,
    Piece,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Stable,
    State,
    Status,
    Transfer,
    ViewChange,
    batch_digest,
    read_request,
)

HEADER, PREPARE = PrePrepare(1, 2, b"d", 3, b"s"), Prepare(1, 2, b"d", 3, b"s")
REQUEST, CHECKPOINT = Request("ann", 4, b"body", b"s"), Checkpoint(5, b"d", 3, b"s")
LEFT = ViewChange(1, 5, (CHECKPOINT,), (Prepared(HEADER, (PREPARE,)),), 3, b"s")
BODIES = [
    HEADER, PREPARE, Commit(1, 2, b"d", 3, b"s"), CHECKPOINT, LEFT, NewView(1, (LEFT,), (HEADER,), 3, b"s"),
    Status(1, True, 2, 3, (4, 5), 6, b"s"), Fetch(5, 1, 3, b"s"), Proposal(HEADER, (REQUEST,)), Relay((REQUEST,)),
    Stable((CHECKPOINT,)), Transfer(Outline(5, 6, b"done", (b"d",))), Piece(5, 1, b"data"),
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_message_comes_back_as_it_was_and_cannot_be_changed(body) -> None:
    message = Message(1, 2, body)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message) == message
    with pytest.raises(AttributeError):
        body.source = 9


def test_a_request_is_the_command_of_an_entry() -> None:
    assert read_request(REQUEST.encode()) == REQUEST
    assert REQUEST.key == ("ann", 4)
    with pytest.raises(msgspec.DecodeError):
        read_request(b"no request")


def test_digests_differ_when_anything_does() -> None:
    others = [msgspec.structs.replace(REQUEST, **{name: value}) for name, value in (
        ("client", "bob"), ("number", 5), ("body", b""), ("signature", b""),
    )]  # fmt: skip
    digests = [batch_digest(batch) for batch in ((), (REQUEST,), (REQUEST, REQUEST), *((other,) for other in others))]
    assert len(set(digests)) == len(digests)
    assert digests[0] == NULL
    states = [State(1, 2, b"3", b"4"), State(2, 2, b"3", b"4"), State(1, 2, b"", b"34"), State(1, 2, b"3", b"")]
    assert len({state.outline(9).digest() for state in states}) == len(states)


def test_a_state_is_proved_piece_by_piece() -> None:
    state = State(1, 2, b"3", b"state")
    outline = state.outline(2)
    assert [state.piece(number, 2) for number in (1, 2, 3)] == [b"st", b"at", b"e"]
    assert all(outline.is_piece(number, state.piece(number, 2)) for number in (1, 2, 3))
    assert not any(outline.is_piece(number, b"st") for number in (0, 2, 3, 4))
    assert State(1, 2, b"3").outline(2).pieces == ()
