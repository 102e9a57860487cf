"""`concerted replicas`: groups of replicas beside the agents, and one replica as a program."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import click

from concerted.cli.exits import FAILED, OK, TIMED_OUT, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json, write_table
from concerted.cli.primitives import acting, as_option, do, names, patience, span, wait_options
from concerted.cli.primitives_list import list_of
from concerted.consensus.keeping import REPLICATED, tolerates
from concerted.consensus.replica_group import ReplicaGroupResult
from concerted.errors import NotFound, TimedOut
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.process import run_replica
from concerted.replicas.spec import Group, read_group, warnings_of
from concerted.replicas.status import Status

__all__ = ["replicas"]

STATUS_S = 2.0  # how long a replica may take to say how it stands


@click.group(short_help="Keep decisions by replicas beside the agents.")
def replicas() -> None:
    """Keep decisions by replicas beside the agents.

    A group of replicas keeps decisions, agreements and logs by Raft, Paxos or PBFT, whatever becomes of the
    coordinator.
    """


@replicas.command(short_help="Have agents host a group.")
@click.argument("id")
@click.option("--algorithm", type=click.Choice(REPLICATED), default="raft", show_default=True, help="How it agrees.")
@click.option("--hosts", type=names, default=(), metavar="A,B,C", help="The agents; by default chosen by their scores.")
@click.option("--count", type=click.IntRange(1), metavar="N", help="How many, where no hosts are named.")
@click.option("--election-timeout", type=span, metavar="SPAN", help="By default as in strategies.consensus.")
@click.option("--heartbeat-interval", type=span, metavar="SPAN", help="By default as in strategies.consensus.")
@wait_options
@store_option
@json_option
def create(id: str, algorithm: Any, store: str | None, as_json: bool, **given: Any) -> int:
    """Have agents host a group, and wait until it is ready.  The agents must be here."""
    wait_s = patience(given)

    async def work(session: Any) -> ReplicaGroupResult:
        told: ReplicaGroupResult = await session.replica_group(id).create(
            algorithm,
            given["hosts"],
            count=given["count"],
            election_timeout_s=given["election_timeout"],
            heartbeat_interval_s=given["heartbeat_interval"],
            timeout_s=wait_s,
        )
        return told

    return _show(do(store, work), as_json=as_json)


@replicas.command(short_help="Show who hosts a group, who leads, and what it keeps.")
@click.argument("id")
@store_option
@json_option
def show(id: str, store: str | None, as_json: bool) -> int:
    """Show who hosts a group, who leads as far as is known, and what it keeps."""
    return _show(do(store, lambda session: session.replica_group(id).get()), as_json=as_json, code=OK)


@replicas.command(short_help="Wait until a group is ready.")
@click.argument("id")
@wait_options
@store_option
@json_option
def wait(id: str, store: str | None, as_json: bool, **given: Any) -> int:
    """Wait until a group is ready."""
    wait_s = patience(given)
    return _show(do(store, lambda session: session.replica_group(id).wait(timeout_s=wait_s)), as_json=as_json)


@replicas.command(short_help="Have another agent host a replica.")
@click.argument("id")
@click.argument("old")
@click.argument("new")
@as_option
@wait_options
@store_option
@json_option
def replace(id: str, old: str, new: str, store: str | None, as_json: bool, **given: Any) -> int:
    """Have NEW host a replica in the place of OLD, which is gone for good, and wait until that is done.

    Only groups of raft can do it, as who made it or an admin.  The group goes on meanwhile.  OLD and NEW are the same
    if that agent is here and has lost its files.  Named anew, with another NEW, the one before is given up.
    """
    wait_s = patience(given)
    agent = acting(given["agent"])
    told = do(store, lambda session: session.replica_group(id).replace(old, new, agent=agent, timeout_s=wait_s))
    return _show(told, as_json=as_json, code=_code_of(told))


@replicas.command(short_help="Dismiss a group.")
@click.argument("id")
@click.option("--reason", default="", metavar="TEXT", help="Why.")
@click.option("--force", is_flag=True, help="Also while it keeps what is not over, which nobody can decide any more.")
@as_option
@store_option
@json_option
def end(id: str, agent: str | None, store: str | None, as_json: bool, **given: Any) -> int:
    """Dismiss a group, as who made it or an admin: its replicas end, and their files are removed.

    What it has kept stays in the coordinator's log.  While decisions or agreements are open there, or it keeps logs,
    it is refused without --force.
    """
    reason, force, who = given["reason"], given["force"], acting(agent)
    told = do(store, lambda session: session.replica_group(id).end(reason, force=force, agent=who))
    return _show(told, as_json=as_json, code=OK)


@replicas.command(short_help="Write the description of a group, as JSON.")
@click.argument("id")
@store_option
@json_option
def describe(id: str, store: str | None, as_json: bool) -> int:  # noqa: ARG001
    """Write the description of a group, by which `--group-file` reaches it without a coordinator.

    It is JSON with --json and without.
    """
    told: ReplicaGroupResult = do(store, lambda session: session.replica_group(id).get())
    if told.group is None:
        raise NotFound(f"group {id} is not ready yet; wait for it: concerted replicas wait {id}")
    write_json(told.group)
    return OK


@replicas.command(short_help="Ask each replica how it stands.")
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def status(file: Path, as_json: bool) -> int:
    """Ask each replica of a described group how it stands; no coordinator is needed.

    The exit code is 0 only if a majority answers and one of them leads.
    """
    group = _read(file)
    for warning in warnings_of(group):
        show_note(warning)
    told = asyncio.run(_ask_all(group))
    here = [each for each in told.values() if each is not None]
    if as_json:
        write_json({"group": group.id, "replicas": here})
    else:
        write_table(
            ("replica", "beside", "state", "term", "applied"),
            [_row(group, node, each) for node, each in told.items()],
        )
    led = any(each.leader == each.node for each in here)
    enough = group.members_count - tolerates(group.algorithm, group.members_count)
    return OK if led and len(here) >= enough else FAILED


@replicas.command(short_help="Be a replica, until stopped.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("node", type=click.IntRange(1))
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
def run(file: Path, node: int, folder: Path, as_json: bool) -> int:
    """Be replica NODE of the group that FILE describes, until stopped; its log is kept in FOLDER.

    All replicas of a group, and its clients, are given the same FILE.
    """
    group = _read(file)
    for warning in warnings_of(group):
        show_note(warning)
    if as_json:
        write_json({"group": group.id, "node": node, "address": group.address(node)})
    show_note(f"replica {node} of {group.id} listens at {group.address(node)}; Ctrl-C stops it")
    asyncio.run(run_replica(group, node, folder, stay=True))
    return OK


replicas.add_command(list_of("replica_group", "groups of replicas"))


def _read(file: Path) -> Group:
    try:
        return read_group(file.read_bytes())
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error


async def _ask_all(group: Group) -> dict[int, Status | None]:
    client = GroupClient(group)

    async def ask(node: int) -> Status | None:
        try:
            return await client.status(node, timeout_s=STATUS_S)
        except TimedOut:
            return None

    nodes = sorted(group.replicas)
    try:
        return dict(zip(nodes, await asyncio.gather(*(ask(node) for node in nodes)), strict=True))
    finally:
        await client.close()


def _row(group: Group, node: int, told: Status | None) -> tuple[Any, ...]:
    beside = group.hosts.get(node)
    if told is None:
        return node, beside, "does not answer", None, None
    leads = "leads" if told.leader == node else "follows" if told.leader else "knows of no leader"
    return node, beside, leads, told.term, told.applied


def _survives(told: ReplicaGroupResult) -> str:
    if told.algorithm == "pbft":
        return f"it survives {told.tolerates} that are lost, or lie"
    return f"it survives the loss of {told.tolerates or 'none'}, and no lies"


def _code_of(told: ReplicaGroupResult) -> int:
    """Return the exit code of a replacement that was waited for."""
    if told.status != "ready" or (told.replacement is not None and told.replacement.refusal):
        return FAILED
    return OK if told.replacement is None else TIMED_OUT


def _show(told: ReplicaGroupResult, *, as_json: bool, code: int | None = None) -> int:
    """Write how a group stands; return the exit code."""
    if as_json:
        write_json(told)
    else:
        leader = f"; {told.leader} leads term {told.term}" if told.leader else ""
        click.echo(
            f"{told.id} {told.status}: {told.algorithm} beside {', '.join(told.hosts)}{leader}; "
            f"{_survives(told)}; it keeps {told.objects_count}; "
            f"{ago(time.time() - told.created_at)} old"
        )
        if told.replacement is not None:
            swap = told.replacement
            click.echo(swap.refusal or f"a replica beside {swap.new} is to take the place of that beside {swap.old}")
        if told.silent:
            click.echo(f"no answer from the replicas beside {', '.join(told.silent)}")
        if told.apart:
            click.echo(f"cut off, or in an election: those beside {', '.join(told.apart)}")
        if told.stalled_at is not None:
            click.echo(f"too few are left to decide anything, since {ago(time.time() - told.stalled_at)}")
        if told.lost_agents:
            click.echo(f"gone: {', '.join(told.lost_agents)}")
        for name in told.objects:
            click.echo(f"  {name}")
        if told.reason:
            click.echo(told.reason)
    for warning in told.warnings:
        show_note(warning)
    if code is not None:
        return code
    return OK if told.status == "ready" else TIMED_OUT if told.status == "forming" else FAILED
