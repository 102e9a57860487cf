"""The exit codes of docs/cli.md, each met in the way a user meets it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

ONE = "plan: p\nagents: [{{id: w, run: {run}}}]\ntasks: [{{id: a, retries: 0}}]\n{more}"


def plan(shell: Any, run: str, more: str = "") -> None:
    shell.write("plan.yaml", ONE.format(run=run, more=more))


def test_0_success(shell: Any) -> None:
    plan(shell, "echo hi")
    assert shell.run("run", "plan.yaml").returncode == 0


def test_1_the_coordination_failed(shell: Any) -> None:
    plan(shell, "sh -c 'echo oh >&2; exit 3'")

    done = shell.run("run", "plan.yaml")

    assert done.returncode == 1
    assert "oh" in done.stdout
    assert "run p failed, 0 of 1 tasks done" in done.stdout


@pytest.mark.parametrize("words", [["run"], ["rum", "x"], ["events", "--at", "x"], ["replay"], ["run", "x", "--sotre"]])
def test_2_usage(shell: Any, words: list[str]) -> None:
    done = shell.run(*words, "--json")

    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "--help`" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "invalid"


def test_2_a_file_that_is_no_store_and_is_not_touched(shell: Any) -> None:
    shell.write("notes.txt", "not a database, " * 100)

    for words in (["status"], ["resume"], ["store", "rebuild"]):
        done = shell.run(*words, "--store", "sqlite:///notes.txt", "--json")
        assert done.returncode == 2, done.stderr
        assert json.loads(done.stdout)["error"]["code"] == "store_damaged"
    assert shell.read("notes.txt") == "not a database, " * 100


def test_2_a_url_and_a_variable_that_mean_nothing(shell: Any) -> None:
    assert shell.run("status", "--store", "mysql://x").returncode == 2
    assert "mysql" in shell.run("status", CONCERTED_STORE="mysql://x").stderr
    assert shell.run("config", CONCERTED__STORE__DURABILITY="ful").returncode == 2


@pytest.mark.parametrize(
    "words", [["status"], ["agents"], ["events"], ["why", "x"], ["cancel", "x"], ["resume"], ["store", "rebuild"]]
)
def test_3_there_is_no_store(shell: Any, words: list[str]) -> None:
    done = shell.run(*words)

    assert done.returncode == 3
    assert "`concerted run PLAN` makes one" in done.stderr
    assert not (shell.folder / ".concerted").exists()


def test_3_there_is_no_such_thing(shell: Any) -> None:
    plan(shell, "echo hi")
    shell.run("run", "plan.yaml")

    for words in (
        ["why", "nobody"],
        ["cancel", "no"],
        ["resume", "no"],
        ["signal", "no", "x"],
        ["replay", "--check", "no"],
    ):
        done = shell.run(*words, "--json")
        assert done.returncode == 3, done.stderr
        assert json.loads(done.stdout)["error"]["code"] == "not_found"


def test_4_the_deadline_came_first(shell: Any) -> None:
    plan(shell, "sleep 30", "coordination: {manager: {coordination_timeout: 300ms}}\n")

    done = shell.run("run", "plan.yaml")

    assert done.returncode == 4, done.stderr
    assert "run p timed out" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_5_a_folder_that_may_not_be_written(shell: Any) -> None:
    plan(shell, "echo hi")
    (shell.folder / "locked").mkdir(mode=0o500)
    assert shell.run("run", "plan.yaml", "--store", "sqlite:///locked/x.db").returncode == 5


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="this system has no /sys")
def test_5_a_folder_that_nobody_may_write(shell: Any) -> None:
    plan(shell, "echo hi")

    done = shell.run("run", "plan.yaml", "--store", "sqlite:////sys/kernel/x.db", "--json")

    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "not_allowed"


def test_6_a_store_that_cannot_be_reached(shell: Any) -> None:
    plan(shell, "echo hi")

    done = shell.run("run", "plan.yaml", "--store", "sqlite:///nowhere/x.db")

    assert done.returncode == 6
    assert "create it first" in done.stderr


def test_6_an_agent_that_finds_no_owner(shell: Any) -> None:
    shell.write("mine.py", "def work(task):\n    return 1\n")

    done = shell.run("agent", "mine:work", "--patience", "0.05")

    assert done.returncode == 6, done.stderr
    assert "nobody owns" in done.stderr


def test_1_nobody_reads_any_more(shell: Any) -> None:
    plan(shell, "echo hi")
    shell.run("run", "plan.yaml")
    follower = shell.start("events", "--follow")
    assert follower.stdout is not None
    assert follower.stderr is not None
    follower.stdout.readline()
    follower.stdout.close()

    shell.run("run", "plan.yaml", "--id", "news")

    assert follower.wait(timeout=120) == 1
    assert follower.stderr.read() == ""
