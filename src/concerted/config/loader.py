"""From a YAML text and environment variables to one typed value, with every error at once and each value's origin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec
from msgspec import inspect

from concerted.config.conversion import Conversion, bare, fields_of, items_of
from concerted.config.document import MapNode, Node, ScalarNode, compose
from concerted.config.problems import Place, Problems, suggest

__all__ = ["PREFIX", "Loaded", "load", "origins", "overlay", "put"]

PREFIX = "CONCERTED__"

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A value, and for every key `default`, `file:line:column` or `env NAME`."""

    value: S
    origins: dict[str, str]


def load(
    text: str, file_name: str, kind: type[S], *, env: Mapping[str, str] | None = None, prefix: str = PREFIX
) -> Loaded[S]:
    """Read a YAML text as a struct; `CONCERTED__SECTION__KEY=value` in `env` overrides `section.key`.

    file_name: what errors call the text.  An empty text gives every default.

    Raises:
        Invalid: anything is wrong with either; the message has one line for every problem,
            `file:line:column: key.path: what; did you mean ...`, `facts["problems"]` the list.
    """
    problems = Problems()
    root = overlay(compose(text, file_name, problems), kind, env or {}, problems, prefix)
    value = Conversion(problems).struct(root, kind, "")
    problems.stop_if_any()
    return Loaded(value, origins(root, kind))


def overlay(
    root: Node, kind: type[msgspec.Struct], env: Mapping[str, str], problems: Problems, prefix: str = PREFIX
) -> Node:
    """Return the tree with the variables that begin with `prefix` put over it; one that names no key is a problem."""
    for name in sorted(env):
        if not name.startswith(prefix):
            continue
        place = Place(f"env {name}")
        steps = name[len(prefix) :].lower().split("__")
        wrong = _no_key(steps, kind)
        if wrong:
            problems.add(place, ".".join(steps), wrong)
        elif not env[name].isprintable():  # a lone surrogate is what a byte that is no UTF-8 looks like
            problems.add(place, ".".join(steps), "the value is no printable text")
        else:
            root = put(root, kind, steps, ScalarNode(place, env[name]))
    return root


def origins(root: Node, kind: type[msgspec.Struct]) -> dict[str, str]:
    """Say for every key of `kind`, dotted, where its value was written; `default` if nowhere."""
    found: dict[str, str] = {}
    _collect(root, kind, "", found)
    return found


def put(node: Node | None, kind: type[msgspec.Struct], steps: list[str], leaf: Node) -> Node:
    """Copy a mapping with `leaf` at the end of `steps`; what is no mapping stays, for the conversion to report."""
    items = items_of(node, kind)
    if items is None:
        assert node is not None
        return node
    first, rest = steps[0], steps[1:]
    if rest:
        section = bare(fields_of(kind)[first].type)
        assert isinstance(section, inspect.StructType)
        leaf = put(items.get(first), section.cls, rest, leaf)
    keys = node.keys if isinstance(node, MapNode) else {}
    return MapNode(node.place if node else leaf.place, items | {first: leaf}, keys)


def _collect(node: Node | None, kind: type[msgspec.Struct], path: str, found: dict[str, str]) -> None:
    items = items_of(node, kind) or {}
    for key, field in fields_of(kind).items():
        section = bare(field.type)
        if isinstance(section, inspect.StructType):
            _collect(items.get(key), section.cls, f"{path}{key}.", found)
        else:
            found[path + key] = str(items[key].place) if key in items else "default"


def _no_key(steps: list[str], kind: type[msgspec.Struct]) -> str:
    """Say what is wrong with a path of keys, nothing if it names one that can be set."""
    section: type[msgspec.Struct] | None = kind
    for step in steps:
        known = fields_of(section) if section else {}
        if step not in known:
            at = f"{step!r} is an unknown key" if section else f"there is nothing below, so no {step!r}"
            return at + suggest(step, known, "known keys")
        below = bare(known[step].type)
        section = below.cls if isinstance(below, inspect.StructType) else None
    if section and not getattr(section, "shorthand", None):
        return f"this is a section; add one of its keys: {', '.join('__' + key.upper() for key in fields_of(section))}"
    return ""
