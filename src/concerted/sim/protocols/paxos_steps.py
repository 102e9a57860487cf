"""The steps of a scenario that only Paxos has: single values beside the log, and who holds a lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from concerted.consensus.paxos.node import Paxos
from concerted.errors import Invalid
from concerted.sim.cluster.table import Table, expect
from concerted.sim.protocols.paxos_checks import PaxosChecks

__all__ = ["STEPS"]

PaxosTable = Table[Paxos]


def _agree(table: PaxosTable, words: list[str]) -> None:
    """agree 1 colour red: a replica proposes a value for a key; one that begins with `!` must not be chosen."""
    if len(words) != 3 or not words[0].isdecimal():
        raise Invalid("say who proposes what for which key, as in agree 1 colour red")
    replica, key, value = table.living(int(words[0])), words[1], words[2].encode()
    checks = table.checks
    assert isinstance(checks, PaxosChecks), f"{checks} are none of Paxos"
    checks.proposed[key].append(value)
    table.give(replica.id, Paxos.agree, key, value, replica.now)


def _expect_chosen(table: PaxosTable, words: list[str]) -> None:
    """expect chosen 1 colour red | nothing: what a replica takes for chosen."""
    node, key, wanted = words
    found = table.living(int(node)).core.chosen(key)
    expect(found == (None if wanted == "nothing" else wanted.encode()), f"{node} takes {found!r} for chosen")


def _expect_lease(table: PaxosTable, words: list[str]) -> None:
    """expect lease 1 | none: who may answer reads alone, by the clocks as they are."""
    found = [replica.id for replica in table.alive() if replica.core.has_lease(replica.now)]
    expect(found == [int(word) for word in words if word != "none"], f"{found or 'nobody'} has a lease")


STEPS: Mapping[str, Callable[[PaxosTable, list[str]], None]] = {
    "agree": _agree,
    "expect chosen": _expect_chosen,
    "expect lease": _expect_lease,
}
