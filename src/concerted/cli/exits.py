"""How a command ends: the exit codes, which error means which, and how an error is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping

import click

from concerted.errors import (
    ConcertedError,
    Conflict,
    Deadlock,
    Invalid,
    LeaseLost,
    NotAllowed,
    NotFound,
    Overloaded,
    StoreDamaged,
    TimedOut,
    Unreachable,
)

__all__ = ["EXITS", "FAILED", "LEASE_LOST", "OK", "TIMED_OUT", "exit_code", "show_error", "show_note"]

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
TIMED_OUT = 4
NOT_ALLOWED = 5
UNREACHABLE = 6
LEASE_LOST = 7
DEADLOCK = 8

EXITS: Mapping[int, str] = {
    OK: "success",
    FAILED: "the coordination failed, was cancelled, or is parked; or what was asked could not be done",
    USAGE: "usage or configuration: nothing was started",
    NOT_FOUND: "there is no such store, run, agent, task, sync point or whatever was named",
    TIMED_OUT: "a deadline came first",
    NOT_ALLOWED: "not permitted",
    UNREACHABLE: "not reachable, or at a bound: try again later",
    LEASE_LOST: "the lease is not held, or not any more",
    DEADLOCK: "this wait would never end: those who could end it wait for this one",
    129: "the terminal was closed (SIGHUP); an unfinished run can be continued",
    130: "interrupted (Ctrl-C); an unfinished run can be continued",
    143: "terminated (SIGTERM); an unfinished run can be continued",
}

_BY_ERROR: Mapping[type[ConcertedError], int] = {
    Invalid: USAGE,
    Conflict: USAGE,
    StoreDamaged: USAGE,
    NotFound: NOT_FOUND,
    TimedOut: TIMED_OUT,
    NotAllowed: NOT_ALLOWED,
    Unreachable: UNREACHABLE,
    Overloaded: UNREACHABLE,
    LeaseLost: LEASE_LOST,
    Deadlock: DEADLOCK,
}


LINE = 2_000  # characters of a line of an error: it may name something endless that somebody gave


def exit_code(error: ConcertedError) -> int:
    """Return what a process says that ends with this error; FAILED for what has no code of its own."""
    return next((_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR), FAILED)


def show_error(error: ConcertedError, *, as_json: bool) -> int:
    """Write an error to standard error, as JSON also to standard output; return the exit code."""
    for line in error.message.splitlines():
        click.echo(f"error: {line if len(line) <= LINE else f'{line[:LINE]}... ({len(line):,} characters)'}", err=True)
    if as_json:
        click.echo(json.dumps({"error": error.to_wire()}, default=str))
    return exit_code(error)


def show_note(text: str) -> None:
    """Tell the person at the terminal something that is no result."""
    click.echo(text, err=True)
