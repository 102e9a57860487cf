"""Every key of a configuration as rows to print: its value, and its unit, default, limits and meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from concerted.config.conversion import bare, extra, fields_of
from concerted.config.durations import show_duration
from concerted.config.settings import Settings

__all__ = ["Key", "describe", "flatten"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key.  path: dotted.  unit: what its numbers count, empty for words.  choices: what it may be, if listed."""

    path: str
    unit: str
    default: str
    doc: str
    choices: tuple[str, ...] = ()


def describe(kind: type[msgspec.Struct] = Settings) -> list[Key]:
    """List every key of a settings struct, in the order of the file."""
    return [
        Key(
            path, str(extra(field.type).get("unit", "")), _shown(default, field.type), _doc(field.type), _choices(field)
        )
        for path, field, default in _walk(kind(), "")
    ]


def flatten(value: msgspec.Struct) -> dict[str, str]:
    """Return every key of a settings value, dotted, as it would be written in a file; `null` for nothing."""
    return {path: _shown(one, field.type) for path, field, one in _walk(value, "")}


def _walk(value: msgspec.Struct, path: str) -> Iterator[tuple[str, inspect.Field, Any]]:
    for key, field in fields_of(type(value)).items():
        one = getattr(value, field.name)
        if isinstance(one, msgspec.Struct):
            yield from _walk(one, f"{path}{key}.")
        else:
            yield path + key, field, one


def _shown(value: Any, kind: inspect.Type) -> str:
    if value is None:
        return "null"
    if extra(kind).get("duration"):
        return show_duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _doc(kind: inspect.Type) -> str:
    return str((kind.extra_json_schema or {}).get("description", "")) if isinstance(kind, inspect.Metadata) else ""


def _choices(field: inspect.Field) -> tuple[str, ...]:
    kind = bare(field.type)
    return tuple(str(value) for value in kind.values) if isinstance(kind, inspect.LiteralType) else ()
