"""Which group of replicas keeps a thing: chosen in one place, so that it is one group whoever asks in the same instant.

    (nobody) --the first Choose--> chosen --Choose instead of a group that is over before it kept the thing--> chosen

It is written before the group is asked for anything, and before a group is made for it: whoever comes
second makes none, and who comes after a crash makes the one that was chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from concerted.errors import NotFound
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.values import AgentId, Instant

__all__ = ["KINDS", "Choose", "Keeper", "KeeperResult", "Request", "State", "answer", "decide", "evolve", "topic",
           "waits", "wakes"]  # fmt: skip

KINDS: Mapping[str, str] = {
    "keeper.chosen": "Group `ref` is to keep this decision, agreement or log: hosts (of a group that is made for it).",
}


@dataclass(frozen=True, slots=True)
class Choose:
    """Let a group keep the thing, unless another one was chosen.

    hosts: of a group that is yet to be made; none: it is there.  instead_of: the group that was chosen, which is over
    and never kept the thing; None: none was.
    """

    group: str
    hosts: tuple[AgentId, ...] = ()
    instead_of: str | None = None


Request: TypeAlias = Choose | Look | Wake | Lost | Found


@dataclass(frozen=True, slots=True)
class Keeper:
    """The group that was chosen."""

    group: str
    hosts: tuple[AgentId, ...] = ()


State = Keeper


class KeeperResult(Result, frozen=True, kw_only=True):
    """Which group was chosen."""

    group: str


def decide(state: Keeper | None, request: Request, now: Instant) -> Step:  # noqa: ARG001
    """Return what the request comes to: a choice after the first comes to nothing.

    Raises:
        NotFound: none was chosen.
    """
    if isinstance(request, Choose) and request.instead_of == (None if state is None else state.group):
        return Step((Event("keeper.chosen", None, request.group, {"hosts": list(request.hosts)}),))
    if state is None and isinstance(request, Look):
        raise NotFound("no group of replicas was chosen to keep it")
    return Step()


def evolve(state: Keeper | None, event: Event, at: Instant) -> Keeper:  # noqa: ARG001
    """Return the state after an event."""
    assert event.ref is not None, event
    return Keeper(event.ref, tuple(AgentId(host) for host in event.data["hosts"]))


def answer(state: Keeper, request: Request, now: Instant) -> KeeperResult:  # noqa: ARG001
    """Return which group was chosen."""
    return KeeperResult(group=state.group)


def topic(request: Request) -> str:  # noqa: ARG001
    """Nobody waits."""
    return ""


def wakes(event: Event) -> Iterable[str]:  # noqa: ARG001
    """Nobody: nobody waits."""
    return ()


def waits(state: Keeper, request: Any, now: Instant) -> Wait | None:  # noqa: ARG001
    """Nobody waits."""
    return None
