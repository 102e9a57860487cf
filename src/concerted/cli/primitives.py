"""What the commands about meeting points and held things share: a store made on demand, who acts, how long to wait."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.interrupt import Interrupted, interruptible
from concerted.cli.options import prepare_folder, url_or_default
from concerted.cli.reach import settings_here, token_here
from concerted.client.calls import Calls
from concerted.config.durations import parse_duration, show_duration
from concerted.errors import Invalid
from concerted.launch import Session, open_coordinator, open_group
from concerted.ports.commands import Command
from concerted.values import AgentId

__all__ = [
    "acting",
    "acting_id",
    "again",
    "as_option",
    "do",
    "do_there",
    "ending_code",
    "give",
    "group_file_option",
    "json_object",
    "json_value",
    "names",
    "open_store",
    "over",
    "patience",
    "require_agent",
    "span",
    "wait_options",
    "who_waits",
]

T = TypeVar("T")
Function = Callable[..., Any]

# What a status of anything says by the exit code; every other one says FAILED.
_CODES: Mapping[str, int] = {
    "completed": OK, "released": OK, "advanced": OK, "open": OK, "granted": OK, "accepted": OK,
    "agreed": OK, "voting": TIMED_OUT,
    "waiting": TIMED_OUT, "tripped": TIMED_OUT, "active": TIMED_OUT, "closed": TIMED_OUT,
    "expired": TIMED_OUT, "timeout": TIMED_OUT, "abandoned": TIMED_OUT, "refused": TIMED_OUT,
}  # fmt: skip


# what options are read as


def span(given: str | float) -> float:
    """Read a length of time: `5m`, `30s`, `100ms`."""
    try:
        return parse_duration(given) if isinstance(given, str) else given
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def names(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Read names with commas between them: `ann,bob`."""
    found = tuple(name.strip() for name in given.split(",")) if isinstance(given, str) else given
    if not all(found):
        raise click.BadParameter(f"a name is missing in {given!r}; write them with commas between: ann,bob")
    return found


def json_value(given: Any) -> Any:
    """Read a JSON value."""
    try:
        return msgspec.json.decode(given) if isinstance(given, str) else given
    except msgspec.MsgspecError as error:
        raise click.BadParameter(f"{given!r} is no JSON ({error}); a text needs its quotes: '\"{given}\"'") from error


def json_object(given: Any) -> dict[str, Any]:
    """Read a JSON object."""
    value = json_value(given)
    if not isinstance(value, dict):
        raise click.BadParameter(f"{given!r} is no object, as in '{{\"build\": 7}}'")
    return value


# options


def as_option(function: Function) -> Function:
    """Add `--as WHO`."""
    return click.option(
        "--as", "agent", metavar="WHO", help="Who acts; by default $CONCERTED_AGENT, or whose token is shown."
    )(function)


def group_file_option(function: Function) -> Function:
    """Add `--group-file FILE`."""
    return click.option(
        "--group-file", type=click.Path(path_type=Path), metavar="FILE",
        help="Ask the group of replicas that FILE describes, and no coordinator.",
    )(function)  # fmt: skip


def wait_options(function: Function) -> Function:
    """Add `--wait SPAN` and `--no-wait`."""
    function = click.option("--no-wait", is_flag=True, help="Do not wait.")(function)
    return click.option(
        "--wait",
        type=span,
        metavar="SPAN",
        help="How long to wait at most, as in 5m; by default synchronization.default_timeout, one minute.",
    )(function)


def acting(agent: str | None) -> str | None:
    """Return who acts: who was named, $CONCERTED_AGENT, whose token it is; None: whoever owns the folder."""
    if agent is not None:
        return agent
    token = token_here()
    return os.environ.get("CONCERTED_AGENT") or (token.rpartition(".")[0] if token else None)


def acting_id(agent: str | None) -> AgentId | None:
    """Return who acts, as commands name it."""
    who = acting(agent)
    return AgentId(who) if who else None


def require_agent(agent: str | None, what: str) -> str:
    """Return who acts.

    Raises:
        Invalid: nobody was named.
    """
    found = acting(agent)
    if not found:
        raise Invalid(f"who {what}? Name it with --as WHO, or once for all commands: export CONCERTED_AGENT=WHO")
    return found


def patience(given: Mapping[str, Any]) -> float | None:
    """Return how many seconds the options allow for waiting; None: as the settings say.

    Raises:
        Invalid: they contradict each other.
    """
    wait: float | None = given["wait"]
    if not given["no_wait"]:
        return wait
    if wait is not None:
        raise Invalid("--wait waits and --no-wait does not; give one of them")
    return 0.0


# doing


def open_store(url: str | None) -> Session:
    """Return a session on a store, which is made if it is not there; settings come from the environment.

    Raises:
        NotAllowed: its folder cannot be made.  Invalid: the URL names no store, or a variable is no setting.
    """
    where, settings = url_or_default(url), settings_here()
    prepare_folder(where)
    return open_coordinator(where, coordination=settings.coordination, store=settings.store, token=token_here())


def do(store: str | None, work: Callable[[Session], Awaitable[T]], *, stopped: str = "") -> T:
    """Do something in a session; at Ctrl-C say `stopped`, and how to go on, and end with the signal's exit code."""

    async def session() -> T:
        async with open_store(store) as opened:
            return await work(opened)

    return _run(session(), stopped)


def do_there(
    group_file: Path | None, store: str | None, work: Callable[[Calls], Awaitable[T]], *, stopped: str = ""
) -> T:
    """Do something with the group of replicas that a file describes, or without one in a session, as `do`."""
    if group_file is None:
        return do(store, work, stopped=stopped)

    async def session() -> T:
        async with open_group(group_file, name=acting(None) or "local") as opened:
            return await work(opened)

    return _run(session(), stopped)


def _run(session: Coroutine[Any, Any, T], stopped: str) -> T:
    try:
        return asyncio.run(interruptible(session))
    except Interrupted as interrupted:
        show_note(f"stopped; {stopped or 'nothing is lost'}; to go on: {again()}")
        raise click.exceptions.Exit(interrupted.code) from interrupted


def give(store: str | None, command: Command) -> Any:
    """Give one command and return its answer."""
    return do(store, lambda session: session.give(command))


def again() -> str:
    """Return the line that was called, so that it can be called again."""
    return shlex.join(["concerted", *sys.argv[1:]])


# saying


def ending_code(status: str) -> int:
    """Return the exit code that stands for a status in which a waiting command was answered."""
    return _CODES.get(status, FAILED)


def over(told: Any) -> int:
    """Return the exit code of an answer that knows whether it is what was asked for, or is still to come."""
    return OK if told.success else TIMED_OUT if told.pending else ending_code(told.status)


def who_waits(what: str, wait_s: float | None, session: Session) -> None:
    """Tell that this command waits now, and for how long at most."""
    limit_s = session.default_timeout_s if wait_s is None else wait_s
    show_note(f"{what}; waiting, at most {show_duration(limit_s)}")
