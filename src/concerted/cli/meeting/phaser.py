"""`concerted phaser`: parties that come and go wait for each other, phase after phase."""

from __future__ import annotations

import time
import uuid
from typing import Any

import click

from concerted.cli.exits import OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, clip, write_json, write_table
from concerted.cli.primitives import (
    acting,
    acting_id,
    as_option,
    do,
    ending_code,
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
from concerted.launch import Session
from concerted.ports import meeting
from concerted.sync.phasers.phaser import PhaserResult
from concerted.values import AgentId

__all__ = ["phaser"]


@click.group(short_help="Wait for each other, while parties come and go.")
def phaser() -> None:
    """Wait for each other, while parties come and go.

    A phaser is a barrier whose parties join and leave, between its phases and during them.
    """


@phaser.command(short_help="Make a phaser.")
@click.argument("id")
@click.option("--participants", type=names, default=(), metavar="A,B", help="The first parties; others register.")
@click.option("--policy", type=click.Choice(["wait", "shrink", "break", "fail"]), default="wait", show_default=True,
              help="What comes of it when a party is lost, or late.")  # fmt: skip
@click.option("--late-after", "late_after_s", type=span, metavar="SPAN", help="When who has not arrived is late.")
@as_option
@store_option
@json_option
def create(id: str, agent: str | None, store: str | None, as_json: bool, **terms: Any) -> int:
    """Make a phaser.  The same again changes nothing; the same ID with something else is refused."""
    made = do(store, lambda session: session.phaser(id).create(agent=acting(agent), **terms))
    return _show(made, as_json=as_json, code=OK)


@phaser.command(short_help="Become a party.")
@click.argument("id")
@click.option("--from-next", is_flag=True, help="From the next phase on; by default from the current one.")
@as_option
@store_option
@json_option
def register(id: str, from_next: bool, agent: str | None, store: str | None, as_json: bool) -> int:
    """Become a party."""
    who = require_agent(agent, "becomes a party")
    told = do(store, lambda session: session.phaser(id).register(who, from_next=from_next))
    return _show(told, as_json=as_json, code=OK)


@phaser.command(short_help="Be a party no longer.")
@click.argument("id")
@as_option
@store_option
@json_option
def deregister(id: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Be a party no longer, without arriving."""
    who = require_agent(agent, "leaves")
    return _show(do(store, lambda session: session.phaser(id).deregister(who)), as_json=as_json, code=OK)


@phaser.command(short_help="Arrive in a phase, and wait until it is over.")
@click.argument("id")
@click.option("--data", type=json_value, metavar="JSON", help="Something for the others.")
@click.option("--phase", type=click.IntRange(0), metavar="N", help="In which phase; by default the current.")
@click.option("--deregister", "leaves", is_flag=True, help="And be a party no longer, and not wait.")
@click.option("--request-id", metavar="ID", help="The same id again is the same arrival, however often it comes.")
@wait_options
@as_option
@store_option
@json_option
def arrive(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Arrive in a phase, and wait until it is over."""
    wait_s = 0.0 if given["leaves"] else patience(given)
    command = meeting.ArriveAtPhaser(
        id=id,
        agent=AgentId(require_agent(agent, "arrives")),
        data=given["data"],
        then="deregister" if given["leaves"] else "go_on" if wait_s == 0 else "wait",
        phase=given["phase"],
        request_id=given["request_id"] or uuid.uuid4().hex,
    )
    told = do(
        store,
        lambda session: _arrive(session, command, wait_s),
        stopped="an arrival that is written stays so, in its phase",
    )
    return _show(told, as_json=as_json, code=OK if wait_s == 0 else None)


async def _arrive(session: Session, command: meeting.ArriveAtPhaser, wait_s: float | None) -> PhaserResult:
    handle = session.phaser(command.id)
    told = await handle.give_until(command, timeout_s=0.0)
    if told.pending and wait_s != 0:
        who_waits(f"{command.agent} has arrived, {told.arrived_count} of {told.party_count}", wait_s, session)
        told = await handle.give_until(command, timeout_s=wait_s)
    return told


@phaser.command(short_help="Wait until a phase is over.")
@click.argument("id")
@click.option("--phase", type=click.IntRange(0), required=True, metavar="N", help="Which one.")
@wait_options
@as_option
@store_option
@json_option
def wait(id: str, phase: int, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until a phase is over, without arriving."""
    wait_s = patience(given)
    told = do(store, lambda session: session.phaser(id).wait(phase, agent=acting(agent), timeout_s=wait_s))
    return _show(told, as_json=as_json)


@phaser.command(short_help="Show how a phaser stands.")
@click.argument("id")
@store_option
@json_option
def status(id: str, store: str | None, as_json: bool) -> int:
    """Show how a phaser stands."""
    return _show(do(store, lambda session: session.phaser(id).get()), as_json=as_json, code=OK)


@phaser.command(short_help="Take a party out.")
@click.argument("id")
@click.argument("party")
@click.option("--reason", default="", metavar="TEXT", help="Why; everybody is told.")
@as_option
@store_option
@json_option
def remove(id: str, party: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Take a party out, as the creator or an admin."""
    command = meeting.RemoveFromPhaser(id=id, agent=acting_id(agent), party=AgentId(party), reason=reason)
    return _show(give(store, command), as_json=as_json, code=OK)


@phaser.command(short_help="Call a phaser off for good.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why; whoever waits is told.")
@as_option
@store_option
@json_option
def cancel(id: str, reason: str, agent: str | None, store: str | None, as_json: bool) -> int:
    """Call a phaser off for good, as the creator or an admin.  Exit code 0: it is over."""
    command = meeting.CancelPhaser(id=id, agent=acting_id(agent), reason=reason)
    return _show(give(store, command), as_json=as_json, code=OK)


phaser.add_command(list_of("phaser", "phasers"))


def _show(told: PhaserResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how it stands; return the exit code, by default that of its status."""
    if as_json:
        write_json(told)
    else:
        click.echo(_in_words(told))
        write_table(("agent", "data"), [(agent, clip(data)) for agent, data in told.data.items() if data is not None])
    if told.pending and code is None:
        # The same line again would arrive in the next phase, if this one is over by then.
        show_note(f"it is not over yet; to go on waiting: concerted phaser wait {told.phaser_id} --phase {told.phase}")
    return ending_code(told.status) if code is None else code


def _in_words(told: PhaserResult) -> str:
    arrived = f"{told.arrived_count} of {told.party_count} have arrived"
    words = [f"{told.phaser_id} {told.status}: phase {told.phase}, {arrived}"]
    if told.reason:
        words.append(told.reason)
    if told.deadline_at is not None and told.status == "waiting":
        words.append(f"who has not arrived in {ago(told.deadline_at - time.time())} is late")
    if told.missing:
        words.append(f"missing: {', '.join(f'{who} (gone)' if who in told.lost else who for who in told.missing)}")
    words += [f"{who} was taken out: {why}" for who, why in told.removed.items()]
    return "; ".join(words)
