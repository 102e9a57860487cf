"""`concerted barrier`: n parties wait for each other, time after time; one of them may do something first.

The action is a command line that each party brings itself (`--action`); nobody runs what another has written.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.meeting.barrier_action import run_action, words_of
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    again,
    as_option,
    do,
    ending_code,
    json_value,
    names,
    patience,
    require_agent,
    span,
    wait_options,
    who_waits,
)
from concerted.cli.primitives_list import list_of
from concerted.client.meeting import Barrier
from concerted.errors import Invalid
from concerted.launch import Session
from concerted.sync.barriers.barrier import Action, BarrierResult

__all__ = ["barrier"]

Function = Callable[..., Any]

ACTION = "command line"  # what the action of a barrier made here is called
ACTION_S = 60.0


@click.group(short_help="Wait for each other, time after time.")
def barrier() -> None:
    """Wait for each other, time after time.

    A barrier lets its parties go on when so many have arrived, and then begins anew: its next generation.
    All who arrived in one generation get the same verdict.
    """


def _terms(function: Function) -> Function:
    """Add the options with which a barrier is made."""
    for option in (
        click.option("--action-timeout", type=span, default="1m", show_default=True, metavar="SPAN",
                     help="How long one party may take for the action before another is asked."),
        click.option("--on-lost", type=click.Choice(["wait", "break"]), default="wait", show_default=True,
                     help="What comes of it when a named party is gone."),
        click.option("--timeout", type=span, metavar="SPAN",
                     help="Of one generation, from its first arrival; by default synchronization.barrier_timeout."),
        click.option("--once", is_flag=True, help="One generation, and then it is over."),
        click.option("--participants", type=names, metavar="A,B", help="The parties by name, with commas between."),
        click.option("--parties", type=click.IntRange(1), metavar="N", help="How many parties, whoever they are."),
    ):  # fmt: skip
        function = option(function)
    return function


@barrier.command(short_help="Make a barrier.")
@click.argument("id")
@click.option("--action", is_flag=True, help="One party does something, once per generation, before all go on.")
@_terms
@as_option
@store_option
@json_option
def create(id: str, agent: str | None, store: str | None, as_json: bool, **terms: Any) -> int:
    """Make a barrier.  The same again changes nothing; the same ID with something else is refused."""
    facts = _facts(terms, has_action=terms["action"])
    made = do(store, lambda session: session.barrier(id).create(agent=acting(agent), **facts))
    return _show(made, as_json=as_json, code=OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How a party arrives.  facts: what the barrier is made with if it is not there; None: it has to be."""

    who: str
    facts: dict[str, Any] | None
    action: tuple[str, ...]
    data: Any
    wait_s: float | None
    which: dict[str, Any]


@barrier.command(short_help="Arrive at a barrier, and wait for the verdict.")
@click.argument("id")
@click.option("--data", type=json_value, metavar="JSON", help="Something for the others.")
@click.option("--action", metavar="COMMAND", help="What this party does if it is the one that is elected to act.")
@click.option("--generation", type=click.IntRange(0), metavar="N", help="In which generation; by default the current.")
@click.option("--request-id", metavar="ID", help="The same id again is the same arrival, however often it comes.")
@click.option("--create", "is_made", is_flag=True, help="Make it if it is not there; saying who takes part will do.")
@_terms
@wait_options
@as_option
@store_option
@json_option
def arrive(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Arrive at a barrier, and wait for the verdict.

    With --parties or --participants it is made if it is not there.  With --action one of the parties is elected,
    once all have come, and runs its COMMAND, without a shell; if it succeeds all go on, and what it has printed
    is in everybody's result; if not, the generation is broken for all.
    """
    order = Arrival(
        who=require_agent(agent, "arrives"),
        facts=_facts_to_make(given),
        action=words_of(given["action"]),
        data=given["data"],
        wait_s=patience(given),
        which={"generation": given["generation"], "request_id": given["request_id"] or uuid.uuid4().hex},
    )
    told = do(store, lambda session: _arrive(session, id, order), stopped="an arrival that is written stays so")
    return _show(told, as_json=as_json, code=OK if order.wait_s == 0 and told.pending else None)


@barrier.command(short_help="Show how a barrier stands.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show how a barrier stands."""
    return _show(do(store, lambda session: session.barrier(id).get()), as_json=as_json, code=OK)


@barrier.command(short_help="Begin a new generation.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; whoever waits is told.")
@as_option
@store_option
@json_option
def reset(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Begin a new generation, as the creator or an admin; whoever waits in this one gets the verdict broken."""
    told = do(store, lambda session: session.barrier(id).reset(reason, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


@barrier.command(short_help="Call a barrier off for good.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; whoever waits is told.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Call a barrier off for good, as the creator or an admin.  Exit code 0: it is over."""
    told = do(store, lambda session: session.barrier(id).cancel(reason, agent=acting(agent)))
    return _show(told, as_json=as_json, code=OK)


barrier.add_command(list_of("barrier", "barriers"))


async def _arrive(session: Session, id: str, order: Arrival) -> BarrierResult:
    handle = session.barrier(id)
    if order.facts is not None:
        await handle.create(agent=order.who, attach=True, **order.facts)
    told = await handle.arrive(order.who, order.data, timeout_s=0.0, **order.which)
    if told.pending and order.wait_s != 0:
        have = f"{order.who} has arrived, {told.arrived_count} of {told.participant_count}"
        who_waits(have, order.wait_s, session)
    loop = asyncio.get_running_loop()
    until = loop.time() + (session.default_timeout_s if order.wait_s is None else order.wait_s)
    while told.is_elected or (told.pending and loop.time() < until):
        if told.is_elected:
            told = await _act(handle, told, order)
            if not told.is_refused:
                return told
        left_s = max(0.0, until - loop.time())
        told = await handle.arrive(order.who, order.data, timeout_s=left_s, **order.which)
    return told


async def _act(handle: Barrier, told: BarrierResult, order: Arrival) -> BarrierResult:
    """Do what this party was elected to, and tell how it ended."""
    show_note(f"{order.who} is elected to act for all")
    facts = {
        "CONCERTED_BARRIER": handle.id,
        "CONCERTED_GENERATION": str(told.generation),
        "CONCERTED_ACTION_EPOCH": str(told.action_epoch),
    }
    within_s = None if told.deadline_at is None else max(0.0, told.deadline_at - time.time())
    value, error = await run_action(order.action, facts, within_s)
    return await handle.finish_action(told, value, error=error, agent=order.who)


def _facts(terms: Mapping[str, Any], *, has_action: bool) -> dict[str, Any]:
    """Return what a barrier is made with.

    Raises:
        Invalid: nobody takes part, or it is said twice.
    """
    count, names = terms["parties"], terms["participants"]
    if (count is None) == (names is None):
        raise Invalid("how many take part, or who? Give one of --parties 3 and --participants ann,bob")
    action = Action("elected", ACTION, timeout_s=terms["action_timeout"]) if has_action else None
    return {
        "parties": count or names,
        "cyclic": not terms["once"],
        "timeout_s": terms["timeout"],
        "on_lost": terms["on_lost"],
        "action": action,
    }


def _facts_to_make(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an arrival makes the barrier with; None if it has to be there."""
    if given["is_made"] or given["parties"] or given["participants"]:
        return _facts(given, has_action=given["action"] is not None)
    defaults = {"once": False, "timeout": None, "on_lost": "wait", "action_timeout": ACTION_S}
    needless = [f"--{name.replace('_', '-')}" for name, default in defaults.items() if given[name] != default]
    if needless:
        raise Invalid(f"{', '.join(needless)} is for making the barrier, which takes --parties too")
    return None


def _show(told: BarrierResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its status."""
    if as_json:
        write_json(told)
    else:
        click.echo(_in_words(told))
        write_table(("agent", "data"), [(agent, clip(data)) for agent, data in told.data.items() if data is not None])
    if told.pending and code is None:
        show_note(f"there is no verdict yet; to go on waiting: {again()}")
    return ending_code(told.status) if code is None else code


def _in_words(told: BarrierResult) -> str:
    arrived = f"{told.arrived_count} of {told.participant_count} have arrived"
    words = [f"{told.barrier_id} {told.status}: generation {told.generation}, {arrived}"]
    if told.reason:
        words.append(told.reason)
    if told.deadline_at is not None and told.status in ("waiting", "tripped"):
        words.append(f"its time is over in {ago(told.deadline_at - time.time())}")
    if told.missing:
        words.append(f"missing: {', '.join(f'{who} (gone)' if who in told.lost else who for who in told.missing)}")
    if told.action_result is not None:
        words.append(f"the action gave {clip(told.action_result)}")
    return "; ".join(words)
