"""From what a plan says of an agent to the link that reaches it; the same in every process that owns the store."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent.kit import Agent
from concerted.config.plan import AgentSpec
from concerted.errors import Invalid
from concerted.links.command import CommandLink
from concerted.links.local import LocalLink
from concerted.links.process import ProcessLink
from concerted.ports.link import Link
from concerted.values import Profile

__all__ = ["agent_from", "link_from_spec", "load_object"]


def link_from_spec(spec: AgentSpec) -> Link:
    """Make the link for one agent of a plan; nothing is started yet.

    Raises:
        Invalid: its Python object cannot be imported, or is no agent.
    """
    if spec.kind == "process":
        return ProcessLink(spec.profile, spec.argv, spec.env, spec.cwd)
    if spec.kind == "command":
        return CommandLink(spec.profile, spec.argv, spec.env, spec.cwd)
    return LocalLink(agent_from(load_object(spec.python or "", spec.cwd), spec.profile))


def load_object(name: str, folder: str | None = None) -> Any:
    """Import `module:object`; the folder (by default the current one) is looked into first.

    Raises:
        Invalid: there is no such module or object, or importing it raised.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise Invalid(f"{name!r} names no Python object; write module:object")
    place = str(Path(folder or ".").resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise Invalid(f"{name}: {error}; it was looked for in {place} and on Python's path") from error
    except Exception as error:  # the module's own code
        raise Invalid(f"{name}: importing it raised {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise Invalid(f"{name}: {module_name} has no {path}")
        found = getattr(found, part)
    return found


def agent_from(found: Any, profile: Profile | None = None) -> Agent:
    """Make an agent of what a name stands for: an `Agent`, a function that returns one, or a function that does tasks.

    profile: who it shall be; where it says nothing but the default, the object's own profile holds.  A function
    is taken to return an agent if it needs no argument.  An `Agent` is copied, so that many alike may be made
    of one.

    Raises:
        Invalid: it is none of these.
    """
    if callable(found) and not isinstance(found, Agent) and not _arguments(found):
        try:
            found = found()
        except Exception as error:  # the user's code
            raise Invalid(f"{_name(found)}() raised {type(error).__name__}: {error}") from error
        if not isinstance(found, Agent):
            raise Invalid(
                f"a function without arguments must return an Agent; this one returned {type(found).__name__}"
            )
    if isinstance(found, Agent):
        return found if profile is None else found.like(_merged(profile, found.profile))
    if not callable(found):
        raise Invalid(
            f"{found!r} is no agent: give an Agent, a function that returns one, or a function task -> result"
        )
    agent = Agent(profile if profile is not None else _name(found))
    agent.task()(found)
    return agent


def _merged(wanted: Profile, own: Profile) -> Profile:
    """Take what is wanted; where that is the default, the object's own."""
    plain = Profile(id=wanted.id)
    fields = {
        name: getattr(own, name)
        for name in Profile.__struct_fields__
        if name != "id" and getattr(wanted, name) == getattr(plain, name)
    }
    return msgspec.structs.replace(wanted, **fields)


def _name(found: Callable[..., Any]) -> str:
    return str(getattr(found, "__name__", type(found).__name__))


def _arguments(found: Callable[..., Any]) -> int:
    code = getattr(found, "__code__", None)
    return 1 if code is None else int(code.co_argcount) + bool(code.co_flags & 0x04)
