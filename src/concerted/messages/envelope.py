"""What commands and answers travel in: the envelope, the reply, the heartbeat.

On every wire an envelope is one JSON object; its `payload` is the request without its type.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from concerted.values import AgentId, AgentStatus, Instant, RunId

__all__ = ["ENVELOPE_BYTES", "Beat", "Envelope", "Reply", "ReplyStatus"]

ENVELOPE_BYTES = 1 << 20  # the largest envelope on any wire, unless the configuration says otherwise

ReplyStatus = Literal["ok", "refused", "failed", "timeout", "lost", "cancelled"]


class Envelope(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One message on its way, with every field of the specification's and what durability adds.

    idempotency_key names the effect: the same key is the same command, however often it arrives.
    epoch is the coordinator's for this coordination: an agent that has seen a higher one refuses.
    lamport: the newest of the sender's log when it was sent.
    """

    id: str
    type: str
    destination: AgentId
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    source: str = "coordinator"
    timestamp: Instant = 0.0
    version: str = "1.0"
    category: Literal["system", "task", "user"] = "system"
    priority: Literal["low", "medium", "high", "urgent"] = "high"
    headers: dict[str, str] = {}
    delivery_mode: Literal["at_most_once", "at_least_once", "exactly_once"] = "at_least_once"
    processing_mode: Literal["sync", "async"] = "sync"
    metadata: dict[str, Any] = {}
    coordination_id: RunId | None = None
    correlation_id: str | None = None
    performative: str = "request"
    idempotency_key: str = ""
    epoch: int = 0
    reply_by: Instant | None = None
    lamport: int = 0
    traceparent: str | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent's one answer to one command.

    status: ok, refused (it said no), failed (it tried), timeout (the deadline came first), lost (the
    agent is gone or its lease is), cancelled (nobody wants the answer any more).
    """

    agent: AgentId
    status: ReplyStatus
    value: Any = None
    error: str | None = None
    key: str = ""
    epoch: int = 0
    cached: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is a value to read."""
        return self.status == "ok"


class Beat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent's heartbeat: its status and the keys of the commands it is at work on.

    progress: key -> (step, of), of those whose function has said where it stands.
    """

    agent: AgentId
    status: AgentStatus | None = None
    running: tuple[str, ...] = ()
    progress: dict[str, tuple[float, float]] = {}
