"""From an envelope to the request in it, and from what a function has done to the reply."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from concerted.agent.work import Refused
from concerted.messages import Envelope, Reply, ReplyStatus, Request, decode_request

__all__ = ["BUILT_IN", "NOTICES", "reply_raised", "reply_returned", "reply_to", "request_in"]

SHARED_REQUESTS = 16  # decoded requests kept, so that one question to many agents is decoded once

log = logging.getLogger("concerted.agent")

BUILT_IN = frozenset(str(kind.__struct_config__.tag) for kind in Request.__subclasses__())
NOTICES = frozenset(str(kind.__struct_config__.tag) for kind in Request.__subclasses__() if kind.notice)


def reply_to(envelope: Envelope, status: ReplyStatus, value: Any = None, error: str | None = None) -> Reply:
    """Answer a command."""
    return Reply(
        agent=envelope.destination,
        status=status,
        value=value,
        error=error,
        key=envelope.idempotency_key,
        epoch=envelope.epoch,
    )


def reply_returned(envelope: Envelope, value: Any) -> Reply:
    """Turn what a function returned into a reply, its value made plain JSON; a `Reply` keeps status, value and error.

    Raises:
        TypeError: the value has no JSON form.
    """
    if value is None or type(value) in _PLAIN:
        return reply_to(envelope, "ok", value)
    if isinstance(value, Reply):
        return reply_to(envelope, value.status, value.value, value.error)
    try:
        return reply_to(envelope, "ok", msgspec.to_builtins(value, str_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"the function returned what has no JSON form: {error}") from error


def reply_raised(envelope: Envelope, error: BaseException) -> Reply:
    """Turn what a function raised into a reply; the traceback goes to the log, at level INFO."""
    if isinstance(error, Refused):
        return reply_to(envelope, "refused", error=str(error))
    log.info("%s %s failed", envelope.destination, envelope.type, exc_info=error)
    return reply_to(envelope, "failed", error=f"{type(error).__name__}: {error}")


def request_in(envelope: Envelope) -> Request:
    """Decode the request; envelopes with equal payloads share one, so read it and never change it.

    Cost: next to nothing for the payload object of the last call, a copy and a hash for an equal one.

    Raises:
        Invalid: the payload does not fit the type.
    """
    payload, type_name = envelope.payload, envelope.type
    if payload is _last.payload and type_name == _last.type_name and _last.request is not None:
        return _last.request
    key = (type_name, bytes(payload))
    request = _known.get(key)
    if request is None:
        request = decode_request(type_name, payload)
        if len(_known) >= SHARED_REQUESTS:
            _known.clear()
        _known[key] = request
    _last.payload, _last.type_name, _last.request = payload, type_name, request
    return request


class _Last:
    """The request decoded last; holding its payload keeps the payload's identity its own."""

    payload: msgspec.Raw | None = None
    type_name = ""
    request: Request | None = None


_PLAIN = frozenset((str, int, float, bool))
_known: dict[tuple[str, bytes], Request] = {}
_last = _Last()
