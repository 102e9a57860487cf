"""`concerted semaphore`: so many at once and no more, each for a time, in a fair queue."""

from __future__ import annotations

import time
from typing import Any, get_args

import click

from concerted.board.semaphores.semaphore import PermitResult, SemaphoreResult
from concerted.cli.exits import LEASE_LOST, OK, show_note
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
from concerted.ports import holding
from concerted.values import AgentId

__all__ = ["semaphore"]


@click.group(short_help="Let so many in at once, and no more.")
def semaphore() -> None:
    """Let so many in at once, and no more.

    A semaphore has a number of permits.  Who holds some names them by a TICKET of its own: the same ticket again
    is the same holding.  Who does not renew them in time has lost them.
    """


@semaphore.command(short_help="Make a semaphore.")
@click.argument("id")
@click.option("--permits", type=click.IntRange(1), required=True, metavar="N", help="How many there are.")
@as_option
@store_option
@json_option
def create(id: str, permits: int, agent: str | None, store: str | None, as_json: bool) -> int:
    """Make a semaphore.  The same again changes nothing; the same ID with something else is refused."""
    made = do(store, lambda session: session.semaphore(id).create(permits, agent=acting(agent)))
    return _show(made, as_json=as_json)


@semaphore.command(short_help="Hold permits until they are released.")
@click.argument("id")
@click.argument("ticket")
@click.option("--permits", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="How many.")
@click.option("--ttl", "ttl_s", type=span, default="1m", show_default=True, metavar="SPAN",
              help="How long they are held after each renewal.")  # fmt: skip
@click.option("--purpose", default="", metavar="TEXT", help="What for; whoever waits is told.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="medium", show_default=True)
@wait_options
@as_option
@store_option
@json_option
def acquire(id: str, ticket: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Hold permits until they are released, and print the token.

    TICKET names this holding, and its place in the queue between two calls.  With --no-wait it is refused at
    once if too few are free.
    """
    wait_s = patience(given)
    del given["wait"], given["no_wait"]
    holder = AgentId(require_agent(agent, "holds them"))
    command = holding.AcquirePermits(id=id, agent=holder, ticket=ticket, queue=wait_s != 0, **given)
    told = do(store, lambda session: _acquire(session, command, wait_s), stopped="the ticket keeps its place")
    if as_json:
        write_json(told)
    elif told.granted:
        click.echo(told.token)
    if told.granted:
        held = f"{holder} holds {_permits(told.permits)} of {id} for {show_duration(told.ttl_s)}"
        show_note(f"{held}; to hold them for longer: concerted semaphore renew {id} {told.token} --as {holder}")
    elif told.pending:
        show_note(f"place {told.position} in the queue is kept; to go on waiting: {again()}")
    else:
        show_note(f"{ticket} of {id} {told.status}: {told.reason}")
    return over(told)


async def _acquire(session: Session, command: holding.AcquirePermits, wait_s: float | None) -> PermitResult:
    handle = session.semaphore(command.id)
    told = await handle.give_until(command, timeout_s=0.0)
    if told.pending and wait_s != 0:
        holders = ", ".join(sorted({one.holder for one in told.held_by}))
        who_waits(f"{told.free} of {_permits(told.total)} free, held by {holders}", wait_s, session)
        told = await handle.give_until(command, timeout_s=wait_s)
    return told


@semaphore.command(short_help="Hold permits for another time to live.")
@click.argument("id")
@click.argument("token")
@as_option
@store_option
@json_option
def renew(id: str, token: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Hold permits for another time to live, from now; exit code 7 if they are not held any more."""
    holder = require_agent(agent, "holds them")
    told = do(store, lambda session: session.semaphore(id).renew(token, holder=holder))
    return _say(told, as_json, f"{holder} holds {_permits(told.permits)} of {id} for {show_duration(told.ttl_s)}")


@semaphore.command(short_help="Give permits back.")
@click.argument("id")
@click.argument("ticket")
@as_option
@store_option
@json_option
def release(id: str, ticket: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Give permits back; a second time changes nothing.  Exit code 7: they were lost before."""
    holder = require_agent(agent, "holds them")
    told = do(store, lambda session: session.semaphore(id).release(ticket, holder=holder))
    return _say(told, as_json, f"{holder} has released {_permits(told.permits)} of {id}")


@semaphore.command(short_help="Leave the queue.")
@click.argument("id")
@click.argument("ticket")
@as_option
@store_option
@json_option
def withdraw(id: str, ticket: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Leave the queue.  Exit code 1: the ticket does not wait, it has been granted."""
    holder = AgentId(require_agent(agent, "waits"))
    told = give(store, holding.WithdrawPermits(id=id, agent=holder, ticket=ticket))
    return _say(told, as_json, f"{ticket} of {id}: {told.status}")


@semaphore.command(short_help="Say whether permits are held under a token now.")
@click.argument("id")
@click.argument("token")
@store_option
@json_option
def check(id: str, token: str, store: str | None, as_json: bool) -> int:
    """Say whether permits are held under a token now: exit code 0, else 7."""
    told = give(store, holding.CheckPermits(id=id, token=token))
    if as_json:
        write_json(told)
    else:
        valid = f"{told.holder} holds {_permits(told.permits)} of {id} under {token}"
        click.echo(valid if told.valid else f"not valid: {told.reason}")
    return OK if told.valid else LEASE_LOST


@semaphore.command(short_help="Have more permits, or fewer.")
@click.argument("id")
@click.option("--permits", type=click.IntRange(1), required=True, metavar="N", help="How many there are from now on.")
@as_option
@store_option
@json_option
def resize(id: str, permits: int, agent: str | None, store: str | None, as_json: bool) -> int:
    """Have more permits, or fewer, as the creator or an admin; what is held stays held."""
    told = give(store, holding.ResizeSemaphore(id=id, agent=acting_id(agent), permits=permits))
    return _show(told, as_json=as_json)


@semaphore.command(short_help="Show who holds permits, and who waits.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show who holds permits, and who waits: the first hundred of each."""
    return _show(do(store, lambda session: session.semaphore(id).get()), as_json=as_json)


semaphore.add_command(list_of("semaphore", "semaphores"))


def _show(told: SemaphoreResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
        return OK
    click.echo(f"{told.id}: {told.free} of {_permits(told.total)} free, {told.waiting_count} waiting")
    now = time.time()
    rows: list[tuple[Any, ...]] = [
        (one.holder, one.permits, one.ticket, one.token, f"held for {ago(now - one.since)}", clip(one.purpose))
        for one in told.holders
    ]
    rows += [
        (one.holder, one.permits, one.ticket, None, f"waits, place {one.position}", clip(one.purpose))
        for one in told.waiting
    ]
    write_table(("who", "permits", "ticket", "token", "since", "purpose"), rows)
    return OK


def _say(told: PermitResult, as_json: bool, words: str) -> int:
    if as_json:
        write_json(told)
    else:
        click.echo(words if told.success else f"{told.status}: {told.reason}")
    return over(told)


def _permits(count: int) -> str:
    return f"{count} permit{'' if count == 1 else 's'}"
