"""`concerted budget`: tokens or money that many spend, in all or per period, and never more than there is."""

from __future__ import annotations

import time
from typing import Any, get_args

import click

from concerted.board.budgets.budget import BudgetResult, BudgetView
from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    acting_id,
    again,
    as_option,
    do,
    give,
    over,
    patience,
    require_agent,
    span,
    wait_options,
    who_waits,
)
from concerted.cli.primitives_list import list_of
from concerted.config.durations import show_duration
from concerted.launch import Session
from concerted.machine import Priority
from concerted.ports import budgets
from concerted.values import AgentId

__all__ = ["budget"]

AMOUNT = click.FloatRange(0, min_open=True)


@click.group(short_help="Spend tokens or money together, and never too much.")
def budget() -> None:
    """Spend tokens or money together, and never too much.

    What is spent is named by a TICKET: the same ticket again is the same spending, and counts once.
    """


@budget.command(short_help="Make a budget.")
@click.argument("id")
@click.option("--limit", type=AMOUNT, required=True, metavar="AMOUNT", help="How much there is, or per period.")
@click.option("--unit", default="tokens", show_default=True, metavar="NAME", help="Of what.")
@click.option("--period", "period_s", type=span, metavar="SPAN", help="After which there is as much anew; else never.")
@click.option("--window", type=click.Choice(["fixed", "sliding"]), default="fixed", show_default=True,
              help="Whether periods follow each other, or each reaches back from now.")  # fmt: skip
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), metavar="X",
              help="The most of it that one spender may have, 0 to 1.")  # fmt: skip
@as_option
@store_option
@json_option
def create(id: str, limit: float, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Make a budget.  The same again changes nothing; the same ID with something else is refused."""
    made = do(store, lambda session: session.budget(id).create(limit, agent=acting(agent), **given))
    return _show(made, as_json=as_json)


@budget.command(short_help="Spend so much.")
@click.argument("id")
@click.argument("ticket")
@click.argument("amount", type=AMOUNT)
@click.option("--purpose", default="", metavar="TEXT", help="What for.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="medium", show_default=True)
@wait_options
@as_option
@store_option
@json_option
def spend(id: str, ticket: str, amount: float, agent: str | None, store: str | None, **given: Any) -> int:
    """Spend so much, and wait until there is so much left; with --no-wait it is refused at once."""
    wait_s, as_json, facts = _asked(given)
    holder = AgentId(require_agent(agent, "spends it"))
    command = budgets.Spend(id=id, agent=holder, ticket=ticket, amount=amount, queue=wait_s != 0, **facts)
    return _give(store, command, wait_s, as_json=as_json)


@budget.command(short_help="Set an estimate aside.")
@click.argument("id")
@click.argument("ticket")
@click.argument("amount", type=AMOUNT)
@click.option("--ttl", "ttl_s", type=span, default="1m", show_default=True, metavar="SPAN",
              help="When it returns unless it is settled.")  # fmt: skip
@click.option("--purpose", default="", metavar="TEXT", help="What for.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="medium", show_default=True)
@wait_options
@as_option
@store_option
@json_option
def reserve(id: str, ticket: str, amount: float, agent: str | None, store: str | None, **given: Any) -> int:
    """Set an estimate aside, to be settled with what it really came to; wait until there is so much left."""
    wait_s, as_json, facts = _asked(given)
    holder = AgentId(require_agent(agent, "reserves it"))
    command = budgets.ReserveBudget(id=id, agent=holder, ticket=ticket, amount=amount, queue=wait_s != 0, **facts)
    return _give(store, command, wait_s, as_json=as_json)


@budget.command(short_help="Say what a reservation really came to.")
@click.argument("id")
@click.argument("ticket")
@click.argument("actual", type=click.FloatRange(0))
@as_option
@store_option
@json_option
def settle(id: str, ticket: str, actual: float, agent: str | None, store: str | None, as_json: bool) -> int:
    """Say what a reservation really came to; what is left of it returns."""
    holder = require_agent(agent, "has reserved it")
    told = do(store, lambda session: session.budget(id).settle(ticket, actual, holder=holder))
    return _say(told, as_json=as_json)


@budget.command(short_help="Give back what was spent.")
@click.argument("id")
@click.argument("ticket")
@click.argument("amount", type=AMOUNT, required=False)
@as_option
@store_option
@json_option
def refund(id: str, ticket: str, amount: float | None, agent: str | None, store: str | None, as_json: bool) -> int:
    """Give back what was spent, or AMOUNT of it."""
    holder = AgentId(require_agent(agent, "has spent it"))
    return _say(give(store, budgets.RefundBudget(id=id, agent=holder, ticket=ticket, amount=amount)), as_json=as_json)


@budget.command(short_help="Leave the queue.")
@click.argument("id")
@click.argument("ticket")
@as_option
@store_option
@json_option
def withdraw(id: str, ticket: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Leave the queue.  Exit code 1: the ticket does not wait."""
    holder = AgentId(require_agent(agent, "waits"))
    return _say(give(store, budgets.WithdrawFromBudget(id=id, agent=holder, ticket=ticket)), as_json=as_json)


@budget.command(short_help="Change the limit.")
@click.argument("id")
@click.option("--limit", type=AMOUNT, required=True, metavar="AMOUNT", help="How much there is from now on.")
@as_option
@store_option
@json_option
def resize(id: str, limit: float, agent: str | None, store: str | None, as_json: bool) -> int:
    """Change the limit, as the creator or an admin; what is spent stays spent."""
    told = give(store, budgets.ResizeBudget(id=id, agent=acting_id(agent), limit=limit))
    return _show(told, as_json=as_json)


@budget.command(short_help="Show what is spent and what is left.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show what is spent, reserved and left, and the first hundred who have reserved or wait."""
    return _show(do(store, lambda session: session.budget(id).get()), as_json=as_json)


budget.add_command(list_of("budget", "budgets"))


def _asked(given: dict[str, Any]) -> tuple[float | None, bool, dict[str, Any]]:
    """Return for how long to wait, whether the answer is JSON, and the other options."""
    apart = ("wait", "no_wait", "as_json")
    return patience(given), given["as_json"], {name: value for name, value in given.items() if name not in apart}


def _give(
    store: str | None, command: budgets.Spend | budgets.ReserveBudget, wait_s: float | None, *, as_json: bool
) -> int:
    async def wait(session: Session) -> BudgetResult:
        handle = session.budget(command.id)
        told = await handle.give_until(command, timeout_s=0.0)
        if told.pending and wait_s != 0:
            who_waits(f"{told.left:g} of {told.limit:g} {told.unit} are left", wait_s, session)
            told = await handle.give_until(command, timeout_s=wait_s)
        return told

    return _say(do(store, wait, stopped="the ticket keeps its place"), as_json=as_json)


def _say(told: BudgetResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
    else:
        amount = {"settled": told.actual, "refunded": told.refunded}.get(told.status, told.amount)
        left = f"{told.left:g} of {told.limit:g} {told.unit} left"
        click.echo(f"{told.ticket} {told.status}: {amount:g}; {left}")
    if told.pending:
        show_note(f"place {told.position} in the queue is kept; to go on waiting: {again()}")
    return over(told)


def _show(told: BudgetView, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
        return OK
    now = time.time()
    words = [f"{told.id}: {told.left:g} of {told.limit:g} {told.unit} left", f"{told.spent:g} spent"]
    if told.reserved:
        words.append(f"{told.reserved:g} reserved")
    if told.period_s is not None:
        words.append(f"per {show_duration(told.period_s)}, {told.window}")
    if told.resets_at is not None:
        words.append(f"more in {ago(told.resets_at - now)}")
    click.echo("; ".join(words))
    rows = [
        (one.holder, f"{one.amount:g}", one.ticket, f"reserved, returns in {ago(one.expires_at - now)}",
         clip(one.purpose))
        for one in told.reservations
    ]  # fmt: skip
    rows += [
        (one.holder, f"{one.amount:g}", one.ticket, f"waits, place {one.position}", clip(one.purpose))
        for one in told.waiting
    ]
    write_table(("who", "amount", "ticket", "state", "purpose"), rows)
    return OK
