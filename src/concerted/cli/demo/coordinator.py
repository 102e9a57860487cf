"""The coordinator of the demo, in a process of its own: `python -m concerted.cli.demo.coordinator ORDER`.

It opens the store, starts the audit or goes on with it, and ends when the audit has ended.  The same
command again after a kill is all that a takeover needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import msgspec

from concerted.cli.demo.audit import find_tasks, stdlib
from concerted.cli.exits import show_error
from concerted.cli.results import ending_code
from concerted.config.settings import Auction, Coordination, LeaderFollower, ManagerSettings, Strategies
from concerted.errors import ConcertedError
from concerted.launch import Session, open_coordinator

__all__ = ["RUN", "SETTINGS", "Order", "main"]

RUN = "audit"
JOIN_S = 20.0  # how long the workers may take to come
TIMEOUT_S = 120.0  # of the whole audit
LOOK_S = 0.05

# What is lost is sent again after 1 s.  A heartbeat every half second tells within that time that a command has
# not come; a worker is gone after three that are missing.
SETTINGS = Coordination(
    manager=ManagerSettings(
        heartbeat_interval=0.5, redelivery_interval=1.0, max_redelivery_interval=1.0, task_lease=10.0
    ),
    strategies=Strategies(
        auction=Auction(bidding_timeout=1.3),
        leader_follower=LeaderFollower(election_timeout=5.0, heartbeat_interval=4.0, progress_interval=1.0),
    ),
)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.  tasks: only so many of them; None for all."""

    store: str
    strategy: str
    workers: int
    tasks: int | None = None


def main() -> int:
    """Do what the order in the command line says; return the exit code."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    try:
        return asyncio.run(_run(order))
    except ConcertedError as error:
        return show_error(error, as_json=False)


async def _run(order: Order) -> int:
    async with open_coordinator(order.store, coordination=SETTINGS) as session:
        if not any(run.id == RUN for run in (await session.status(everything=True)).runs):
            await _wait_for_workers(session, order.workers)
            await session.submit(order.strategy, find_tasks(stdlib(), order.tasks), id=RUN, timeout_s=TIMEOUT_S)
        return ending_code(await session.result(RUN))


async def _wait_for_workers(session: Session, count: int) -> None:
    """Wait until all have come; who is later joins the run."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(JOIN_S):
            while len(await session.agents()) < count:  # noqa: ASYNC110 - it may be anybody's coordinator
                await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    sys.exit(main())
