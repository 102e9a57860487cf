"""How groups keep decisions, by protocol."""

import random

import msgspec

from concerted.consensus.pbft.messages import read_request
from concerted.replicas.protocols.entering import Proposed
from concerted.sim.decisions.keeping import KEEPINGS


def test_where_nobody_lies_what_is_proposed_goes_in_as_it_is() -> None:
    for name in ("raft", "paxos"):
        keeping = KEEPINGS[name](random.Random(1), 3)
        proposed = Proposed(5.0, 1, b"command", 2)
        assert msgspec.msgpack.decode(keeping.enter(proposed), type=Proposed) == proposed
        assert (keeping.servers, keeping.honest, keeping.is_signed) == (3, 1, False)
        assert keeping.make(1).algorithm == name


def test_where_replicas_may_lie_clients_sign_commands_and_replicas_the_time() -> None:
    keeping = KEEPINGS["pbft"](random.Random(1), 7)
    keeping.algorithm.checks({})
    assert (keeping.servers, keeping.honest, keeping.is_signed) == (7, 3, True)
    command, time = (read_request(keeping.enter(Proposed(5.0, 2, what))) for what in (b"command", b""))
    assert (command.client, time.client) == ("coordinator", "replica-2")
    again = read_request(keeping.enter(Proposed(5.0, 2, b"command")))
    assert again.number == command.number + 1, "a command that is asked for again is another request"
    assert keeping.make(1).honest == 3


def test_sizes_are_drawn_unless_they_are_given() -> None:
    drawn = {name: {KEEPINGS[name](random.Random(seed), 0).servers for seed in range(40)} for name in KEEPINGS}
    assert drawn == {"raft": {1, 3, 5}, "paxos": {1, 3, 5}, "pbft": {4, 7}}
