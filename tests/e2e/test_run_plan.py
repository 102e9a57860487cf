"""`concerted run` as a user meets it: one's own command lines, what they gave, and the object of --json."""

import json
import os
import subprocess
import sys
from typing import Any

COUNT = """
plan: count-lines
agents:
  - id: counter
    count: 2
    run: wc -l {payload.path}
    capabilities: {count: 1.0}
  - id: adder
    run: >-
      python3 -c "import sys; print(sum(int(line.split()[0]) for line in sys.argv[1:]))"
      {results.one} {results.two}
    capabilities: {add: 1.0}
objective: How many lines?
tasks:
  - {id: one, payload: {path: one.txt}, capabilities: {count: 0.5}}
  - {id: two, payload: {path: two.txt}, capabilities: {count: 0.5}}
  - {id: total, capabilities: {add: 0.5}, after: [one, two]}
strategy: auction
"""
OBJECT = {
    "id": str, "plan": str, "strategy": str, "status": str, "success": bool, "reason": str, "tasks": list,
    "participants": dict, "metrics": dict, "result": dict, "progress": dict, "created_at": float,
    "started_at": float, "ended_at": float, "epoch": int, "waiting": list,
}  # fmt: skip
TASK = {"id", "status", "agent", "attempts", "epoch", "result", "error"}
METRICS = {"messages", "replies", "timeouts", "retries", "rounds", "wall_s", "waiting_s"}


def given_two_files(shell: Any) -> None:
    shell.write("one.txt", "a\nb\n")
    shell.write("two.txt", "c\n")
    shell.write("plan.yaml", COUNT)


def test_a_plan_of_command_lines_runs_and_its_result_is_the_only_output(shell: Any) -> None:
    given_two_files(shell)

    done = shell.run("run", "plan.yaml")

    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["task", "status", "agent", "attempts", "result"]
    assert ["total", "done", "adder", "1", "3"] in rows
    assert "count-lines completed, 3 of 3 tasks done" in done.stdout
    assert "adder did total" in done.stderr


def test_json_is_one_object_with_every_documented_key(shell: Any) -> None:
    given_two_files(shell)

    found = shell.json("run", "plan.yaml", "-q")

    assert {key: type(value) for key, value in found.items()} == OBJECT
    assert found["id"] == found["plan"] == "count-lines"
    assert found["status"] == "completed"
    assert all(set(task) == TASK for task in found["tasks"])
    assert {task["id"]: task["result"] for task in found["tasks"]} == {
        "one": "2 one.txt",
        "two": "1 two.txt",
        "total": 3,
    }
    assert set(found["metrics"]) == METRICS
    assert found["participants"]["adder"] == {"role": "", "done": ["total"], "failed": []}
    assert found["waiting"] == []


def test_the_same_command_again_prints_the_result_and_starts_nothing(shell: Any) -> None:
    given_two_files(shell)
    first = shell.json("run", "plan.yaml")
    before = len(shell.events())
    shell.write("one.txt", "changed\n" * 9)

    again = shell.run("run", "plan.yaml", "--json")

    assert again.returncode == 0
    assert json.loads(again.stdout) == first
    assert "this is its result" in again.stderr
    assert len(shell.events()) == before


def test_another_id_is_another_run(shell: Any) -> None:
    given_two_files(shell)
    shell.run("run", "plan.yaml")
    shell.write("one.txt", "changed\n" * 9)

    second = shell.json("run", "plan.yaml", "--id", "second")

    assert {task["id"]: task["result"] for task in second["tasks"]}["total"] == 10
    assert shell.json("status", "--all")["counts"] == {"completed": 2}


def test_a_changed_plan_under_the_same_id_is_explained_and_nothing_is_started(shell: Any) -> None:
    given_two_files(shell)
    shell.run("run", "plan.yaml")
    shell.write("plan.yaml", COUNT.replace("payload: {path: two.txt}", "payload: {path: one.txt}"))

    done = shell.run("run", "plan.yaml", "--json")

    assert done.returncode == 2
    assert "--id count-lines-2" in done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "conflict"


def test_what_is_relative_in_a_plan_begins_where_the_plan_is(shell: Any) -> None:
    shell.write("plans/words.txt", "x\n")
    shell.write("plans/sub/words.txt", "x\ny\n")
    shell.write("plans/mine.py", "def upper(task):\n    return task.payload['word'].upper()\n")
    shell.write(
        "plans/plan.yaml",
        """
plan: where
agents:
  - {id: here, run: wc -l words.txt, capabilities: {here: 1}}
  - {id: below, run: wc -l words.txt, cwd: sub, capabilities: {below: 1}}
  - {id: py, python: "mine:upper", capabilities: {py: 1}}
tasks:
  - {id: a, capabilities: {here: 1}}
  - {id: b, capabilities: {below: 1}}
  - {id: c, payload: {word: hi}, capabilities: {py: 1}}
store: sqlite:///own.db
""",
    )

    found = shell.json("run", "plans/plan.yaml")

    assert {task["id"]: task["result"] for task in found["tasks"]} == {
        "a": "1 words.txt",
        "b": "2 words.txt",
        "c": "HI",
    }
    assert (shell.folder / "plans" / "own.db").exists()
    assert not (shell.folder / ".concerted").exists()
    status = shell.json("status", "--all", "--store", "sqlite:///plans/own.db")
    assert [run["id"] for run in status["runs"]] == ["where"]


def test_warnings_come_before_the_work_and_do_not_stop_it(shell: Any) -> None:
    shell.write(
        "plan.yaml",
        """
plan: hm
agents: [{id: w, run: echo hi}]
tasks: [{id: a}, {id: b, capabilities: {magic: 1}, mandatory: false, deadline: 300ms}]
""",
    )

    done = shell.run("run", "plan.yaml")

    assert "warning: plan.yaml:4:" in done.stderr
    assert "magic" in done.stderr
    assert ["a", "done"] in [line.split()[:2] for line in done.stdout.splitlines()]


def test_on_a_terminal_there_is_a_picture_and_the_output_is_still_the_result_alone(shell: Any) -> None:
    given_two_files(shell)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "concerted", "run", "plan.yaml", "--json"],
        cwd=shell.folder, env=shell.env | {"TERM": "xterm"}, stdout=subprocess.PIPE, stderr=theirs, text=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        out, _ = process.communicate(timeout=120)
        screen = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert json.loads(out)["status"] == "completed"
    assert "count-lines: completed, 3 of 3 tasks done" in screen
