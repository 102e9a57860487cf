"""`concerted demo` as people call it, with fewer workers and tasks: real processes, killed for real."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted.cli.demo.audit import audit_files, find_tasks, merge, stdlib

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds its processes in /proc")

TASKS = 30
PATIENCE_S = 120.0  # who takes so long never ends
MARK = "CONCERTED_DEMO_TEST"


@dataclass
class Stage:
    """Where a demo is played.  folder: holds its temporary files.  mark: what its processes have in common."""

    folder: Path
    mark: str

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start a demo that is soon over; options that are given twice count the second time."""
        few = ["--workers", "6", "--kills", "2", "--tasks", str(TASKS)]
        words = [sys.executable, "-m", "concerted", "demo", *few]
        return subprocess.Popen(
            [*words, *options],
            env={**os.environ, "TMPDIR": str(self.folder), MARK: self.mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self) -> list[str]:
        """Return the command lines of all processes that this demo has started and that still live."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended meanwhile, or is another user's
        return found

    def wait_for_none(self) -> None:
        """Wait for the last process to end."""
        until = time.monotonic() + PATIENCE_S
        while left := self.processes():
            assert time.monotonic() < until, f"still there: {left}"
            time.sleep(0.05)


@pytest.fixture
def stage() -> Iterator[Stage]:
    # Not tmp_path: its name is too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="cd-"))
    yield Stage(folder, uuid.uuid4().hex)
    shutil.rmtree(folder)


def test_everything_is_accepted_once_whatever_is_killed_and_dropped(stage: Stage) -> None:
    demo = stage.start("--json", "--keep")
    out, told = demo.communicate(timeout=PATIENCE_S)

    assert demo.returncode == 0, told
    assert stage.processes() == []
    said = json.loads(out)
    assert said["status"] == "completed"
    assert len(said["workers_killed"]) == 2
    assert said["coordinators_killed"] == 1
    assert 0.1 < said["messages"]["dropped"] / said["messages"]["sent"] < 0.3
    assert said["messages"]["delivered_again"] > 0
    check_ledger(said["ledger"], Path(said["store"].removeprefix("sqlite:///")))
    check_report(said["report"])
    assert said["store"] in told
    assert "killing the coordinator" in told


def check_ledger(ledger: dict[str, Any], store: Path) -> None:
    """Compare with what plain SQL says of the same file."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as db:
        kinds = Counter(dict(db.execute("select kind, count(*) from log group by kind").fetchall()))
        done = dict(db.execute("select ref, count(*) from log where kind = 'task.done' group by ref").fetchall())
        (entries, last) = db.execute("select count(*), max(seq) from log").fetchone()
        (takeover,) = db.execute("select min(seq) from log where kind = 'run.resumed'").fetchone()
        at = dict(db.execute("select seq, at from log where seq in (?, ?)", (takeover - 1, takeover)).fetchall())
    db.close()
    assert set(done) == {task.id for task in find_tasks(stdlib(), TASKS)}
    assert set(done.values()) == {1}
    assert ledger["tasks"] == ledger["accepted_once"] == TASKS + 1
    assert ledger["lost"] == ledger["accepted_twice"] == 0
    assert ledger["entries"] == entries == last
    assert ledger["claims"] == kinds["task.claimed"]
    assert ledger["awarded_again"] == kinds["task.claimed"] - TASKS - 1
    assert sum(ledger["released"].values()) == kinds["task.released"]
    assert ledger["repeats_refused"] + ledger["late_answers"] == kinds["result.refused"] + kinds["reply.late"]
    assert ledger["workers_lost"] == kinds["participant.lost"]
    assert ledger["coordinator_epochs"] == 2
    assert [one["epoch"] for one in ledger["takeovers"]] == [2]
    assert ledger["takeovers"][0]["after_seq"] == takeover - 1
    assert ledger["takeovers"][0]["pause_s"] == pytest.approx(at[takeover] - at[takeover - 1], abs=0.001)


def check_report(report: dict[str, Any]) -> None:
    """Compare with the same audit, done here."""
    root = stdlib()
    tasks = find_tasks(root, TASKS)[:-1]
    expected = merge(audit_files(root, [root / path for path in task.payload["paths"]]) for task in tasks)
    assert report == msgspec.json.decode(msgspec.json.encode(expected))


def test_it_shows_report_and_ledger_and_leaves_nothing_behind(stage: Stage) -> None:
    demo = stage.start("--strategy", "leader_follower", "--kills", "1", "--tasks", "15", "--seed", "7")
    out, told = demo.communicate(timeout=PATIENCE_S)

    assert demo.returncode == 0, told
    assert "The most complex functions of Python's standard library" in out
    assert "The ledger, counted from the log" in out
    assert ["lost", "0"] in [line.split() for line in out.splitlines()]
    assert stage.processes() == []
    assert list(stage.folder.glob("concerted-demo-*")) == []


def wait_for_work(demo: subprocess.Popen[str]) -> None:
    """Wait until the demo says that its workers are at work."""
    assert demo.stderr is not None
    for line in demo.stderr:
        if " running" in line:
            return
    pytest.fail("it ended before anything ran")


def test_ctrl_c_ends_all_of_it(stage: Stage) -> None:
    demo = stage.start()
    wait_for_work(demo)
    assert len(stage.processes()) >= 8
    demo.send_signal(signal.SIGINT)
    _, told = demo.communicate(timeout=PATIENCE_S)

    assert demo.returncode == 130, told
    assert "everything that the demo had started has ended" in told
    assert stage.processes() == []
    assert list(stage.folder.glob("concerted-demo-*")) == []


def test_no_process_outlives_a_demo_that_is_killed(stage: Stage) -> None:
    demo = stage.start()
    wait_for_work(demo)
    assert len(stage.processes()) >= 8
    demo.kill()
    demo.communicate(timeout=PATIENCE_S)

    stage.wait_for_none()


def test_somebody_must_be_left_to_do_the_work(stage: Stage) -> None:
    demo = stage.start("--kills", "6")
    out, told = demo.communicate(timeout=PATIENCE_S)

    assert demo.returncode == 2
    assert out == ""
    assert told == "error: --kills 6 leaves none of 6 workers; somebody must do the work\n"
