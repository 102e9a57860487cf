"""What Paxos replicas say to each other."""

import dataclasses

import msgspec
import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.paxos import messages
from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    AcceptedValue,
    AcceptValue,
    Arrived,
    Chosen,
    InstallSnapshot,
    Message,
    Prepare,
    PrepareValue,
    Promise,
    PromiseValue,
    Proposal,
    Refused,
    RefusedValue,
)
from concerted.consensus.pieces import Piece
from concerted.consensus.quorum import Configuration

EACH = [
    Prepare(2, 1, 1001, 4, 7),
    Promise(1, 2, 1001, 4, 7, 9, 5, (Proposal(1002, Entry(8, 1002, b"x")),)),
    Refused(1, 2, 1001, 4, 2002),
    Accept(2, 1, 1001, 4, 7, 5, 3, (Entry(8, 1001, b"x"), Entry(9, 1001))),
    Accepted(1, 2, 1001, 4, 9, 7, 3),
    InstallSnapshot(2, 1, 1001, 4, Piece(7, 1001, Configuration.of((1, 2)), 9, 2, 77, b"s"), 3),
    Arrived(1, 2, 1001, 4, 7, 2, 3, 5),
    PrepareValue(2, 1, "k", 1001, 4),
    PromiseValue(1, 2, "k", 1001, 4, 2, b"v"),
    AcceptValue(2, 1, "k", 1001, 4, b"v"),
    AcceptedValue(1, 2, "k", 1001, 4),
    RefusedValue(1, 2, "k", 1001, 4, 2002),
    Chosen(2, 1, "k", 1001, 4, b"v"),
]


@pytest.mark.parametrize("message", EACH, ids=lambda message: type(message).__name__)
def test_a_message_is_read_as_it_was_written(message) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=Message) == message


def test_every_kind_of_message_is_looked_at_here() -> None:
    kinds = {each for each in vars(messages).values() if isinstance(each, type) and each.__name__ in messages.__all__}
    assert {type(each) for each in EACH} == kinds - {Proposal}


@pytest.mark.parametrize("message", EACH, ids=lambda message: type(message).__name__)
def test_every_message_names_its_ballot_and_session_and_cannot_be_changed(message) -> None:
    assert (message.ballot, message.session) == (1001, 4)
    with pytest.raises((AttributeError, dataclasses.FrozenInstanceError)):
        message.ballot = 3
