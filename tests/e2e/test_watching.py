"""Looking at a run that goes on, from beside it: status, why, agents, events; and what a person does to it."""

import json
import re
import signal
from typing import Any

PLAN = """
plan: watched
strategy: {name: leader_follower, progress_interval: 10m}
agents:
  - id: ann
    run: sh -c 'while [ ! -e go ]; do sleep 0.02; done'
tasks: [{id: first}, {id: second, after: first}]
"""


def given_a_run_that_waits(shell: Any, eventually: Any) -> Any:
    shell.write("plan.yaml", PLAN)
    process = shell.start("run", "plan.yaml")
    store = shell.folder / ".concerted" / "store.db.sock"
    eventually(store.exists)
    eventually(lambda: shell.events("--kind", "task.claimed"))
    return process


def test_what_goes_on_is_asked_of_the_owner(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)

    status = shell.json("status")
    (agent,) = shell.json("agents")
    why = shell.json("why", "second")
    words = shell.run("why", "watched:first").stdout

    assert status["owner"] == process.pid
    assert status["runs"][0]["id"] == "watched"
    assert agent["id"] == "ann"
    assert agent["holding"] == 1
    (waiting,) = why["waiting"]
    assert waiting["subject"] == "watched:second"
    assert waiting["waiting_for"] == "task first"
    assert waiting["unblocked_by"] == "ann"
    assert waiting["since"] > 0
    assert re.search(r"waits for the result from ann \(claim 1\), since [0-9.]+s, at most 4m", words)
    shell.write("go", "")
    assert shell.end(process)[0] == 0


def test_events_follow_sees_news_and_ends_at_ctrl_c(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    follower = shell.start("events", "--follow", "--json", "--kind", "task.done")

    shell.write("go", "")
    assert follower.stdout is not None
    seen = [json.loads(follower.stdout.readline()) for _ in range(2)]
    shell.end(process)
    code, rest, _ = shell.end(follower, signal.SIGINT)

    assert [event["ref"] for event in seen] == ["first", "second"]
    assert (code, rest) == (130, "")


def test_events_follow_goes_on_from_owner_to_owner(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    follower = shell.start("events", "--follow", "--json")
    assert follower.stdout is not None
    shell.end(process, signal.SIGKILL)
    shell.write("go", "")
    assert shell.run("run", "plan.yaml").returncode == 0

    seen = []
    for line in follower.stdout:
        seen.append(json.loads(line))
        if seen[-1]["kind"] == "run.completed":
            break

    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))


def test_a_run_can_be_called_off_from_beside_it(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)

    cancel = shell.run("cancel", "watched", "--reason", "enough")
    code, out, _ = shell.end(process)

    assert (cancel.returncode, cancel.stdout) == (0, "run watched is cancelled\n")
    assert code == 1
    assert "run watched cancelled" in out
    assert "operator called it off: enough" in shell.run("why", "watched").stdout
    assert shell.run("cancel", "watched").returncode == 0


def test_a_run_that_nobody_works_on_can_be_called_off(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    shell.end(process, signal.SIGKILL)

    done = shell.run("cancel", "watched", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "cancelled"
    assert shell.json("status")["runs"] == []


def test_a_signal_is_written_also_when_nobody_works_on_the_run(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    shell.end(process, signal.SIGKILL)

    for _ in range(2):
        done = shell.run("signal", "watched", "hurry", '{"now": true}', "--request-id", "once")
        assert done.returncode == 0, done.stderr
    wrong = shell.run("signal", "watched", "hurry", "no json")

    (event,) = shell.events("--kind", "signal.received")
    assert event["data"] == {"name": "hurry", "payload": {"now": True}}
    assert wrong.returncode == 2
    assert "a text needs its quotes" in wrong.stderr


def test_replay_is_checked_beside_the_owner_and_writes_nothing(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    before = shell.events()

    found = shell.json("replay", "--check")

    assert found == {"checked": 1, "diverged": {}}
    assert shell.events() == before
    shell.write("go", "")
    assert shell.end(process)[0] == 0


def test_the_store_is_looked_after_with_and_without_an_owner(shell: Any, eventually: Any) -> None:
    process = given_a_run_that_waits(shell, eventually)
    assert shell.json("store", "rebuild") == {"differed": 0}
    assert shell.run("store", "archive", "watched").returncode == 1
    shell.write("go", "")
    assert shell.end(process)[0] == 0

    assert shell.json("store", "rebuild") == {"differed": 0}
    assert shell.json("store", "archive", "watched")["entries"] > 10
    past = shell.json("store", "at", "3")
    assert [run["status"] for run in past["runs"]] == ["active"]
    assert "ann did second" in shell.run("why", "watched").stdout
