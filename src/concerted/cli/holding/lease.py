"""`concerted lease`: hold anything by name, alone or shared, while a command runs or until it is released."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import socket
import time
import uuid
from dataclasses import dataclass
from typing import Any, Literal, get_args

import click

from concerted.board.leases.lease import CheckResult, LeaseResult, LeasesResult
from concerted.cli.exits import LEASE_LOST, OK, TIMED_OUT, show_note
from concerted.cli.holding.lease_command import check_command, run_under
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    again,
    as_option,
    do,
    ending_code,
    give,
    patience,
    require_agent,
    span,
    wait_options,
    who_waits,
)
from concerted.config.durations import show_duration
from concerted.errors import ConcertedError
from concerted.launch import Session
from concerted.machine import Priority
from concerted.ports import holding
from concerted.values import AgentId

__all__ = ["lease"]

COMMAND = f"{__name__}.command"  # where the words behind `--` are kept meanwhile
TELL_S = 0.5  # how long one waits before it is told who is in the way


@click.group(short_help="Hold anything by name, alone or shared.")
def lease() -> None:
    """Hold anything by name, alone or shared.

    A name is whatever scripts agree on: a path, everything below one (`src/`), a glob (`src/**`), `port:8080`,
    `gpu:0`.  Each lease has a fencing token, greater than those of all before it.
    """


class _BeforeCommand(click.Command):
    """A command behind whose `--` stands another command line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set aside what stands behind `--`."""
        if "--" in args:
            place = args.index("--")
            ctx.meta[COMMAND] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show it in the help."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND ARGS...]"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be held, by whom, and how."""

    names: tuple[str, ...]
    holder: str
    ttl_s: float
    shared: bool
    purpose: str
    priority: Priority
    wait_s: float | None
    ticket: str | None = None
    command: tuple[str, ...] = ()

    @property
    def mode(self) -> Literal["exclusive", "shared"]:
        """As the lease has it."""
        return "shared" if self.shared else "exclusive"

    @property
    def what(self) -> str:
        """The names for a sentence."""
        return ", ".join(self.names)


@lease.command(cls=_BeforeCommand, short_help="Hold names while a command runs, or until they are released.")
@click.argument("names", nargs=-1, required=True)
@click.option("--ttl", "ttl_s", type=span, default="1m", show_default=True, metavar="SPAN",
              help="How long it is held after each renewal.")  # fmt: skip
@click.option("--shared", is_flag=True, help="Together with others who share it, too.")
@click.option("--purpose", default="", metavar="TEXT", help="What for; whoever waits for it is told.")
@click.option("--priority", type=click.Choice(get_args(Priority)), default="medium", show_default=True)
@click.option("--ticket", metavar="ID", help="Without COMMAND: the same ticket again is the same lease.")
@wait_options
@as_option
@store_option
@json_option
@click.pass_context
def take(ctx: click.Context, /, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Hold names while a command runs, or until they are released.

    All NAMES are taken or none.  With a COMMAND the lease is renewed as long as it runs, and given back
    when it ends; the exit code is that of COMMAND.  It finds the fencing token in CONCERTED_LEASE_TOKEN, the
    names, one in a line, in CONCERTED_LEASE_NAMES, the holder in CONCERTED_LEASE_HOLDER.  If the lease cannot
    be renewed, COMMAND is ended before anybody else can have it.  Without a COMMAND the token is printed, and
    whoever holds it renews it within its time to live: `concerted lease renew`.
    """
    command, wait_s = ctx.meta.get(COMMAND), patience(given)
    del given["wait"], given["no_wait"]
    if command is None:
        wish = Wish(holder=require_agent(agent, "holds it"), wait_s=wait_s, **given)
        return _take(wish, store, as_json=as_json)
    if not command:
        raise click.UsageError("behind -- stands the command that runs while the lease is held")
    if given["ticket"]:
        raise click.UsageError("--ticket is for a lease without a command; one with a command ends with it")
    check_command(command)
    wish = Wish(holder=acting(agent) or _one_of_its_kind(), wait_s=wait_s, command=command, **given)
    return do(store, lambda session: _hold(session, wish), stopped="nothing is held any more")


async def _hold(session: Session, wish: Wish) -> int:
    """Hold it while the command runs."""
    telling = asyncio.ensure_future(_tell_who_is_in_the_way(session, wish))
    try:
        async with session.leases.hold(
            wish.names, holder=wish.holder, mode=wish.mode, ttl_s=wish.ttl_s, purpose=wish.purpose,
            priority=wish.priority, timeout_s=wish.wait_s,
        ) as held:  # fmt: skip
            telling.cancel()
            names = "\n".join(wish.names)
            facts = {
                "CONCERTED_LEASE_TOKEN": held.token,
                "CONCERTED_LEASE_NAMES": names,
                "CONCERTED_LEASE_HOLDER": wish.holder,
            }
            return await run_under(held, wish.command, facts, wish.ttl_s)
    finally:
        telling.cancel()


async def _tell_who_is_in_the_way(session: Session, wish: Wish) -> None:
    await asyncio.sleep(TELL_S)
    with contextlib.suppress(ConcertedError):
        pages = [await session.leases.list(name=name, limit=1) for name in wish.names]
        holders = {
            f"{one.holder} ({one.purpose})" if one.purpose else one.holder for page in pages for one in page.leases
        }
        who = ", ".join(sorted(holders))
        who_waits(f"{wish.what} is held by {who}" if who else f"{wish.what} is not free", wish.wait_s, session)


def _take(wish: Wish, store: str | None, *, as_json: bool) -> int:
    """Hold it without a command: print the token."""
    told: LeaseResult = do(store, lambda session: _acquire(session, wish))
    if as_json:
        write_json(told)
    elif told.granted:
        click.echo(told.token)
    if told.granted:
        show_note(
            f"{wish.holder} holds {wish.what} for {show_duration(wish.ttl_s)}; to hold it for longer: "
            f"concerted lease renew {told.token} --as {wish.holder}"
        )
        return OK
    if wish.ticket is not None and told.pending:
        show_note(f"place {told.position} in the queue is kept; to go on waiting: {again()}")
    else:
        holders = ", ".join(sorted({one.holder for one in told.held_by}))
        show_note(
            f"{wish.what} was not free in time; {f'held by {holders}' if holders else told.reason or told.status}"
        )
    return TIMED_OUT if told.pending else ending_code(told.status)


async def _acquire(session: Session, wish: Wish) -> LeaseResult:
    ticket = wish.ticket or uuid.uuid4().hex
    command = holding.AcquireLease(
        agent=AgentId(wish.holder), ticket=ticket, names=wish.names, mode=wish.mode, ttl_s=wish.ttl_s,
        purpose=wish.purpose, priority=wish.priority,
    )  # fmt: skip
    told = await session.leases.acquire(command, timeout_s=0.0)
    if told.pending and wish.wait_s != 0:
        holders = ", ".join(sorted({one.holder for one in told.held_by}))
        who_waits(f"{wish.what} is held by {holders or 'others before it'}", wish.wait_s, session)
        told = await session.leases.acquire(command, timeout_s=wish.wait_s)
    if told.pending and wish.ticket is None:
        await session.give(holding.WithdrawLease(agent=command.agent, ticket=ticket))
    return told


@lease.command("list", short_help="Show what is held, and who waits for it.")
@click.option("--name", metavar="NAME", help="Only what overlaps with it.")
@click.option("--for", "holder", metavar="WHO", help="Only what this one holds or waits for.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many.")
@store_option
@json_option
def list_leases(name: str | None, holder: str | None, limit: int, store: str | None, as_json: bool) -> int:
    """Show what is held, and who waits for it, in the order of the queue."""
    told: LeasesResult = do(store, lambda session: session.leases.list(name=name, holder=holder, limit=limit))
    if as_json:
        write_json(told)
        return OK
    now = time.time()
    rows: list[tuple[str | None, ...]] = [
        (", ".join(one.names), one.mode, one.holder, one.token, f"held for {ago(now - one.since)}", clip(one.purpose))
        for one in told.leases
    ]
    rows += [
        (", ".join(one.names), one.mode, one.holder, None, f"waits, place {one.position}", clip(one.purpose))
        for one in told.waiting
    ]
    write_table(("names", "mode", "who", "token", "since", "purpose"), rows)
    return OK


@lease.command(short_help="Say whether a token is the one under which a name is held now.")
@click.argument("name")
@click.argument("token")
@store_option
@json_option
def check(name: str, token: str, store: str | None, as_json: bool) -> int:
    """Say whether a fencing token is the one under which a name is held now: exit code 0, else 7."""
    told: CheckResult = do(store, lambda session: session.leases.check(name, token))
    if as_json:
        write_json(told)
    else:
        click.echo(f"{told.holder} holds {name} under {token}" if told.valid else f"not valid: {told.reason}")
    return OK if told.valid else LEASE_LOST


@lease.command(short_help="Hold a lease for another time to live.")
@click.argument("token")
@as_option
@store_option
@json_option
def renew(token: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Hold a lease for another time to live, from now; exit code 7 if it is not held any more."""
    holder = AgentId(require_agent(agent, "holds it"))
    told = give(store, holding.RenewLease(agent=holder, token=token))
    return _say(told, as_json, f"{holder} holds {_names(told)} for {show_duration(told.ttl_s)}")


@lease.command(short_help="Give a lease back.")
@click.argument("token")
@as_option
@store_option
@json_option
def release(token: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Give a lease back; a second time changes nothing.  Exit code 7: it was over before, by itself."""
    holder = AgentId(require_agent(agent, "holds it"))
    told = give(store, holding.ReleaseLease(agent=holder, token=token))
    return _say(told, as_json, f"{holder} has released {_names(told)}")


@lease.command(short_help="Ask whoever holds a name to release it.")
@click.argument("name")
@click.option("--reason", default="", metavar="TEXT", help="Why; the holder is told.")
@as_option
@store_option
@json_option
def ask(name: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Ask whoever holds a name to release it: the holder has a message in its inbox."""
    told = do(store, lambda session: session.leases.ask_for(name, reason, agent=acting(agent)))
    holders = ", ".join(sorted({one.holder for one in told.leases}))
    return _say(told, as_json, f"{holders} has been asked to release {name}")


@lease.command(short_help="Take a lease away from its holder, as an admin.")
@click.argument("token")
@click.option("--reason", required=True, metavar="TEXT", help="Why; the holder is told.")
@store_option
@json_option
def revoke(token: str, reason: str, store: str | None, as_json: bool) -> int:
    """Take a lease away from its holder, as an admin.

    Its holder hears of it at its next renewal: until then only the fencing token keeps it from doing harm.
    """
    told = give(store, holding.RevokeLease(token=token, reason=reason))
    return _say(told, as_json, f"the lease {token} on {_names(told)} is revoked")


def _say(told: Any, as_json: bool, words: str) -> int:
    if as_json:
        write_json(told)
    else:
        click.echo(words)
    return OK


def _names(told: LeaseResult) -> str:
    return ", ".join(told.names) or "it"


def _one_of_its_kind() -> str:
    """Return a name for a holder that has none, different from that of any other process."""
    return f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"
