"""Values as PostgreSQL reads them: whole columns as array literals, and texts that may hold any character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

__all__ = ["from_text", "numbers", "texts", "to_text"]

# PostgreSQL's texts cannot hold U+0000.  It stands as the last of all characters and a 0; that one itself,
# which is no character of any script, as itself and a 1.  All other texts stand as they are.
_MARK = "\U0010ffff"
_NUL = "\x00"

_encode = msgspec.json.encode


def texts(values: Sequence[str | None]) -> str:
    """Write these as the literal of a text[].

    An encoder of JSON does it as long as nothing needs an escape but quotes and backslashes: those two are
    the same in JSON and in an array, and it is many times faster than Python.
    """
    if all(value is None or value.isprintable() for value in values):
        return f"{{{_encode(values)[1:-1].decode()}}}"
    return f"{{{','.join(map(_quoted, values))}}}"


def numbers(values: Sequence[Any]) -> str:
    """Write numbers, truth values and nulls as the literal of an array."""
    return f"{{{_encode(values)[1:-1].decode()}}}"


def to_text(value: str) -> str:
    """Return a text as it stands in a column."""
    if _NUL in value or _MARK in value:
        return value.replace(_MARK, f"{_MARK}1").replace(_NUL, f"{_MARK}0")
    return value


def from_text(value: str) -> str:
    """Return a text that stands so in a column."""
    if _MARK in value:
        return value.replace(f"{_MARK}0", _NUL).replace(f"{_MARK}1", _MARK)
    return value


def _quoted(value: str | None) -> str:
    if value is None:
        return "null"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
