"""`concerted config`: every setting, its value, and where it came from."""

from __future__ import annotations

import os

import click
from click.core import ParameterSource

from concerted.cli.exits import OK
from concerted.cli.options import json_option, store_option, url_or_default
from concerted.cli.output import write_json, write_table
from concerted.cli.plans import read_text
from concerted.config.listing import flatten
from concerted.config.loader import Loaded, load
from concerted.config.plan import load_plan
from concerted.config.settings import Settings
from concerted.strategies import choose

__all__ = ["config"]


@click.command(short_help="Show every setting and where it came from.")
@click.argument("file", metavar="[PLAN]", required=False)
@store_option
@json_option
def config(file: str | None, store: str | None, as_json: bool) -> int:
    """Show every setting and where it came from.

    PLAN is a plan or a configuration file; without it, only defaults and environment variables count.
    With --json: one object, key -> {value, origin}; values as they would be written in a file.
    """
    loaded = _load(file)
    values, origins = flatten(loaded.value), dict(loaded.origins)
    if store is not None or loaded.value.store.url is None:
        values["store.url"] = url_or_default(store)
        origins["store.url"] = _where_from() if store else "default"
    if as_json:
        write_json({key: {"value": value, "origin": origins[key]} for key, value in values.items()})
    else:
        write_table(("key", "value", "origin"), [(key, value, origins[key]) for key, value in values.items()])
    return OK


def _where_from() -> str:
    source = click.get_current_context().get_parameter_source("store")
    return "env CONCERTED_STORE" if source is ParameterSource.ENVIRONMENT else "--store"


def _load(file: str | None) -> Loaded[Settings]:
    text, name = ("", "(no file)") if file is None else (read_text(file), file)
    if not any(line.startswith(("plan:", "agents:", "tasks:")) for line in text.splitlines()):
        return load(text, name, Settings, env=os.environ)
    plan = load_plan(text, name, strategies=choose.names(), env=os.environ)
    return Loaded(Settings(coordination=plan.coordination, store=plan.store), plan.origins)
