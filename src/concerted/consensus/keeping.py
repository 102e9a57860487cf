"""How a log is kept, whatever is promised over it: by what, and what that survives.

That an entry is kept says nothing about what anybody thinks of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

__all__ = ["ALGORITHMS", "Algorithm", "stored_by"]

Algorithm = Literal["single", "database"]

ALGORITHMS: Mapping[Algorithm, str] = {
    "single": "the embedded store: one file, one fault domain",
    "database": "PostgreSQL: any coordinator may die; one fault domain, the database",
}


def stored_by(algorithm: Algorithm) -> tuple[str, ...]:
    """Name what keeps a log that is kept like this."""
    return (ALGORITHMS[algorithm],)
