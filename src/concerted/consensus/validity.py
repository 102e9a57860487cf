"""Which values may be agreed on: a rule that is data, frozen with the agreement and the same on every replica.

    text  type name | LOW..HIGH | one|of|these | gl*b | its fields as JSON        what people write
    Validity(type, one_of, minimum, maximum, max_length, pattern)                 what is written into the log

All parts that are given must hold.  Every part is told from the value alone, in time that grows with its length:
there is no code in a rule, no clock, and no pattern that takes for ever (hence globs, and no regular expressions).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from concerted.errors import Invalid
from concerted.values import encode

__all__ = [
    "ANYTHING",
    "CHOICES",
    "PATTERN_CHARS",
    "RULE_BYTES",
    "Kind",
    "Validity",
    "check",
    "in_words",
    "matches",
    "problem",
    "validity_of",
]

CHOICES = 256  # values to choose from
PATTERN_CHARS = 200  # the longest pattern
RULE_BYTES = 65_536  # a whole rule, as JSON

Kind = Literal["any", "text", "integer", "number", "boolean", "list", "object"]

FORMS = "a type (text, integer, number, boolean, list, object), '1..10', 'red|blue', a glob such as 'v*', or its fields"


class Validity(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When a value is valid.

    type: of JSON; an integer is a number without a point.  one_of: equal to one of these, as JSON.  minimum,
    maximum: of numbers, both included.  max_length: of texts in characters, of lists and objects in parts.
    pattern: of texts, the whole of it: `*` any text, `?` one character, `[a-z]` one of these, `[!a-z]` another one.
    """

    type: Kind = "any"
    one_of: tuple[Any, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    max_length: int | None = None
    pattern: str | None = None


ANYTHING = Validity()

_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)?\.\.(-?\d+(?:\.\d+)?)?", re.ASCII)
_IS_OF: Mapping[Kind, Callable[[Any], bool]] = {
    "any": lambda value: True,  # noqa: ARG005
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, Mapping),
}


def validity_of(given: str | Validity | Mapping[str, Any] | None) -> Validity:
    """Return the rule that is meant: a `Validity`, its fields, or a text; None: anything is valid.

    The texts: a type (`integer`), `1..10` (numbers; either end may be missing), `red|blue` (one of these texts),
    a glob (`v*.*`), or the fields as JSON.

    Raises:
        Invalid: it is none of these.
    """
    fields = ANYTHING if given is None else given
    if isinstance(fields, str):
        fields = _read(fields.strip())
    if isinstance(fields, Validity):
        return fields
    if not isinstance(fields, Mapping):
        raise Invalid(f"{given!r} says of no value whether it is valid; write {FORMS}")
    strange = [str(name) for name in fields if name not in Validity.__struct_fields__]
    try:
        if strange:
            raise msgspec.ValidationError(f"there is no part {', '.join(strange)}")
        return msgspec.convert(dict(fields), Validity)
    except msgspec.ValidationError as error:
        parts = ", ".join(Validity.__struct_fields__)
        raise Invalid(f"{given!r} says of no value whether it is valid: {error}; the parts are {parts}") from error


def check(validity: Validity) -> list[str]:
    """Return what is wrong with a rule, in sentences; nothing is well."""
    low, high = validity.minimum, validity.maximum
    problems = []
    if not (_is_finite(low) and _is_finite(high)):
        problems.append("minimum and maximum must be finite; leave out the end that is open")
    elif low is not None and high is not None and low > high:
        problems.append(f"nothing is at least {low} and at most {high}")
    if (low is not None or high is not None) and validity.type not in ("any", "integer", "number"):
        problems.append(f"minimum and maximum are of numbers, and it takes type {validity.type}")
    if validity.max_length is not None and validity.max_length < 0:
        problems.append(f"max_length is {validity.max_length}; it is at least 0")
    if validity.max_length is not None and validity.type in ("integer", "number", "boolean"):
        problems.append(f"max_length is of texts, lists and objects, and it takes type {validity.type}")
    if len(validity.one_of) > CHOICES:
        problems.append(f"it has {len(validity.one_of)} values to choose from; at most {CHOICES}")
    if len(encode(validity)) > RULE_BYTES:
        problems.append(f"it is longer than {RULE_BYTES} bytes; let a value be the digest of what it stands for")
    problems += _problems_of_pattern(validity)
    if not problems:
        problems += _problems_of_choices(validity)
    return problems


def problem(validity: Validity, value: Any) -> str | None:
    """Say why a value is not valid; None if it is.  O(size of the value and the rule)."""
    if not _IS_OF[validity.type](value):
        return f"it is no {validity.type}"
    if validity.one_of:
        own = encode(value)
        if all(encode(choice) != own for choice in validity.one_of):
            return f"it is none of {_few(validity.one_of)}"
    return _problem_of_size(validity, value) or _problem_of_text(validity, value)


def in_words(validity: Validity) -> str:
    """Say what the rule demands."""
    words = [] if validity.type == "any" else [f"type {validity.type}"]
    if validity.one_of:
        words.append(f"one of {_few(validity.one_of)}")
    if validity.minimum is not None:
        words.append(f"at least {validity.minimum}")
    if validity.maximum is not None:
        words.append(f"at most {validity.maximum}")
    if validity.max_length is not None:
        words.append(f"at most {validity.max_length} long")
    if validity.pattern is not None:
        words.append(f"like {validity.pattern}")
    return ", ".join(words) or "anything"


def matches(pattern: str, text: str) -> bool:
    """Say whether the whole text is like a glob.  O(length of the text * length of the pattern).

    After each `*` the shortest text that fits is taken, and a longer one if what follows does not fit: only the last
    `*` ever has to be tried anew.
    """
    parts = _parts(pattern)
    at = here = 0
    star, tried = -1, 0
    while here < len(text):
        if at < len(parts) and parts[at] == "*":
            star, tried, at = at, here, at + 1
        elif at < len(parts) and _is_like(parts[at], text[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            tried += 1
            at, here = star + 1, tried
        else:
            return False
    return all(part == "*" for part in parts[at:])


def _read(text: str) -> Validity | Mapping[str, Any]:
    if text in _IS_OF:
        return {"type": text}
    if text.startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Invalid(f"{text[:100]!r} is no JSON: {error}") from error
    span = _RANGE.fullmatch(text)
    if span is not None and (span[1] or span[2]):
        is_whole = "." not in f"{span[1] or ''}{span[2] or ''}"
        low, high = (None if end is None else (int(end) if is_whole else float(end)) for end in (span[1], span[2]))
        return Validity(type="integer" if is_whole else "number", minimum=low, maximum=high)
    if "|" in text:
        return Validity(type="text", one_of=tuple(part.strip() for part in text.split("|")))
    if any(sign in text for sign in "*?["):
        return Validity(type="text", pattern=text)
    raise Invalid(f"{text[:100]!r} says of no value whether it is valid; write {FORMS}")


def _problem_of_size(validity: Validity, value: Any) -> str | None:
    low, high, longest = validity.minimum, validity.maximum, validity.max_length
    if low is not None or high is not None:
        if not _IS_OF["number"](value) or not _is_finite(value):
            return "it is no number"
        if low is not None and value < low:
            return f"it is less than {low}"
        if high is not None and value > high:
            return f"it is more than {high}"
    if longest is not None:
        if not isinstance(value, str | list | tuple | Mapping):
            return "it is no text, list or object, and has no length"
        if len(value) > longest:
            return f"it is {len(value)} long, more than {longest}"
    return None


def _problem_of_text(validity: Validity, value: Any) -> str | None:
    if validity.pattern is None:
        return None
    if not isinstance(value, str):
        return "it is no text"
    return None if matches(validity.pattern, value) else f"it is not like {validity.pattern}"


def _problems_of_pattern(validity: Validity) -> list[str]:
    pattern = validity.pattern
    if pattern is None:
        return []
    if len(pattern) > PATTERN_CHARS:
        return [f"its pattern has {len(pattern)} characters; at most {PATTERN_CHARS}"]
    if validity.type not in ("any", "text"):
        return [f"a pattern is of texts, and it takes type {validity.type}"]
    try:
        _parts(pattern)
    except Invalid as error:
        return [error.message]
    return []


def _problems_of_choices(validity: Validity) -> list[str]:
    rest = msgspec.structs.replace(validity, one_of=())
    found = [(choice, problem(rest, choice)) for choice in validity.one_of]
    return [f"{_short(choice)} can never be chosen: {why}" for choice, why in found if why is not None][:10]


def _parts(pattern: str) -> list[str]:
    """Split a glob into `*`, `?`, sets with their brackets, and single characters (in a set of one: `[*]`).

    Raises:
        Invalid: a set is not closed, or is empty.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        end = at
        if pattern[at] == "[":
            end = pattern.find("]", at + (3 if pattern[at + 1 : at + 2] == "!" else 2))
            if end < 0:
                raise Invalid(f"the pattern {pattern!r} opens a set at {at + 1} and never closes it")
        parts.append(pattern[at : end + 1])
        at = end + 1
    return parts


def _is_like(part: str, character: str) -> bool:
    if len(part) == 1:
        return part in ("?", character)
    inside = part[2:-1] if part[1] == "!" else part[1:-1]
    return _is_in(inside, character) != (part[1] == "!")


def _is_in(inside: str, character: str) -> bool:
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            if inside[at] <= character <= inside[at + 2]:
                return True
            at += 3
        else:
            if inside[at] == character:
                return True
            at += 1
    return False


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _few(values: Sequence[Any]) -> str:
    shown = ", ".join(_short(value) for value in values[:10])
    return shown if len(values) <= 10 else f"{shown} and {len(values) - 10} more"


def _short(value: Any) -> str:
    text = encode(value).decode("utf-8", "replace")
    return text if len(text) <= 40 else f"{text[:40]}..."
