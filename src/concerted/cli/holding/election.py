"""`concerted election`: one leader at a time by name, with a token that proves it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import click

from concerted.board.elections.election import ElectionResult
from concerted.cli.exits import LEASE_LOST, OK, TIMED_OUT, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json
from concerted.cli.primitives import (
    acting_id,
    again,
    as_option,
    do,
    give,
    json_value,
    names,
    patience,
    require_agent,
    span,
    wait_options,
    who_waits,
)
from concerted.cli.primitives_list import list_of
from concerted.config.durations import show_duration
from concerted.launch import Session
from concerted.ports import holding
from concerted.values import AgentId

__all__ = ["election"]

UNKNOWN_EPOCH = -1  # that of nobody: every leader, and none, is news


@click.group(short_help="Have one leader at a time.")
def election() -> None:
    """Have one leader at a time.

    Whoever leads has a fencing token, greater than those of all leaders before it, and renews it in time; who
    does not is followed by the next candidate.
    """


@election.command(short_help="Make an election with rules of its own.")
@click.argument("id")
@click.option("--candidates", type=names, default=(), metavar="A,B", help="Who may stand; by default everybody.")
@click.option("--confirm-within", "confirm_s", type=span, default="10s", show_default=True, metavar="SPAN",
              help="How long an offer stands before the next candidate has it.")  # fmt: skip
@as_option
@store_option
@json_option
def create(id: str, agent: str | None, store: str | None, as_json: bool, **rules: Any) -> int:
    """Make an election with rules of its own; the first candidate makes one that is open to everybody."""
    of = tuple(AgentId(name) for name in rules["candidates"])
    command = holding.CreateElection(id=id, agent=acting_id(agent), candidates=of, confirm_s=rules["confirm_s"])
    return _show(give(store, command), as_json=as_json)


@election.command(short_help="Stand for leader, and wait to be it.")
@click.argument("id")
@click.option("--ttl", "ttl_s", type=span, default="15s", show_default=True, metavar="SPAN",
              help="How long one leads after each renewal.")  # fmt: skip
@click.option("--value", type=json_value, metavar="JSON", help="What everybody is told who observes.")
@click.option("--score", type=float, default=0.0, metavar="X", help="Of those who wait the highest is next.")
@click.option("--ticket", metavar="ID", help="The same ticket again is the same candidacy, and keeps its place.")
@wait_options
@as_option
@store_option
@json_option
def campaign(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Stand for leader, wait to be it, and print the token.

    Whoever leads renews it within its time to live: `concerted election renew`.  With --no-wait it comes to
    nothing if somebody leads already.
    """
    wait_s, ticket = patience(given), given["ticket"]
    command = holding.Campaign(
        id=id,
        agent=AgentId(require_agent(agent, "stands")),
        ticket=ticket or uuid.uuid4().hex,
        ttl_s=given["ttl_s"],
        value=given["value"],
        score=given["score"],
        queue=wait_s != 0,
    )
    told = do(store, lambda session: _campaign(session, command, wait_s, keeps=ticket is not None))
    if as_json:
        write_json(told)
    elif told.elected:
        click.echo(told.token)
    if told.elected:
        show_note(
            f"{command.agent} leads {id} for {show_duration(command.ttl_s)}; to lead for longer: "
            f"concerted election renew {id} {told.token} --as {command.agent}"
        )
        return OK
    if told.pending and ticket is not None:
        show_note(f"place {told.position} in the queue is kept; to go on waiting: {again()}")
    else:
        show_note(f"{command.agent} was not elected in time; {told.leader or 'nobody'} leads {id}")
    return TIMED_OUT


async def _campaign(
    session: Session, command: holding.Campaign, wait_s: float | None, *, keeps: bool
) -> ElectionResult:
    handle = session.election(command.id)
    told = await handle.give_until(command, timeout_s=0.0)
    if told.pending and wait_s != 0:
        who_waits(f"{told.leader or 'nobody'} leads {command.id}", wait_s, session)
        told = await handle.give_until(command, timeout_s=wait_s)
    if told.pending and not keeps:
        await session.give(holding.WithdrawCandidacy(id=command.id, agent=command.agent, ticket=command.ticket))
    return told


@election.command(short_help="Lead for another time to live.")
@click.argument("id")
@click.argument("token")
@as_option
@store_option
@json_option
def renew(id: str, token: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Lead for another time to live, from now; exit code 7 if somebody else leads, or nobody."""
    who = require_agent(agent, "leads")
    return _show(do(store, lambda session: session.election(id).renew(token, leader=who)), as_json=as_json)


@election.command(short_help="Tell everybody something, as the leader.")
@click.argument("id")
@click.argument("token")
@click.argument("value", metavar="JSON", type=json_value)
@as_option
@store_option
@json_option
def proclaim(id: str, token: str, value: Any, agent: str | None, store: str | None, as_json: bool) -> int:
    """Tell everybody who observes something, as the leader; exit code 7 if one does not lead any more."""
    who = require_agent(agent, "leads")
    return _show(do(store, lambda session: session.election(id).proclaim(token, value, leader=who)), as_json=as_json)


@election.command(short_help="Lead no longer.")
@click.argument("id")
@click.argument("token")
@as_option
@store_option
@json_option
def resign(id: str, token: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Lead no longer; the next candidate does."""
    who = require_agent(agent, "leads")
    return _show(do(store, lambda session: session.election(id).resign(token, leader=who)), as_json=as_json)


@election.command(short_help="Wait until there is another leader.")
@click.argument("id")
@click.option("--epoch", type=click.IntRange(0), default=0, metavar="N",
              help="That of the leader one knows; by default 0, nobody.")  # fmt: skip
@click.option("--version", type=click.IntRange(0), metavar="N", help="Or until it has proclaimed more than this.")
@wait_options
@store_option
@json_option
def observe(id: str, epoch: int, version: int | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until there is another leader than the one that is known, or it has proclaimed something."""
    wait_s = patience(given)
    told = do(
        store, lambda session: session.election(id).observe(epoch, known_version=version, timeout_s=wait_s)
    )  # fmt: skip
    _show(told, as_json=as_json)
    if told.pending:
        show_note(f"nothing has changed yet; to go on waiting: {again()}")
    return TIMED_OUT if told.pending else OK


@election.command(short_help="Say whether a token is the leader's now.")
@click.argument("id")
@click.argument("token")
@store_option
@json_option
def check(id: str, token: str, store: str | None, as_json: bool) -> int:
    """Say whether a fencing token is the leader's now: exit code 0, else 7."""
    told = give(store, holding.CheckLeadership(id=id, token=token))
    if as_json:
        write_json(told)
    else:
        click.echo(f"{told.leader} leads {id} under {token}" if told.valid else f"not valid: {told.reason}")
    return OK if told.valid else LEASE_LOST


@election.command(short_help="Show who leads.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show who leads, and how many wait to."""
    told = do(store, lambda session: session.election(id).observe(UNKNOWN_EPOCH, timeout_s=0.0))
    return _show(told, as_json=as_json)


election.add_command(list_of("election", "elections"))


def _show(told: ElectionResult, *, as_json: bool) -> int:
    if as_json:
        write_json(told)
        return OK
    if told.leader is None:
        words = [f"{told.name} {told.status}: nobody leads"]
    else:
        words = [f"{told.name} {told.status}: {told.leader} leads, epoch {told.epoch}"]
        if told.since is not None:
            words.append(f"for {ago(time.time() - told.since)}")
    if told.value is not None:
        words.append(f"it says {clip(told.value)}")
    click.echo("; ".join([*words, f"{told.waiting} waiting"]))
    return OK
