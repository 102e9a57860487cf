"""Options that many commands have, and where the store is when nobody says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from concerted.errors import NotAllowed

__all__ = ["DEFAULT_STORE", "json_option", "prepare_folder", "store_option", "url_or_default"]

DEFAULT_STORE = "sqlite:///.concerted/store.db"

Function = Callable[..., Any]


def store_option(function: Function) -> Function:
    """Add `--store URL`."""
    return click.option(
        "--store",
        metavar="URL",
        envvar="CONCERTED_STORE",
        help=f"Where the log is kept; by default $CONCERTED_STORE or {DEFAULT_STORE}, below the current folder.",
    )(function)


def json_option(function: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result, or the error, as JSON.")(function)


def url_or_default(url: str | None) -> str:
    """Return the URL that was given, or that of the store of the current folder."""
    return url or DEFAULT_STORE


def prepare_folder(url: str) -> None:
    """Make the folder of the default store; any other folder is for people to make.

    Raises:
        NotAllowed: the current folder is read-only.
    """
    if url != DEFAULT_STORE:
        return
    folder = Path(url.removeprefix("sqlite:///")).parent
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError), (folder / ".gitignore").open("x") as file:
            file.write("*\n")
    except OSError as error:
        raise NotAllowed(
            f"{folder} cannot be made here ({error.strerror}); say where the store is: --store URL"
        ) from error
