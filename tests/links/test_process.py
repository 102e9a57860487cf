"""The process link, with real programs that behave well and badly."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from concerted.errors import Unreachable
from concerted.links.process import ProcessLink
from concerted.links.program import ProgramLimits
from concerted.messages import CancelTask, Custom, ExecuteTask, GetStatus, RequestBid
from concerted.testing.link_exam import Heard, envelope, has_ended, task_envelope
from concerted.values import Profile, Task

ANN = Profile(id="ann", capabilities={"writing": 0.5}, capacity=2)

# Calls `do(message)` for each line and writes what it returns as the answer.
LOOP = """
import json, os, sys, time
def answer(message, **fields):
    print(json.dumps({"key": message["idempotency_key"], **fields}), flush=True)
PRELUDE
for line in sys.stdin:
    message = json.loads(line)
    payload = message.get("payload", {})
    data = payload["task"].get("payload", {}) if message["type"] == "EXECUTE_TASK" else {}
    BODY
"""


def program(body: str, prelude: str = "") -> list[str]:
    text = LOOP.replace("PRELUDE", prelude).replace("BODY", body.strip().replace("\n", "\n    "))
    return [sys.executable, "-ISc", text]


def serve(
    argv: list[str], test: Callable[[ProcessLink, Heard], Awaitable[None]], *, profile: Profile = ANN, **limits: Any
) -> None:
    async def main() -> None:
        heard = Heard()
        limits.setdefault("backoff_s", 0.01)
        link = ProcessLink(profile, argv, limits=ProgramLimits(settle_s=0.02, stop_grace_s=0.2, **limits))
        await link.open(heard)
        try:
            await asyncio.wait_for(test(link, heard), 15)
        finally:
            await link.close("the test is over")

    asyncio.run(main())


def test_tasks_and_custom_requests_go_to_the_program_and_the_rest_is_answered_here() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send(
            [
                task_envelope("t", value=3),
                envelope(Custom(name="REVIEW", data=[1]), "c"),
                envelope(RequestBid(auction="a", tasks=(Task(id="x"),), closes_at=0.0), "b"),
            ]
        )
        assert (await heard.answer("t")).value == "EXECUTE_TASK"
        assert (await heard.answer("c")).value == "REVIEW"
        assert (await heard.answer("b")).value["bids"][0]["task"] == "x"

    serve(program("answer(message, value=message['type'])"), test)


def test_a_program_answers_itself_what_its_hello_says_it_handles() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        await heard.until(lambda: heard.profiles)
        link.send([envelope(RequestBid(auction="a", tasks=(), closes_at=0.0), "b")])
        assert (await heard.answer("b")).value == "mine"
        assert heard.profiles[0].capabilities == {"law": 1.0}

    hello = {"hello": {"handles": ["REQUEST_BID"], "profile": {"id": "ann", "capabilities": {"law": 1.0}}}}
    serve(program("answer(message, value='mine')", f"print(json.dumps({hello!r}), flush=True)"), test)


def test_heartbeats_and_progress_of_a_program_are_passed_on() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        await heard.answer("t")
        assert [(beat.agent, beat.running, beat.progress) for beat in heard.beats] == [("ann", ("t",), {"t": (1, 2)})]

    beat = {"beat": {"agent": "somebody", "running": ["t"], "progress": {"t": [1, 2]}}}
    serve(program(f"print(json.dumps({beat!r}))\nanswer(message, value=1)"), test)


def test_a_program_knows_whose_agent_it_is() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).value == "ann"

    serve(program("answer(message, value=os.environ['CONCERTED_AGENT_ID'])"), test)


def test_bad_lines_are_faults_and_the_program_goes_on() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).value == 1
        assert heard.kinds() == ["not_json", "not_a_frame", "unknown_key"]
        assert "loading model" in heard.news[0][1]
        assert "'nobody'" in heard.news[2][1]

    body = """
print("loading model ...")
print(json.dumps({"level": "info"}))
print(json.dumps({"key": "nobody", "value": 1}))
answer(message, value=1)
"""
    serve(program(body), test)


def test_a_second_answer_to_a_command_is_an_unknown_key() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).value == 1
        await heard.until(lambda: heard.news)
        assert len(heard.replies) == 1
        assert heard.kinds() == ["unknown_key"]

    serve(program("answer(message, value=1)\nanswer(message, value=2)"), test)


def test_a_program_that_only_talks_nonsense_is_killed_and_in_the_end_given_up() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        await heard.until(lambda: "lost" in heard.kinds())
        assert heard.kinds().count("not_json") == 15
        assert heard.kinds().count("too_many_faults") == 3
        assert "3 times in a row without an answer" in heard.news[-1][1]
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).status == "lost"

    serve([sys.executable, "-ISc", "while True: print('nonsense', flush=True)"], test, faults=5, restarts=2)


def test_a_line_without_end_is_a_fault_and_the_program_is_started_again() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        first = link.pid
        link.send([task_envelope("bad", value="x" * 100)])
        await heard.until(lambda: "returned" in heard.kinds())
        assert heard.kinds() == ["line_too_long", "lost", "returned"]
        assert "commands in hand: 1" in heard.news[1][1]
        link.send([task_envelope("good")])
        assert (await heard.answer("good")).value is None
        assert link.pid != first
        assert heard.reply_to("bad") is None

    body = "if 'value' in data: sys.stdout.write('x' * 10_000_000)\nanswer(message, value=None)"
    serve(program(body), test)


def test_an_exit_in_mid_task_is_a_loss_and_the_next_task_goes_to_the_next_process() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("bad", value=3)])
        await heard.until(lambda: "lost" in heard.kinds())
        assert "has exited with code 3" in heard.news[0][1]
        assert "it last wrote: ValueError: out of ink" in heard.news[0][1]
        assert not link.holds("bad")
        link.send([task_envelope("good")])  # waits for the restart
        assert (await heard.answer("good")).ok
        assert "out of ink" in link.stderr_tail
        link.send([task_envelope("bad", value=0)])  # the same command, as a later attempt may send it
        await heard.until(lambda: heard.kinds().count("lost") == 2)

    body = """
if "value" in data:
    print("ValueError: out of ink", file=sys.stderr)
    sys.exit(data["value"])
answer(message, value=1)
"""
    serve(program(body), test)


def test_an_exit_with_nothing_in_hand_is_a_suspicion() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        assert link.pid is not None
        os.kill(link.pid, signal.SIGKILL)
        await heard.until(lambda: "returned" in heard.kinds())
        assert heard.kinds() == ["suspected", "returned"]
        assert heard.news[0][1] == "its program was ended by SIGKILL; it is being restarted"

    serve(program("answer(message, value=1)"), test)


def test_a_program_that_is_not_running_is_not_well() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([envelope(GetStatus(), "a")])
        assert (await heard.answer("a")).value["state"] == "available"
        assert link.pid is not None
        os.kill(link.pid, signal.SIGKILL)
        await heard.until(lambda: heard.news)
        link.send([envelope(GetStatus(), "b")])
        assert (await heard.answer("b")).status == "refused"

    serve(program("answer(message, value=1)"), test, backoff_s=5.0)


def test_a_program_that_ends_at_once_is_given_up_after_some_restarts() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        await heard.until(lambda: "lost" in heard.kinds())
        assert [kind for kind in heard.kinds() if kind != "returned"] == ["suspected", "suspected", "lost"]
        assert "has exited with code 1, 3 times in a row" in heard.news[-1][1]
        assert "SyntaxError" in heard.news[-1][1]
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).status == "lost"

    serve([sys.executable, "-ISc", "this is no program"], test, restarts=2)


def test_a_cancelled_task_is_told_to_the_program_and_a_late_answer_is_no_fault() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        await asyncio.sleep(0)
        link.send([envelope(CancelTask(task="t", epoch=1, reason="over"), "")])
        assert (await heard.answer("t")).status == "cancelled"
        link.send([task_envelope("u")])
        assert (await heard.answer("u")).value == ["EXECUTE_TASK", "CANCEL_TASK", "EXECUTE_TASK"]
        assert heard.news == []

    body = """
seen.append(message["type"])
if message["type"] == "CANCEL_TASK":
    print(json.dumps({"key": message["correlation_id"], "status": "cancelled"}), flush=True)
elif len(seen) > 1:
    answer(message, value=seen)
"""
    serve(program(body, "seen = []"), test)


def test_a_program_stuck_in_a_cancelled_task_is_killed() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("stuck", wait_s=60)])
        await asyncio.sleep(0)
        link.send([envelope(CancelTask(task="stuck", epoch=1), "")])
        assert (await heard.answer("stuck")).status == "cancelled"
        link.send([task_envelope("next")])
        assert (await heard.answer("next")).ok

    body = "time.sleep(data.get('wait_s', 0))\nanswer(message, value=1)"
    serve(program(body), test, profile=Profile(id="ann"), cancel_grace_s=0.05)


def test_commands_beyond_capacity_wait_here_and_not_in_the_pipe() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope(f"k{n}") for n in range(5)])
        await heard.until(lambda: len(heard.replies) == 2)
        assert heard.replies[0].value == 2
        assert all(link.holds(f"k{n}") for n in range(2, 5))

    # Answers two commands only when both have come; the rest would wait for a further one.
    body = """
got.append(message)
if len(got) == 2:
    for each in got: answer(each, value=len(got))
"""
    serve(program(body, "got = []"), test)


def test_a_program_that_does_not_read_costs_bounded_memory() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        for number in range(20):
            link.send([envelope(Custom(name="BULK", data="x" * 100_000), f"k{number}")])
        await heard.until(lambda: "queue_full" in heard.kinds())
        assert "bytes wait to be read" in heard.news[0][1]
        assert not all(link.holds(f"k{number}") for number in range(20))
        assert heard.replies == []

    serve([sys.executable, "-ISc", "import time; time.sleep(60)"], test, queue_bytes=500_000)


@pytest.mark.parametrize(
    ("argv", "cwd", "problem"),
    [
        (
            ["no-such-program-anywhere"],
            None,
            "no-such-program-anywhere cannot be started: there is no such program on PATH",
        ),
        (["./agent"], None, "there is no such program there"),
        (["true"], "no/such/folder", "there is no such folder"),
        ([], None, "the command is empty"),
    ],
)
def test_what_cannot_be_started_is_said_at_once(argv: list[str], cwd: str | None, problem: str) -> None:
    async def main() -> None:
        with pytest.raises(Unreachable, match=problem):
            await ProcessLink(ANN, argv, cwd=cwd).open(Heard())

    asyncio.run(main())


def test_a_program_may_stand_in_its_own_folder(tmp_path: Path) -> None:
    async def main() -> None:
        agent = tmp_path / "agent"
        agent.write_text('#!/bin/sh\nread -r line\necho \'{"key": "t", "value": "here"}\'\n')
        agent.chmod(0o700)
        heard, link = Heard(), ProcessLink(ANN, ["./agent"], cwd=str(tmp_path))
        await link.open(heard)
        link.send([task_envelope("t")])
        assert (await heard.answer("t")).value == "here"
        await link.close("over")

    asyncio.run(main())


def test_the_end_of_a_link_is_the_end_of_everything_its_program_has_started(tmp_path: Path) -> None:
    child = tmp_path / "child"

    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([task_envelope("t")])
        await heard.answer("t")
        await link.close("over")
        assert await has_ended(int(child.read_text()))

    body = f"""
import subprocess
started = subprocess.Popen(["sleep", "60"])
open({str(child)!r}, "w").write(str(started.pid))
answer(message, value=1)
"""
    serve(program(body), test)


def test_a_command_without_a_key_is_refused() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([envelope(Custom(name="REVIEW"), "")])
        await heard.until(lambda: heard.replies)
        assert heard.replies[0].status == "refused"

    serve(program("answer(message, value=1)"), test)


def test_execute_task_needs_no_profile_kind() -> None:
    async def test(link: ProcessLink, heard: Heard) -> None:
        link.send([envelope(ExecuteTask(task=Task(id="t", kind="whatever"), epoch=1, lease_s=1.0), "t")])
        assert (await heard.answer("t")).ok

    serve(program("answer(message, value=1)"), test)
