"""The action of a barrier: a command line that the elected party runs, and whose output is the result for all."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from concerted.cli.holding.lease_command import check_command
from concerted.errors import Invalid, Unreachable
from concerted.links.spawn import READ_BYTES, Tail, spawn

__all__ = ["run_action", "words_of"]

OUTPUT_BYTES = 1 << 16  # the most that an action may print: it is in everybody's result
ERROR_BYTES = 4096
STOP_S = 2.0  # between TERM and KILL


def words_of(line: str | None) -> tuple[str, ...]:
    """Take a command line apart; no shell reads it.

    Raises:
        Invalid: it is empty, a quote is never closed, or there is no such program.
    """
    if line is None:
        return ()
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise Invalid(f"--action {line!r} is no command line: {error}") from error
    if not words:
        raise Invalid("--action is empty; it is a command line, as in --action 'make merge'")
    check_command(words)
    return words


async def run_action(words: Sequence[str], facts: Mapping[str, str], within_s: float | None) -> tuple[Any, str | None]:
    """Run it; return its output (as JSON if it is JSON, else as a text) and None, or None and why it has failed.

    facts: what its environment has besides ours.
    """
    if not words:
        return None, "the elected party was given no --action"
    try:
        program = await spawn(words, {**os.environ, **facts})
    except Unreachable as error:
        return None, error.message
    output, errors = Tail(OUTPUT_BYTES), Tail(ERROR_BYTES)
    program.stdin.close()
    reading = asyncio.gather(_read(program.stdout, output, shown=False), _read(program.stderr, errors, shown=True))
    try:
        async with asyncio.timeout(within_s):
            code = await asyncio.shield(program.ended)
            await reading
    except TimeoutError:
        return None, f"{words[0]} was not done in time"
    finally:
        await program.stop(STOP_S)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        program.close()
    if code != 0:
        last = errors.text().strip().splitlines()[-1:]
        return None, f"{words[0]} ended with exit code {code}{f': {last[0]}' if last else ''}"
    return _value(output.text()), None


async def _read(stream: asyncio.StreamReader, tail: Tail, *, shown: bool) -> None:
    while data := await stream.read(READ_BYTES):
        tail.add(data)
        if shown:
            click.echo(data, err=True, nl=False)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text.strip() or None
