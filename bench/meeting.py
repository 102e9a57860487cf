"""Meeting, and holding things: barriers, locks, sync points, beside asyncio, Redis, etcd and ZooKeeper.

    python bench/meeting.py [turns] [--json FILE]

128 workers of one process meet and take turns; every system uses its own client library, and each step is answered
only when it is as durable as that system makes it.  The servers are started here (`beside/servers.py`).  PostgreSQL is
that of $CONCERTED_POSTGRES, or the one on this machine; a database is made in it and dropped afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from beside.comparing import BUILD, REPEATS, Contestant, compete, in_words, machine
from beside.servers import Server, etcd, redis, zookeeper
from beside.workers import PARTIES, WAITERS
from peers import ETCD, REDIS, ZOOKEEPER, Peer

HEADS = ("lowest to highest", "CPU", "CPU of the server")
WORK = ("barrier", "locks", "hand-off")
SIZES = (10, 1_000, 100_000)
POSTGRES = os.environ.get("CONCERTED_POSTGRES") or "postgresql://postgres@127.0.0.1:5432/postgres"


def main() -> None:
    """Print the tables; with `--json`, write all figures to a file as well."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("turns", nargs="?", type=int, default=REPEATS)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    print(f"Measured {machine(given.turns)}.")
    BUILD.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=BUILD)))
        url, missing = stack.enter_context(database())
        peers = others(stack, folder)
        sqlite, postgres = ours("SQLite, `synchronous = FULL`", "sqlite"), ours("PostgreSQL", url, missing)
        compete([sqlite, postgres, *peers], given.turns)
    everybody = [sqlite, postgres, *peers]
    table(f"A barrier of {PARTIES} parties, all arriving at once", "barrier", everybody)
    table(f"A lock that nobody else wants, taken and released by each of {PARTIES} workers", "locks", everybody)
    table(f"A lock that {WAITERS} workers want, handed over from one to the next", "hand-off", everybody)
    ourselves(sqlite, postgres)
    if given.json:
        given.json.write_text(json.dumps({one.name: one.lines for one in everybody}, indent=1))
    print(f"\nLoad {os.getloadavg()[0]:.1f} at the end.")


def ours(name: str, url: str, missing: str = "") -> Contestant:
    """Let us measure everything on this store."""
    more = [f"scale {size}" for size in SIZES] if url == "sqlite" else []
    wants = [url, *WORK, "memory locks", "woken", *(f"socket {what}" for what in WORK if url == "sqlite"), *more]
    return Contestant(f"**concerted**, {name}", sys.executable, "with_concerted_meeting.py", wants, missing)


def others(stack: ExitStack, folder: Path) -> list[Contestant]:
    """Start the servers, and let everybody measure the same work."""
    everysec = stack.enter_context(Server("redis everysec", folder, partial(redis, fsync="everysec")))
    always = stack.enter_context(Server("redis always", folder, partial(redis, fsync="always")))
    found = [Contestant("asyncio, in memory", sys.executable, "with_asyncio_meeting.py", WORK)]
    for how, note in (("calls", ""), ("pipeline", ", calls gathered into pipelines by hand")):
        for server, fsync in ((everysec, "synced every second, as is usual"), (always, "synced always")):
            found.append(beside(REDIS, server, f"Redis, {fsync}{note}", how))
    found.append(beside(ETCD, stack.enter_context(Server("etcd", folder, etcd)), "etcd"))
    found.append(beside(ZOOKEEPER, stack.enter_context(Server("zookeeper", folder, zookeeper)), "ZooKeeper"))
    return found


def beside(peer: Peer, server: Server, name: str, *how: str) -> Contestant:
    """Let a client measure against its server."""
    wants = [*how, str(server.port), str(server.process), *WORK]
    return Contestant(f"{name} ({peer.name})", peer.python, peer.script, wants, server.missing or peer.missing())


@contextmanager
def database() -> Iterator[tuple[str, str]]:
    """Make a database of our own, and drop it in the end; yields its URL, and why there is none."""
    import psycopg

    name = f"concerted_bench_{os.getpid()}_{secrets.token_hex(3)}"
    try:
        connection = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        yield "", f"no PostgreSQL: {error}"
        return
    with connection:
        connection.execute(f"create database {name} encoding 'UTF8' template template0")
        yield urlunsplit(urlsplit(POSTGRES)._replace(path=f"/{name}")), ""
        connection.execute(f"drop database {name} with (force)")


def table(title: str, what: str, contestants: Sequence[Contestant]) -> None:
    """Print one comparison as Markdown; the first one, ourselves, is what the others are divided by."""
    heads = ["", "pairs/s" if what == "locks" else "median", *HEADS, "ours = 1"]
    print(f"\n{title}\n\n| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 1)}|")
    base = contestants[0].median(what, "median_s")
    for one in contestants:
        middle = one.median(what, "median_s")
        ratio = "" if base is None or middle is None else f"{middle / base:.3g}"
        print(f"| {one.name} | {' | '.join([*cells(one, what), ratio])} |")
    sys.stdout.flush()


def ourselves(sqlite: Contestant, postgres: Contestant) -> None:
    """Print what only we are measured at."""
    heads = ["", "median, or pairs/s", *HEADS]
    print(f"\nOurselves, further\n\n| {' | '.join(heads)} |\n|---{'|---:' * (len(heads) - 1)}|")
    for name, who, what in (
        ("a barrier, all parties in another process than the owner", sqlite, "socket barrier"),
        ("a lock that nobody else wants, likewise", sqlite, "socket locks"),
        ("a lock handed over, likewise", sqlite, "socket hand-off"),
        ("leases with `durable=False`, SQLite", sqlite, "memory locks"),
        ("leases with `durable=False`, PostgreSQL", postgres, "memory locks"),
        ("a waiter in another process woken, SQLite", sqlite, "woken"),
        ("a waiter on another node woken, PostgreSQL", postgres, "woken"),
    ):
        print(f"| {name} | {' | '.join(cells(who, what))} |")
    print("\nArrivals at a sync point, ten at once; and, of the one that completes it, the share of each who is told\n")
    heads = ["participants", "CPU per arrival", "lowest to highest", "10 = 1", "CPU to tell one"]
    print(f"| {' | '.join(heads)} |\n|{'---:|' * len(heads)}")
    base = sqlite.median(f"scale {SIZES[0]}", "cpu_s")
    for size in SIZES:
        found = [line["cpu_s"] for line in sqlite.lines.get(f"scale {size}", ())]
        if not found or not base:
            print(f"| {size:,} | not measured: {sqlite.missing} |")
            continue
        middle = statistics.median(found)
        spread = f"{in_words(min(found))} to {in_words(max(found))}"
        told = in_words(sqlite.median(f"scale {size}", "told_s") or 0.0)
        print(f"| {size:,} | {in_words(middle)} | {spread} | {middle / base:.3g} | {told} |")


def cells(who: Contestant, what: str) -> list[str]:
    """Return one measurement as a line of a table has it: the middle, the range, CPU here and at the server."""
    middle = who.median(what, "median_s")
    if middle is None:
        return [f"not measured: {who.missing or 'it has no such thing'}"]
    found = sorted(line["median_s"] for line in who.lines[what])
    show = in_words
    if what.endswith("locks"):
        show, found = per_second, found[::-1]
    server = who.median(what, "server_s")
    return [
        show(middle),
        f"{show(found[0])} to {show(found[-1])}",
        in_words(who.median(what, "cpu_s") or 0.0),
        in_words(server) if server else "",
    ]


def per_second(seconds: float) -> str:
    """Write how many of it there are in a second."""
    return f"{1 / seconds:,.0f}"


if __name__ == "__main__":
    main()
