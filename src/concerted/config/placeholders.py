"""The placeholders of a command line: what may stand in braces, and how it is filled for one task.

    {task.id} {task.description} {agent.id} {payload.KEY} {results.TASK}      {{ and }} are braces

They are replaced inside words, after the line was split, as plain text: a value never becomes two words
and no shell sees it.  A text goes in as it is, any other value as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from concerted.config.problems import suggest
from concerted.errors import Invalid
from concerted.values import Task, encode

__all__ = ["Placeholder", "fill", "parse"]

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIXED = ("task.id", "task.description", "agent.id")
_OPEN = ("payload", "results")
_KNOWN = (*_FIXED, "payload.KEY", "results.TASK")


class Placeholder(NamedTuple):
    """One placeholder.  source: task, agent, payload or results; name: what comes after the first dot."""

    source: str
    name: str


def parse(words: Iterable[str]) -> tuple[list[Placeholder], list[str]]:
    """Return the placeholders in these words, each once and in order, and what is wrong with the others."""
    found: dict[Placeholder, None] = {}
    wrong: dict[str, None] = {}
    for word in words:
        for match in _BRACES.finditer(word):
            if match[0] in ("{{", "}}"):
                continue
            placeholder = _read(match)
            if isinstance(placeholder, str):
                wrong[placeholder] = None
            else:
                found[placeholder] = None
    return list(found), list(wrong)


def fill(words: Iterable[str], task: Task, agent: str, results: Mapping[str, Any]) -> list[str]:
    """Return the words with every placeholder replaced.

    results: task -> result, of the tasks this one comes after.

    Raises:
        Invalid: a value is missing or cannot be in a command line; all of them are named.
    """
    problems: dict[str, None] = {}

    def value(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        placeholder = _read(match)
        if isinstance(placeholder, str):
            problems[placeholder] = None
            return ""
        try:
            text = _text(_value(placeholder, task, agent, results))
        except KeyError:
            problems[_missing(placeholder, task)] = None
            return ""
        if "\0" in text:
            problems[f"{match[0]} holds a NUL character, which no command line can carry"] = None
        return text

    filled = [_BRACES.sub(value, word) for word in words]
    if problems:
        what = "; ".join(problems)
        raise Invalid(
            f"task {task.id}: the command line of agent {agent} cannot be filled: {what}", problems=[*problems]
        )
    return filled


def _read(match: re.Match[str]) -> Placeholder | str:
    """Return the placeholder of a match, or what is wrong with it."""
    if match[1] is None:
        return f"a single {match[0]} must be written {match[0] * 2}"
    source, dot, name = match[1].partition(".")
    if match[1] in _FIXED or (source in _OPEN and dot and name):
        return Placeholder(source, name)
    hint = suggest(
        match[1], _KNOWN if source not in _OPEN else (f"{source}.{'KEY' if source == 'payload' else 'TASK'}",)
    )
    return f"unknown placeholder {match[0]}{hint}; a brace itself is written {{{{ or }}}}"


def _value(placeholder: Placeholder, task: Task, agent: str, results: Mapping[str, Any]) -> Any:
    match placeholder:
        case ("task", "id"):
            return task.id
        case ("task", _):
            return task.description
        case ("agent", _):
            return agent
        case ("payload", key):
            return task.payload[key]
        case (_, name):
            return results[name]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _missing(placeholder: Placeholder, task: Task) -> str:
    if placeholder.source == "payload":
        return f"its payload has no {placeholder.name!r}; add it to the payload of the task"
    return f"there is no result of {placeholder.name!r}; add it to `after` of task {task.id}"
