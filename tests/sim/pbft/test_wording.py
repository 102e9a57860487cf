"""What PBFT replicas say and write, in words."""

import msgspec
import pytest

from concerted.consensus.pbft.messages import (
    Checkpoint,
    Commit,
    Fetch,
    NewView,
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
)
from concerted.consensus.pbft.storage import Held, Write
from concerted.sim.pbft.wording import Words

A = (Request("client", 1, msgspec.msgpack.encode(("x", "a"))),)
HEADER = PrePrepare(0, 3, batch_digest(A), 1)
STATE = State(2, 2, b"", b"data").outline(3)
PROOF = tuple(Checkpoint(2, STATE.digest(), node) for node in (1, 2, 3))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (Proposal(HEADER, A), 'PrePrepare 0/3 "a"'),
        (Prepare(0, 3, HEADER.digest, 2), 'Prepare 0/3 "a"'),
        (Commit(0, 3, b"?", 2), "Commit 0/3 of what nobody knows"),
        (Commit(0, 3, batch_digest(()), 2), "Commit 0/3 nothing"),
        (PROOF[0], "Checkpoint 2 state A"),
        (Stable(PROOF), "Stable 2 by 1, 2, 3: state A"),
        (Transfer(STATE), "Transfer 2 state A in 2"),
        (Fetch(2, 0, 4), "Fetch 2"),
        (Fetch(2, 1, 4), "Fetch 2 piece 1"),
        (Piece(2, 1, b"dat"), "Piece 1 of 2"),
        (Relay(A), 'Relay "a"'),
        (Status(1, True, 2, 3, (4, 5), 1), "Status in view 1, executed 3, stable 2, lacks 4, 5"),
        (Status(1, False, 2, 3, (), 1), "Status in no view, wants 1, executed 3, stable 2"),
        (
            ViewChange(1, 2, PROOF, (Prepared(HEADER, ()),), 4),
            'ViewChange 1 stable 2 by 1, 2, 3: state A, prepared [0/3 "a"]',
        ),
        (NewView(1, (ViewChange(1, 0, (), (), 4),), (HEADER,), 2), 'NewView 1 by 4: [0/3 "a"]'),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
def test_each_body_is_a_line(body, told: str) -> None:
    words = Words()
    words.batch(A)
    assert words.body(body) == told


def test_states_are_called_by_letters_as_they_come_up() -> None:
    words = Words()
    assert [words.state(State(2, seq).outline(9)) for seq in (1, 2, 1)] == ["state A", "state B", "state A"]


def test_a_write_is_what_it_holds() -> None:
    write = Write(1, None, None, Held(STATE, PROOF), (Proposal(HEADER, A),), (Prepared(HEADER, ()),))
    assert Words().write(write) == 'stable 2 by 1, 2, 3: state A, accepted 0/3 "a", prepared 0/3 "a"'
