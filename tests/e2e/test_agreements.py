"""Shell scripts that agree and keep a log together, each command a process of its own, any of which may be killed."""

import json
import signal
from typing import Any

PROPOSERS = ("ann", "bob", "cy", "dan")


def test_scripts_that_propose_at_once_go_on_with_one_value_and_one_of_them_is_first(shell: Any) -> None:
    started = [shell.start("agree", "migrate", name, "--as", name, "--mine") for name in PROPOSERS]
    ended = [shell.end(process) for process in started]

    values = {out for _, out, _ in ended}
    assert len(values) == 1, ended
    assert sorted(code for code, _, _ in ended) == [0, 1, 1, 1], ended
    (first,) = [name for name, (code, _, _) in zip(PROPOSERS, ended, strict=True) if code == 0]
    assert values == {f"{first}\n"}
    assert [event["agent"] for event in shell.events("--kind", "agreement.chosen")] == [first]


def test_the_owner_is_killed_while_others_wait_and_they_are_told_the_value(shell: Any) -> None:
    shell.run("agreement", "open", "k", "--valid", "integer")
    owner = shell.start("agreement", "wait", "k", "--wait", "100s")
    shell.until(owner, "waiting, at most")
    waiting = shell.start("agreement", "wait", "k", "--wait", "100s")
    shell.until(waiting, "waiting, at most")

    shell.end(owner, signal.SIGKILL)
    proposed = shell.run("agree", "k", "7", "--as", "ann")
    code, out, err = shell.end(waiting)

    assert (proposed.returncode, code, out) == (0, 0, "7\n"), proposed.stderr + err


def test_a_log_is_appended_to_by_many_and_followed_across_the_death_of_the_owner(shell: Any) -> None:
    shell.run("log", "append", "audit", "first", "--as", "ann")
    follower = shell.start("log", "read", "audit", "--follow", "--json")
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["value"] == "first"

    writers = [
        shell.start("log", "append", "audit", str(n), "--as", f"a{n}", "--request-id", "r") for n in range(4)
    ]  # fmt: skip
    shell.end(writers[0], signal.SIGKILL)
    positions = [int(shell.end(writer)[1]) for writer in writers[1:]]
    again = int(shell.run("log", "append", "audit", "0", "--as", "a0", "--request-id", "r").stdout)

    assert sorted([again, *positions]) == [2, 3, 4, 5], "each request once, whoever was killed in it"
    read = [json.loads(follower.stdout.readline()) for _ in range(4)]
    assert [entry["position"] for entry in read] == [2, 3, 4, 5]
    assert shell.run("log", "append", "audit", "2", "--as", "a2", "--request-id", "r").stdout == f"{positions[1]}\n"
