"""The floor of whatever is durable: rows of the same size in bare SQLite, WAL, `synchronous = FULL`.

    with_sqlite.py NAME TIMES ROWS COMMITS [NAME TIMES ROWS COMMITS ...]

One operation is ROWS rows in COMMITS transactions: no event loop, no numbering, no fences, no tables beside the log.
"""

from __future__ import annotations

import sqlite3
import sys

from measuring import measured

DATA = b'{"status":"ok","value":{"cost":12.5,"estimated_duration_s":60.0,"quality_score":0.9}}'


def main(wanted: list[str]) -> None:
    """Measure each NAME, TIMES times."""
    log = sqlite3.connect("floor.db", isolation_level=None)
    log.execute("pragma journal_mode = wal")
    log.execute("pragma synchronous = full")
    log.execute("create table log(seq integer primary key, stream, stream_seq, at, kind, agent, ref, data, lamport)")
    log.execute("create unique index log_stream on log(stream, stream_seq)")
    for name, times, rows, commits in zip(*(wanted[place::4] for place in range(4)), strict=True):
        with measured(name, int(times)):
            for number in range(int(times)):
                write(log, f"run:{name}-{number}", int(rows), int(commits))
    log.close()


def write(log: sqlite3.Connection, stream: str, rows: int, commits: int) -> None:
    """Write one operation's rows, spread evenly over its commits."""
    for turn in range(commits):
        log.execute("begin immediate")
        log.executemany(
            "insert into log values (null, ?, ?, ?, ?, ?, ?, ?, ?)",
            [(stream, n, 2.0, "reply.received", "agent-017", "7", DATA, 0) for n in range(turn, rows, commits)],
        )
        log.execute("commit")


if __name__ == "__main__":
    main(sys.argv[1:])
