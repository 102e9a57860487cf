"""Several processes on one store: one owns it, the others are its clients, and any of them may be killed."""

import json
import signal
from typing import Any

# The first task is done at once, the others when the test lets them go on.
SLOW = """
plan: NAME
agents:
  - id: NAME-agent
    run: sh -c '[ "$1" = a ] || until [ -e NAME.go ]; do sleep 0.02; done' sh {task.id}
tasks: [{id: a}, {id: b}, {id: c}, {id: d}, {id: e}, {id: f}]
"""
STEPS = ["a", "b", "c", "d", "e", "f"]


def given_two_plans(shell: Any) -> None:
    shell.write("one.yaml", SLOW.replace("NAME", "one"))
    shell.write("two.yaml", SLOW.replace("NAME", "two"))


def let_go(shell: Any, *names: str) -> None:
    for name in names:
        shell.write(f"{name}.go", "")


def test_the_second_run_is_a_client_and_goes_on_when_the_owner_is_killed(shell: Any) -> None:
    given_two_plans(shell)
    owner = shell.start("run", "one.yaml")
    shell.until(owner, "accepted")
    client = shell.start("run", "two.yaml")
    told = shell.until(client, "accepted")

    shell.end(owner, signal.SIGKILL)
    let_go(shell, "one", "two")
    code, out, err = shell.end(client)

    assert f"process {owner.pid} owns" in "".join(told)
    assert code == 0, err
    assert "run two completed, 6 of 6 tasks done" in out
    again = shell.run("run", "one.yaml")
    assert again.returncode == 0, again.stderr
    assert "run one completed, 6 of 6 tasks done" in again.stdout
    for run in ("one", "two"):
        assert sorted(event["ref"] for event in shell.events("--stream", f"run:{run}", "--kind", "task.done")) == STEPS


def test_the_agents_of_one_plan_do_not_work_for_another(shell: Any) -> None:
    given_two_plans(shell)
    owner = shell.start("run", "one.yaml", "--json")
    shell.until(owner, "accepted")

    let_go(shell, "two")
    second = shell.json("run", "two.yaml")
    let_go(shell, "one")
    _, out, _ = shell.end(owner)

    assert {task["agent"] for task in second["tasks"]} == {"two-agent"}
    assert {task["agent"] for task in json.loads(out)["tasks"]} == {"one-agent"}


def test_an_agent_at_work_is_not_replaced_by_another_of_its_name(shell: Any) -> None:
    given_two_plans(shell)
    shell.write("thief.yaml", "plan: thief\nagents: [{id: one-agent, run: echo mine}]\ntasks: [{id: a}]\n")
    owner = shell.start("run", "one.yaml")
    shell.until(owner, "accepted")

    done = shell.run("run", "thief.yaml")

    assert done.returncode == 2
    assert "run one is at work with another agent one-agent" in done.stderr
    let_go(shell, "one")
    assert shell.end(owner)[0] == 0


def test_a_stopped_client_leaves_its_run_to_the_owner(shell: Any) -> None:
    given_two_plans(shell)
    owner = shell.start("run", "one.yaml")
    shell.until(owner, "accepted")
    client = shell.start("run", "two.yaml")
    shell.until(client, "accepted")

    code, _, err = shell.end(client, signal.SIGINT)

    assert code == 130
    assert "run two goes on in the process that owns" in err
    assert "concerted cancel two" in err
    let_go(shell, "one", "two")
    assert shell.end(owner)[0] == 0


def test_an_agent_started_on_its_own_joins_and_works_for_the_run(shell: Any) -> None:
    shell.write("helper.py", "from concerted import Agent\n\nagent = Agent('extra', capabilities={'magic': 1.0})\n\n\n"
                "@agent.task()\ndef do(task):\n    return 'abracadabra'\n")  # fmt: skip
    shell.write(
        "plan.yaml",
        "plan: p\nagents: [{id: w, run: echo hi}]\ntasks: [{id: a}, {id: b, capabilities: {magic: 1}, retries: 1000}]\n"
        "coordination: {strategies: {auction: {bidding_timeout: 200ms}}}\nstrategy: auction\n",
    )
    extra = shell.start("agent", "helper:agent")
    done = shell.start("run", "plan.yaml", "--json")

    code, out, err = shell.end(done)

    assert code == 0, err
    assert {task["id"]: task["result"] for task in json.loads(out)["tasks"]} == {"a": "hi", "b": "abracadabra"}
    assert shell.end(extra, signal.SIGTERM)[0] == 0
