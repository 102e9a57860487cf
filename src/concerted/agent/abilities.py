"""What an agent can do: its profile, its functions by kind of task and type of request, and how busy it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from concerted.agent.replicas import HostedReplicas
from concerted.errors import Conflict, Invalid
from concerted.messages import Request
from concerted.values import AgentId, AgentStatus, Profile

__all__ = ["Abilities", "Ability", "Restart"]

Restart = Literal["fail", "run"]
Function = TypeVar("Function", bound=Callable[..., Any])

ANY = "*"


@dataclass(frozen=True, slots=True)
class Ability:
    """One function of an agent.  takes_work: it is called with a second argument, the `Work`."""

    fn: Callable[..., Any]
    takes_work: bool
    is_async: bool
    on_restart: Restart


class Abilities:
    """A profile with functions.  held: tasks in its hands now, waiting ones included.  hosted: replicas beside it."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.held = 0
        self.tasks: dict[str, Ability] = {}
        self.answers: dict[str, Ability] = {}
        self.watchers: list[Callable[[Profile], None]] = []
        self.hosted = HostedReplicas()

    @property
    def id(self) -> AgentId:
        """Who this is."""
        return self.profile.id

    @property
    def load(self) -> float:
        """Tasks held by capacity: 1.0 is fully busy, above it some wait."""
        return self.held / self.profile.capacity

    def task(self, kind: str = ANY, *, on_restart: Restart = "fail") -> Callable[[Function], Function]:
        """Declare the function that does tasks of one kind (without an argument: of any kind).

        It is called as `fn(task)` or `fn(task, work)` and returns any JSON value; a plain function runs in a
        worker thread.  on_restart: what becomes of a task that was begun by an earlier process of this agent
        which died: `fail` answers failed without running it again, `run` runs it again.

        Raises:
            Conflict: there is one already.
        """

        def declare(fn: Function) -> Function:
            self._declare(self.tasks, kind, f"tasks of kind {kind!r}", (fn, on_restart))
            return fn

        return declare

    def on(self, request: type[Request] | str, *, on_restart: Restart = "fail") -> Callable[[Function], Function]:
        """Declare the function that answers one type of request, in place of the default.

        request: a class (`RequestBid`), its name on the wire, the name of a `Custom` request, or `*` for all
        custom ones without a function of their own.  It is called as `fn(request)` or `fn(request, work)`.  A
        plain function runs on the event loop and must be quick.  The request may be shared with other agents
        of this process: read it, never change it.

        Raises:
            Conflict: there is one already.
        """
        name = request if isinstance(request, str) else str(request.__struct_config__.tag)

        def declare(fn: Function) -> Function:
            self._declare(self.answers, name, f"{name}", (fn, on_restart))
            return fn

        return declare

    def task_function(self, kind: str) -> Ability | None:
        """Return the function for a kind of task: its own, or that for any kind."""
        return self.tasks.get(kind) or self.tasks.get(ANY)

    def status(self, now: float = 0.0) -> AgentStatus:
        """Say how it is: busy at `capacity` tasks."""
        state: Literal["available", "busy"] = "busy" if self.held >= self.profile.capacity else "available"
        return AgentStatus(id=self.id, state=state, load=min(1.0, self.load), timestamp=now)

    def change(self, **fields: Any) -> None:
        """Replace fields of the profile (`agent.change(capabilities={...})`) and tell whoever it is linked to.

        Raises:
            Invalid: the new profile is none, or would have another id.
        """
        try:
            profile = msgspec.structs.replace(self.profile, **fields)
        except (TypeError, ValueError) as error:
            raise Invalid(f"agent {self.id}: {error}") from error
        if profile.id != self.id:
            raise Invalid(f"agent {self.id} cannot become {profile.id}: an id is for ever; make another agent")
        self.profile = profile
        for tell in list(self.watchers):
            tell(profile)

    def _declare(
        self, table: dict[str, Ability], name: str, what: str, declared: tuple[Callable[..., Any], Restart]
    ) -> None:
        if name in table:
            raise Conflict(f"agent {self.id} already has a function for {what}: {table[name].fn.__qualname__}")
        fn, on_restart = declared
        table[name] = Ability(fn, _parameters(fn) > 1, _is_async(fn), on_restart)


def _parameters(fn: Callable[..., Any]) -> int:
    """Count the arguments that `fn` must be given, or takes without a default; `*args` take two."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # some built-in functions do not say
        return 1
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return 2
    return sum(
        one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) and one.default is one.empty for one in parameters
    )


def _is_async(fn: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
