"""How a log is kept here, when somebody says how it should be."""

from __future__ import annotations

from typing import Protocol

from concerted.consensus.keeping import ALGORITHMS, REPLICATED, Algorithm
from concerted.errors import Invalid
from concerted.ports.primitive import Caller
from concerted.values import AgentId

__all__ = ["KeptSomewhere", "algorithm_here", "algorithm_of"]


class KeptSomewhere(Protocol):
    """A command that may say how a log is kept: by which algorithm, by which group, beside which agents."""

    @property
    def algorithm(self) -> str | None:
        """By what; None: as it is here."""

    @property
    def group(self) -> str | None:
        """By which group of replicas."""

    @property
    def replicas(self) -> tuple[AgentId, ...]:
        """Beside which agents."""


def algorithm_of(command: KeptSomewhere, caller: Caller) -> Algorithm:
    """Return how the log is kept of what a command opens.

    Raises:
        Invalid: not as it was asked for; or replicas are named, and it is not they who would keep it.
    """
    algorithm = algorithm_here(command.algorithm, caller)
    if algorithm not in REPLICATED and (command.group is not None or command.replicas):
        beside = f"replicas beside {', '.join(command.replicas)}"
        named = beside if command.group is None else f"group {command.group}"
        raise Invalid(
            f"{named}: by algorithm {algorithm} the store keeps the log, and no replicas do; say how they keep it, "
            f"algorithm {', '.join(REPLICATED)}, or leave them out"
        )
    return algorithm


def algorithm_here(wanted: str | None, caller: Caller) -> Algorithm:
    """Return how a log is kept here.  wanted: None takes it as it is.

    Raises:
        Invalid: it was asked for otherwise.
    """
    here: Algorithm = caller.kept_by or ("database" if caller.shared else "single")
    if wanted is None or wanted == here:
        return here
    if wanted in REPLICATED and caller.kept_by is None:
        return wanted
    if wanted in ALGORITHMS and caller.kept_by is not None:
        raise Invalid(f"algorithm {wanted}: this is kept by a group of replicas, by {here}; say that, or leave it out")
    if wanted in ALGORITHMS:
        where = "a PostgreSQL database" if caller.shared else "an embedded file"
        raise Invalid(f"algorithm {wanted}: this store is {where}, which is {here}; say that, or leave it out")
    known = "; ".join(f"{name} ({words})" for name, words in ALGORITHMS.items())
    raise Invalid(f"algorithm {wanted!r}: logs are kept by {known}; there is nothing else", known=list(ALGORITHMS))
