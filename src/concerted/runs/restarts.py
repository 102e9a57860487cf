"""What a run keeps when it begins anew (`run.restart`), so that its history stays short."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.runs.facts import Tally
from concerted.values import Profile

if TYPE_CHECKING:
    from concerted.runs.instance import Instance

__all__ = ["recall", "remember"]


def remember(run: Instance, state: Any) -> dict[str, Any]:
    """Return what `run.restarted` holds: the strategy's state, and what the engine must not forget."""
    return {
        "state": state,
        "commands": run.commands,
        "timers": run.loop.armed,
        "epochs": run.epochs,
        "restarts": run.restarts + 1,
        "agents": list(run.agents.values()),
        "started_at": run.started_at,
        "deadline_at": run.deadline_at,
        "tally": run.tally,
        "signals": {name: list(queue._queue) for name, queue in run.signals.items()},  # type: ignore[attr-defined]
        "seen_signals": sorted(run.seen_signals),
    }


def recall(run: Instance, memory: dict[str, Any]) -> None:
    """Take up what was kept."""
    run.restarts = memory["restarts"]
    run.commands = memory["commands"]
    run.epochs = dict(memory["epochs"])
    run.agents = {profile.id: profile for profile in msgspec.convert(memory["agents"], list[Profile])}
    run.started_at, run.deadline_at = memory["started_at"], memory["deadline_at"]
    run.tally = msgspec.convert(memory["tally"], Tally)
    run.random = random.Random(f"{run.id}#{run.restarts}")
    run.seen_signals = set(memory["seen_signals"])
    run.signals = {}
    for name, payloads in memory["signals"].items():
        for payload in payloads:
            run.queue(name).put_nowait(payload)
