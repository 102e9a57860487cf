"""A YAML text as a tree of nodes that know where they were written, with the rules of YAML 1.2 for scalars.

Anchors and aliases may be used, but a text whose aliases unfold to more than MAX_NODES nodes is refused
before anything is unfolded.  Tags, merge keys and second documents are refused: nobody here needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from concerted.config.problems import Place, Problems
from concerted.errors import Invalid

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_NODES",
    "ListNode",
    "MapNode",
    "Node",
    "Scalar",
    "ScalarNode",
    "compose",
    "find",
    "look",
    "resolve",
]

MAX_BYTES = 10 << 20  # of the text
MAX_NODES = 2_000_000  # scalars, lists and mappings, with every alias unfolded
MAX_DEPTH = 100  # lists and mappings inside one another

Scalar = None | bool | int | float | str

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT_DIGITS = 400  # longer ones become floats, which is to say infinite


@dataclass(slots=True)
class ScalarNode:
    """A text; a plain one (without quotes) may stand for null, a boolean or a number."""

    place: Place
    text: str
    plain: bool = True
    size: int = 1
    depth: int = 0


@dataclass(slots=True)
class ListNode:
    """Nodes in order.  size: nodes in all, itself included.  depth: levels of lists and mappings, likewise."""

    place: Place
    items: list[Node] = field(default_factory=list)
    size: int = 1
    depth: int = 1


@dataclass(slots=True)
class MapNode:
    """Nodes by key.  keys: where each key stands."""

    place: Place
    items: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    size: int = 1
    depth: int = 1


Node = ScalarNode | ListNode | MapNode


def compose(text: str, source: str, problems: Problems) -> Node:
    """Read a text into its tree; an empty text is null.

    Duplicate keys and other faults that leave a tree are noted in `problems`.

    Raises:
        Invalid: no tree can be made of it (syntax, bounds); with all problems found up to there.
    """
    start = Place(source, 1, 1)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        problems.add(_place_of(text, error.start, source), "", "this is no valid Unicode text; save the file as UTF-8")
        raise problems.error() from None
    if size > MAX_BYTES:
        problems.add(start, "", f"the text has {size} bytes; the bound is {MAX_BYTES}")
        raise problems.error()
    try:
        return _Composer(source, problems).compose(text) or ScalarNode(start, "")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else start
        problems.add(place, "", f"this is not YAML: {', '.join(filter(None, (error.problem, error.context)))}")
    except yaml.reader.ReaderError as error:
        # libyaml counts bytes where Python counts characters.
        before = text.encode()[: error.position].decode(errors="ignore") if yaml.__with_libyaml__ else text
        place = _place_of(text, min(error.position, len(before)), source)
        problems.add(place, "", f"this is not YAML: {error.reason}")
    raise problems.error()


def resolve(node: ScalarNode) -> Scalar:
    """Return what a scalar stands for, by the core schema of YAML 1.2: `yes`, `no`, `on`, `off` are texts."""
    text = node.text
    if not node.plain:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in "+-.0123456789":
        if _INT.fullmatch(text) and len(text) <= _INT_DIGITS:
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        if _FLOAT.fullmatch(text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1].isalpha() else text)
    return text


def find(root: Node, *steps: str | int) -> tuple[Place, str]:
    """Return the place of the last of these steps that exists under `root`, and the dotted path of all of them."""
    place, path = root.place, ""
    node: Node | None = root
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
        node = look(node, step)
        place = node.place if node else place
    return place, path


def look(root: Node | None, *steps: str | int) -> Node | None:
    """Return the node at these steps (keys, and indices into lists) under `root`, if there is one."""
    node = root
    for step in steps:
        if isinstance(node, MapNode):
            node = node.items.get(str(step))
        elif isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            return None
    return node


class _Composer:
    """The reading of one text: the stack of open lists and mappings, and the anchors so far."""

    def __init__(self, source: str, problems: Problems) -> None:
        self._source = source
        self._problems = problems
        self._open: list[ListNode | MapNode] = []
        self._keys: list[ScalarNode | None] = []  # for each open one: the key whose value comes next
        self._anchors: dict[str, Node] = {}
        self._count = 0
        self._root: Node | None = None

    def compose(self, text: str) -> Node | None:
        events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        for event in events:
            match event:
                case yaml.ScalarEvent():
                    self._add(self._begun(event, ScalarNode(self._at(event), event.value, event.implicit[0])))
                case yaml.MappingStartEvent():
                    self._enter(self._begun(event, MapNode(self._at(event))))
                case yaml.SequenceStartEvent():
                    self._enter(self._begun(event, ListNode(self._at(event))))
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._leave()
                case yaml.AliasEvent():
                    self._alias(event)
                case yaml.DocumentStartEvent() if self._root is not None:
                    raise self._fault(self._at(event), "a second document begins here; one file holds one")
                case _:
                    pass
        return self._root

    def _at(self, event: Any) -> Place:
        return Place(self._source, event.start_mark.line + 1, event.start_mark.column + 1)

    def _begun(self, event: Any, node: Any) -> Any:
        if event.anchor:
            self._anchors[event.anchor] = node
        if event.tag:
            self._problems.add(node.place, "", f"tags such as {event.tag} are not supported; for a text use quotes")
        if isinstance(node, ScalarNode) and not node.text.isascii() and not _is_unicode(node.text):
            raise self._fault(node.place, "this text holds half a surrogate pair, which no file or program can take")
        return node

    def _enter(self, node: ListNode | MapNode) -> None:
        self._bound_depth(node)
        if self._open and isinstance(self._open[-1], MapNode) and self._keys[-1] is None:
            raise self._fault(node.place, "a key must be a text; put a text that has braces or brackets in quotes")
        self._open.append(node)
        self._keys.append(None)

    def _leave(self) -> None:
        node = self._open.pop()
        self._keys.pop()
        self._add(node)

    def _alias(self, event: Any) -> None:
        place = self._at(event)
        node = self._anchors.get(event.anchor)
        if node is None:
            raise self._fault(place, f"there is no anchor &{event.anchor} before this alias")
        if any(node is one for one in self._open):
            raise self._fault(place, f"*{event.anchor} contains itself")
        self._count += node.size - 1
        self._bound_depth(node, place)
        self._add(node)

    def _bound_depth(self, node: Node, place: Place | None = None) -> None:
        if len(self._open) + node.depth > MAX_DEPTH:
            raise self._fault(place or node.place, f"lists and mappings are nested more than {MAX_DEPTH} deep")

    def _add(self, node: Node) -> None:
        """Put a finished node where it belongs."""
        self._count += 1
        if self._count > MAX_NODES:
            raise self._fault(node.place, f"the text unfolds to more than {MAX_NODES} nodes")
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        parent.depth = max(parent.depth, 1 + node.depth)
        if isinstance(parent, ListNode):
            parent.items.append(node)
            parent.size += node.size
            return
        key = self._keys[-1]
        if key is None:
            if not isinstance(node, ScalarNode):
                raise self._fault(node.place, "a key must be a text")
            self._keys[-1] = node
            return
        self._keys[-1] = None
        self._put(parent, key, node)

    def _put(self, parent: MapNode, key: ScalarNode, node: Node) -> None:
        if key.text in parent.items:
            first = parent.keys[key.text].line
            self._problems.add(key.place, self._path(key.text), f"duplicate key; it stands already in line {first}")
            return
        if key.text == "<<" and key.plain:
            self._problems.add(key.place, "", "merge keys (<<) are not supported; an alias may stand for a whole value")
            return
        parent.items[key.text] = node
        parent.keys[key.text] = key.place
        parent.size += 1 + node.size

    def _path(self, last: str) -> str:
        """Return the dotted path of a key of the innermost open mapping."""
        path = ""
        for node, key in zip(self._open[:-1], self._keys, strict=False):
            step = f"[{len(node.items)}]" if isinstance(node, ListNode) else f".{key.text if key else ''}"
            path += step
        return f"{path}.{last}".lstrip(".")

    def _fault(self, place: Place, what: str) -> Invalid:
        self._problems.add(place, "", what)
        return self._problems.error()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place_of(text: str, position: int, source: str) -> Place:
    before = text[:position]
    return Place(source, before.count("\n") + 1, position - before.rfind("\n"))
