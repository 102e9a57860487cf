"""The invariants of Paxos: each breaks when it is broken."""

from types import SimpleNamespace

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.paxos.messages import (
    Accept,
    Accepted,
    AcceptedValue,
    Chosen,
    Prepare,
    Promise,
    PromiseValue,
    Proposal,
)
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import Contents, Instance, Stored, Write
from concerted.consensus.quorum import Configuration
from concerted.consensus.ready import Agreed, Ready
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.room import Room
from concerted.sim.protocols.paxos import PAXOS
from concerted.sim.protocols.paxos_checks import Accounts, PaxosChecks

MINE = Entry(1, 1001, b"mine")


def accounts(*accepted) -> Accounts:
    """Account for (node, ballot, value) of one instance among three."""
    found = Accounts(2)
    for node, ballot, value in accepted:
        found.accepted(node, "k", ballot, value)
    return found


def checks(*writes: Write) -> tuple[PaxosChecks, SimpleNamespace]:
    """Make three replicas of which the first has written this."""
    contents = Contents(Stored(snapshot=Snapshot(configuration=Configuration.of((1, 2, 3)))))
    one = SimpleNamespace(id=1, now=0.0, disk=SimpleNamespace(contents=contents), core=SimpleNamespace(role="follower"))
    found = PaxosChecks({1: one, 2: one, 3: one})
    for write in writes:
        contents.take(write)
        found.wrote(one, write)
    return found, one


def test_a_value_is_chosen_when_a_majority_has_it_in_one_ballot() -> None:
    assert "k" not in accounts((1, 1001, b"a"), (2, 2001, b"a"), (1, 1001, b"a")).chosen
    assert accounts((1, 1001, b"a"), (2, 1001, b"a")).chosen == {"k": (1001, b"a")}


@pytest.mark.parametrize(
    ("accepted", "text"),
    [
        (((1, 1001, b"a"), (2, 1001, b"b")), "one value in a ballot"),
        (((1, 1001, b"a"), (2, 1001, b"a"), (3, 2002, b"b")), "P2b"),
        (((1, 1001, b"a"), (3, 2002, b"b"), (2, 2002, b"b"), (3, 1001, b"a")), "one chosen value"),
    ],
)
def test_two_values_are_found(accepted, text: str) -> None:
    with pytest.raises(Broken, match=text):
        accounts(*accepted)


def test_what_is_learnt_without_having_been_chosen_is_found() -> None:
    found, one = checks(Write(1, 1001, 0, proposals=(Proposal(1001, MINE),)))
    with pytest.raises(Broken, match="learnt, not chosen"):
        found.stepped(one, Ready(committed=(MINE,)))


@pytest.mark.parametrize("value", [b"a", b"!a"])
def test_a_value_that_nobody_has_proposed_or_that_is_not_valid_is_found(value: bytes) -> None:
    found, one = checks()
    if value == b"!a":
        found.proposed["k"].append(value)
    for node in (1, 2):
        found.accounts.accepted(node, "k", 1001, value)
    with pytest.raises(Broken, match="validity"):
        found.stepped(one, Ready(chosen=(Agreed("k", value),)))


def test_an_acceptor_that_accepts_below_its_promise_is_found() -> None:
    with pytest.raises(Broken, match="P1a"):
        checks(Write(1, 2002, 0, proposals=(Proposal(1001, MINE),)))


def test_a_value_from_nowhere_is_found() -> None:
    with pytest.raises(Broken, match="only proposed values"):
        checks(
            Write(1, 1001, 0, proposals=(Proposal(1001, MINE),)),
            Write(2, 2002, 0, proposals=(Proposal(2002, Entry(1, 1001, b"another")),)),
        )


@pytest.mark.parametrize(
    "message",
    [
        Prepare(2, 1, 2001, 1, 0),
        Promise(2, 1, 2002, 1, 0, 1, 0, (Proposal(1001, MINE),)),
        Promise(2, 1, 1001, 1, 0, 0, 0),
        Promise(2, 1, 1001, 1, 0, 1, 0),
        Accept(2, 1, 1001, 1, 0, 0, 0, (Entry(2, 1001),)),
        Accepted(2, 1, 1001, 1, 2, 0),
        Accepted(2, 1, 2002, 1, 1, 0),
        PromiseValue(2, 1, "k", 2002, 1, 0, b""),
        PromiseValue(2, 1, "k", 1001, 1, 0, b""),
        AcceptedValue(2, 1, "k", 2002, 1),
        Chosen(2, 1, "k", 1001, 1, b"a"),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_that_leaves_before_what_it_rests_on_is_on_the_disk_is_found(message) -> None:
    write = Write(1, 1001, 0, proposals=(Proposal(1001, MINE),), instances=(Instance("k", 1001, 1001, b"a"),))
    found, one = checks(write)
    with pytest.raises(Broken):
        found.sends(one, message)


@pytest.mark.parametrize(
    "message",
    [
        Prepare(2, 1, 1001, 1, 0),
        Promise(2, 1, 1001, 1, 0, 1, 0, (Proposal(1001, MINE),)),
        Accept(2, 1, 1001, 1, 0, 0, 0, (MINE,)),
        Accepted(2, 1, 1001, 1, 1, 0),
        PromiseValue(2, 1, "k", 1001, 1, 1001, b"a"),
        AcceptedValue(2, 1, "k", 1001, 1),
    ],
    ids=lambda message: type(message).__name__,
)
def test_a_message_that_rests_on_the_disk_may_leave(message) -> None:
    write = Write(1, 1001, 0, proposals=(Proposal(1001, MINE),), instances=(Instance("k", 1001, 1001, b"a"),))
    found, one = checks(write)
    found.sends(one, message)


def test_two_that_lead_while_one_holds_a_lease_are_found() -> None:
    three = Room(PAXOS, Settings()).elect(1).pass_time(3.0)
    three.cut_off(1)
    for node in (2, 3):
        three.replicas[node].now += 100.0  # far beyond the bound
    with pytest.raises(Broken, match="lease"):
        three.elect(2).ask(1, lambda paxos, now: paxos.read([1], now))
