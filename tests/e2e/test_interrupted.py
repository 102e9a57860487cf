"""Killed, stopped, interrupted: the same command again goes on, and nothing that was done is done again."""

import signal
from collections import Counter
from typing import Any

import pytest

# Each task says that it has begun, waits for a pass (a folder, which it takes away) or for `go`, and does its work
# once for each key. So a test says how far a run comes, however slow the machine is.
WORK = """
plan: work
agents:
  - id: w
    count: 2
    run: >-
      sh -c 'echo "$1" >> begun;
      until [ -e go ] || rmdir pass1 2>&- || rmdir pass2 2>&-; do sleep 0.02; done;
      grep -qsF "$CONCERTED_IDEMPOTENCY_KEY" done || echo "$1 $CONCERTED_IDEMPOTENCY_KEY" >> done;
      echo "$1"' sh {task.id}
tasks:
"""
TASKS = [f"t{number}" for number in range(1, 9)]
PLAN = WORK + "".join(f"  - {{id: {task}}}\n" for task in TASKS)


def let_pass(shell: Any, *names: str) -> None:
    for name in names:
        (shell.folder / name).mkdir()


def accepted(lines: list[str]) -> list[str]:
    return [line.split(" did ")[1].split(";")[0] for line in lines if " did " in line]


def begun(shell: Any, lines: list[str]) -> dict[str, int]:
    """Count how often each task has been begun that these lines say was accepted."""
    count = Counter(shell.read("begun").split())
    return {task: count[task] for task in accepted(lines)}


def assert_all_is_done_once(shell: Any, before: dict[str, int]) -> None:
    """before: tasks that were accepted before an interruption, and how often they had been begun till then."""
    done = [line.split()[0] for line in shell.read("done").splitlines()]
    assert sorted(done) == TASKS
    count = Counter(shell.read("begun").split())
    assert {task: count[task] for task in before} == before
    assert sorted(event["ref"] for event in shell.events("--kind", "task.done")) == TASKS


def test_killed_in_the_middle_the_same_command_finishes_it(shell: Any) -> None:
    shell.write("plan.yaml", PLAN)
    let_pass(shell, "pass1", "pass2")
    first = shell.start("run", "plan.yaml")
    lines = shell.until(first, "accepted", times=2)
    shell.end(first, signal.SIGKILL)
    before = begun(shell, lines)
    shell.write("go", "")

    again = shell.run("run", "plan.yaml")

    assert again.returncode == 0, again.stderr
    assert "run work goes on" in again.stderr
    assert_all_is_done_once(shell, before)


def test_killed_again_and_again_it_is_finished_by_whoever_is_left(shell: Any) -> None:
    shell.write("plan.yaml", PLAN)
    before: dict[str, int] = {}
    for life in range(3):
        one = shell.start("run", "plan.yaml")
        if life:  # what the life before had started has been killed with it, and takes no pass
            shell.until(one, "run work goes on")
        let_pass(shell, "pass1")
        lines = shell.until(one, "accepted")
        shell.end(one, signal.SIGKILL)
        before |= begun(shell, lines)
    shell.write("go", "")

    done = shell.run("resume")

    assert done.returncode == 0, done.stderr
    assert ["work", "completed"] in [line.split()[:2] for line in done.stdout.splitlines()]
    assert_all_is_done_once(shell, before)


def test_no_command_goes_on_when_its_coordinator_is_killed(shell: Any, eventually: Any) -> None:
    shell.write("plan.yaml", "plan: p\nagents: [{id: w, run: sh -c 'echo $$ > pid; sleep 60'}]\ntasks: [{id: a}]\n")
    one = shell.start("run", "plan.yaml")
    eventually(lambda: (shell.folder / "pid").exists() and shell.read("pid").strip())
    shell.end(one, signal.SIGKILL)

    eventually(lambda: not is_alive(int(shell.read("pid"))))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_it_leaves_a_run_that_goes_on_and_says_how(shell: Any, number: int, code: int) -> None:
    shell.write("plan.yaml", PLAN)
    let_pass(shell, "pass1", "pass2")
    first = shell.start("run", "plan.yaml", "--id", "mine")
    lines = shell.until(first, "accepted", times=2)

    ended, out, err = shell.end(first, number)
    before = begun(shell, lines)

    assert ended == code
    assert out == ""
    assert "To go on with it: concerted run plan.yaml --id mine" in err
    assert shell.json("status")["runs"][0]["status"] == "active"
    shell.write("go", "")
    assert shell.run("run", "plan.yaml", "--id", "mine").returncode == 0
    assert_all_is_done_once(shell, before)


def test_a_python_agent_that_is_busy_does_not_keep_it_from_stopping(shell: Any, eventually: Any) -> None:
    shell.write("slow.py", "import time\n\ndef work(task):\n    open('busy', 'w').close()\n    time.sleep(60)\n")
    shell.write("plan.yaml", 'plan: p\nagents: [{id: w, python: "slow:work"}]\ntasks: [{id: a}]\n')
    one = shell.start("run", "plan.yaml")
    eventually((shell.folder / "busy").exists)

    code, _, _ = shell.end(one, signal.SIGINT)

    assert code == 130


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
