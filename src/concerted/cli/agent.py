"""`concerted agent`: one agent in a process of its own, that joins whoever coordinates on a store."""

from __future__ import annotations

import os

import click
import msgspec

from concerted.agent.addresses import is_shared, shown_url
from concerted.agent.serve import ServiceLimits
from concerted.cli.exits import OK
from concerted.cli.options import json_option, prepare_folder, store_option, url_or_default
from concerted.cli.output import write_json
from concerted.links.open import agent_from, load_object
from concerted.values import AgentId, Profile

__all__ = ["agent"]


@click.command(short_help="Serve as an agent of a store, until stopped.")
@click.argument("reference", metavar="MODULE:OBJECT")
@click.option("--id", "agent_id", metavar="ID", help="The agent's id; by default its own, or the function's name.")
@click.option("--inbox", metavar="FILE", help="Where it keeps what it has done; by default, the store says.")
@click.option(
    "--patience",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to look for an owner, or a node; by default for ever.",
)
@store_option
@json_option
def agent(
    reference: str, agent_id: str | None, inbox: str | None, patience: float | None, store: str | None, as_json: bool
) -> int:  # fmt: skip
    """Serve as an agent of a store, until stopped.

    MODULE:OBJECT is an Agent, a function that returns one, or a function that does a task.  The agent waits
    until somebody owns the store, joins, and joins again whenever the owner changes; on PostgreSQL it serves
    all nodes of this machine.  A keyed command that it has done once it answers from its inbox.  It leaves
    in order at Ctrl-C and SIGTERM.
    """
    url = url_or_default(store)
    prepare_folder(url)
    found = agent_from(load_object(reference), Profile(id=AgentId(agent_id)) if agent_id else None)
    limits = msgspec.structs.replace(ServiceLimits(), patience_s=patience)
    found.run(url, inbox=inbox and os.path.abspath(inbox), limits=limits)
    if as_json:
        write_json({"id": found.profile.id, "store": shown_url(url) if is_shared(url) else url})
    return OK
