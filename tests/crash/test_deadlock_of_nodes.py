"""A cycle of waits through two processes on one PostgreSQL, one of which is paused, or killed."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator

import psycopg
import pytest

from concerted.errors import Deadlock
from concerted.launch import Session, open_coordinator
from concerted.stores.postgres.connection import Address

PATIENCE_S = 180.0
TTL_S = 6.0  # so that ann does not lose the lease where its process is seldom given the processor

# It holds a lease and waits for bob at a sync point, like a program that has forgotten to let go.
ANN = f"""
import asyncio, sys
from concerted import open_coordinator

async def main():
    async with open_coordinator(sys.argv[1]) as coordinator:
        async with coordinator.leases.hold("src/a.py", holder="ann", ttl_s={TTL_S}):
            print("holds", flush=True)
            await coordinator.sync_point("p").arrive("ann", timeout_s=600)
            print("met", flush=True)

asyncio.run(main())
"""

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start ann's process; it does not outlive the test."""
    running: list[subprocess.Popen[str]] = []

    def started(url: str) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", ANN, url]
        running.append(subprocess.Popen(argv, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        return running[-1]

    yield started
    for process in running:
        process.kill()
        process.communicate()


async def posted(url: str, agent: str) -> None:
    """Wait until an agent's wait is in the table, as other nodes see it."""
    address = Address.parse(url)
    statement = f"select count(*) from {address.schema}.waits where agent = %s"
    async with await psycopg.AsyncConnection.connect(address.conninfo, autocommit=True) as connection:
        while True:
            if await (await connection.execute(statement, (agent,))).fetchone() == (1,):
                return
            await asyncio.sleep(0.02)


def play(url: str, start: Start, scene: Callable[[Session, "subprocess.Popen[str]"], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(PATIENCE_S), open_coordinator(url) as coordinator:
            await coordinator.sync_point("p").create(["ann", "bob"])
            ann = start(url)
            assert ann.stdout is not None
            assert await asyncio.to_thread(ann.stdout.readline) == "holds\n"
            await posted(url, "ann")
            await scene(coordinator, ann)

    asyncio.run(main())


def test_who_closes_a_cycle_through_another_process_is_told(postgres: Callable[[], str], start: Start) -> None:
    async def scene(c: Session, ann: "subprocess.Popen[str]") -> None:
        with pytest.raises(Deadlock, match=r"bob waits for src/\*\*, held by ann.*, ann waits for sync point p"):
            async with c.leases.hold("src/**", holder="bob", ttl_s=5, timeout_s=PATIENCE_S):
                pass
        assert (await c.sync_point("p").arrive("bob", timeout_s=PATIENCE_S)).status == "completed"
        assert ann.stdout is not None
        assert await asyncio.to_thread(ann.stdout.readline) == "met\n", "ann has waited on, and then went on"

    play(postgres(), start, scene)


@pytest.mark.parametrize("blow", [signal.SIGSTOP, signal.SIGKILL], ids=["paused", "killed"])
def test_nobody_is_refused_because_of_a_process_that_is_gone(
    blow: signal.Signals, postgres: Callable[[], str], start: Start
) -> None:
    async def scene(c: Session, ann: "subprocess.Popen[str]") -> None:
        ann.send_signal(blow)
        async with c.leases.hold("src/**", holder="bob", ttl_s=5, timeout_s=PATIENCE_S) as lease:
            assert (await c.leases.check("src/a.py", lease.token)).holder == "bob", (
                "it passed on when its time was over"
            )
            if blow == signal.SIGSTOP:
                ann.send_signal(signal.SIGCONT)

    play(postgres(), start, scene)
