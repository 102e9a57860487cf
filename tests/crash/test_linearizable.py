"""Leases, elections and compare-and-swap among three processes are linearizable, whatever befalls these.

They are killed, stopped for longer than the leases live, and their wall clocks jump; what each asked and was told
stands in a file of its own (history_worker.py), and the checker of `concerted.testing` looks for one order that
explains it all.  On PostgreSQL each process is a coordinator, on SQLite one is and the others are its clients.
That the checker finds what is wrong is shown with a store that answers before it commits.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from concerted.stores.ownership import owner_of
from concerted.testing import History, Verdict, check_linearizable, models

WORKER = Path(__file__).with_name("history_worker.py")
FULL = os.environ.get("CONCERTED_HAMMER") == "full"
EACH = 15 if FULL else 4
NODES = 3
TTL_S = 1.0  # of the leases, as history_worker.py says
BETWEEN = 25  # operations from one fault to the next
WITHIN_S = 900.0 if FULL else 240.0
MODELS: dict[str, Any] = {
    "lease": models.Lease(),
    "election": models.Election(),
    "value": models.VersionedRegister(None, 0),
}


def test_what_three_processes_on_one_sqlite_file_are_told_is_linearizable(tmp_path: Path) -> None:
    with nodes(f"sqlite:///{tmp_path}/x.db", tmp_path) as crew:
        crew.suffer("kill", "stop", "jump")
    assert_linearizable(crew)


def test_what_three_coordinators_on_one_postgresql_are_told_is_linearizable(
    tmp_path: Path, postgres: Callable[[], str]
) -> None:
    with nodes(postgres(), tmp_path) as crew:
        crew.suffer("kill", "stop", "jump")
    assert_linearizable(crew)


def test_a_store_that_answers_before_it_commits_is_found_out(tmp_path: Path) -> None:
    with nodes(f"sqlite:///{tmp_path}/x.db", tmp_path, "hasty") as crew:
        crew.aim = 1.0
        crew.suffer("kill")
    verdicts = checked(crew)
    found = [violation for verdict in verdicts.values() for violation in verdict.violations]
    assert found, "answers were lost, and nobody has noticed"


class Crew:
    """Three processes.  aim: how often a fault meets the one that owns the store, where one does."""

    def __init__(self, url: str, folder: Path, *words: str) -> None:
        self.folder = folder
        self.aim = 0.5
        self.faults = dict.fromkeys(("kill", "stop", "jump"), 0)
        self._command = [sys.executable, str(WORKER), url, str(folder)]
        self._words = words
        self._dice = random.Random(5)
        self._lives = [0] * NODES
        self._until = time.monotonic() + WITHIN_S
        self.processes: list[subprocess.Popen[bytes]] = [self._start(node) for node in range(NODES)]

    def suffer(self, *kinds: str) -> None:
        """Let faults come, each when all are at work again, and at last let everybody end in peace."""
        faults = [kind for kind in kinds for _ in range(EACH)]
        self._dice.shuffle(faults)
        for fault in faults:
            self._let_all_work()
            self._befall(fault, self._victim())
            self.faults[fault] += 1
        self._let_all_work()
        (self.folder / "over").touch()
        for process in self.processes:
            assert process.wait(max(1.0, self._until - time.monotonic())) == 0

    def _befall(self, fault: str, node: int) -> None:
        process = self.processes[node]
        if fault == "kill":
            process.kill()
            process.wait()
            time.sleep(self._dice.choice((0.0, 1.5 * TTL_S)))
            self.processes[node] = self._start(node)
        elif fault == "stop":
            process.send_signal(signal.SIGSTOP)
            time.sleep(self._dice.uniform(1.2, 2.0) * TTL_S)
            process.send_signal(signal.SIGCONT)
        else:
            process.send_signal(signal.SIGUSR1)

    def _victim(self) -> int:
        """Choose a process."""
        owner = owner_of(self.folder / "x.db").get("pid")
        owners = [node for node, process in enumerate(self.processes) if process.pid == owner]
        return self._dice.choice(owners if owners and self._dice.random() < self.aim else range(NODES))

    def _let_all_work(self) -> None:
        before = self._done()
        while not all(now >= then + BETWEEN for now, then in zip(self._done(), before, strict=True)):
            assert time.monotonic() < self._until, f"nobody gets on: {self._done()} after {before}"
            assert all(process.poll() is None for process in self.processes), "a process has failed; see above"
            time.sleep(0.02)

    def _done(self) -> list[int]:
        """Count the operations that each process has ended."""
        return [
            sum(path.read_bytes().count(b'"returned"') for path in self.folder.glob(f"n{node}-*.jsonl"))
            for node in range(NODES)
        ]

    def _start(self, node: int) -> "subprocess.Popen[bytes]":
        self._lives[node] += 1
        return subprocess.Popen([*self._command, f"n{node}-{self._lives[node]}", *self._words])


@contextmanager
def nodes(url: str, folder: Path, *words: str) -> Iterator[Crew]:
    crew = Crew(url, folder, *words)
    try:
        yield crew
    finally:
        for process in crew.processes:
            process.kill()
            process.wait()


def checked(crew: Crew) -> dict[str, Verdict]:
    """Check what was recorded, kind by kind."""
    history = History.load(crew.folder.glob("*.jsonl"))
    return {kind: check_linearizable(history.about(kind), model) for kind, model in MODELS.items()}


def assert_linearizable(crew: Crew) -> None:
    verdicts = checked(crew)
    for verdict in verdicts.values():
        assert verdict.valid, str(verdict)
    counts = {kind: verdict.operation_count for kind, verdict in verdicts.items()}
    unknown = sum(not each.is_known for each in History.load(crew.folder.glob("*.jsonl")).operations)
    assert all(count > 50 for count in counts.values()), f"too little has been asked to say anything: {counts}"
    print(f"{counts} operations, {unknown} of unknown outcome; {crew.faults}")
