"""The log of a primitive, read aloud, and what it waits for as its record has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from concerted.ports.commands import Waiting
from concerted.ports.store import AgentRecord, Entry, PrimitiveRecord
from concerted.story.agreements import agreement_words
from concerted.story.decisions import decision_words
from concerted.story.replica_groups import group_words
from concerted.story.sentences import clock, some
from concerted.values import Instant

__all__ = ["OPEN", "about_primitive", "is_blocked", "record_waits"]

# The statuses in which a primitive waits for somebody.
OPEN = ("active", "closed", "entering", "inside", "tripped", "voting", "waiting")
MET_AT = frozenset(("agreement", "barrier", "decision", "double_barrier", "latch", "phaser", "sync_point"))
UNBLOCKERS = 20  # named as such
LINES = 200  # the newest sentences of one primitive
SAID = ("names", "step", "percentage", "permits", "version", "generation", "phase", "token", "epoch", "reason")


def about_primitive(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Tell a primitive's own stream in sentences, the newest at most LINES of them."""
    lines = []
    first: Instant | None = None
    for entry in entries:
        first = entry.at if first is None else first
        if entry.kind != "primitive.folded":
            lines.append(f"{clock(entry.at - first)}  {_sentence(entry, entry.value())}")
    return tuple(lines[-LINES:])


def is_blocked(record: PrimitiveRecord) -> bool:
    """Say whether somebody has come to a primitive, or was called to it, and others are missing."""
    is_expected = record.arrived > 0 or record.kind in ("agreement", "decision", "latch", "sync_point")
    return record.status in OPEN and record.kind in MET_AT and is_expected and record.arrived < record.total


def record_waits(
    record: PrimitiveRecord,
    missing: Iterable[str] = (),
    lost: Iterable[str] = (),
    gone: Mapping[str, AgentRecord] | None = None,
) -> Waiting:
    """Say what an open primitive waits for.

    missing: who has not come; lost: those of them of whom the primitive knows that they are gone.  gone: what is known
    of agents that are; these are named first, and who is left can change it.
    """
    known = gone or {}
    away = {*lost, *known}
    absent = sorted(missing, key=lambda name: name not in away)
    here = [name for name in absent if name not in away]
    who = some([f"{name} ({_since_when(record, known.get(name))})" if name in away else name for name in absent])
    if record.kind == "agreement":
        count = "a proposal"
    else:
        done = "voted" if record.kind == "decision" else "arrived"
        count = f"{record.arrived} of {record.total} have {done}" if record.total else f"it is {record.status}"
    unblockers = here or absent
    if record.kind == "decision" and absent and not here:  # it takes one of them to come back, or its opener
        unblockers = [*absent[: UNBLOCKERS - 1], record.creator or ""]
        count += f"; {record.creator} may withdraw it"
    return Waiting(
        subject=record.stream,
        waiting_for=f"{who}: {count}" if who else count,
        since=record.created_at,
        unblocked_by=", ".join(unblockers[:UNBLOCKERS]),
        deadline=record.deadline_at,
    )


def _since_when(record: PrimitiveRecord, agent: AgentRecord | None) -> str:
    """Say of an agent that it is gone, and since when on the clock of the primitive's story."""
    if agent is None:
        return "gone"
    since = (
        "since before it began"
        if agent.since < record.created_at
        else f"since {clock(agent.since - record.created_at)}"
    )
    return f"gone {since}: {agent.reason}" if agent.reason else f"gone {since}"


def _sentence(entry: Entry, value: dict[str, Any]) -> str:
    for words in (decision_words, agreement_words, group_words):
        told = words(entry, value)
        if told is not None:
            return told
    return _any_sentence(entry, value)


def _any_sentence(entry: Entry, value: dict[str, Any]) -> str:
    what = entry.kind.partition(".")[2].replace("_", " ")
    said = [f"{entry.agent}: {what}" if entry.agent else what]
    if "arrived" in value and value.get("total"):
        said.append(f"{value['arrived']} of {value['total']}")
    for name in SAID:
        fact = value.get(name)
        if fact not in (None, "", [], {}):
            said.append(f"{name} {some(fact) if isinstance(fact, list) else fact}")
    return ", ".join(said)
