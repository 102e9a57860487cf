"""A replica as a program: `python -m concerted.replicas.process GROUP.json NODE FOLDER`.

It says `ready` on one line when it listens, and ends at SIGTERM, when its standard input is closed (so it does not
outlive whoever has started it; `--stay` leaves that out), or when its disk fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from concerted.errors import ConcertedError, Conflict, Invalid
from concerted.replicas.replica import COMPACT_ENTRIES
from concerted.replicas.server import Server
from concerted.replicas.spec import PREPARED, Group, read_group

__all__ = ["main", "run_replica"]

TAKEOVER_S = 5.0  # how long a process that was this replica may take to end
AGAIN_S = 0.05


async def run_replica(
    group: Group, node: int, folder: Path, *, stay: bool, compact_entries: int = COMPACT_ENTRIES
) -> None:
    """Be a replica until it is told to stop.  stay: also when standard input is closed.

    Raises:
        ConcertedError: it cannot begin, or cannot go on.
        OSError: whoever has started it is gone already.
    """
    server = Server(group, node, folder, compact_entries=compact_entries)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, server.stopped.set)
    await _open(server, 0.0 if stay else TAKEOVER_S)
    try:
        (folder / f"{node}{PREPARED}").unlink(missing_ok=True)  # it has a file now, and never begins with none again
        if not stay:
            _watch_input(server)
        os.write(sys.stdout.fileno(), b"ready\n")
        await server.stopped.wait()
    finally:
        await server.close()
    if server.error is not None:
        raise server.error


async def _open(server: Server, patience_s: float) -> None:
    """Open it, when the process before it is gone: whoever has started that one may have been killed just now.

    Raises:
        ConcertedError: it cannot begin.
    """
    until = time.monotonic() + patience_s
    while True:
        try:
            await server.open()
        except Conflict:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            return


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m concerted.replicas.process", description=__doc__)
    parser.add_argument("group", type=Path, help="the group's description, as JSON")
    parser.add_argument("node", type=int, help="which of its replicas this is")
    parser.add_argument("folder", type=Path, help="where its log is kept")
    parser.add_argument("--stay", action="store_true", help="go on when standard input is closed")
    parser.add_argument(
        "--compact-entries",
        type=int,
        default=COMPACT_ENTRIES,
        metavar="N",
        help="how many entries its log has, at least, when a snapshot takes their place (%(default)s)",
    )
    asked = parser.parse_args(arguments)
    try:
        asyncio.run(_run(asked))
    except (ConcertedError, OSError) as error:
        os.write(sys.stderr.fileno(), f"replica {asked.node}: {error}\n".encode())
        return 1
    return 0


async def _run(asked: argparse.Namespace) -> None:
    group = read_group(asked.group.read_bytes())
    await run_replica(group, asked.node, asked.folder, stay=asked.stay, compact_entries=asked.compact_entries)


def _watch_input(server: Server) -> None:
    """Stop the server when standard input is closed.

    Raises:
        Invalid: it is nothing that somebody could close.
    """
    try:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _read_input, server)
    except PermissionError:
        raise Invalid(
            "standard input is a file, which nobody closes: give a pipe, or --stay to go on without it"
        ) from None


def _read_input(server: Server) -> None:
    with contextlib.suppress(OSError):
        if os.read(sys.stdin.fileno(), 4096):
            return
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    server.stopped.set()


if __name__ == "__main__":
    sys.exit(main())
