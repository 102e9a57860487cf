"""What the rows of primitives, of the mail and of principals change in the tables.

All primitives are projected by one rule: the fields of a row's data that a `PrimitiveRecord` has too, under
their own names.  So a new machine needs no code here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from concerted.errors import Invalid
from concerted.ports.store import Entry, MessageRecord, ParticipantRecord, PrimitiveRecord, PrincipalRecord, Row
from concerted.stores.changes import DEFAULTS, Change, Count, Data, reader

__all__ = ["MAIL_RULES", "PRINCIPAL_RULES", "primitive"]

OVER = frozenset((
    "completed", "expired", "cancelled", "removed", "terminated", "deleted", "failed", "open",
    "accepted", "rejected", "lapsed", "agreed",
))  # fmt: skip


# By these a generation or phase is over, and the next one counts from nothing.
ANEW = frozenset((
    "barrier.broken", "barrier.released", "barrier.reset", "barrier.timed_out", "double_barrier.broken",
    "double_barrier.finished", "double_barrier.reset", "double_barrier.timed_out", "phaser.advanced", "phaser.broken",
))  # fmt: skip


class _Primitive(Data, frozen=True):
    name: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    deadline_at: float | UnsetType | None = UNSET
    wake_at: float | UnsetType | None = UNSET
    arrived: Count | UnsetType = UNSET
    total: Count | UnsetType = UNSET
    folded: Count | UnsetType = UNSET
    participants: tuple[str, ...] = ()


class _MessageStored(Data, frozen=True):
    id: str
    sender: str
    to: tuple[str, ...]
    type: str
    content: msgspec.Raw = msgspec.Raw(b"null")
    priority: str = "medium"
    requires_acknowledgment: bool = False
    due_at: float | None = None
    escalate_to: str | None = None
    expires_at: float | None = None


class _Messages(Data, frozen=True):
    ids: tuple[str, ...]
    request_id: str | None = None


class _Redelivered(Data, frozen=True):
    due_at: float | None = None
    attempts: Count = 0


class _PrincipalAdded(Data, frozen=True):
    role: str
    token: str


_read = reader(_Primitive)
_message_stored = reader(_MessageStored)
_messages = reader(_Messages)
_redelivered = reader(_Redelivered)
_principal_added = reader(_PrincipalAdded)


def primitive(fact: Row | Entry, stream: str) -> list[Change]:
    """Project a row of any primitive; one whose kind ends in `.created` makes the record."""
    data = _read(fact.data)
    columns: dict[str, Any] = {}
    for name in ("name", "status", "deadline_at", "wake_at", "arrived", "total", "folded"):
        value = getattr(data, name)
        if value is not UNSET:
            columns[name] = value
    if fact.kind.endswith(".created"):
        kind, _, id = stream.partition(":")
        whole = {"stream": stream, "kind": kind, "id": id, "creator": fact.agent, "created_at": fact.at}
        changes = [Change(PrimitiveRecord, (stream,), DEFAULTS[PrimitiveRecord] | whole | columns, whole=True)]
    else:
        if columns.get("status") in OVER:
            columns["ended_at"] = fact.at
            columns["wake_at"] = columns.get("wake_at")
        elif fact.kind in ANEW:
            columns |= {"arrived": 0, "deadline_at": None}
        changes = [Change(PrimitiveRecord, (stream,), columns)] if columns else []
    return changes + [
        Change(ParticipantRecord, (agent, stream), {"agent": agent, "stream": stream}, whole=True)
        for agent in data.participants
    ]


# Mail


def _stored(fact: Row | Entry, _: str) -> list[Change]:
    data = _message_stored(fact.data)
    columns = DEFAULTS[MessageRecord] | {
        "id": data.id,
        "sender": data.sender,
        "type": data.type,
        "priority": data.priority,
        "content": bytes(data.content),
        "requires_acknowledgment": data.requires_acknowledgment,
        "stored_at": fact.at,
        "due_at": data.due_at,
        "escalate_to": data.escalate_to,
        "expires_at": data.expires_at,
        "number": fact.seq if isinstance(fact, Entry) else 0,
    }
    return [Change(MessageRecord, (agent, data.id), columns | {"agent": agent}, whole=True) for agent in data.to]


def _each(fact: Row | Entry, columns: dict[str, Any]) -> list[Change]:
    agent = _recipient(fact)
    return [Change(MessageRecord, (agent, id), dict(columns)) for id in _messages(fact.data).ids]


def _fetched(fact: Row | Entry, _: str) -> list[Change]:
    request = _messages(fact.data).request_id or ""
    return _each(fact, {"status": "fetched", "fetched_at": fact.at, "fetched_in": request})


def _acknowledged(fact: Row | Entry, _: str) -> list[Change]:
    return _each(fact, {"status": "acknowledged", "acknowledged_at": fact.at, "due_at": None})


def _expired(fact: Row | Entry, _: str) -> list[Change]:
    return _each(fact, {"status": "expired", "due_at": None})


def _delivered_anew(fact: Row | Entry, _: str) -> list[Change]:
    data = _redelivered(fact.data)
    columns = {"status": "stored", "due_at": data.due_at, "attempts": data.attempts}
    return [Change(MessageRecord, (_recipient(fact), _message(fact)), columns)]


def _escalated(fact: Row | Entry, _: str) -> list[Change]:
    columns = {"due_at": None, "escalated": True, "attempts": _redelivered(fact.data).attempts}
    return [Change(MessageRecord, (_recipient(fact), _message(fact)), columns)]


def _removed(fact: Row | Entry, _: str) -> list[Change]:
    agent = _recipient(fact)
    return [Change(MessageRecord, (agent, id), {}, gone=True) for id in _messages(fact.data).ids]


def _recipient(fact: Row | Entry) -> str:
    if fact.agent is None:
        raise Invalid(f"a row of kind {fact.kind} in {fact.stream!r} names no agent; put the recipient into `agent`")
    return fact.agent


def _message(fact: Row | Entry) -> str:
    if fact.ref is None:
        raise Invalid(f"a row of kind {fact.kind} in {fact.stream!r} names no message; put its id into `ref`")
    return fact.ref


Rule = Callable[[Row | Entry, str], list[Change]]

MAIL_RULES: Mapping[str, Rule] = {
    "message.stored": _stored,
    "messages.fetched": _fetched,
    "messages.acknowledged": _acknowledged,
    "messages.expired": _expired,
    "message.redelivered": _delivered_anew,
    "message.escalated": _escalated,
    "messages.removed": _removed,
}


# Principals


def _principal(fact: Row | Entry) -> str:
    if fact.ref is None:
        raise Invalid(f"a row of kind {fact.kind} in {fact.stream!r} names no principal; put the name into `ref`")
    return fact.ref


def _added(fact: Row | Entry, _: str) -> list[Change]:
    data, name = _principal_added(fact.data), _principal(fact)
    columns = {"name": name, "role": data.role, "token": data.token, "created_at": fact.at, "revoked_at": None}
    return [Change(PrincipalRecord, (name,), columns, whole=True)]


def _revoked(fact: Row | Entry, _: str) -> list[Change]:
    return [Change(PrincipalRecord, (_principal(fact),), {"revoked_at": fact.at})]


PRINCIPAL_RULES: Mapping[str, Rule] = {"principal.added": _added, "principal.revoked": _revoked}
