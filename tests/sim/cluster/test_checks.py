"""The invariants of every replicated log: each breaks when it is broken."""

from types import SimpleNamespace

import pytest

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.ready import Ready
from concerted.consensus.sessions import Answer
from concerted.sim.cluster.checks import Broken, Checks

ONE, TWO = (SimpleNamespace(id=node, core=SimpleNamespace(term=4)) for node in (1, 2))


def test_two_servers_that_carry_out_different_entries_are_found() -> None:
    checks = Checks({})
    checks.stepped(ONE, Ready(committed=(Entry(1, 1, b"a"),)))
    with pytest.raises(Broken, match="state-machine safety"):
        checks.stepped(TWO, Ready(committed=(Entry(1, 1, b"b"),)))


def test_a_hole_in_what_is_carried_out_is_found() -> None:
    with pytest.raises(Broken, match="commits"):
        Checks({}).stepped(ONE, Ready(committed=(Entry(2, 1, b"a"),)))


def test_a_snapshot_of_what_was_not_chosen_is_found() -> None:
    checks = Checks({})
    checks.kept(SimpleNamespace(snapshot=Snapshot(index=3, term=1)))
    with pytest.raises(Broken, match="takes a snapshot at 3 of what is not chosen"):
        checks.stepped(ONE, Ready(restore=Snapshot(index=3, term=1)))


def test_a_snapshot_that_nobody_had_is_found() -> None:
    checks = Checks({})
    checks.stepped(ONE, Ready(committed=(Entry(1, 1, b"a"),)))
    checks.kept(SimpleNamespace(snapshot=Snapshot(index=1, term=1, data=b"state")))
    checks.stepped(TWO, Ready(restore=Snapshot(index=1, term=1, data=b"state")))
    with pytest.raises(Broken, match="state transfer"):
        checks.stepped(TWO, Ready(restore=Snapshot(index=1, term=1, data=b"stair")))


def test_two_leaders_of_one_term_are_found() -> None:
    checks = Checks({})
    checks.one_leader_per_term(ONE)
    with pytest.raises(Broken, match="election safety"):
        checks.one_leader_per_term(TWO)


def test_a_command_with_two_results_is_found() -> None:
    checks = Checks({})
    checks.applied(ONE, Entry(5, 1, b""), Answer("done", 1, 1, b"1"))
    with pytest.raises(Broken, match="applied twice"):
        checks.applied(TWO, Entry(9, 1, b""), Answer("done", 1, 1, b"2"))
