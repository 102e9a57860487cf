"""The host of all primitives: requests are decided in turn, written together, and only then answered.

    decide(request) -> [all primitives with requests decide] -> store.append -> answer, wake -> next round

A primitive whose rows are being written takes no further request until they are; others go on, and the
store's writer groups what is in flight.  Where several processes share a store, each write names the
length of the stream on which it was decided: if another process was faster the rows are read and the same
requests are decided again, so that whatever is answered was decided on the newest state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from concerted.errors import ConcertedError, Invalid, LeaseLost, Overloaded
from concerted.kinds import primitive_stream
from concerted.machine import Event, Look, Result, Wake
from concerted.ports.clock import Clock
from concerted.ports.store import Entry, Renewal, Stale, Store, Write
from concerted.primitives.alarms import Alarms
from concerted.primitives.deciding import Decided, MailRoom, decide
from concerted.primitives.held import Asked, Held
from concerted.primitives.holdings import MemoryHoldings, ttl_of
from concerted.primitives.shelf import Shelf
from concerted.primitives.table import machine_of

__all__ = ["Host"]

ASKED_MAX = 100_000  # requests that wait for one primitive's turn
ROUND_MAX = 5_000  # requests of one primitive in one write
TRIES = 100  # how often a write may be overtaken by other processes before its callers are told to come back


class Host:
    """Hosts primitives over one store.

    failed: hears that the store has failed.  news: hears the newest sequence number after each commit.
    happened: hears of the events that are written here, whatever wrote them.
    """

    def __init__(
        self, store: Store, clock: Clock, *, mail: MailRoom, failed: Callable[[ConcertedError], None],
        news: Callable[[int], None], happened: Callable[[Held, Sequence[Event]], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._mail = mail
        self._failed = failed
        self._news = news
        self._happened = happened
        self._loop = asyncio.get_running_loop()
        self._dirty: dict[str, Held] = {}
        self._scheduled = False
        self._writing: set[asyncio.Task[None]] = set()
        self._errands: set[asyncio.Task[Any]] = set()
        self._memory = MemoryHoldings()
        self.alarms = Alarms(clock, self._due)
        self.shelf = Shelf(store, clock, self.alarms)
        self.stopped: ConcertedError | None = None
        self.commits = 0

    async def quiet(self) -> None:
        """Wait until nothing is being written."""
        while self._writing or self._scheduled:
            if self._writing:
                await asyncio.wait(set(self._writing))
            await asyncio.sleep(0)

    def stop(self, error: ConcertedError) -> None:
        """Decide nothing more; whoever asks or waits is told why."""
        if self.stopped is not None:
            return
        self.stopped = error
        self.alarms.stop()
        for task in self._errands:
            task.cancel()
        self.shelf.stop(error)

    def running(self) -> set[asyncio.Task[Any]]:
        """What `stop` will call off."""
        return {*self._errands, *self.shelf.running()}

    async def decide(self, kind: str, id: str, request: Any) -> Held:
        """Have a request decided; return the primitive when what it came to is written.

        Raises:
            ConcertedError: it was refused, as the machine says.  Overloaded: too many requests before it.
            Unreachable: the store failed; whether it was written is known only by asking again.
        """
        held = await self.reach(kind, id)
        if len(held.asked) >= ASKED_MAX:
            raise Overloaded(f"{len(held.asked):,} requests wait for {held.stream}; come back later", bound=ASKED_MAX)
        asked = Asked(request, self._loop.create_future())
        held.asked.append(asked)
        self._touch(held)
        await asked.told
        return held

    async def renew(self, kind: str, id: str, request: Any) -> Result:
        """Have something held for longer: `request.token`, by its holder.

        Raises:
            LeaseLost: it is not held any more.
        """
        held = await self.decide(kind, id, request)
        now = self._clock.now()
        result = held.answer(request, now)
        until = now + ttl_of(held.machine, held.state, request, now)
        renewal = Renewal(held.stream, request.token, until)
        kept = self._memory.renew(renewal) if held.is_volatile else (await self._store.renew([renewal]))[0]
        if not kept:
            raise LeaseLost(f"time was over for {request.token}; ask anew", token=request.token)
        return msgspec.structs.replace(result, expires_at=until) if hasattr(result, "expires_at") else result

    async def reach(self, kind: str, id: str) -> Held:
        """Return a primitive, reading it from the log if it is not in memory."""
        if self.stopped is not None:
            raise self.stopped
        held = self.shelf.get(primitive_stream(kind, id))
        return held if held is not None else await self.shelf.reach(kind, id)

    def keep_in_memory(self, kind: str, id: str, state: Any) -> None:
        """Keep a primitive in memory alone, from this state on: nothing of it is written, and it dies with us."""
        stream = primitive_stream(kind, id)
        self.shelf.put(Held(stream, machine_of(kind), state, is_volatile=True, touched_at=self._loop.time()))

    def heard(self, entries: Sequence[Entry]) -> None:
        """Take note of rows that other processes have written; what was missed of them is read."""
        for held in self.shelf.heard(entries):
            if not held.in_flight:
                self._look_again(held)

    def errand(self, work: Any) -> None:
        """Run a small coroutine beside everything else; it is cancelled when the host stops."""
        task = self._loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_over)

    # rounds

    def _touch(self, held: Held) -> None:
        if held.in_flight or self.stopped is not None:
            return
        self._dirty[held.stream] = held
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        self._scheduled = False
        if self.stopped is not None:
            return
        dirty, self._dirty = self._dirty, {}
        to_write = []
        for held in dirty.values():
            if not held.asked or held.in_flight:
                continue
            one = self._decide(held, self._take(held))
            if held.is_volatile:
                self._memory.change(one.holdings)
                held.state = one.state
            elif one.rows or one.mail or one.holdings or self._store.shared:
                to_write.append(one)  # on a shared store also to see whether it is still the newest state
                continue
            self._settled(one)
        if to_write:
            self._write(to_write)

    def _take(self, held: Held) -> list[Asked]:
        held.in_flight = True
        asked, held.asked = held.asked[:ROUND_MAX], held.asked[ROUND_MAX:]
        return asked

    def _decide(self, held: Held, requests: list[Asked]) -> Decided:
        return decide(held, requests, self._clock.now(), self._mail, self._report)

    def _write(self, decided: list[Decided]) -> None:
        task = self._loop.create_task(self._commit(decided))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _commit(self, decided: list[Decided]) -> None:
        try:
            answers = await self._store.append([_as_write(one) for one in decided])
        except Invalid as error:  # nothing was done; find whose it is
            if len(decided) > 1:
                for one in decided:
                    await self._commit([one])
            else:
                self._refuse(decided[0], error)
            return
        except ConcertedError as error:
            for one in decided:
                self._refuse(one, error)
            self._failed(error)
            return
        if self.stopped is not None:
            for one in decided:
                self._refuse(one, self.stopped)
            return
        self.commits += 1
        self._news(max((answer for answer in answers if isinstance(answer, int)), default=0))
        for one, answer in zip(decided, answers, strict=True):
            if isinstance(answer, int):
                one.written()
                if one.mail:
                    self._mail.written(one.mail)
                self._settled(one)
            else:
                assert isinstance(answer, Stale), f"{one.held.stream} was refused for an epoch it never named"
                await self._again(one)

    def _settled(self, one: Decided) -> None:
        """Answer, wake those whom it concerns, and see what comes next."""
        held = one.held
        held.in_flight = False
        held.touched_at = self._loop.time()
        held.wake_at = one.wake_at
        self.alarms.set(held.stream, one.wake_at)
        for asked in one.asked:
            asked.settle()
        held.tell(one.events)
        if one.events:
            self._happened(held, one.events)
        if held.asked:
            self._touch(held)
        elif held.heard_of > held.length:
            self._look_again(held)

    def _refuse(self, one: Decided, error: ConcertedError) -> None:
        one.held.in_flight = False
        for asked in one.asked:
            asked.settle(error)
        if one.held.asked:
            self._touch(one.held)

    async def _again(self, one: Decided) -> None:
        """Another process was faster: read what it wrote and decide the same requests anew."""
        if one.tries >= TRIES:
            self._refuse(one, Overloaded(f"too many processes ask {one.held.stream} at once; try again"))
            return
        try:
            await self.shelf.catch_up(one.held)
            await _refresh(one, self._store)
        except ConcertedError as error:
            self._refuse(one, error)
            return
        if one.tries > 3:  # let the others finish theirs first
            await asyncio.sleep(0.001 * min(one.tries, 20))
        again = self._decide(one.held, one.asked)
        again.tries = one.tries + 1
        self._write([again])

    def _look_again(self, held: Held) -> None:
        """Read what others have written and we have missed: who waits here may wait for just that."""
        kind, _, id = held.stream.partition(":")
        self.errand(self.decide(kind, id, Look()))

    # time, and what goes wrong

    def _due(self, stream: str) -> None:
        kind, _, id = stream.partition(":")
        self.errand(self._wake(kind, id, stream))

    async def _wake(self, kind: str, id: str, stream: str) -> None:
        expire, held = getattr(machine_of(kind), "Expire", None), self.shelf.get(stream)
        if expire is None:
            request: Any = Wake()
        elif held is not None and held.is_volatile:
            request = expire(self._memory.held(stream))
        else:
            request = expire(await self._store.held(stream))
        await self.decide(kind, id, request)

    def _report(self, bug: BaseException) -> None:
        self._loop.call_exception_handler({"message": "a primitive failed", "exception": bug})

    def _errand_over(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConcertedError):  # else whoever must know of it has been told
            self._report(error)


async def _refresh(one: Decided, store: Store) -> None:
    """Give an `Expire` what is held now: it may be that which has been renewed meanwhile."""
    for asked in one.asked:
        if hasattr(asked.request, "held"):
            asked.request = type(asked.request)(await store.held(one.held.stream))


def _as_write(one: Decided) -> Write:
    held = one.held
    return Write(
        rows=[*one.rows, *one.mail] if one.mail else one.rows,
        after={held.stream: held.length},
        holds=one.holdings.holds,
        drops=one.holdings.drops,
    )
