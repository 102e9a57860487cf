"""The state machine of a simulated cluster."""

import msgspec
import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.sessions import Command
from concerted.sim.cluster.machine import Machine


def machine_of(*commands: Command) -> Machine:
    machine = Machine(10)
    for index, command in enumerate(commands, 1):
        machine.apply(Entry(index, 1, command.encode()))
    return machine


OPEN, WRITE = Command(0, 7), Command(1, 1, msgspec.msgpack.encode(("x", 5)))


def test_a_command_that_comes_twice_is_carried_out_once() -> None:
    machine = machine_of(OPEN, WRITE, WRITE)
    assert machine.registers == {"x": 5, "writes": 1}


def test_a_machine_becomes_what_another_was() -> None:
    machine = machine_of(OPEN, WRITE)
    other = Machine(10)
    other.restore(Snapshot(index=2, term=1, data=machine.dump()))
    assert (other.index, other.registers) == (2, {"x": 5, "writes": 1})


def test_an_entry_out_of_order_is_not_applied() -> None:
    with pytest.raises(AssertionError, match="entry 2 is applied after 0"):
        Machine(10).apply(Entry(2, 1))
