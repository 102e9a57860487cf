"""What a run's agents think of a proposal, and what came of it, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["decided_words", "judged_words"]

OUTCOME_OF = "outcome of "  # the effect under whose name a run waits for a decision


def judged_words(answer: Any) -> str:
    """Put an answer to JUDGE into words; it may be anything."""
    if isinstance(answer, Mapping):
        choice, reason = answer.get("choice"), answer.get("reason")
        return f"{choice} ({reason})" if reason else str(choice)
    return str(answer)


def decided_words(effect: Mapping[str, Any]) -> str | None:
    """Put the end of a decision of the run into words; None for any other effect."""
    name, told = str(effect.get("name")), effect.get("value")
    if not name.startswith(OUTCOME_OF) or not isinstance(told, Mapping) or "why" not in told:
        return None
    return f"{name.removeprefix(OUTCOME_OF)} is {told.get('status')}: {told['why']}"
