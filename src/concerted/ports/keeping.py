"""How a log is kept here, when somebody says how it should be."""

from __future__ import annotations

from concerted.consensus.keeping import ALGORITHMS, REPLICATED, Algorithm
from concerted.errors import Invalid
from concerted.ports.primitive import Caller

__all__ = ["algorithm_here"]


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
    if wanted in ALGORITHMS:
        where = "a PostgreSQL database" if caller.shared else "an embedded file"
        raise Invalid(f"algorithm {wanted}: this store is {where}, which is {here}; say that, or leave it out")
    known = "; ".join(f"{name} ({words})" for name, words in ALGORITHMS.items())
    raise Invalid(f"algorithm {wanted!r}: logs are kept by {known}; there is nothing else", known=list(ALGORITHMS))
