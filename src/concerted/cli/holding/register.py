"""`concerted register`: named values with a version, for scripts that share a number or a fact without a lock."""

from __future__ import annotations

import uuid
from typing import Any

import click
import msgspec
from msgspec import UNSET

from concerted.board.register import RegisterResult
from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import write_json
from concerted.cli.primitives import acting, again, as_option, do, give, json_value, patience, wait_options
from concerted.ports.sharing import DeleteValue
from concerted.values import AgentId

__all__ = ["register"]


@click.group(short_help="Share named values: set, compare and swap, count.")
def register() -> None:
    """Share named values: set, compare and swap, count.

    Each change raises the version of a value by one.  A change that is made only if the version is still the
    one that was seen needs no lock.
    """


@register.command(short_help="Show a value.")
@click.argument("id")
@store_option
@json_option
def get(id: str, store: str | None, as_json: bool) -> int:
    """Show a value, as JSON."""
    return _show(do(store, lambda session: session.register_value(id).get()), as_json=as_json)


@register.command(short_help="Set a value.")
@click.argument("id")
@click.argument("value", metavar="JSON", type=json_value)
@click.option("--request-id", metavar="ID", help="The same id again counts once.")
@as_option
@store_option
@json_option
def put(id: str, value: Any, agent: str | None, store: str | None, as_json: bool, **given: str | None) -> int:
    """Set a value, whatever it was."""
    request_id = given["request_id"]
    told = do(
        store, lambda session: session.register_value(id).put(value, agent=acting(agent), request_id=request_id)
    )  # fmt: skip
    return _show(told, as_json=as_json)


@register.command(short_help="Set a value if it is still as expected.")
@click.argument("id")
@click.argument("value", metavar="JSON", type=json_value)
@click.option("--if-version", type=click.IntRange(0), metavar="N", help="It has this version; 0: there is none.")
@click.option("--if-value", type=json_value, default=UNSET, metavar="JSON", help="It has this value.")
@click.option("--request-id", metavar="ID", help="The same id again counts once.")
@as_option
@store_option
@json_option
def swap(id: str, value: Any, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Set a value if it is still as expected; exit code 1 if it is not, and then nothing has changed."""
    if given["if_version"] is None and given["if_value"] is UNSET:
        raise click.UsageError("what is expected? Give --if-version N or --if-value JSON")
    told = do(
        store,
        lambda session: session.register_value(id).compare_and_swap(
            value, expected_version=given["if_version"], expected_value=given["if_value"], agent=acting(agent),
            request_id=given["request_id"],
        ),
    )  # fmt: skip
    return _show(told, as_json=as_json)


def number(given: str | float) -> float:
    """Read a number, a whole one as such."""
    try:
        return int(given)
    except ValueError:
        pass
    try:
        return float(given)
    except ValueError as error:
        raise click.BadParameter(f"{given!r} is no number") from error


@register.command(short_help="Add to a number.")
@click.argument("id")
@click.option("--by", "amount", type=number, default=1, metavar="N", help="How much; by default 1.")
@click.option("--minimum", type=number, metavar="N", help="Not below this.")
@click.option("--maximum", type=number, metavar="N", help="Not above this.")
@click.option("--request-id", metavar="ID", help="The same id again counts once.")
@as_option
@store_option
@json_option
def increment(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Add to a number, which begins at 0; exit code 1 if it would leave its bounds."""
    told = do(store, lambda session: session.register_value(id).increment(agent=acting(agent), **given))
    return _show(told, as_json=as_json)


@register.command(short_help="Have no value any more.")
@click.argument("id")
@click.option("--if-version", type=click.IntRange(0), metavar="N", help="Only if it has this version.")
@as_option
@store_option
@json_option
def delete(id: str, if_version: int | None, agent: str | None, store: str | None, as_json: bool) -> int:
    """Have no value any more; exit code 1 if there is none, or it has another version than expected."""
    who = acting(agent)
    by, request_id = AgentId(who) if who else None, uuid.uuid4().hex
    told = give(store, DeleteValue(id=id, agent=by, request_id=request_id, expected_version=if_version))
    return _show(told, as_json=as_json)


@register.command(short_help="Wait until a value changes.")
@click.argument("id")
@click.option("--version", type=click.IntRange(0), required=True, metavar="N", help="Wait for a later one than this.")
@wait_options
@store_option
@json_option
def wait(id: str, version: int, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until the version of a value is greater than N."""
    wait_s = patience(given)
    told = do(store, lambda session: session.register_value(id).wait(version, timeout_s=wait_s))
    _show(told, as_json=as_json)
    if told.pending:
        show_note(f"it has not changed yet; to go on waiting: {again()}")
    return TIMED_OUT if told.pending else OK


def _show(told: RegisterResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
    else:
        if told.exists:
            click.echo(msgspec.json.encode(told.value))
        show_note(f"{told.name} is at version {told.version}{f': {told.reason}' if told.reason else ''}")
    return OK if told.success else FAILED
