"""PySyncObj: a replica that counts commands.

    with_pysyncobj.py INDEX ADDRESS,ADDRESS,... FOLDER ELECTION_TIMEOUT_S [journal]

With `journal` its log is a file, which it writes through memory and never syncs; without, it is in memory alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from pysyncobj import FAIL_REASON, SyncObj, SyncObjConf, replicated
from replicating import serve

PERIOD_S = 0.01  # how often it sends; with its default, 0.1, a single command takes that long


class Counter(SyncObj):
    """What is replicated."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.count = 0

    @replicated
    def put(self, _command: bytes) -> None:
        """Count a command."""
        self.count += 1


class Node:
    """One replica."""

    def __init__(self, index: int, addresses: list[str], folder: str, timeout_s: float, *words: str) -> None:
        others = [address for place, address in enumerate(addresses) if place != index]
        settings = {"raftMinTimeout": timeout_s, "raftMaxTimeout": 2 * timeout_s, "appendEntriesPeriod": PERIOD_S}
        if "journal" in words:
            settings["journalFile"] = f"{folder}/journal-{index}"
        self.addresses = addresses
        self.counter = Counter(addresses[index], others, SyncObjConf(**settings))

    def leader(self) -> int | None:
        """Return who leads."""
        leader = self.counter._getLeader()
        return None if leader is None or not self.counter.isReady() else self.addresses.index(leader.id)

    def applied(self) -> int:
        """Return how many commands were counted here."""
        return self.counter.count

    def propose(self, command: bytes, told: Callable[[bool], None]) -> None:
        """Propose a command."""
        self.counter.put(command, callback=lambda _result, error: told(error == FAIL_REASON.SUCCESS))


if __name__ == "__main__":
    serve(Node(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], float(sys.argv[4]), *sys.argv[5:]))
