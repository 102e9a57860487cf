"""How requests are written and read."""

from __future__ import annotations

import msgspec

from concerted.errors import Invalid
from concerted.messages.requests import Custom, Request
from concerted.values import encode

__all__ = ["decode_request", "encode_request", "request_type"]


_BY_TYPE: dict[str, type[Request]] = {}


def request_type(request: Request) -> str:
    """Return the type under which a request travels: REQUEST_BID, or the name of a Custom one."""
    if isinstance(request, Custom):
        return request.name
    return str(type(request).__struct_config__.tag)


def encode_request(request: Request) -> bytes:
    """Encode a request's payload (without its type) as canonical JSON."""
    if isinstance(request, Custom):
        return encode(request.data)
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    return encode(fields)


def decode_request(type_name: str, payload: bytes) -> Request:
    """Turn a wire type and payload back into a request; an unknown type becomes Custom.

    Raises:
        Invalid: the payload does not fit the type.
    """
    if not _BY_TYPE:
        _BY_TYPE.update({str(kind.__struct_config__.tag): kind for kind in Request.__subclasses__()})
    kind = _BY_TYPE.get(type_name)
    try:
        if kind is None or kind is Custom:
            return Custom(name=type_name, data=msgspec.json.decode(payload))
        return msgspec.json.decode(payload, type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"{type_name}: the payload does not fit: {error}") from error
