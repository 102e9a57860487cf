"""How the log of a decision, an agreement or a log is kept, as options of whatever opens one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from concerted.cli.primitives import names

__all__ = ["kept_as", "kept_options"]


def kept_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--algorithm NAME`, `--group ID` and `--replicas A,B,C`."""
    for option in (
        click.option("--replicas", type=names, default=(), metavar="A,B,C", help="Beside which agents it is kept."),
        click.option("--group", metavar="ID", help="Which group of replicas keeps it; by default one that is there."),
        click.option(
            "--algorithm", metavar="NAME",
            help="How the log is kept: by the store (the default), or by replicas: raft, paxos, pbft.",
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def kept_as(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what these options say, as the calls of the library take it."""
    return {"algorithm": given["algorithm"], "group": given["group"], "replicas": tuple(given["replicas"])}
