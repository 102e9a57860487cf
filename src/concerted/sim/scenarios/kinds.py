"""The protocols of which there can be scenarios: how each puts up its table, and which steps it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from concerted.consensus.pbft.settings import Settings
from concerted.sim.cluster.table import Table
from concerted.sim.pbft.table import PbftTable
from concerted.sim.protocols.algorithms import ALGORITHMS
from concerted.sim.scenarios.pbft_steps import STEPS as PBFT_STEPS
from concerted.sim.scenarios.steps import STEPS

__all__ = ["KINDS", "Kind"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One protocol.  settings: as they are where a scenario sets nothing.  table: put one up, so set."""

    settings: Callable[[], Any]
    table: Callable[[Any], Table[Any]]
    steps: Mapping[str, Callable[[Any, list[str]], None]]


KINDS: Mapping[str, Kind] = {
    **{
        name: Kind(algorithm.plain_settings, partial(Table, algorithm), {**STEPS, **algorithm.steps})
        for name, algorithm in ALGORITHMS.items()
    },
    "pbft": Kind(Settings, PbftTable, {**STEPS, **PBFT_STEPS}),
}
