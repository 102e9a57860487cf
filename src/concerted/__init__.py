"""Concerted: durable coordination for fleets of agents.

`from concerted import Agent, open_coordinator` is all that most programs need.  Names are imported on
first use, so that `import concerted` (and the command line's `--help`) costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concerted.agent import Agent as Agent
    from concerted.launch import open_coordinator as open_coordinator
    from concerted.launch import open_group as open_group

__version__ = "0.1.0"

_WHERE = {
    "Agent": "concerted.agent",
    "open_coordinator": "concerted.launch",
    "open_group": "concerted.launch",
    "Profile": "concerted.values",
    "Task": "concerted.values",
    "Objective": "concerted.values",
    "Outcome": "concerted.values",
    "Reply": "concerted.messages",
    "Custom": "concerted.messages",
    "ExecuteTask": "concerted.messages",
    "RequestBid": "concerted.messages",
    "Run": "concerted.run",
    "ConcertedError": "concerted.errors",
}

__all__ = ["__version__", *_WHERE]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'concerted' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    """List the public names, also those not imported yet."""
    return sorted(__all__)
