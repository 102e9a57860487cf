"""One owner per file, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from concerted.errors import Conflict, Unreachable
from concerted.stores.ownership import Ownership, owner_of


def test_a_second_owner_is_told_who_the_first_is(tmp_path: Path) -> None:
    first, second = Ownership(tmp_path / "x.db"), Ownership(tmp_path / "x.db")
    first.take()
    first.note("north")
    with pytest.raises(Conflict, match=f"owned by process {os.getpid()}") as caught:
        second.take()
    assert caught.value.facts["owner"] == os.getpid()
    assert caught.value.facts["node"] == "north"
    first.release()
    second.take()
    second.release()


def test_an_owner_that_has_not_said_its_name_is_still_one(tmp_path: Path) -> None:
    first = Ownership(tmp_path / "x.db")
    first.take()
    first.path.write_text("{")
    with pytest.raises(Conflict, match="owned by another process") as caught:
        Ownership(tmp_path / "x.db").take()
    assert caught.value.facts["owner"] is None
    first.release()


def test_the_lock_file_stays_and_says_nothing_once_released(tmp_path: Path) -> None:
    owner = Ownership(tmp_path / "x.db")
    owner.take()
    assert owner_of(tmp_path / "x.db")["pid"] == os.getpid()
    owner.release()
    owner.release()
    assert owner.path.exists()
    assert owner_of(tmp_path / "x.db") == {}
    assert owner_of(tmp_path / "never.db") == {}


def test_a_program_started_by_the_owner_does_not_hold_the_lock(tmp_path: Path) -> None:
    owner = Ownership(tmp_path / "x.db")
    owner.take()
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, close_fds=False
    ) as child:
        owner.release()
        again = Ownership(tmp_path / "x.db")
        again.take()
        again.release()
        child.communicate()


FORKS = """
import os, pathlib, sys
from concerted.stores.ownership import Ownership
Ownership(pathlib.Path(sys.argv[1])).take()
ready, told = os.pipe()
if os.fork() == 0:
    os.write(told, b".")
    sys.stdin.read()  # lives on after its parent
    os._exit(0)
os.read(ready, 1)
print("forked", flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_does_not_hold_the_lock_of_its_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKS, str(tmp_path / "x.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"forked\n"
        owner.wait()
        again = Ownership(tmp_path / "x.db")
        again.take()
        again.release()


def test_a_killed_owner_owns_nothing(tmp_path: Path) -> None:
    code = "import sys, pathlib; from concerted.stores.ownership import Ownership\n"
    code += "Ownership(pathlib.Path(sys.argv[1])).take(); print('mine', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "x.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        mine = Ownership(tmp_path / "x.db")
        with pytest.raises(Conflict) as caught:
            mine.take()
        assert caught.value.facts["owner"] == child.pid
        child.kill()
        child.wait()
        mine.take()
        mine.release()


def test_a_missing_directory_is_named_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"there is no directory .*/no/such for x\.db; create it first"):
        Ownership(tmp_path / "no" / "such" / "x.db").take()
    assert not (tmp_path / "no").exists()
