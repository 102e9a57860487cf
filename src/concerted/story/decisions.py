"""The log of a decision in sentences."""

from __future__ import annotations

from typing import Any

from concerted.ports.store import Entry
from concerted.story.sentences import some

__all__ = ["decision_words"]

_CAUSES = {
    "complete": "every ballot is there",
    "settled": "no missing ballot can change it",
    "deadline": "its deadline came",
    "withdrawn": "it was withdrawn",
}


def decision_words(entry: Entry, value: dict[str, Any]) -> str | None:
    """Put one entry into words; None for what is no entry of a decision."""
    voter = entry.agent or "?"
    match entry.kind:
        case "decision.created":
            return f"{voter} asks {some(value['participants'])}: {value['name']} ({value['demands']})"
        case "decision.ballot_cast":
            return f"{voter} votes {_ballot(value)}, {value['arrived']} of {value['total']}"
        case "decision.ballot_ignored":
            return f"{voter} votes again, {_ballot(value)}: ignored, the first ballot counts ({value['first']})"
        case "decision.equivocated":
            signed = f"{voter} has signed two different ballots"
            return f"{signed}, {value['first']} and then {_ballot(value)}: kept as evidence"
        case "decision.voter_lost":
            return f"{voter}, who has not voted, is gone: {value['reason']}"
        case "decision.voter_found":
            return f"{voter} is back"
        case "decision.closed":
            cause = _CAUSES[value["cause"]]
            by = f" by {entry.agent}: {value['reason']}" if entry.agent else ""
            return f"{value['status']}: {value['why']}; closed since {cause}{by}"
        case _:
            return None


def _ballot(value: dict[str, Any]) -> str:
    return f"{value['choice']} ({value['reason']})" if value["reason"] else str(value["choice"])
