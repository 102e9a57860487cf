"""Messages, writes and entries in words, short enough for a line: what is as it always is, is left out."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import msgspec

from concerted.consensus.entries import Entry, Snapshot
from concerted.consensus.pieces import Piece
from concerted.consensus.quorum import Configuration
from concerted.consensus.sessions import Command

__all__ = ["entry_in_words", "in_words"]

UNSAID = ("to", "source", "number")


def in_words(value: Any) -> str:
    """Return the name of a struct or dataclass and its fields, without those that have their default."""
    words = [type(value).__name__] if type(value).__name__ != "Write" else []
    is_struct = isinstance(value, msgspec.Struct)
    for field in msgspec.structs.fields(value) if is_struct else dataclasses.fields(value):
        held = getattr(value, field.name)
        if field.name in UNSAID or held is None or held == field.default:
            continue
        words.append(field.name if held is True else f"{field.name}={_value(held)}")
    return " ".join(words)


def entry_in_words(entry: Entry) -> str:
    """Return `index/term` and what is in an entry."""
    place = f"{entry.index}/{entry.term}"
    if entry.configuration is not None:
        return f"{place} {_value(entry.configuration)}"
    return place if entry.command is None else f'{place} "{_command(entry.command)}"'


def _value(held: Any) -> str:
    if isinstance(held, Entry):
        return entry_in_words(held)
    if isinstance(held, Snapshot):
        return f"({held.index}/{held.term} of {_value(held.configuration)})"
    if isinstance(held, Piece):
        end = held.offset + len(held.data)
        place = "" if len(held.data) == held.size_bytes else f", bytes {held.offset}-{end} of {held.size_bytes}"
        return f"({held.index}/{held.term} of {_value(held.configuration)}{place})"
    if isinstance(held, Configuration):
        parts = [",".join(map(str, held.voters))]
        parts += [f"outgoing {','.join(map(str, held.outgoing))}"] if held.outgoing else []
        parts += [f"learners {','.join(map(str, held.learners))}"] if held.learners else []
        return f"<{'; '.join(parts)}>"
    if isinstance(held, bytes):
        return f'"{_command(held)}"'
    if isinstance(held, tuple | list):
        return f"[{', '.join(map(_value, held))}]"
    if isinstance(held, msgspec.Struct):
        return f"({in_words(held)})"
    return "no" if held is False else str(held)


def _command(data: bytes) -> str:
    with contextlib.suppress(msgspec.DecodeError):
        data = msgspec.msgpack.decode(data, type=Command).body
    return data.decode("utf-8", "backslashreplace")
