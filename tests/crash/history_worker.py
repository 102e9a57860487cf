"""One process of three that use the same leases, leaders and values, and record what they asked and were told.

    python history_worker.py URL FOLDER NAME [hasty]

It goes on until there is a file `over` in the folder.  Each lane asks one thing at a time.  At SIGUSR1 this
process's wall clock jumps.  Holders and candidates have names of their own, one for each attempt, so that what
an earlier attempt may or may not have done is nobody else's.  hasty: with a store that answers before it commits.
"""

import asyncio
import random
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from concerted.board.holding import token as token_of
from concerted.errors import ConcertedError, LeaseLost, NotFound
from concerted.launch import Session, open_coordinator, owner
from concerted.ports.holding import (
    AcquireLease,
    Campaign,
    CheckLeadership,
    CheckLease,
    ConfirmLease,
    Leases,
    Observe,
    Proclaim,
    ReleaseLease,
    RenewLeadership,
    RenewLease,
    Resign,
    WithdrawLease,
)
from concerted.ports.store import Write
from concerted.stores.sqlite.store import SqliteStore
from concerted.testing import Recorder
from concerted.values import AgentId

TTL_S, CONFIRM_S = 1.0, 0.6
LEASES, ELECTIONS, VALUES = 2, 1, 2
LANES = 3
JUMPS_S = (-3_600.0, -2.0, 1.5, 30.0, 86_400.0)
THINK_S = 0.03
COMMIT_LATER_S = 0.2

_right_time = time.time
_wrong_by_s = 0.0


def jump(dice: random.Random) -> None:
    """Set this process's wall clock forward or back, as an administrator or a bad time server does."""
    global _wrong_by_s  # noqa: PLW0603
    _wrong_by_s += dice.choice(JUMPS_S)


class Hasty(SqliteStore):
    """What must not be: a store that answers first and commits later; what a kill comes between is lost."""

    async def append(self, writes: Sequence[Write]) -> list[Any]:
        loop = asyncio.get_running_loop()
        self._ahead = getattr(self, "_ahead", await self.last_seq()) + sum(len(write.rows) for write in writes)
        later = super().append
        loop.call_later(COMMIT_LATER_S, lambda: loop.create_task(later(writes)))
        return [self._ahead] * len(writes)


class Lane:
    """One caller that does one thing after the other."""

    def __init__(self, session: Session, recorder: Recorder, name: str, dice: random.Random) -> None:
        self._session = session
        self._recorder = recorder
        self._name = name
        self._dice = dice
        self._count = 0

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Use one object after the other, at random."""
        while not is_over():
            kind = self._dice.choice((self._lease, self._lease, self._election, self._value, self._value))
            await kind()

    async def _ask(
        self, object: str, op: str, arg: Any, work: Awaitable[Any], told: Callable[[Any], Any], lost: Any = False
    ) -> Any:
        """Record one operation; an error of which nobody can tell what it means leaves its outcome open."""
        call = self._recorder.call(object, op, arg)
        try:
            result = told(await work)
        except (LeaseLost, NotFound):
            call.returned(lost)
            return lost
        except ConcertedError as error:
            call.unknown(f"{error.code}: {error.message[:80]}")
            await asyncio.sleep(THINK_S)
            return None
        call.returned(result)
        return result

    async def _think(self) -> None:
        await asyncio.sleep(self._dice.random() * THINK_S)

    def _new_name(self) -> AgentId:
        self._count += 1
        return AgentId(f"{self._name}-{self._count}")

    # leases

    async def _lease(self) -> None:
        lease, holder = f"lease-{self._dice.randrange(LEASES)}", self._new_name()
        token = await self._acquire(lease, holder)
        give = self._session.give
        while token is not None and self._dice.random() < 0.8:
            await self._think()
            match self._dice.randrange(5):
                case 0:
                    held = await self._ask(
                        lease, "renew", [holder, token, TTL_S], give(RenewLease(agent=holder, token=token)), _yes
                    )  # fmt: skip
                case 1 | 2:
                    held = await self._check(lease, token)
                case 3:
                    await self._ask(lease, "look", None, give(Leases(name=lease)), _listed, [])
                    continue
                case _:
                    await asyncio.sleep(self._dice.random() * 2 * TTL_S)  # perhaps too long
                    held = await self._check(lease, token)
            if held is not True:
                return
        if token is not None:
            work = give(ReleaseLease(agent=holder, token=token))
            await self._ask(lease, "release", [holder, token], work, lambda told: told.success)

    async def _check(self, lease: str, token: str) -> Any:
        work = self._session.give(CheckLease(name=lease, token=token))
        return await self._ask(lease, "check", token, work, lambda told: told.valid)

    async def _acquire(self, lease: str, holder: AgentId) -> str | None:
        """Acquire it, at once or after a wait; a grant that was waited for counts when it is confirmed."""
        ticket, waits = uuid.uuid4().hex, self._dice.random() < 0.4
        give, call = self._session.give, self._recorder.call(lease, "acquire", [holder, TTL_S])
        ask = AcquireLease(agent=holder, ticket=ticket, names=(lease,), ttl_s=TTL_S, confirm_s=CONFIRM_S, queue=waits,
                           wait_s=0.3 if waits else 0.0)  # fmt: skip
        try:
            told = await give(ask)
            if told.granted and told.confirm_at is not None:
                told = await give(ConfirmLease(agent=holder, ticket=ticket))
            if told.pending:
                left = await give(WithdrawLease(agent=holder, ticket=ticket))
                call.failed("it waited in vain") if left.status == "withdrawn" else call.unknown(left.status)
                return None
        except ConcertedError as error:
            call.unknown(f"{error.code}: {error.message[:80]}")
            return None
        if waits and not told.granted:
            call.unknown(told.status)  # it may have been granted in the meantime, and be over
            return None
        call.returned(told.token if told.granted else None)
        return told.token if told.granted else None

    # elections

    async def _election(self) -> None:
        election, candidate = f"election-{self._dice.randrange(ELECTIONS)}", self._new_name()
        give = self._session.give
        await self._observe(election)
        token = await self._ask(
            election, "campaign", [candidate, TTL_S],
            give(Campaign(id=election, agent=candidate, ticket=uuid.uuid4().hex, ttl_s=TTL_S, queue=False)),
            lambda told: told.token if told.elected else None,
        )  # fmt: skip
        while token is not None and self._dice.random() < 0.8:
            await self._think()
            match self._dice.randrange(5):
                case 0:
                    work = give(RenewLeadership(id=election, agent=candidate, token=token))
                    led = await self._ask(election, "renew", [candidate, token, TTL_S], work, _yes)
                case 1:
                    said = f"{candidate}/{self._dice.random()}"
                    work = give(Proclaim(id=election, agent=candidate, token=token, value=said))
                    led = await self._ask(election, "proclaim", [candidate, token, said], work, _yes)
                case 2:
                    await self._observe(election)
                    continue
                case _:
                    await asyncio.sleep(self._dice.choice((0.0, 0.0, self._dice.random() * 2 * TTL_S)))
                    work = give(CheckLeadership(id=election, token=token))
                    led = await self._ask(election, "check", token, work, lambda told: told.valid)
            if led is not True:
                return
        if token is not None:
            work = give(Resign(id=election, agent=candidate, token=token))
            await self._ask(election, "resign", [candidate, token], work, _yes)

    async def _observe(self, election: str) -> None:
        ask = self._session.give(Observe(id=election, known_epoch=-1))
        if self._dice.random() < 0.5:
            await self._ask(election, "observe", None, ask, _leader, None)
        else:
            await self._ask(election, "hear", None, ask, lambda told: told.value, None)

    # values

    async def _value(self) -> None:
        name = f"value-{self._dice.randrange(VALUES)}"
        value = self._session.register_value(name)
        seen = await self._ask(name, "read", None, value.get(), lambda told: [told.value, told.version], [None, 0])
        if seen is None:
            return
        await self._think()
        new = self._new_name()
        if self._dice.random() < 0.2:
            await self._ask(name, "write", new, value.put(new, agent=self._name), lambda told: told.version)
        else:
            work = value.compare_and_swap(new, expected_version=seen[1], agent=self._name)
            await self._ask(
                name, "cas", [seen[1], new], work, lambda told: told.version if told.swapped else None, None
            )  # fmt: skip


def _yes(_: Any) -> bool:
    return True


def _listed(told: Any) -> list[list[str]]:
    return [[one.holder, one.token] for one in told.leases if one.is_confirmed]


def _leader(told: Any) -> list[str] | None:
    return None if told.leader is None else [told.leader, token_of(told.epoch)]


async def main() -> None:
    url, folder, name, *words = sys.argv[1:]
    if "hasty" in words:
        owner.SqliteStore = Hasty  # type: ignore[misc]
    time.time = lambda: _right_time() + _wrong_by_s
    dice = random.Random(name)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, jump, dice)
    over = Path(folder) / "over"
    async with open_coordinator(url) as session:
        with Recorder(name, Path(folder) / f"{name}.jsonl") as recorder:
            lanes = [
                Lane(session, recorder, f"{name}-{lane}", random.Random(f"{name}/{lane}")) for lane in range(LANES)
            ]
            await asyncio.gather(*(lane.run(over.exists) for lane in lanes))


if __name__ == "__main__":
    asyncio.run(main())
