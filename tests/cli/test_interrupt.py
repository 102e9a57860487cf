"""The first signal stops in order, the second at once."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, sys
from concerted.cli.interrupt import Interrupted, interruptible

async def work():
    try:
        print("at work", flush=True)
        await asyncio.sleep(60)
    finally:
        print("closing", flush=True)
        if sys.argv[1] == "slowly":
            await asyncio.sleep(60)
        print("closed", flush=True)

try:
    asyncio.run(interruptible(work()))
except Interrupted as stopped:
    sys.exit(stopped.code)
"""


def start(how: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, how], stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_one_signal_lets_it_close_in_order(number: int, code: int) -> None:
    with start("quickly") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)

        assert process.stdout.read() == "closing\nclosed\n"
    assert process.returncode == code


def test_a_second_signal_ends_it_at_once() -> None:
    with start("slowly") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)

        assert process.stdout.read() == ""
    assert process.returncode == 130
