"""`concerted principal`: who may give commands, and the tokens that prove it."""

from __future__ import annotations

import time
from typing import get_args

import click
import msgspec

from concerted.cli.exits import OK
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json, write_table
from concerted.cli.primitives import give
from concerted.ports.access import AddPrincipal, PrincipalAdded, Principals, PrincipalView, RevokePrincipal
from concerted.ports.commands import Role

__all__ = ["principal"]


@click.group(short_help="Look after who may give commands.")
def principal() -> None:
    """Look after who may give commands.

    As long as no principal is an admin, whoever can open the store's file or socket is one.  From then on
    a command without a token may only look; the token is shown in CONCERTED_TOKEN.
    """


@principal.command(short_help="Let somebody give commands, and print the token.")
@click.argument("name")
@click.option("--role", type=click.Choice(get_args(Role)), default="agent", show_default=True, help="What it may do.")
@store_option
@json_option
def add(name: str, role: Role, store: str | None, as_json: bool) -> int:
    """Let somebody give commands, and print the token that proves who it is.

    It is printed this once: the store keeps only its hash.  The same NAME again gets a new token, and the
    one before is void.
    """
    added: PrincipalAdded = give(store, AddPrincipal(name=name, as_role=role))
    if as_json:
        write_json(msgspec.to_builtins(added))
    else:
        click.echo(added.token)
    return OK


@principal.command(short_help="Take somebody's token back.")
@click.argument("name")
@store_option
@json_option
def revoke(name: str, store: str | None, as_json: bool) -> int:
    """Take somebody's token back, at once and also from open connections."""
    view: PrincipalView = give(store, RevokePrincipal(name=name))
    if as_json:
        write_json(msgspec.to_builtins(view))
    else:
        click.echo(f"the token of {view.name} is void")
    return OK


@principal.command("list", short_help="List who may give commands.")
@store_option
@json_option
def list_principals(store: str | None, as_json: bool) -> int:
    """List who may give commands."""
    views: list[PrincipalView] = give(store, Principals())
    if as_json:
        write_json({"principals": msgspec.to_builtins(views)})
    else:
        now = time.time()
        rows = [
            (one.name, one.role, ago(now - one.created_at), "" if one.revoked_at is None else ago(now - one.revoked_at))
            for one in views
        ]
        write_table(("name", "role", "for", "revoked since"), rows)
    return OK
