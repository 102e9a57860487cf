"""What a user has: a folder of their own, and the command `concerted` in it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

LONG_S = 120.0  # on an idle machine all here takes a few seconds; who waits so long waits for ever


class Shell:
    """A shell in a folder: commands run to their end (`run`) or beside the test (`start`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("CONCERTED")}
        self.started: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "concerted", *words],
            cwd=self.folder, env=self.env | env, capture_output=True, text=True, timeout=LONG_S, check=False,
        )  # fmt: skip

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "concerted", *words],
            cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.started.append(process)
        return process

    def json(self, *words: str) -> Any:
        done = self.run(*words, "--json")
        assert done.stdout.count("\n") == 1, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def events(self, *words: str) -> list[dict[str, Any]]:
        done = self.run("events", "--json", *words)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    @staticmethod
    def until(process: subprocess.Popen[str], words: str, *, times: int = 1) -> list[str]:
        """Read the standard error of a process until a line with these words has come so many times."""
        assert process.stderr is not None
        lines = []
        patience = threading.Timer(LONG_S, process.kill)
        patience.start()
        try:
            for line in process.stderr:
                lines.append(line)
                times -= words in line
                if times == 0:
                    return lines
        finally:
            patience.cancel()
        raise AssertionError(f"it ended ({process.wait()}) and never said {words!r}: {''.join(lines)}")

    @staticmethod
    def end(process: subprocess.Popen[str], number: int | None = None) -> tuple[int, str, str]:
        """Send it a signal, if one is given, and wait for its end: exit code, output, rest of the errors."""
        if number is not None:
            process.send_signal(number)
        out, err = process.communicate(timeout=LONG_S)
        return process.returncode, out, err


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    for process in shell.started:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


@pytest.fixture
def eventually() -> Any:
    def wait(is_so: Any, within_s: float = LONG_S) -> None:
        until = time.monotonic() + within_s
        while not is_so():
            assert time.monotonic() < until, "it never came to be so"
            time.sleep(0.02)

    return wait
