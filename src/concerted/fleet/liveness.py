"""Liveness: what the age of the last heartbeat says about an agent.

alive --one interval missed--> suspect --failover_threshold intervals missed--> gone
"""

from __future__ import annotations

from dataclasses import dataclass

from concerted.values import AgentState

__all__ = ["Thresholds", "judge", "look_again_s"]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """interval_s: how often a heartbeat should come.  missed: after how many missing ones an agent is gone."""

    interval_s: float
    missed: int = 3


def judge(age_s: float, thresholds: Thresholds) -> AgentState:
    """Say how an agent is whose last heartbeat is `age_s` old.

    A heartbeat is missed when its time has come and half an interval more, for the way it travels.
    """
    missed = age_s / thresholds.interval_s - 0.5
    if missed >= thresholds.missed:
        return "gone"
    return "suspect" if missed >= 1 else "alive"


def look_again_s(age_s: float, thresholds: Thresholds) -> float:
    """Return after how many seconds the judgement may change if nothing comes; infinity for one who is gone."""
    for missed in (1, thresholds.missed):
        left = (missed + 0.5) * thresholds.interval_s - age_s
        if left > 0:
            return left
    return float("inf")
