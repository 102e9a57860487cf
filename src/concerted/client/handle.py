"""What all handles on primitives share: commands are given until they are settled, across changes of owner."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar, get_args, get_origin

import msgspec

from concerted.config.problems import suggest
from concerted.errors import Conflict, Invalid
from concerted.machine import Result
from concerted.ports.commands import Command
from concerted.ports.primitive import Ask
from concerted.values import AgentId

__all__ = ["CLOCKS_S", "Giver", "Handle", "as_agent", "as_agents", "from_now"]

WAIT_S = 60.0  # how long one waiting command waits before it is given again
SHOWN = 100  # characters of what does not fit
KINDS = {
    "array": "a list", "bool": "true or false", "float": "a number", "int": "a whole number", "null": "nothing",
    "object": "a mapping", "str": "text",
}  # fmt: skip
CLOCKS_S = 1.0  # how far a deadline from now may be from the same one by the coordinator's clock

R = TypeVar("R", bound=Result)


class Giver(Protocol):
    """Whoever takes commands: a session."""

    @property
    def default_timeout_s(self) -> float:
        """How long a waiting call waits that names no timeout."""

    async def give(self, command: Command) -> Any:
        """Give a command and return its answer."""


class Handle:
    """One primitive by its id.  Nothing is asked until one of its methods is called."""

    def __init__(self, giver: Giver, id: str) -> None:
        self._giver = giver
        self.id = id
        self._given_at = 0.0  # when the newest command of `_wait` was given, on the steady clock

    async def _ask(self, command: Ask) -> Any:
        return await self._giver.give(_as_sent(command))

    async def _wait(self, command: Ask, timeout_s: float | None) -> Any:
        """Give a command until its answer is no longer pending, or time is over; each time it goes on waiting."""
        if timeout_s is not None and math.isnan(timeout_s):
            raise Invalid("timeout_s is not a number; give seconds, 0 so as not to wait, or None for the default")
        command = _as_sent(command)
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._giver.default_timeout_s if timeout_s is None else timeout_s)
        while True:
            self._given_at = loop.time()
            left = max(0.0, until - self._given_at)
            result: Result = await self._giver.give(msgspec.structs.replace(command, wait_s=min(left, WAIT_S)))
            if not result.pending or loop.time() >= until:
                return result

    async def _open(self, command: Ask, deadline_s: float | None, look: Ask) -> Any:
        """Open what has a deadline so long from now; the same again is later, and its deadline with it.

        Raises:
            Conflict: it was opened otherwise, or with a deadline that is not so long after its opening.
        """
        try:
            return await self._ask(command)
        except Conflict as error:
            if deadline_s is None or error.facts.get("differences") != ["deadline_at"]:
                raise
            opened = await self._ask(look)
            is_span = opened.deadline_at is not None and (
                abs(opened.deadline_at - opened.created_at - deadline_s) <= CLOCKS_S
            )
            if not is_span:
                raise
            return opened


def from_now(deadline_s: float) -> float:
    """Return a deadline as an instant.

    Raises:
        Invalid: it is no number, which on the way would become no deadline at all.
    """
    if math.isnan(deadline_s):
        raise Invalid("deadline_s is not a number; give seconds from now, or None for no deadline")
    return time.time() + deadline_s


def as_agent(name: str | None) -> AgentId | None:
    """Return a name as an agent's id; None: whoever gives the command."""
    return None if name is None else AgentId(name)


def as_agents(names: object) -> tuple[AgentId, ...]:
    """Return names as agents' ids.

    Raises:
        Invalid: it is one text, whose letters are nobody's names.
    """
    if isinstance(names, str):
        raise Invalid(f"{names[:100]!r} is one text where a list of agents is wanted; write [{names[:100]!r}]")
    return tuple(AgentId(name) for name in names)  # type: ignore[attr-defined]


def _as_sent(command: Ask) -> Ask:
    """Return the command as it would come over a socket, so that it is the same whoever owns the store.

    What the caller changes afterwards in its own data changes nothing in ours.

    Raises:
        Invalid: it has no JSON form, or its fields do not fit.
    """
    tag = command.__struct_config__.tag
    try:
        data = msgspec.json.encode(command)
        sent = msgspec.json.decode(data, type=type(command))
        if b"null" in data:  # as which msgspec writes what is no number
            names = [name for name in command.__struct_fields__ if not name.endswith(("_s", "_at"))]
            _require_finite(getattr(command, name) for name in names)  # an endless time is none
        return sent
    except msgspec.ValidationError as error:
        raise Invalid(f"{tag} {command.id!r}: {_misfit(command, str(error))}") from error
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{tag} {command.id!r} cannot be sent: {error}; data is what JSON can say") from error


def _require_finite(values: Iterable[Any]) -> None:
    """Make sure that no number in these is infinite, or none.

    Raises:
        ValueError: one is.
    """
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} has no JSON form")
        if isinstance(value, Mapping):
            _require_finite(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            _require_finite(value)


def _misfit(command: Ask, problem: str) -> str:
    """Say which field of a command does not fit, what it is, and what to give instead.

    problem: in the words of the decoder.
    """
    what, _, path = problem.partition(" - at `")
    place = re.search(r"\$\.(\w+)([^`]*)`$", path)
    if place is None:
        return f"{what}; give what it takes"
    name, within = place.groups()
    given = getattr(command, name)
    known = [] if within else _choices(type(command), name)
    if known:
        return f"there is no {name} {_brief(given)}{suggest(str(given), known, 'give')}"
    kinds = [_in_words(each) for each in re.findall(r"`([^`]+)`", what)]
    if len(kinds) != 2:
        return f"{name} is {_brief(given)}: {what}; give what it takes"
    wanted, got = kinds
    return f"{name} is {_brief(given)}, {'where one is' if within else 'which is'} {got}; give {wanted}"


def _choices(kind: type[Ask], name: str) -> list[str]:
    """Return what a field of a command may be, if it is one of some names."""
    (annotation,) = (field.type for field in msgspec.structs.fields(kind) if field.encode_name == name)
    return [str(one) for one in get_args(annotation)] if get_origin(annotation) is Literal else []


def _in_words(kind: str) -> str:
    return " or ".join(KINDS.get(each, each) for each in kind.split(" | "))


def _brief(given: object) -> str:
    shown = repr(given)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
