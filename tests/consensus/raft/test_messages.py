"""Messages on a wire come back as they were, and every reply names its term and session."""

import msgspec
import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.pieces import Piece
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.messages import (
    Append,
    Appended,
    Arrived,
    InstallSnapshot,
    Message,
    RequestVote,
    TimeoutNow,
    Vote,
)

CONFIGURATION = Configuration.of((1, 2, 3), (4,))
MESSAGES = [
    RequestVote(1, 2, 3, 4, 5, 6, pre=True, transfer=False),
    Vote(1, 2, 3, 4, granted=True),
    Append(1, 2, 3, 4, 5, 6, 7, 8, (Entry(6, 3, b"x"), Entry(7, 3), Entry(8, 3, None, CONFIGURATION))),
    Appended(1, 2, 3, 4, success=False, index=5, round=6, hint_index=7, hint_term=8),
    InstallSnapshot(1, 2, 3, 4, Piece(5, 6, CONFIGURATION, 9, 2, 77, b"data"), 7),
    TimeoutNow(1, 2, 3, 4),
    Arrived(1, 2, 3, 4, 5, 2, 6, 7),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    data = msgspec.msgpack.encode(message)
    assert msgspec.msgpack.decode(data, type=Message) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_has_a_term_and_a_session_and_cannot_be_changed(message: Message) -> None:
    assert (message.to, message.source, message.term, message.session) == (1, 2, 3, 4)
    with pytest.raises(AttributeError):
        message.term = 9
