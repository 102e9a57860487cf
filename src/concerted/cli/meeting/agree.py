"""`concerted agree` and `agreement`: one value under a key for everybody, whoever proposes first."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.meeting.kept import kept_as, kept_options
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json
from concerted.cli.primitives import acting, as_option, do, names, patience, span, wait_options, who_waits
from concerted.cli.primitives_list import list_of
from concerted.consensus.agreement import AgreementResult
from concerted.launch import Session

__all__ = ["agree", "agreement", "as_value"]


def as_value(given: str) -> Any:
    """Read a value: JSON, and what is none as the text it is."""
    try:
        return msgspec.json.decode(given)
    except msgspec.MsgspecError:
        return given


def _terms(function: Any) -> Any:
    for option in (
        kept_options,
        click.option("--proposers", type=names, metavar="A,B", help="Who may propose; by default everybody."),
        click.option("--deadline", type=span, metavar="SPAN", help="When it lapses if nobody has proposed, from now."),
        click.option(
            "--valid", metavar="RULE",
            help="Which values may be chosen: text, integer, 1..10, 'red|blue', a glob as 'v*', or JSON.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(short_help="Propose a value under a key; the first one is it, for everybody.")
@click.argument("key")
@click.argument("value")
@click.option("--mine", is_flag=True, help="Exit code 1 if another proposal was first.")
@click.option("--request-id", metavar="ID", help="The same id again is the same proposal.")
@_terms
@as_option
@store_option
@json_option
def agree(key: str, value: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Propose a value under a key; the first one is it, for everybody.

    VALUE is JSON, or a text as it is.  The value that is agreed on, for ever, is printed; exit code 0: there is one.
    """
    terms = _given(given) | {"request_id": given["request_id"], "agent": acting(agent)}
    told = do(store, lambda session: session.agree(key, as_value(value), **terms))
    return _show(told, as_json=as_json, mine=given["mine"])


@click.group(short_help="Look at agreements: open, wait, show.")
def agreement() -> None:
    """Look at agreements: open, wait, show.

    `concerted agree` proposes a value, and opens the agreement if there is none.
    """


@agreement.command("open", short_help="Open an agreement without proposing a value.")
@click.argument("key")
@_terms
@as_option
@store_option
@json_option
def open_(key: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Open an agreement without proposing a value; again on the same terms, it is the same one."""
    terms = _given(given)
    terms["proposers"] = terms["proposers"] or ()
    told = do(store, lambda session: session.agreement(key).create(agent=acting(agent), **terms))
    _show(told, as_json=as_json)
    return OK


@agreement.command(short_help="Wait until there is a value, without proposing one.")
@click.argument("key")
@wait_options
@store_option
@json_option
def wait(key: str, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until there is a value, or never will be, without proposing one."""
    wait_s = patience(given)

    async def work(session: Session) -> AgreementResult:
        agreement = session.agreement(key)
        told = await agreement.get()
        if told.status == "waiting" and wait_s != 0:
            who_waits(_in_words(told), wait_s, session)
        return await agreement.wait(timeout_s=wait_s)

    told = do(store, work)
    if told.pending:
        show_note(f"to go on waiting: concerted agreement wait {key}")
    return _show(told, as_json=as_json)


@agreement.command(short_help="Show the value, or that there is none yet.")
@click.argument("key")
@store_option
@json_option
def show(key: str, store: str | None, as_json: bool) -> int:
    """Show the value, or that there is none yet."""
    _show(do(store, lambda session: session.agreement(key).get()), as_json=as_json)
    return OK


agreement.add_command(list_of("agreement", "agreements"))


def _given(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "valid": given["valid"],
        "deadline_s": given["deadline"],
        "proposers": given["proposers"],
    } | kept_as(given)


def _show(told: AgreementResult, *, as_json: bool, mine: bool = False) -> int:
    """Write the value, and beside it whose it was; return the exit code."""
    if as_json:
        write_json(told)
    elif told.success:
        click.echo(told.value if isinstance(told.value, str) else msgspec.json.encode(told.value))
    for note in (_in_words(told), *told.warnings):
        show_note(note)
    if told.status == "lapsed" or told.pending:
        return TIMED_OUT
    return FAILED if mine and not told.yours else OK


def _in_words(told: AgreementResult) -> str:
    if told.success:
        whose = "this proposal" if told.yours else f"the proposal of {told.proposed_by}"
        return f"agreement {told.id}: {whose} is the value, for ever"
    if told.status == "lapsed":
        return f"agreement {told.id} has lapsed: nobody has proposed a value by its deadline"
    ends = "" if told.deadline_at is None else f"; it lapses in {ago(told.deadline_at - time.time())}"
    return f"agreement {told.id}: nobody has proposed a value yet; it takes {told.demands}{ends}"
