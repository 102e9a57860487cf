"""The logs of agreements, and logs of decisions, in sentences."""

from __future__ import annotations

from typing import Any

from concerted.ports.store import Entry
from concerted.story.sentences import brief, some

__all__ = ["agreement_words"]


def agreement_words(entry: Entry, value: dict[str, Any]) -> str | None:
    """Put one entry into words; None for what is of neither."""
    who = entry.agent or "?"
    match entry.kind:
        case "agreement.created":
            proposers = f" by {some(value['participants'])}" if value["participants"] else ""
            return f"{who} opens agreement {value['name']}: {value['demands']} may be proposed{proposers}"
        case "agreement.chosen":
            return f"{who} proposes {brief(value['value'])}: it is the value, for ever"
        case "agreement.lapsed":
            return "lapsed: nobody has proposed a value by its deadline"
        case "decision_log.created":
            writers = f"; {some(value['participants'])} may append" if value["participants"] else ""
            return f"{who} makes log {value['name']}{writers}"
        case "decision_log.appended":
            return f"{who} appends entry {value['position']}: {brief(value['value'])}"
        case _:
            return None
