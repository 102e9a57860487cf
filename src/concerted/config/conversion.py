"""Nodes into typed values, as the annotations of msgspec structs say; every misfit is noted with its place."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from concerted.config.document import ListNode, MapNode, Node, Scalar, ScalarNode, resolve
from concerted.config.durations import parse_duration, show_duration
from concerted.config.problems import Place, Problems, similar, suggest

__all__ = ["BAD", "Conversion", "bare", "extra", "fields_of", "items_of", "struct_type"]


class _Bad:
    """What stands in the place of a value that could not be made."""

    def __repr__(self) -> str:
        return "BAD"


BAD = _Bad()


@functools.lru_cache(maxsize=256)
def struct_type(kind: type[msgspec.Struct]) -> inspect.StructType:
    """Return what msgspec knows of a struct."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType), kind
    return found


@functools.lru_cache(maxsize=256)
def fields_of(kind: type[msgspec.Struct]) -> dict[str, inspect.Field]:
    """Return a struct's fields by the name they have in files, in order."""
    return {field.encode_name: field for field in struct_type(kind).fields}


def bare(kind: inspect.Type) -> inspect.Type:
    """Return a type without its descriptions."""
    return kind.type if isinstance(kind, inspect.Metadata) else kind


def extra(kind: inspect.Type) -> dict[str, Any]:
    """Return what an annotation adds to a type: `unit`, `duration`; looked for in the alternatives, too."""
    found: dict[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        found |= extra(kind.type) | (kind.extra or {})
    elif isinstance(kind, inspect.UnionType):
        for one in kind.types:
            found |= extra(one)
    return found


def items_of(node: Node | None, kind: type[msgspec.Struct]) -> dict[str, Node] | None:
    """Return the nodes of a struct's fields, or None if `node` cannot be one.

    Nothing (null, or no node) is a struct without fields; a scalar fits a struct with a `shorthand`.
    """
    shorthand: str | None = getattr(kind, "shorthand", None)
    match node:
        case None:
            return {}
        case MapNode():
            return node.items
        case ScalarNode() if resolve(node) is None:
            return {}
        case ScalarNode() if shorthand:
            return {shorthand: node}
        case _:
            return None


class Conversion:
    """One pass over a tree.  What cannot be converted becomes BAD, with a problem noted; the rest goes on.

    lenient: a struct is also made without those of its fields that do not fit, as long as it needs none
    of them, so that further checks have something to look at.
    """

    def __init__(self, problems: Problems, *, lenient: bool = False) -> None:
        self.problems = problems
        self._lenient = lenient
        self._by_kind: dict[type, Callable[[Node, Any, str], Any]] = {
            inspect.AnyType: lambda node, _, path: self.plain(node, path),
            inspect.BoolType: self._bool,
            inspect.DictType: self._dict,
            inspect.FloatType: self._float,
            inspect.IntType: self._int,
            inspect.ListType: self._items,
            inspect.LiteralType: self._literal,
            inspect.Metadata: self._annotated,
            inspect.StrType: self._str,
            inspect.StructType: lambda node, kind, path: self.struct(node, kind.cls, path),
            inspect.UnionType: self._union,
            inspect.VarTupleType: self._tuple,
        }

    def value(self, node: Node, kind: inspect.Type, path: str) -> Any:
        """Convert one node.  A list of structs keeps BAD in the place of items that do not fit."""
        return self._by_kind[type(kind)](node, kind, path)

    def struct(self, node: Node, kind: type[msgspec.Struct], path: str) -> Any:
        """Convert a mapping into a struct, or BAD."""
        before = len(self.problems)
        values = self.fields(node, kind, path)
        faulty = len(self.problems) > before
        if faulty and not (self._lenient and _is_enough(values, kind)):
            return BAD
        try:
            return kind(**values)
        except ValueError as error:
            if not faulty:
                self.problems.add(node.place, path, str(error))
            return BAD

    def fields(self, node: Node, kind: type[msgspec.Struct], path: str) -> dict[str, Any]:
        """Convert the fields of a struct one by one, by attribute name; those that do not fit are left out."""
        items = items_of(node, kind)
        if items is None:
            self._misfit(node, struct_type(kind), path)
            return {}
        known = fields_of(kind)
        for key in items:
            if key not in known:
                place = node.keys[key] if isinstance(node, MapNode) else node.place
                self.problems.add(place, _under(path, key), f"unknown key{suggest(key, known, 'known keys')}")
        values: dict[str, Any] = {}
        for key, field in known.items():
            if key in items:
                value = self.value(items[key], field.type, _under(path, key))
                if value is not BAD:
                    values[field.name] = value
            elif field.required:
                self.problems.add(node.place, _under(path, key), "missing; it is required")
        return values

    def plain(self, node: Node, path: str) -> Any:
        """Convert into null, booleans, numbers, texts, lists and dicts that have a JSON form."""
        match node:
            case MapNode():
                mapping = {key: self.plain(item, _under(path, key)) for key, item in node.items.items()}
                return _whole(mapping, mapping.values())
            case ListNode():
                items = [self.plain(item, f"{path}[{i}]") for i, item in enumerate(node.items)]
                return _whole(items, items)
        found = resolve(node)
        if isinstance(found, float) and not math.isfinite(found):
            return self._bad(node.place, path, f"{node.text} has no JSON form; use a finite number or quotes")
        if isinstance(found, int) and not -(1 << 63) <= found < 1 << 64:
            return self._bad(node.place, path, f"{node.text} does not fit into 64 bits; put it in quotes")
        return found

    def _annotated(self, node: Node, kind: inspect.Metadata, path: str) -> Any:
        if extra(kind).get("duration") and isinstance(bare(kind), inspect.FloatType):
            return self._duration(node, kind.type, path)
        return self.value(node, kind.type, path)

    def _duration(self, node: Node, kind: Any, path: str) -> Any:
        if not isinstance(node, ScalarNode) or resolve(node) is None:
            return self._bad(node.place, path, f"expected a duration such as 300s, 24h or 100ms, got {_shown(node)}")
        try:
            seconds = parse_duration(node.text)
        except ValueError as error:
            return self._bad(node.place, path, str(error))
        return self._limited(node, seconds, kind, path, show_duration)

    def _bool(self, node: Node, kind: Any, path: str) -> Any:
        found = _scalar(node)
        return found if isinstance(found, bool) else self._misfit(node, kind, path)

    def _int(self, node: Node, kind: Any, path: str) -> Any:
        found = _scalar(node)
        if isinstance(found, bool) or not isinstance(found, int):
            return self._misfit(node, kind, path)
        if not -(1 << 63) <= found < 1 << 63:
            return self._bad(node.place, path, f"{_shown(node)} does not fit into 64 bits")
        return self._limited(node, found, kind, path, str)

    def _float(self, node: Node, kind: Any, path: str) -> Any:
        found = _scalar(node)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return self._misfit(node, kind, path)
        number = float(found) if abs(found) < 1e300 else math.inf
        if not math.isfinite(number):
            return self._bad(node.place, path, f"{_shown(node)} is not a finite number")
        return self._limited(node, number, kind, path, lambda limit: f"{limit:g}")

    def _str(self, node: Node, kind: Any, path: str) -> Any:
        # A number or boolean is taken as it is written: `process: [sleep, 1]` needs no quotes.
        if not isinstance(node, ScalarNode) or resolve(node) is None:
            return self._misfit(node, kind, path)
        return node.text

    def _literal(self, node: Node, kind: inspect.LiteralType, path: str) -> Any:
        if isinstance(node, ScalarNode) and node.text in kind.values:
            return node.text
        meant = similar(node.text, [str(value) for value in kind.values]) if isinstance(node, ScalarNode) else None
        hint = f"; did you mean {meant}?" if meant else ""
        return self._bad(node.place, path, f"expected {_called(kind)}, got {_shown(node)}{hint}")

    def _items(self, node: Node, kind: Any, path: str) -> Any:
        if not isinstance(node, ListNode):
            return self._misfit(node, kind, path)
        items = [self.value(item, kind.item_type, f"{path}[{i}]") for i, item in enumerate(node.items)]
        return items if isinstance(kind.item_type, inspect.StructType) else _whole(items, items)

    def _tuple(self, node: Node, kind: Any, path: str) -> Any:
        items = self._items(node, kind, path)
        return items if items is BAD else tuple(items)

    def _dict(self, node: Node, kind: inspect.DictType, path: str) -> Any:
        if isinstance(node, ScalarNode) and resolve(node) is None:
            return {}
        if not isinstance(node, MapNode):
            return self._misfit(node, kind, path)
        items = {key: self.value(item, kind.value_type, _under(path, key)) for key, item in node.items.items()}
        return _whole(items, items.values())

    def _union(self, node: Node, kind: inspect.UnionType, path: str) -> Any:
        """Take the alternative of the node's shape: null, scalar, list or mapping."""
        null = isinstance(node, ScalarNode) and resolve(node) is None
        for one in kind.types:
            if isinstance(one, inspect.NoneType):
                if null:
                    return None
            elif _is_shape(node, bare(one)) and not null:
                return self.value(node, one, path)
        return self._misfit(node, kind, path)

    def _limited(self, node: Node, number: Any, kind: Any, path: str, show: Callable[[Any], str]) -> Any:
        for limit, holds, words in (
            (kind.gt, operator.gt, "above"),
            (kind.ge, operator.ge, "at least"),
            (kind.lt, operator.lt, "below"),
            (kind.le, operator.le, "at most"),
        ):
            if limit is not None and not holds(number, limit):
                return self._bad(node.place, path, f"must be {words} {show(limit)}, got {_shown(node)}")
        return number

    def _misfit(self, node: Node, kind: inspect.Type, path: str) -> Any:
        hint = ""
        if isinstance(node, MapNode | ListNode) and "a text" in _called(kind):
            hint = "; quote a text that begins with { or ["
        return self._bad(node.place, path, f"expected {_called(kind)}, got {_shown(node)}{hint}")

    def _bad(self, place: Place, path: str, what: str) -> Any:
        self.problems.add(place, path, what)
        return BAD


def _is_enough(values: Mapping[str, Any], kind: type[msgspec.Struct]) -> bool:
    return all(field.name in values for field in fields_of(kind).values() if field.required)


def _whole(made: Any, parts: Iterable[Any]) -> Any:
    """Return what was made, or BAD if any part of it is."""
    return BAD if any(part is BAD for part in parts) else made


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _scalar(node: Node) -> Scalar:
    return resolve(node) if isinstance(node, ScalarNode) else None


def _is_shape(node: Node, kind: inspect.Type) -> bool:
    match kind:
        case inspect.AnyType():
            return True
        case inspect.ListType() | inspect.VarTupleType():
            return isinstance(node, ListNode)
        case inspect.DictType():
            return isinstance(node, MapNode)
        case inspect.StructType():
            return items_of(node, kind.cls) is not None
        case _:
            return isinstance(node, ScalarNode)


_NAMES: dict[type, str] = {
    inspect.AnyType: "anything",
    inspect.BoolType: "true or false",
    inspect.DictType: "a mapping (name: value)",
    inspect.FloatType: "a number",
    inspect.IntType: "a whole number",
    inspect.ListType: "a list",
    inspect.NoneType: "nothing",
    inspect.StrType: "a text",
    inspect.StructType: "a mapping (key: value)",
    inspect.VarTupleType: "a list",
}


def _called(kind: inspect.Type) -> str:
    """Say in words what a type takes."""
    if extra(kind).get("duration"):
        return "a duration such as 300s, 24h or 100ms"
    kind = bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(str(value) for value in kind.values)}"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_called(one) for one in kind.types if not isinstance(one, inspect.NoneType))
    if isinstance(kind, inspect.StructType) and getattr(kind.cls, "shorthand", None):
        return "a text or a mapping (key: value)"
    return _NAMES[type(kind)]


def _shown(node: Node) -> str:
    """Say in words what stands there instead."""
    match node:
        case MapNode():
            return "a mapping"
        case ListNode():
            return "a list"
        case ScalarNode() if resolve(node) is None:
            return "nothing"
    text = node.text if len(node.text) <= 60 else f"{node.text[:57]}..."
    return repr(text) if isinstance(resolve(node), str) else text
