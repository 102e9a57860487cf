"""Commands called in this process: what they print, as words and as JSON."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from concerted.cli.options import DEFAULT_STORE, prepare_folder
from concerted.sim.protocols.algorithms import ALGORITHMS

PLAN = """
plan: small
agents: [{id: ann, run: echo hi}]
tasks: [{id: a}, {id: b, after: a}]
"""


@pytest.fixture
def finished(concerted: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """The command line in a folder where the plan `small` has been run."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    ended = concerted("run", "plan.yaml", "-q")
    assert ended.code == 0, ended.err
    return concerted


def test_a_command_that_is_not_there_is_told_once_where_to_look(concerted: Callable[..., Any]) -> None:
    unknown = concerted("frob")
    assert (unknown.code, unknown.err) == (2, "error: there is no command 'frob'; `concerted --help` lists them\n")
    assert concerted("why").err.endswith("; see `concerted why --help`\n")


@pytest.mark.parametrize("words", [("agree", "k"), ("log", "append", "l"), ("why",)])
def test_an_argument_that_is_no_text_is_refused(finished: Callable[..., Any], words: tuple[str, ...]) -> None:
    ended = finished(*words, "a\udcffb")
    assert (ended.code, ended.err) == (2, "error: 'a\\udcffb' is no text: its bytes are not UTF-8\n")


def test_what_a_finished_run_leaves_can_be_looked_at_by_everybody(finished: Callable[..., Any]) -> None:
    status = finished("status", "--all", "--json").json()
    assert status["owner"] is None
    assert status["counts"] == {"completed": 1}
    assert status["runs"][0]["tasks"][0]["result"] == "hi"
    assert finished("status", "--json").json()["runs"] == []
    assert "small  completed  2/2" in finished("status", "--all").out
    assert [agent["id"] for agent in finished("agents", "--json").json()] == ["ann"]
    assert "nobody owns this store now" in finished("agents").err


def test_why_tells_the_story_of_a_task(finished: Callable[..., Any]) -> None:
    ended = finished("why", "b")

    assert ended.out.startswith("small:b\n")
    assert "ann claimed b (claim 1)" in ended.out
    assert finished("why", "ann", "--json").json()["subject"] == "ann"


def test_events_are_filtered_bounded_and_numbered(finished: Callable[..., Any]) -> None:
    def seqs(*words: str) -> list[int]:
        return [json.loads(line)["seq"] for line in finished("events", "--json", *words).out.splitlines()]

    every = seqs()
    assert every == list(range(1, len(every) + 1))
    assert seqs("--limit", "3") == [1, 2, 3]
    assert seqs("--after", "4", "--at", "6") == [5, 6]
    assert len(seqs("--kind", "task.done")) == 2
    assert seqs("--stream", "agent:ann") == [1]
    assert "a run's stream is run:ID" in finished("events", "--stream", "small").err
    assert "task.done" in finished("events", "--kind", "task.*").out


def test_resume_with_nothing_to_resume_is_a_success(finished: Callable[..., Any]) -> None:
    ended = finished("resume")

    assert (ended.code, ended.out) == (0, "")
    assert "no unfinished run" in ended.err
    assert finished("resume", "--json").json() == {"runs": []}


def test_code_that_would_do_something_else_is_found_before_it_is_put_to_work(
    finished: Callable[..., Any], tmp_path: Path
) -> None:
    assert finished("replay", "--check", "small", "--json").json() == {"checked": 1, "diverged": {}}
    with contextlib.closing(sqlite3.connect(tmp_path / ".concerted" / "store.db")) as store, store:
        # As if what is recorded had been done by other code: it asked for something else.
        store.execute("update log set data = replace(data, 'REQUEST_BID', 'GET_STATUS') where kind = 'command.sent'")
        store.execute("update log set data = replace(data, 'EXECUTE_TASK', 'GET_STATUS') where kind = 'command.sent'")

    ended = finished("replay", "--check", "small")

    assert ended.code == 1
    assert "GET_STATUS" in ended.out
    assert "1 checked, 1 would diverge" in ended.out


def test_the_past_is_shown_as_it_was(finished: Callable[..., Any]) -> None:
    assert finished("store", "at", "2", "--json").json()["tasks"] == []
    newest = finished("store", "at", "1000000")
    assert newest.code == 3


def test_config_says_where_each_value_came_from(
    concerted: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN + "coordination: {manager: {coordination_timeout: 9s}}\n")
    (tmp_path / "settings.yaml").write_text("store: {durability: normal}\n")
    monkeypatch.setenv("CONCERTED__COORDINATION__MANAGER__COMMAND_TIMEOUT", "7s")

    of_plan = concerted("config", "plan.yaml", "--json").json()
    of_file = concerted("config", "settings.yaml", "--store", "sqlite:///x.db", "--json").json()

    assert of_plan["coordination.manager.coordination_timeout"] == {"value": "9s", "origin": "plan.yaml:5:48"}
    assert of_plan["coordination.manager.command_timeout"]["value"] == "7s"
    assert of_plan["coordination.manager.command_timeout"]["origin"].startswith("env CONCERTED__")
    assert of_plan["store.url"] == {"value": DEFAULT_STORE, "origin": "default"}
    assert of_file["store.durability"] == {"value": "normal", "origin": "settings.yaml:1:21"}
    assert of_file["store.url"] == {"value": "sqlite:///x.db", "origin": "--store"}
    monkeypatch.setenv("CONCERTED_STORE", "sqlite:///y.db")
    assert concerted("config", "--json").json()["store.url"]["origin"] == "env CONCERTED_STORE"


def test_a_simulated_plan_starts_nothing_and_wrong_faults_are_told(
    concerted: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.replace("echo hi", "touch started"))

    ended = concerted("simulate", "plan.yaml", "--seeds", "3..4", "--faults", "crash=1", "--json")

    assert ended.code == 0, ended.err
    found = ended.json()
    assert (found["seeds"], found["statuses"]) == (2, {"completed": 2})
    assert not (tmp_path / "started").exists()
    assert "2 seeds, 0 wrong" in concerted("simulate", "plan.yaml", "--seeds", "2").out
    assert "did you mean crash?" in concerted("simulate", "plan.yaml", "--faults", "crush=1").err
    assert concerted("simulate", "plan.yaml", "--seeds", "many").code == 2


@pytest.mark.parametrize("algorithm", ["raft", "paxos"])
def test_an_algorithm_is_simulated_without_a_plan(concerted: Callable[..., Any], algorithm: str) -> None:
    found = concerted("simulate", algorithm, "--seeds", "3..3", "--json").json()

    assert (found["algorithm"], found["seeds"], found["failures"]) == (algorithm, 1, [])
    assert found["committed"] > 0
    refused = concerted("simulate", "raft", "--faults", "amnesia=1").err
    assert "fault amnesia: there is none in a simulation of replicas" in refused
    refused = concerted("simulate", "raft", "--settings", "windw=1").err
    assert "there is no setting 'windw'" in refused
    assert "takes no --strategy" in concerted("simulate", "raft", "--strategy", "auction").err


def test_pbft_is_simulated_with_liars(concerted: Callable[..., Any]) -> None:
    found = concerted("simulate", "pbft", "--seeds", "3..3", "--json").json()

    assert (found["algorithm"], found["seeds"], found["failures"]) == ("pbft", 1, [])
    assert found["answered"] > 0
    assert "3f + 1 replicas: 4, 7, 10" in concerted("simulate", "pbft", "--settings", "servers=5").err
    assert "takes no --strategy" in concerted("simulate", "pbft", "--strategy", "auction").err


def test_decisions_are_simulated_over_every_protocol(concerted: Callable[..., Any]) -> None:
    found = concerted("simulate", "decide", "--seeds", "3..3", "--json").json()
    assert (found["algorithm"], found["seeds"], found["failures"]) == ("decide", 1, [])
    assert found["answered"] > 0
    assert "takes no --settings" in concerted("simulate", "decide", "--settings", "window=1").err


def test_all_protocols_are_simulated_at_once(concerted: Callable[..., Any]) -> None:
    found = concerted("simulate", "consensus", "--seeds", "3..3", "--settings", "servers=3,seconds=20", "--json").json()

    assert (found["seeds"], found["failures"]) == (len(ALGORITHMS), [])
    assert found["algorithm"] == ", ".join(ALGORITHMS)
    found = concerted("simulate", "consensus", "--seeds", "3..3", "--json").json()
    assert found["algorithm"] == ", ".join([*ALGORITHMS, "pbft"])


def test_protocols_are_simulated_for_as_long_as_is_asked(concerted: Callable[..., Any]) -> None:
    found = concerted("simulate", "raft", "--for", "0s", "--seeds", "7", "--settings", "servers=1", "--json").json()

    assert (found["seeds"], found["failures"]) == (1, [])
    assert "takes no --for" in concerted("simulate", "plan.yaml", "--for", "1s").err


def test_a_scenario_is_played_compared_and_written_anew(concerted: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("servers 1 2 3\nelect 1\nexpect leader 1\n")
    differs = concerted("simulate", "mine.txt")
    assert (differs.code, "+    1 is leader of term 1" in differs.out) == (1, True)

    assert concerted("simulate", "mine.txt", "--rewrite").out == "mine.txt: written anew\n"
    assert "    1 is leader of term 1" in path.read_text()
    assert concerted("simulate", "mine.txt", "--json").json() == {"ok": True, "problems": [], "differences": []}

    path.write_text("servers 1 2 3\nexpect leader 1\n")
    wrong = concerted("simulate", "mine.txt", "--rewrite")
    assert (wrong.code, "line 2: expect leader 1: the leader is None" in wrong.out) == (1, True)


def test_a_plan_takes_no_settings_and_no_faults_of_servers(concerted: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    assert "takes no --settings" in concerted("simulate", "plan.yaml", "--settings", "servers=3").err
    assert "fault flip: there is none" in concerted("simulate", "plan.yaml", "--faults", "flip=1").err


def test_the_default_folder_keeps_itself_out_of_version_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    prepare_folder("sqlite:///elsewhere.db")
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        prepare_folder(DEFAULT_STORE)

    assert (tmp_path / ".concerted" / ".gitignore").read_text() == "*\n"
    assert (tmp_path / ".concerted").stat().st_mode & 0o777 == 0o700
