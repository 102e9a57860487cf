"""Shell scripts that decide together, each command a process of its own, any of which may be killed."""

import json
import signal
import subprocess
import sys
from typing import Any

LONG_S = 120.0
PROLOGUE = f'concerted() {{ "{sys.executable}" -m concerted "$@"; }}\n'
ASK = ["decide", "ship it?", "--id", "d", "--voters", "ann,bob,cy", "--rule", "2/3"]


def script(shell: Any, text: str) -> subprocess.Popen[str]:
    """Start a shell script in which `concerted` is this program."""
    process = subprocess.Popen(
        ["sh", "-c", PROLOGUE + text],
        cwd=shell.folder, env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    shell.started.append(process)
    return process


def test_scripts_vote_side_by_side_and_the_asking_script_goes_on_only_if_it_is_accepted(shell: Any) -> None:
    asking = shell.start(*ASK, "--veto", "bob", "--wait", "100s")  # so that nobody's ballot comes too late
    shell.until(asking, "0 of 3 have voted")
    votes = {"ann": "accept", "bob": "abstain", "cy": "accept"}
    scripts = [
        script(shell, f'concerted vote d {choice} --as {name} --reason "so says {name}" --wait 100s --json')
        for name, choice in votes.items()
    ]

    told = [(process.communicate(timeout=LONG_S), process.returncode) for process in scripts]
    code, out, err = shell.end(asking)

    assert code == 0, err
    assert out.startswith("d accepted: 3 of 3 have voted; 2 of 3 for accept, it takes 2")
    assert [returned for _, returned in told] == [0, 0, 0], told
    results = [json.loads(written) for (written, _), _ in told]
    assert [(one["status"], one["ballot"]) for one in results] == [("accepted", choice) for choice in votes.values()]
    assert len({json.dumps(one["certificate"]) for one in results}) == 1, "everybody has the same certificate"
    shell.write("certificate.json", shell.run("decision", "certificate", "d").stdout)
    verified = shell.run("decision", "verify", "certificate.json")
    assert (verified.returncode, verified.stdout.splitlines()[0]) == (0, "valid: accepted")


def test_the_owner_is_killed_between_the_ballots_and_every_ballot_counts(shell: Any) -> None:
    owner = shell.start(*ASK, "--wait", "100s")
    shell.until(owner, "0 of 3 have voted")
    waiting = shell.start("vote", "d", "accept", "--as", "ann", "--wait", "100s")
    while not shell.events("--kind", "decision.ballot_cast"):
        pass

    shell.end(owner, signal.SIGKILL)
    last = shell.run("vote", "d", "accept", "--as", "cy", "--wait", "100s")
    code, out, err = shell.end(waiting)

    assert (last.returncode, code) == (0, 0), last.stderr + err
    assert out.splitlines()[0] == last.stdout.splitlines()[0]
    assert [event["agent"] for event in shell.events("--kind", "decision.ballot_cast")] == ["ann", "cy"]
    assert shell.run(*ASK).returncode == 0, "the same line again has the same outcome"


def test_a_plan_puts_a_question_to_its_agents_and_a_person(shell: Any) -> None:
    shell.write(
        "voters.py",
        """
from concerted import Agent
from concerted.messages import Judge

ann, bob = Agent("ann"), Agent("bob")
for agent in (ann, bob):
    agent.on(Judge)(lambda request: {"choice": "accept", "reason": f"read: {request.question}"})
""",
    )
    shell.write(
        "plan.yaml",
        """
plan: release
agents: [{id: ann, python: "voters:ann"}, {id: bob, python: "voters:bob"}]
strategy: {name: consensus, question: ship it?, electorate: [ann, bob, cy], rule: all, deadline: 100s, id: ship}
""",
    )
    running = shell.start("run", "plan.yaml", "--json")
    while len(shell.run("events", "--kind", "decision.ballot_cast", "--json").stdout.splitlines()) < 2:
        pass

    voted = shell.run("vote", "ship", "reject", "--as", "cy", "--reason", "not today")
    code, out, _ = shell.end(running)

    assert voted.returncode == 0, voted.stderr
    view = json.loads(out)
    assert (code, view["status"], view["result"]["outcome"]) == (1, "failed", "rejected")
    assert (view["result"]["approved_by"], view["result"]["rejected_by"]) == (["ann", "bob"], ["cy"])


def test_a_deadline_that_comes_while_nothing_runs_ends_it_all_the_same(shell: Any) -> None:
    shell.run(*ASK, "--deadline", "10s", "--no-wait")
    shell.run("vote", "d", "accept", "--as", "ann")

    ended = shell.run("decision", "wait", "d", "--wait", "100s", "--json")

    assert ended.returncode == 4
    told = json.loads(ended.stdout)
    assert (told["status"], told["cause"], told["missing"]) == ("lapsed", "deadline", ["bob", "cy"])
    assert told["closed_at"] == told["deadline_at"]
    why = shell.run("why", "d").stdout
    assert "lapsed: 1 of 3 for accept, it takes 2, and 2 did not vote; closed since its deadline came" in why
