"""Waits that others must know of, where several nodes share a store: a cycle may lead through more than one of them.

    young --50 ms--> posted --it closes a cycle--> suspected --all others confirm--> refused with `Deadlock`
                            --its caller is answered, or gone--> withdrawn

A wait is refused only because of waits that were posted before it, so of those that close a cycle together one is
refused.  And only if each of them stood all the while in which what they wait for was read: they were known before, and
the node of each is asked after that and must say that it stands.  A node that is paused or dead says nothing, and no
deadlock is told because of it.  Since nobody who is in a deadlock leaves it by itself (it is a stable property), what
was read between the two is as good as a picture of one instant.

Source: Chandy & Lamport 1985, "Distributed snapshots", section 5 (stability detection).
"""

from __future__ import annotations

import itertools
from asyncio import TimerHandle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from concerted.board.waits import Waiter, closes_cycle, deadlock
from concerted.engine.waits.wait_graph import Blocked, WaitGraph
from concerted.errors import ConcertedError
from concerted.ports.primitive import Ask
from concerted.ports.waits import PostedWait, PostedWaits, WaitKey
from concerted.primitives.held import Held
from concerted.primitives.held import Waiter as Caller
from concerted.values import AgentId, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["WaitsOfNodes"]

SHORT_S = 0.05  # a wait that is over by then is posted nowhere
RESOLUTION_S = 0.001  # of the loop's timers
BATCH_MAX = 1_000  # waits posted at once
ANSWER_WITHIN_S = 5.0  # between a question and what is done for its answer; a node may have been paused in between
RETRY_S = 1.0  # after the database was away
PAYLOAD = ("data", "value")  # fields of commands by which nobody waits longer or shorter


@dataclass(slots=True, eq=False)
class _Mine:
    """A wait at this node.  since: on the loop's clock.  place: 0 until it is posted."""

    number: int
    held: Held
    caller: Caller
    command: Ask
    since: float
    place: int = 0

    @property
    def stands(self) -> bool:
        """Whether its caller still waits."""
        return not self.caller.woken.done()


@dataclass(slots=True)
class _Suspicion:
    """What is known of a wait that seems to close a cycle.

    known: the waits on which it rested when it was looked at before.  questions: about them, to other nodes.
    """

    known: set[WaitKey] = field(default_factory=set)
    questions: dict[WaitKey, _Question] = field(default_factory=dict)


class _Question(NamedTuple):
    """Whether a wait elsewhere stands.  number: of the question.  at: on the loop's clock."""

    number: int
    at: float


class WaitsOfNodes:
    """This node's part in the waits of all: what it posts, what it is asked, and which of its waits it refuses."""

    def __init__(self, coordinator: Coordinator, posted: PostedWaits) -> None:
        self._of = coordinator
        self._posted = posted
        self._numbers = itertools.count(1)
        self._by_caller: dict[Caller, _Mine] = {}
        self._young: dict[int, _Mine] = {}
        self._due: list[_Mine] = []
        self._mine: dict[int, _Mine] = {}  # that are posted or due
        self._ended: list[int] = []
        self._unseen: dict[int, _Mine] = {}  # posted, and not looked at yet
        self._suspected: dict[int, _Suspicion] = {}
        self._told = False
        self._put_off = False  # there are questions about waits that are themselves suspected
        self._busy = False
        self._stopped = False
        self._timer: TimerHandle | None = None
        posted.listen(self._hear)

    def enter(self, held: Held, caller: Caller, command: Ask) -> None:
        """Take note that somebody waits here."""
        mine = _Mine(next(self._numbers), held, caller, command, self._of.loop.time())
        self._by_caller[caller] = self._young[mine.number] = mine
        self._wake_in(SHORT_S)

    def leave(self, caller: Caller) -> None:
        """Take note that somebody waits here no longer."""
        mine = self._by_caller.pop(caller, None)
        if mine is None or self._young.pop(mine.number, None) is not None:
            return
        del self._mine[mine.number]
        self._unseen.pop(mine.number, None)
        self._clear(mine)
        self._ended.append(mine.number)
        self._wake_in(SHORT_S)

    async def elsewhere(self, agent: AgentId) -> list[Waiter]:
        """Return what an agent waits for at other nodes, as far as they have posted it.

        Raises:
            Unreachable: the database is away.
        """
        return await WaitGraph(self._of, self._posted, self._request_of).elsewhere(agent)

    def hurry(self) -> None:
        """Look at once: the newest wait seems to close a cycle."""
        self._grow_up(self._of.loop.time())
        self._go_on()

    def stop(self) -> None:
        """Post and refuse nothing more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    # when to do something

    def _hear(self) -> None:
        if self._mine:
            self._told = True
            self._go_on()

    def _wake_in(self, seconds: float) -> None:
        if self._timer is None and not self._stopped:
            self._timer = self._of.loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._grow_up(self._of.loop.time() - SHORT_S + RESOLUTION_S)
        if self._young:
            self._wake_in(SHORT_S)
        self._go_on()

    def _grow_up(self, before: float) -> None:
        """Let all that have waited since `before` be posted."""
        for mine in list(itertools.takewhile(lambda one: one.since <= before, self._young.values())):
            self._mine[mine.number] = self._young.pop(mine.number)
            self._due.append(mine)

    def _go_on(self) -> None:
        if not self._busy and not self._stopped and self._has_work:
            self._busy = True
            self._of.errand(self._work())

    @property
    def _has_work(self) -> bool:
        return bool(self._due or self._ended or self._told or self._unseen)

    async def _work(self) -> None:
        try:
            while self._has_work:
                await self._turn()
        except ConcertedError:  # the database is away: whoever writes is told, and here it is enough to come back
            self._wake_in(RETRY_S)
        finally:
            self._busy = False

    async def _turn(self) -> None:
        told, self._told = self._told, False
        await self._withdraw()
        await self._post()
        looked = dict(self._unseen)
        if told:
            looked |= {number: self._mine[number] for number in self._suspected}
        if looked:
            try:
                await self._look(sorted(looked.values(), key=lambda mine: mine.place))
            except ConcertedError:
                self._told = True
                raise
            for number in looked:
                self._unseen.pop(number, None)
        if told or self._put_off:
            await self._answer()

    # what others see of it

    async def _withdraw(self) -> None:
        ended, self._ended = self._ended, []
        if not ended:
            return
        try:
            await self._posted.withdraw(self._node, ended)
        except ConcertedError:
            self._ended += ended
            raise

    async def _post(self) -> None:
        batch = [mine for mine in self._due[:BATCH_MAX] if mine.number in self._mine]
        del self._due[:BATCH_MAX]
        rows = [row for mine in batch if (row := self._row(mine)) is not None]
        if not rows:
            return
        try:
            places = await self._posted.post(self._node, rows)
        except ConcertedError:
            self._due = batch + self._due
            raise
        for number, place in places.items():
            if number in self._mine:
                self._mine[number].place = place
                self._unseen[number] = self._mine[number]

    def _row(self, mine: _Mine) -> PostedWait | None:
        """Return what is posted of a wait; None if by the state nobody waits, as who only looks."""
        agent = mine.caller.actor
        if agent is None or mine.held.machine.waits(mine.held.state, mine.caller.request, self._of.clock.now()) is None:
            return None
        left_out = {field: None for field in PAYLOAD if field in mine.command.__struct_fields__}
        asked = msgspec.structs.replace(mine.command, agent=agent, wait_s=0.0, **left_out)
        return PostedWait(node=self._node, number=mine.number, agent=AgentId(agent), command=encode(asked))

    async def _answer(self) -> None:
        """Answer the questions of others about waits that stand, unless they may be refused themselves."""
        asked = [row for row in await self._posted.asked(self._node) if self._request_of(row.number) is not None]
        certain = [row for row in asked if row.number not in self._suspected and row.number not in self._unseen]
        self._put_off = len(certain) < len(asked)
        if certain:
            await self._posted.confirm(certain)

    # what is refused

    async def _look(self, looked: Sequence[_Mine]) -> None:
        graph = WaitGraph(self._of, self._posted, self._request_of)
        await graph.read(mine.caller.actor for mine in looked if mine.caller.actor is not None)
        to_ask: dict[WaitKey, list[int]] = {}
        for mine in looked:
            if not mine.stands:
                continue
            blocked = graph.blocked((self._node, mine.number), mine.place)
            if blocked is None:
                self._clear(mine)
                continue
            suspicion = self._suspected.setdefault(mine.number, _Suspicion())
            keys = {row.key for row in blocked.rests_on}
            if not keys <= suspicion.known:  # some may be younger than what was read: read it again
                suspicion.known |= keys
                self._told = True
                continue
            states = {row.key: self._state_of(suspicion, row) for row in blocked.rests_on}
            if all(state == "stands" for state in states.values()):
                self._refuse(mine, blocked)
            for key, state in states.items():
                if state == "ask":
                    to_ask.setdefault(key, []).append(mine.number)
        if to_ask:
            await self._ask(to_ask)

    def _state_of(self, suspicion: _Suspicion, row: PostedWait) -> Literal["stands", "open", "ask"]:
        """Say of a wait on which another one rests that it `stands`, or that this is `open`, or that we must `ask`."""
        if row.node == self._node:
            return "open" if row.number in self._suspected else "stands"
        question = suspicion.questions.get(row.key)
        if question is None:
            return "ask"
        if row.confirmed < question.number:
            return "open"
        return "stands" if self._of.loop.time() - question.at <= ANSWER_WITHIN_S else "ask"

    async def _ask(self, to_ask: dict[WaitKey, list[int]]) -> None:
        at = self._of.loop.time()
        asked = await self._posted.ask(sorted(to_ask))
        for key, numbers in to_ask.items():
            for number in numbers:
                if key in asked and number in self._suspected:
                    self._suspected[number].questions[key] = _Question(asked[key], at)
        if len(asked) < len(to_ask):  # some are over already
            self._told = True

    def _refuse(self, mine: _Mine, blocked: Blocked) -> None:
        cycle = closes_cycle(blocked.graph, blocked.new)
        assert cycle is not None, "a wait that is blocked is in a deadlock"
        mine.caller.woken.set_exception(deadlock(cycle))

    def _clear(self, mine: _Mine) -> None:
        """Suspect it no longer; others may rest on it, or ask about it."""
        if self._suspected.pop(mine.number, None) is not None:
            self._told = True

    def _request_of(self, number: int) -> Any:
        mine = self._mine.get(number)
        return mine.caller.request if mine is not None and mine.stands else None

    @property
    def _node(self) -> str:
        return self._of.world.node
