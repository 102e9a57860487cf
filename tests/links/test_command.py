"""The command link: words, variables, results, limits."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted.links import command
from concerted.links.command import CommandLink
from concerted.messages import CancelTask, ExecuteTask, GetStatus, Reply, RequestBid
from concerted.testing.link_exam import Heard, envelope, has_ended
from concerted.values import Profile, Task

ANN = Profile(id="ann", cost=3.0)
PYTHON = [sys.executable, "-ISc"]


def with_link(words: list[str], test: Callable[[CommandLink, Heard], Awaitable[None]], **more: Any) -> None:
    async def main() -> None:
        heard, link = Heard(), CommandLink(more.pop("profile", ANN), words, stop_grace_s=0.05, **more)
        await link.open(heard)
        try:
            await asyncio.wait_for(test(link, heard), 15)
        finally:
            await link.close("the test is over")

    asyncio.run(main())


def do(words: list[str], task: Task | None = None, results: dict[str, Any] | None = None, **more: Any) -> Reply:
    """Have a command line do one task and return the reply."""
    replies: list[Reply] = []

    async def test(link: CommandLink, heard: Heard) -> None:
        link.send([execute(task or Task(id="t"), results)])
        replies.append(await heard.answer("key"))

    with_link(words, test, **more)
    return replies[0]


def execute(task: Task, results: dict[str, Any] | None = None, reply_by: float | None = None) -> Any:
    request = ExecuteTask(task=task, epoch=3, lease_s=9.0, results=results or {})
    return msgspec.structs.replace(envelope(request, "key", epoch=8), reply_by=reply_by)


def test_words_are_filled_and_no_shell_reads_them() -> None:
    task = Task(id="t-1", description="count; rm *", payload={"path": "a b$(id)", "n": [1, 2]})
    words = [*PYTHON, "import sys, json; print(json.dumps(sys.argv[1:]))"]
    words += [
        "{task.id}:{task.description}",
        "{payload.path}",
        "{payload.n}",
        "{agent.id}",
        "{results.before}",
        "$HOME *",
    ]
    reply = do(words, task, {"before": {"pages": 2}})
    assert reply.value == ["t-1:count; rm *", "a b$(id)", "[1,2]", "ann", '{"pages":2}', "$HOME *"]


def test_everything_is_in_the_environment_too() -> None:
    program = (
        "import os, json; print(json.dumps({{k: v for k, v in os.environ.items() if k.startswith('CONCERTED_')}}))"
    )
    task = Task(id="t-1", description="d", payload={"path": "p"})
    value = do([*PYTHON, program], task, {"before": 2}, env={"CONCERTED_MINE": "yes"}).value
    inherited = {name for name in os.environ if name.startswith("CONCERTED_")}
    assert {name: text for name, text in value.items() if name not in inherited} == {
        "CONCERTED_AGENT_ID": "ann",
        "CONCERTED_ATTEMPT": "3",
        "CONCERTED_EPOCH": "3",
        "CONCERTED_IDEMPOTENCY_KEY": "key",
        "CONCERTED_MINE": "yes",
        "CONCERTED_PAYLOAD": '{"path":"p"}',
        "CONCERTED_RESULTS": '{"before":2}',
        "CONCERTED_RUN_ID": "exam",
        "CONCERTED_TASK": '{"id":"t-1","description":"d","payload":{"path":"p"}}',
        "CONCERTED_TASK_ID": "t-1",
    }


def test_a_value_too_long_for_a_variable_stands_in_a_file_for_as_long_as_the_command_runs() -> None:
    program = """
import os, json
path = os.environ["CONCERTED_RESULTS_FILE"]
print(json.dumps([path, len(json.load(open(path))["before"]), "CONCERTED_RESULTS" in os.environ]))
"""
    path, size, also_as_variable = do([*PYTHON, program], results={"before": "x" * 300_000}).value
    assert (size, also_as_variable) == (300_000, False)
    assert not Path(path).exists()


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ('working ...\n{"pages": 3}\n', {"pages": 3}),
        ("[1, 2]\n\n", [1, 2]),
        ("42", 42),
        ("null", None),
        ("three pages\nand a half\n", "three pages\nand a half"),
        ('{"pages": 3}\ndone\n', '{"pages": 3}\ndone'),
        ("", ""),
    ],
)
def test_json_on_the_last_line_is_the_result_and_else_the_output(output: str, value: Any) -> None:
    reply = do(["printf", "%s", output.replace("{", "{{").replace("}", "}}")])
    assert (reply.status, reply.value) == ("ok", value)


def test_of_a_long_output_the_tail_is_kept() -> None:
    value = do([*PYTHON, "print('a' * 1_000_000 + 'z' * 10)"]).value
    assert len(value) <= command.OUTPUT_BYTES
    assert value.endswith("a" + "z" * 10)


def test_another_exit_code_is_a_failure_and_says_what_was_written() -> None:
    reply = do([*PYTHON, "import sys; print('page 1'); sys.exit('out of ink')"])
    assert (reply.status, reply.value) == ("failed", {"exit_code": 1, "output": "page 1\n"})
    assert reply.error == f"{sys.executable} has exited with code 1: out of ink"
    assert do(["sh", "-c", "echo only here; exit 4"]).error == "sh has exited with code 4: only here"
    assert do(["sh", "-c", "kill -9 $$"]).error == "sh was ended by SIGKILL"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (
            ["no-such-program-anywhere"],
            "Unreachable: no-such-program-anywhere cannot be started: there is no such program",
        ),
        (["echo", "{payload.path}"], "its payload has no 'path'"),
        (["echo", "{results.before}"], "there is no result of 'before'"),
    ],
)
def test_what_cannot_be_run_is_a_failure_that_says_why(words: list[str], problem: str) -> None:
    reply = do(words)
    assert reply.status == "failed"
    assert problem in (reply.error or "")


def test_a_command_runs_in_its_folder_and_has_no_input(tmp_path: Path) -> None:
    assert do([*PYTHON, "import os, sys; print([os.getcwd(), sys.stdin.read()])"], cwd=str(tmp_path)).value == str(
        [str(tmp_path), ""]
    )


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "60"])
with open(sys.argv[1], "w") as file: file.write(f"{{os.getpid()}} {{child.pid}}")
print("begun", flush=True)
time.sleep(60)
"""


def test_the_time_limit_kills_the_whole_group_also_who_ignores_the_first_signal(tmp_path: Path) -> None:
    reply = do([*PYTHON, STUBBORN, str(tmp_path / "pids")], Task(id="t", max_duration_s=0.3))
    assert reply.status == "timeout"
    assert reply.error == f"{sys.executable} was killed at its time limit: begun"
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all(asyncio.run(has_ended(pid)) for pid in pids)


def test_reply_by_is_a_time_limit_too() -> None:
    async def test(link: CommandLink, heard: Heard) -> None:
        link.send([execute(Task(id="t", max_duration_s=60), reply_by=time.time() + 0.05)])
        assert (await heard.answer("key")).status == "timeout"

    with_link(["sleep", "60"], test)


def test_a_cancelled_command_is_ended_with_its_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def test(link: CommandLink, heard: Heard) -> None:
        link.send([execute(Task(id="t"))])
        async with asyncio.timeout(5):
            while not pids.exists() or len(pids.read_text().split()) < 2:  # noqa: ASYNC110 - a program writes it
                await asyncio.sleep(0.005)
        link.send([envelope(CancelTask(task="t", epoch=3), "", epoch=8)])
        assert (await heard.answer("key")).status == "cancelled"
        for pid in pids.read_text().split():
            assert await has_ended(int(pid))

    with_link([*PYTHON, STUBBORN, str(pids)], test)


def test_a_process_left_behind_in_the_background_is_ended_with_the_command(tmp_path: Path) -> None:
    reply = do(["sh", "-c", 'sleep 60 & echo $! > "$0"', str(tmp_path / "pid")])
    assert reply.ok
    assert asyncio.run(has_ended(int((tmp_path / "pid").read_text())))


def test_commands_killed_by_the_end_of_the_link_have_not_failed(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def test(link: CommandLink, heard: Heard) -> None:
        request = ExecuteTask(task=Task(id="t"), epoch=1, lease_s=9.0)
        link.send([envelope(request, f"k{number}") for number in range(4)])
        async with asyncio.timeout(5):
            while not begun.exists() or len(begun.read_text().split()) < 2:  # noqa: ASYNC110 - programs write it
                await asyncio.sleep(0.005)
        await link.close("the coordinator ends")
        assert heard.replies == []

    with_link(["sh", "-c", 'echo $$ >> "$0"; sleep 60', str(begun)], test, profile=Profile(id="ann", capacity=2))


def test_bids_and_status_come_from_profile_and_load() -> None:
    async def test(link: CommandLink, heard: Heard) -> None:
        link.send(
            [envelope(RequestBid(auction="a", tasks=(Task(id="t"),), closes_at=0.0), "b"), envelope(GetStatus(), "s")]
        )
        assert (await heard.answer("b")).value["bids"][0]["cost"] == 3.0
        assert (await heard.answer("s")).value["state"] == "available"

    with_link(["true"], test)


def test_no_descriptor_is_left_open() -> None:
    async def test(link: CommandLink, heard: Heard) -> None:
        link.send([execute(Task(id="t"))])
        await heard.answer("key")
        before = len(os.listdir("/dev/fd"))
        for number in range(5):
            link.send([envelope(ExecuteTask(task=Task(id="t"), epoch=1, lease_s=1.0), f"k{number}", epoch=8)])
            await heard.answer(f"k{number}")
        await asyncio.sleep(0)
        assert len(os.listdir("/dev/fd")) <= before

    with_link(["true"], test)
