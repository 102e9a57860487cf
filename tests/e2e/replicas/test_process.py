"""A replica as a program: what it says, with what it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from concerted.replicas.process import main
from concerted.replicas.spec import Group


@pytest.fixture
def described(tmp_path: Path, places: Path) -> Path:
    """Describe a group of one."""
    path = tmp_path / "group.json"
    path.write_bytes(msgspec.json.encode(Group(id="ops", replicas={1: f"{places}/1"})))
    return path


@pytest.fixture
def begun(described: Path, tmp_path: Path) -> Iterator[subprocess.Popen]:
    """Start it, and wait until it listens."""
    process = started(described, tmp_path)
    assert process.stdout.readline() == b"ready\n"
    yield process
    if process.returncode is None:
        process.kill()
        process.communicate()


def started(described: Path, folder: Path, *words: str, **streams) -> subprocess.Popen:
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    command = [sys.executable, "-m", "concerted.replicas.process", str(described), "1", str(folder), *words]
    return subprocess.Popen(command, **streams)


def test_it_ends_in_peace_when_whoever_started_it_is_gone(begun: subprocess.Popen) -> None:
    begun.stdin.write(b"words mean nothing")
    begun.stdin.close()
    begun.stdin = None
    assert begun.communicate() == (b"", b"")
    assert begun.returncode == 0


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_peace_when_it_is_told_to(begun: subprocess.Popen, word: signal.Signals) -> None:
    begun.send_signal(word)
    assert begun.communicate() == (b"", b"")
    assert begun.returncode == 0


def test_it_stays_without_an_input_if_it_is_told_to(described: Path, tmp_path: Path) -> None:
    process = started(described, tmp_path, "--stay", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == (b"", b"")
    assert process.returncode == 0


def test_an_input_that_nobody_can_close_is_refused(described: Path, tmp_path: Path) -> None:
    process = started(described, tmp_path, stdin=subprocess.DEVNULL)
    _, said = process.communicate()
    assert said.startswith(b"replica 1: standard input is a file")
    assert process.returncode == 1


def test_a_second_one_on_the_same_log_is_refused(begun: subprocess.Popen, described: Path, tmp_path: Path) -> None:
    other = started(described, tmp_path)
    _, said = other.communicate()
    assert other.returncode == 1
    assert b"is in use by another process; stop that one first" in said
    assert said.count(b"\n") == 1


def test_a_second_one_at_the_same_address_is_refused(begun: subprocess.Popen, described: Path, tmp_path: Path) -> None:
    other = started(described, tmp_path / "elsewhere")
    _, said = other.communicate()
    assert other.returncode == 1
    assert b"cannot listen at" in said
    assert begun.poll() is None


def test_a_damaged_log_is_refused_with_what_to_do(described: Path, tmp_path: Path) -> None:
    (tmp_path / "1.log").write_bytes(b"no log")
    process = started(described, tmp_path)
    _, said = process.communicate()
    assert process.returncode == 1
    assert b"does not begin as one" in said
    assert b"let a new one join under a new id" in said
    assert b"Traceback" not in said


@pytest.mark.parametrize(
    ("text", "node", "words"),
    [
        (None, "1", "No such file"),
        ("{", "1", "this describes no group"),
        ('{"id": "ops", "replicas": {"1": "/a/b"}}', "2", "group ops has no replica 2"),
        ('{"id": "ops", "replicas": {"1": "/a/b"}}', "1", "cannot listen at /a/b"),
    ],
)
def test_what_cannot_begin_says_why_in_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str | None, node: str, words: str
) -> None:
    described = tmp_path / "group.json"
    if text is not None:
        described.write_text(text)
    assert main([str(described), node, str(tmp_path)]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"replica {node}: ")
    assert words in said.err
    assert said.err.count("\n") == 1


def test_a_log_that_holds_nothing_before_it_is_compacted_is_refused(described: Path, tmp_path: Path, capfd) -> None:
    assert main([str(described), "1", str(tmp_path), "--compact-entries", "0"]) == 1
    assert "at least 1" in capfd.readouterr().err


def test_it_leaves_no_socket_behind(begun: subprocess.Popen, places: Path) -> None:
    assert os.listdir(places) == ["1"]
    begun.communicate()
    assert os.listdir(places) == []
