"""Shell scripts that meet, hold and tell each other things, each command a process of its own, any of which may die."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LONG_S = 120.0  # for several processes that start one after the other on a busy machine
PROLOGUE = f'concerted() {{ "{sys.executable}" -m concerted "$@"; }}\n'


def start_script(shell: Any, text: str) -> subprocess.Popen[str]:
    """Start a shell script in which `concerted` is this program."""
    process = subprocess.Popen(
        ["sh", "-c", PROLOGUE + text],
        cwd=shell.folder, env=shell.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    shell.started.append(process)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=LONG_S)
    return process.returncode, out, err


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# sync points


def test_two_shell_scripts_meet_in_an_empty_folder(shell: Any) -> None:
    line = "concerted sync arrive stand-up --as {0} --participants ann,bob --data '\"of {0}\"' --wait 100s --json"
    scripts = [start_script(shell, line.format(name)) for name in ("ann", "bob")]

    told = [ended(script) for script in scripts]

    assert [code for code, _, _ in told] == [0, 0], told
    results = [json.loads(out) for _, out, _ in told]
    assert [result["status"] for result in results] == ["completed", "completed"]
    assert results[0]["sync_data"] == results[1]["sync_data"] == {"ann": "of ann", "bob": "of bob"}
    assert len(shell.events("--kind", "sync_point.arrived")) == 2


def test_the_owner_is_killed_while_another_waits_and_the_meeting_still_completes(shell: Any) -> None:
    who = ["--participants", "ann,bob,cy", "--wait", "100s"]
    owner = shell.start("sync", "arrive", "p", "--as", "ann", *who)
    shell.until(owner, "ann has arrived, 1 of 3")
    client = shell.start("sync", "arrive", "p", "--as", "bob", *who)
    shell.until(client, "bob has arrived, 2 of 3")

    shell.end(owner, signal.SIGKILL)
    last = shell.run("sync", "arrive", "p", "--as", "cy", *who)
    code, out, err = shell.end(client)

    assert (last.returncode, code) == (0, 0), last.stderr + err
    assert out == "p completed: 3 of 3 have arrived\n"
    again = shell.run("sync", "arrive", "p", "--as", "ann", *who)
    assert (again.returncode, again.stdout) == (0, out), "the arrival of who was killed stays"
    arrived = [event["agent"] for event in shell.events("--kind", "sync_point.arrived")]
    assert arrived == ["ann", "bob", "cy"]


def test_who_is_interrupted_has_arrived_and_is_told_how_to_go_on(shell: Any) -> None:
    line = ["sync", "arrive", "p", "--as", "ann", "--participants", "ann,bob"]
    waiting = shell.start(*line)
    shell.until(waiting, "ann has arrived")

    code, out, err = shell.end(waiting, signal.SIGINT)

    assert (code, out) == (130, "")
    assert "to go on: concerted sync arrive p --as ann --participants ann,bob" in err
    assert shell.run(*line[:4], "bob", *line[5:]).returncode == 0


def test_one_of_three_scripts_acts_for_all_at_a_barrier(shell: Any) -> None:
    line = "concerted barrier arrive merge --as {0} --parties 3 --wait 100s --json --action 'sh act.sh {0}'"
    shell.write("act.sh", 'echo "$1" >> acted; echo "\\"$1 was here\\""\n')

    told = [ended(script) for script in [start_script(shell, line.format(name)) for name in ("ann", "bob", "cy")]]

    assert [code for code, _, _ in told] == [0, 0, 0], told
    results = [json.loads(out)["action_result"] for _, out, _ in told]
    assert results == [f"{shell.read('acted').strip()} was here"] * 3


# leases


def test_commands_under_a_lease_never_overlap_and_tokens_strictly_grow(shell: Any) -> None:
    shell.write(
        "hold.sh", 'echo "begin $CONCERTED_LEASE_TOKEN" >> log; sleep 0.1; echo "end $CONCERTED_LEASE_TOKEN" >> log\n'
    )
    loop = "for i in 1 2 3; do concerted lease take counter --ttl 30s --wait 100s -- sh hold.sh || exit; done"

    told = [ended(script) for script in [start_script(shell, loop) for _ in range(2)]]

    assert [code for code, _, _ in told] == [0, 0], told
    lines = [line.split() for line in shell.read("log").splitlines()]
    assert [word for word, _ in lines] == ["begin", "end"] * 6
    tokens = [token for _, token in lines]
    assert tokens[::2] == tokens[1::2], "two commands ran at once"
    assert tokens[::2] == sorted(set(tokens))


def test_a_command_dies_with_its_holder_and_the_next_is_granted_when_the_lease_is_over(
    shell: Any, eventually: Any
) -> None:
    command = ["--", "sh", "-c", "echo $$ $CONCERTED_LEASE_TOKEN > $0; exec sleep 60"]
    killed = shell.start("lease", "take", "x", "--ttl", "3s", *command, "first")
    eventually(lambda: (shell.folder / "first").exists() and shell.read("first").strip())
    pid, token = map(int, shell.read("first").split())

    killed.kill()
    eventually(lambda: not is_alive(pid))
    began = time.monotonic()
    last = shell.run("lease", "take", "x", "--wait", "100s", "--", "sh", "-c", "echo $CONCERTED_LEASE_TOKEN")

    assert last.returncode == 0, last.stderr
    assert int(last.stdout) > token
    assert time.monotonic() - began < LONG_S


def test_a_command_whose_lease_is_taken_away_is_ended_with_exit_code_7(shell: Any, eventually: Any) -> None:
    script = "trap 'echo asked to end > ended; exit 3' TERM; echo $CONCERTED_LEASE_TOKEN > token; "
    command = ["sh", "-c", script + "while :; do sleep 0.05; done"]
    holder = shell.start("lease", "take", "x", "--as", "ann", "--ttl", "9s", "--", *command)
    eventually(lambda: (shell.folder / "token").exists() and shell.read("token").strip())

    revoked = shell.run("lease", "revoke", shell.read("token").strip(), "--reason", "stuck")
    code, _, err = shell.end(holder)

    assert revoked.returncode == 0, revoked.stderr
    assert (code, shell.read("ended")) == (7, "asked to end\n")
    assert "stuck" in err


def test_a_holder_that_is_told_to_end_ends_its_command_and_gives_the_lease_back(shell: Any, eventually: Any) -> None:
    holder = shell.start("lease", "take", "x", "--", "sh", "-c", "echo $$ > pid; exec sleep 60")
    eventually(lambda: (shell.folder / "pid").exists() and shell.read("pid").strip())

    code, _, err = shell.end(holder, signal.SIGTERM)

    assert code == 143, err
    assert not is_alive(int(shell.read("pid")))
    assert shell.run("lease", "take", "x", "--no-wait", "--", "true").returncode == 0


def test_a_command_under_a_lease_has_the_terminal_and_is_not_suspended(shell: Any) -> None:
    script = "read line; echo got $line; kill -STOP $$; echo woken; exit 5"
    words = [sys.executable, "-m", "concerted", "lease", "take", "x", "--", "sh", "-c", script]
    in_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"

    done = subprocess.run(
        [sys.executable, "-c", in_terminal, *words],
        cwd=shell.folder, env=shell.env, input="one\n", capture_output=True, text=True, timeout=LONG_S, check=False,
    )  # fmt: skip

    assert done.returncode == 5, done.stdout + done.stderr
    assert re.search(r"got one\s+woken", done.stdout), done.stdout


# messages


def test_a_message_goes_from_process_to_process_and_its_sender_sees_each_step(shell: Any) -> None:
    waiting = shell.start("inbox", "fetch", "--as", "bob", "--wait", "100s", "--json")

    sent = shell.run("inbox", "send", "--to", "bob", "--as", "ann", "--ack-within", "5m", '{"job": 7}')
    code, out, err = shell.end(waiting)

    assert (sent.returncode, code) == (0, 0), sent.stderr + err
    (message,) = json.loads(out)["messages"]
    assert (message["id"], message["sender"], message["content"]) == (sent.stdout.strip(), "ann", {"job": 7})
    assert shell.json("inbox", "receipts", "--as", "ann")["messages"][0]["status"] == "fetched"
    assert shell.run("inbox", "ack", message["id"], "--as", "bob").returncode == 0
    assert shell.json("inbox", "receipts", "--as", "ann")["messages"][0]["status"] == "acknowledged"


# permissions


def test_at_the_owners_door_everybody_is_who_the_token_says_and_may_no_more(shell: Any) -> None:
    root = shell.run("principal", "add", "root", "--role", "admin").stdout.strip()
    ann = shell.run("principal", "add", "ann", CONCERTED_TOKEN=root).stdout.strip()
    shell.env["CONCERTED_TOKEN"] = root
    owner = shell.start("sync", "arrive", "p", "--as", "bob", "--participants", "ann,bob,cy", "--wait", "100s")
    shell.until(owner, "bob has arrived")
    del shell.env["CONCERTED_TOKEN"]
    arrive = ["sync", "arrive", "p", "--no-wait"]

    refused = [
        shell.run(*arrive, "--as", "cy", CONCERTED_TOKEN=ann),
        shell.run(*arrive, "--as", "cy"),
        shell.run(*arrive, "--as", "ann", CONCERTED_TOKEN="ann.guessed"),
        shell.run("principal", "add", "zoe", CONCERTED_TOKEN=ann),
    ]

    assert [done.returncode for done in refused] == [5] * 4, [done.stderr for done in refused]
    assert "an agent acts only as itself" in refused[0].stderr
    assert shell.run(*arrive, CONCERTED_TOKEN=ann).returncode == 0
    assert shell.json("sync", "status", "p")["arrived_agents"] == ["ann", "bob"], "who shows no token may look"
    told = [event["data"]["command"] for event in shell.events("--kind", "access.refused")]
    assert told == ["arrive_at_sync_point", "arrive_at_sync_point", "login", "add_principal"], "each once"
    assert shell.run("principal", "revoke", "ann", CONCERTED_TOKEN=root).returncode == 0
    assert shell.run(*arrive, CONCERTED_TOKEN=ann).returncode == 5


# what is held by number, and who leads


def test_a_third_script_waits_until_one_of_two_permits_is_released(shell: Any) -> None:
    shell.run("semaphore", "create", "gpu", "--permits", "2")
    for who in ("ann", "bob"):
        assert shell.run("semaphore", "acquire", "gpu", who, "--as", who, "--ttl", "5m").returncode == 0
    waiting = shell.start("semaphore", "acquire", "gpu", "cy", "--as", "cy", "--wait", "100s")
    shell.until(waiting, "0 of 2 permits free, held by ann, bob")

    assert shell.run("semaphore", "release", "gpu", "ann", "--as", "ann").returncode == 0
    code, out, err = shell.end(waiting)

    assert code == 0, err
    assert shell.run("semaphore", "check", "gpu", out.strip()).stdout.startswith("cy holds 1 permit of gpu")


def test_a_leader_that_does_not_renew_is_followed_by_who_waits(shell: Any) -> None:
    old = shell.run("election", "campaign", "boss", "--as", "ann", "--ttl", "10s").stdout.strip()
    waiting = shell.start("election", "campaign", "boss", "--as", "bob", "--wait", "100s", "--ttl", "5m")
    shell.until(waiting, "ann leads boss; waiting")

    code, new, err = shell.end(waiting)

    assert code == 0, err
    assert new.strip() > old
    assert shell.run("election", "renew", "boss", old, "--as", "ann").returncode == 7
    assert shell.run("election", "check", "boss", new.strip()).returncode == 0
