"""Starting programs: gated, guarded, reaped, and called off half-way."""

import asyncio
import gc
import os
import signal

import pytest

from concerted.links import guardian
from concerted.links.spawn import Tail, spawn


def test_a_start_that_is_called_off_leaves_nothing_behind() -> None:
    async def main(turns: int) -> None:
        before = len(os.listdir("/dev/fd"))
        starting = asyncio.create_task(spawn(["sleep", "60"], os.environ))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        try:
            spawned = await starting
        except asyncio.CancelledError:
            pass
        else:
            await spawned.stop(0)
            spawned.close()
        await asyncio.sleep(0.001)
        assert guardian._guardian._groups == set()
        assert len(os.listdir("/dev/fd")) <= before + 1  # the pipe to the guardian

    for turns in range(8):
        asyncio.run(main(turns))
    gc.collect()


def test_the_exit_code_and_the_output_come_back() -> None:
    async def main() -> None:
        spawned = await spawn(["sh", "-c", "read -r line; echo got $line; exit 3"], os.environ)
        spawned.stdin.write(b"tea\n")
        assert await spawned.stdout.read() == b"got tea\n"
        assert await spawned.ended == 3
        spawned.signal(signal.SIGTERM)  # of no consequence
        assert await spawned.stop(1.0) == 3
        spawned.close()

    asyncio.run(main())


def test_a_system_without_process_descriptors_waits_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)

    async def main() -> None:
        spawned = await spawn(["sh", "-c", "exit 4"], os.environ)
        assert await asyncio.wait_for(spawned.ended, 5) == 4
        spawned.close()

    asyncio.run(main())


def test_a_tail_keeps_the_end() -> None:
    tail = Tail(4)
    for letter in b"abcdefghij":
        tail.add(bytes([letter]))
    assert tail.text() == "ghij"
    tail.add("é".encode()[1:])
    assert tail.text() == "hij\N{REPLACEMENT CHARACTER}"
