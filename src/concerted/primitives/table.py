"""The table of primitives: the kind of a stream -> the module of its machine.  A new one is one line here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, cast

from concerted.errors import NotFound
from concerted.kinds import KINDS
from concerted.machine import Machine

__all__ = ["MACHINES", "all_kinds", "machine_of"]

MACHINES: Mapping[str, str] = {
    "sync_point": "concerted.sync.points.sync_point",
    "barrier": "concerted.sync.barriers.barrier",
    "double_barrier": "concerted.sync.double_barriers.double_barrier",
    "phaser": "concerted.sync.phasers.phaser",
    "progress": "concerted.sync.trackers.progress",
    "latch": "concerted.board.latches.latch",
    "lease": "concerted.board.leases.lease",
    "semaphore": "concerted.board.semaphores.semaphore",
    "budget": "concerted.board.budgets.budget",
    "register": "concerted.board.register",
    "election": "concerted.board.elections.election",
    "group": "concerted.board.memberships.membership",
    "replica_group": "concerted.consensus.replica_group",
    "keeper": "concerted.consensus.keeper",
    "decision": "concerted.consensus.decisions.decision",
    "agreement": "concerted.consensus.agreement",
    "decision_log": "concerted.consensus.decision_log",
}


def machine_of(kind: str) -> Machine[Any]:
    """Return the machine of this kind; it is imported when it is first needed.

    Raises:
        NotFound: there is no such kind.
    """
    module = MACHINES.get(kind)
    if module is None:
        raise NotFound(f"there is no primitive {kind!r}; there are {', '.join(sorted(MACHINES))}")
    return cast("Machine[Any]", importlib.import_module(module))


def all_kinds() -> dict[str, str]:
    """Return every kind of event with what it means, those of primitives included."""
    own = {kind: words for name in MACHINES for kind, words in machine_of(name).KINDS.items()}
    return {**KINDS, **own}
