"""Names of what can be held: anything at all, a path, everything below a path, or all that a glob stands for.

| written | stands for |
|---|---|
| `port:8080`, `gpu:0`, `symbol:pkg.mod.fn`, `src/a.py` | itself |
| `src/` | everything below `src`; the same as `src/**` |
| `src/*.py`, `test_?.py`, `v[0-9]`, `v[!0-9]` | `*` any characters, `?` one, `[...]` one of these, none of them a `/` |
| `src/**/a.py` | `**` as a whole segment: any number of segments, also none |

A name is a text of segments with `/` between them.  None of them is empty, `.` or `..`, so one thing has one
name: `./src//a` is `src/a`.  A name that begins with `/` is absolute and never meets one that does not.
Letters count as written (`A` is not `a`), and no file system is asked.  A `[` that is meant itself is `[[]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from concerted.errors import Invalid

__all__ = ["NAME_BYTES", "PATTERN_LETTERS", "SEGMENTS_MAX", "is_plain", "normalise", "overlap"]

NAME_BYTES = 512  # the longest name
PATTERN_LETTERS = 256  # the longest name with wildcards: comparing two costs at most the square of it
SEGMENTS_MAX = 64  # the deepest path

_MEMO = 16_384  # names and pairs of segments whose meaning is kept at hand
_GLOB = frozenset("*?[")
_DEEP = "**"

_Characters = tuple[tuple[int, int], ...]  # ranges of code points, ascending and apart
_Atom = _Characters | None  # one character of these; None: any number of any

_SLASH, _DOT, _LAST = ord("/"), ord("."), 0x10FFFF
_ANY: _Characters = ((0, _SLASH - 1), (_SLASH + 1, _LAST))


@dataclass(frozen=True, slots=True)
class _Name:
    """A name taken apart.  head: what every text that it stands for begins with.  is_plain: it stands for itself."""

    is_plain: bool
    is_absolute: bool
    head: str
    segments: tuple[str, ...]


def overlap(one: str, other: str) -> bool:
    """Say whether some plain name belongs to both.  Exact, and bounded: O(n m) in their lengths.

    Raises:
        Invalid: one of them is no name.
    """
    one, other = normalise(one), normalise(other)
    if one == other:
        return _has_members(one)
    first, second = _take_apart(one), _take_apart(other)
    if (first.is_plain and second.is_plain) or first.is_absolute != second.is_absolute:
        return False
    if not (first.head.startswith(second.head) or second.head.startswith(first.head)):
        return False
    return _paths_meet(first.segments, second.segments)


def is_plain(name: str) -> bool:
    """Say whether a normalised name stands for itself alone: it is no prefix and no glob."""
    return _take_apart(name).is_plain


@lru_cache(maxsize=_MEMO)
def normalise(name: str) -> str:
    """Return the one way to write this name: without empty segments and `.`.

    Raises:
        Invalid: it is empty, too long or too deep, not printable, contains `..`, or a `[` is never closed.
    """
    if not name.isprintable() or name.strip() != name or not 0 < len(name.encode()) <= NAME_BYTES:
        raise Invalid(
            f"{name[:100]!r} cannot be held: a name has 1..{NAME_BYTES} printable bytes and no space at either end"
        )
    if len(name) > PATTERN_LETTERS and not _GLOB.isdisjoint(name):
        raise Invalid(f"{name[:100]!r} has {len(name)} characters; with wildcards a name has at most {PATTERN_LETTERS}")
    segments: list[str] = []
    for segment in name.split("/"):
        if segment == "..":
            raise Invalid(f"{name!r} cannot be held: `..` depends on where one stands; write the path from the top")
        if segment in ("", ".") or (segment == _DEEP and segments[-1:] == [_DEEP]):
            continue
        _atoms(segment)
        segments.append(segment)
    if not segments and not name.startswith("/"):
        raise Invalid(f"{name!r} names nothing; `**` is everything")
    if len(segments) > SEGMENTS_MAX:
        raise Invalid(f"{name[:100]!r} has {len(segments)} segments, at most {SEGMENTS_MAX}")
    lead = "/" if name.startswith("/") else ""
    tail = "/" if segments and name.endswith("/") else ""
    return lead + "/".join(segments) + tail


@lru_cache(maxsize=_MEMO)
def _take_apart(name: str) -> _Name:
    literal = next((at for at, letter in enumerate(name) if letter in _GLOB), len(name))
    segments = [segment for segment in name.split("/") if segment]
    is_prefix = name.endswith("/")
    if is_prefix or segments[-1] == _DEEP:
        while segments and segments[-1] == _DEEP:
            segments.pop()
        segments += ["*", _DEEP]  # below means at least one segment more
    is_plain = literal == len(name) and not is_prefix
    return _Name(is_plain, name.startswith("/"), name[:literal], tuple(segments))


def _has_members(name: str) -> bool:
    segments = _take_apart(name).segments
    return all(segment == _DEEP or _segments_meet(segment, "*") for segment in segments)


def _paths_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Walk both at once, from pair of positions to pair of positions; no pair is visited twice."""
    todo, seen = [(0, 0)], {(0, 0)}
    while todo:
        i, j = todo.pop()
        if i == len(one) and j == len(other):
            return True
        for pair in _further(one, other, i, j):
            if pair not in seen:
                seen.add(pair)
                todo.append(pair)
    return False


def _further(one: tuple[str, ...], other: tuple[str, ...], i: int, j: int) -> Iterator[tuple[int, int]]:
    left = one[i] if i < len(one) else ""
    right = other[j] if j < len(other) else ""
    if left == _DEEP:
        yield i + 1, j
        if right and right != _DEEP and _segments_meet(right, "*"):
            yield i, j + 1
    if right == _DEEP:
        yield i, j + 1
        if left and left != _DEEP and _segments_meet(left, "*"):
            yield i + 1, j
    if left and right and _DEEP not in (left, right) and _segments_meet(left, right):
        yield i + 1, j + 1


@lru_cache(maxsize=_MEMO)
def _segments_meet(one: str, other: str) -> bool:
    """Say whether some segment, neither empty nor `.` nor `..`, belongs to both."""
    if _GLOB.isdisjoint(one) and _GLOB.isdisjoint(other):
        return one == other
    first, second = _atoms(one), _atoms(other)
    todo, seen = [(0, 0, 0)], {(0, 0, 0)}
    while todo:
        i, j, dots = todo.pop()
        if i == len(first) and j == len(second) and dots == _ORDINARY:
            return True
        for place in _letters_further(first, second, i, j, dots):
            if place not in seen:
                seen.add(place)
                todo.append(place)
    return False


_ORDINARY = 3  # what was read is no beginning of `..` any more; 0, 1, 2: so many dots and nothing else


def _letters_further(
    one: tuple[_Atom, ...], other: tuple[_Atom, ...], i: int, j: int, dots: int
) -> Iterator[tuple[int, int, int]]:
    if i < len(one) and one[i] is None:
        yield i + 1, j, dots
    if j < len(other) and other[j] is None:
        yield i, j + 1, dots
    if i == len(one) or j == len(other):
        return
    left, right = one[i], other[j]
    shared = _common(_ANY if left is None else left, _ANY if right is None else right)
    i, j = i + (left is not None), j + (right is not None)
    if dots == _ORDINARY:
        if shared:
            yield i, j, _ORDINARY
        return
    if any(low <= _DOT <= high for low, high in shared):
        yield i, j, dots + 1
    if any((low, high) != (_DOT, _DOT) for low, high in shared):
        yield i, j, _ORDINARY


@lru_cache(maxsize=_MEMO)
def _atoms(segment: str) -> tuple[_Atom, ...]:
    atoms: list[_Atom] = []
    at = 0
    while at < len(segment):
        letter = segment[at]
        at += 1
        if letter == "*":
            if not atoms or atoms[-1] is not None:
                atoms.append(None)
        elif letter == "?":
            atoms.append(_ANY)
        elif letter == "[":
            characters, at = _class(segment, at)
            atoms.append(characters)
        else:
            atoms.append(((ord(letter), ord(letter)),))
    return tuple(atoms)


def _class(segment: str, at: int) -> tuple[_Characters, int]:
    """Read what follows a `[`; return the characters meant, and where the text goes on."""
    is_negated = segment[at : at + 1] in ("!", "^")
    start = at + is_negated
    end = segment.find("]", start + 1)  # a `]` that comes first is meant itself
    if end < 0:
        raise Invalid(f"{segment!r} has a `[` that is not closed in its segment; `[[]` stands for the bracket itself")
    ranges, at = [], start
    while at < end:
        low = high = ord(segment[at])
        if at + 2 < end and segment[at + 1] == "-":
            high = ord(segment[at + 2])
            at += 2
        if high < low:
            raise Invalid(f"{segment!r}: the range {chr(low)}-{chr(high)} runs backwards")
        ranges.append((low, high))
        at += 1
    chosen = _merged(ranges)
    return _common(_ANY, _others(chosen) if is_negated else chosen), end + 1


def _merged(ranges: list[tuple[int, int]]) -> _Characters:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _others(ranges: _Characters) -> _Characters:
    others, low = [], 0
    for start, end in ranges:
        if low < start:
            others.append((low, start - 1))
        low = end + 1
    return (*others, (low, _LAST)) if low <= _LAST else tuple(others)


def _common(one: _Characters, other: _Characters) -> _Characters:
    pairs = ((max(low, start), min(high, end)) for low, high in one for start, end in other)
    return tuple(pair for pair in pairs if pair[0] <= pair[1])
