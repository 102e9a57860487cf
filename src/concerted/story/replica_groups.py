"""The log of a group of replicas in sentences, and what hinders a group and what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concerted.consensus.keeping import tolerates
from concerted.consensus.replica_group import ReplicaGroup
from concerted.ports.commands import Waiting
from concerted.ports.store import Entry, PrimitiveRecord
from concerted.story.sentences import some

__all__ = ["group_words", "never_to_end", "too_few"]


def group_words(entry: Entry, value: dict[str, Any]) -> str | None:
    """Put one entry into words; None for what is no entry of a group of replicas."""
    who = entry.agent or "?"
    match entry.kind:
        case "replica_group.created":
            return f"{who} has {some(value['participants'])} host a group of {value['algorithm']}"
        case "replica_group.formed":
            return "all of them have an address: it begins"
        case "replica_group.entrusted":
            return f"it keeps {entry.ref}"
        case "replica_group.released":
            return f"{entry.ref} is over, and leaves it"
        case "replica_group.led":
            return f"{who}'s replica leads, in term {value['term']}"
        case "replica_group.divided":
            return _divided(value)
        case "replica_group.whole":
            return "all replicas answer, and follow one that leads, again"
        case "replica_group.accused":
            return f"{who}'s replica has lied: it has signed two things of which an honest one signs one"
        case "replica_group.host_lost":
            return f"{who} is gone, and its replica with it: {value['reason']}"
        case "replica_group.host_found":
            return f"{who} is back, and its replica is started again"
        case _:
            return None


def too_few(subject: str, group: ReplicaGroup | None) -> Waiting | None:
    """Say of a group, or of what it keeps, that too few replicas are left to decide anything; None: enough are."""
    if group is None or group.is_over or group.standing.stalled_at is None:
        return None
    count = len(group.nodes)
    needed, standing = count - tolerates(group.terms.algorithm, count), group.standing
    words = f"{needed} of the {count} replicas of group {group.terms.id}, which must hear each other"
    return Waiting(
        subject=subject,
        waiting_for=f"{words}: {_who(standing.silent, standing.apart)}",
        since=group.standing.stalled_at,
        unblocked_by=", ".join(standing.silent or standing.apart),
    )


def _divided(value: dict[str, Any]) -> str:
    rest = "the others decide without them" if value["decides"] else "nothing can be decided until enough are back"
    return f"{_who(value['silent'], value['apart'])}: {rest}"


def _who(silent: Sequence[str], apart: Sequence[str]) -> str:
    said = [f"no answer from the replicas beside {some(silent)}"] if silent else []
    if apart:
        said.append(f"those beside {some(apart)} follow nobody who leads the rest")
    return "; ".join(said)


def never_to_end(record: PrimitiveRecord, group: ReplicaGroup) -> Waiting:
    """Say of an open primitive that the group of replicas which kept it is over, and that nothing comes of it."""
    what = "append to it" if record.kind == "decision_log" else "decide it"
    over = f"{group.terms.id}, is over ({group.reason})"
    return Waiting(
        subject=record.stream,
        waiting_for=f"nothing: its group of replicas, {over}, and nobody can {what} any more",
        since=record.created_at,
        unblocked_by="nobody; begin anew under another id",
    )
