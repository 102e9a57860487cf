"""The coordinator: it takes runs in, brings agents and strategies together, and answers when it is written.

It owns one of each: rounds (apply and write), performer (act after the commit), outbox (deliver until
answered), roster (who is here), slots (how many at once), watchdog.  It reads no world but through its
ports, so the simulator runs this very class.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from concerted.config.plan import AgentSpec
from concerted.config.settings import Coordination
from concerted.engine.access import Access
from concerted.engine.active import Active
from concerted.engine.asking import Asker
from concerted.engine.attic import Attic
from concerted.engine.carriage import Carriage
from concerted.engine.endings_awaited import EndingsAwaited
from concerted.engine.health import Health
from concerted.engine.late import Latecomers
from concerted.engine.mail.inboxes import Inboxes
from concerted.engine.mail.mail import Mail
from concerted.engine.outbox import Outbox
from concerted.engine.participants import Participants
from concerted.engine.performer import Performer, child_ended, key_of, unreachable
from concerted.engine.primitives.actions import Action, Actions
from concerted.engine.primitives.primitives import Primitives
from concerted.engine.replicas.groups import Groups
from concerted.engine.replicas.keepers import Keepers
from concerted.engine.roster import Roster
from concerted.engine.rounds import Rounds
from concerted.engine.sleepers import Sleepers
from concerted.engine.slots import Slots
from concerted.engine.tail import Tail
from concerted.engine.takeover import hear_of_children, revive, take_over
from concerted.engine.watchdog import BlackBox, Watchdog
from concerted.errors import ConcertedError, NotFound, WrongPhase
from concerted.ports.clock import Clock
from concerted.ports.link import Link
from concerted.ports.store import RunRecord, Store
from concerted.primitives.host import Host
from concerted.runs.instance import Charter, Coordinate, Input, Instance
from concerted.values import Instant, Outcome, RunId, encode

__all__ = ["Coordinator", "World"]

CLOSED = "this coordinator is closed; open another"
CLOSING_S = 5.0  # what is called off may take so long to end


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """All that a coordinator is given.

    strategies: name -> its `coordinate`; raises NotFound.  open_link: makes the link that a spec
    describes.  black_box: where the executing run is noted.  threads: whether work may use threads
    (the simulator says no).  actions: what the coordinator does for barriers, by name.  archive_after_s: when an
    ended run's stream is moved into a file of its own.  replicas: where the agents' replicas keep their logs; without
    it there are none.
    """

    store: Store
    clock: Clock
    strategies: Callable[[str], Coordinate]
    open_link: Callable[[AgentSpec], Link]
    config: Coordination = field(default_factory=Coordination)
    node: str = field(default_factory=lambda: f"{os.getpid()}-{os.urandom(4).hex()}")
    black_box: Path | None = None
    threads: bool = True
    archive_after_s: float | None = None
    actions: Mapping[str, Action] = field(default_factory=dict)
    replicas: Path | None = None


class Coordinator:
    """One coordinator over one store.  `async with Coordinator(world) as coordinator: ...`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = world.store
        self.clock = world.clock
        self.config = world.config
        self.threads = world.threads
        self.max_bytes = world.config.manager.max_envelope_bytes
        self.pid = os.getpid()
        self.loop = asyncio.get_running_loop()
        self.failed: ConcertedError | None = None
        self.box = BlackBox(world.black_box)
        self.watchdog = Watchdog(world.config.manager.watchdog_timeout, self.box)
        self.performer = Performer(self)
        self.rounds = Rounds(world.store, world.clock, self.performer, self.watchdog)
        self.roster = Roster(self)
        self.health = Health(self, self.roster)
        self.carriage = Carriage(self, self.roster)
        self.outbox = Outbox(self.loop, self.carriage, world.config.manager)
        self.asker = Asker(self)
        self.attic = Attic(self, world.archive_after_s)
        self.participants = Participants(self)
        self.sleepers = Sleepers(self)
        self.latecomers = Latecomers(self)
        self.access = Access(self)
        self.mail = Mail(self)
        self.inboxes = Inboxes(self, self.mail)
        self.actions = Actions(self)
        self.primitives = Primitives(self, self._host())
        self.replicas = Groups(self)
        self.keepers = Keepers(self, self.replicas)
        self.tail = Tail(self)
        self.slots = Slots(world.config.manager, self._start)
        self.foreign: dict[RunId, str] = {}  # unfinished runs whose strategy this process does not have, and why
        self.endings = EndingsAwaited(self)
        self._errands: set[asyncio.Task[Any]] = set()
        self._tick: asyncio.TimerHandle | None = None
        self._closed = False

    async def __aenter__(self) -> Coordinator:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _host(self) -> Host:
        return Host(
            self.store,
            self.clock,
            mail=self.mail,
            failed=self._store_failed,
            news=self.rounds.news.tell,
            happened=self.actions.happened,
        )

    def _store_failed(self, error: ConcertedError) -> None:
        self.rounds.stop(error)
        self.give_up(error)

    async def start(self) -> None:
        """Take over what is unfinished and begin."""
        if self.world.threads:
            self.watchdog.start()
        await self.access.open()
        await take_over(self)
        await self.attic.open()
        await self.primitives.host.shelf.arm()
        await self.mail.open()
        await self.tail.open()
        await self.replicas.open()
        self._look_round()

    async def close(self, reason: str = "the coordinator is closing") -> None:
        """Write what is in hand, stop the agents' links, leave unfinished runs to the next owner.  Idempotent."""
        if self._closed:
            return
        self._closed = True
        if not self.rounds.stopped:
            await self.primitives.host.quiet()
            await self.rounds.quiet()
        left = {*self._errands, *self.primitives.host.running(), *self.tail.running()} - {asyncio.current_task()}
        self._stop()
        self.endings.refuse(WrongPhase(CLOSED))
        if left:  # a question to a database is called off in good order, which takes a moment
            await asyncio.wait(left, timeout=CLOSING_S)
        await self.replicas.close()
        await self.roster.close(reason)
        await self.store.close()

    def _stop(self, error: ConcertedError | None = None) -> None:
        if self._tick is not None:
            self._tick.cancel()
        self.sleepers.stop()
        for errand in self._errands:
            errand.cancel()
        self.rounds.stop(error)
        self.primitives.waits.stop()
        self.primitives.host.stop(error or WrongPhase(CLOSED))
        self.mail.stop()
        self.tail.stop()
        self.outbox.stop()
        self.performer.stop()
        self.watchdog.stop()

    def give_up(self, error: ConcertedError) -> None:
        """Go on with nothing: the outcome of a commit is unknown.  Whoever waits is told what to do."""
        self.failed = unreachable(error)
        self._stop(self.failed)
        self.endings.refuse(self.failed)

    # runs

    def create(self, run: RunId, charter: Charter, at: Instant) -> Active:
        """Bring a new run to life; its first rows are written with the round that is coming."""
        instance = Instance(run, charter, at)
        try:
            instance.begin(self.world.strategies(charter.strategy))
        except NotFound as error:  # a child's; the door looks before it creates a root run
            instance.begin(_unknown(error))
        active = Active(instance, epoch=1, is_new=True)
        self.rounds.live[run] = active
        self.rounds.post(active, Input("run.created", at, data=encode(charter)))
        self.slots.enter(active)
        return active

    def _start(self, active: Active) -> None:
        """Give a run its slot: from now on its time runs, a child's no longer than its parent's."""
        now, charter = self.clock.now(), active.instance.charter
        limit = float(charter.config.manager.coordination_timeout) if charter.timeout_s is None else charter.timeout_s
        parent = None if charter.parent is None else self.rounds.live.get(charter.parent)
        ends_at = parent.instance.deadline_at if parent is not None else None
        deadline_at = now + limit if ends_at is None else min(now + limit, ends_at)
        data = encode({"node": self.world.node, "epoch": active.epoch, "deadline_at": deadline_at})
        self.rounds.post(active, Input("run.started", now, data=data))

    def stop_child(self, run: RunId, reason: str) -> None:
        """Call off a child whose parent no longer waits, also one that sleeps; one that is over needs none."""
        data = encode({"by": run.rpartition("/")[0], "reason": reason})
        given = Input("cancel.requested", self.clock.now(), data=data)
        active = self.rounds.live.get(run)
        if active is None and run in self.sleepers.dormant:
            self.errand(self.sleepers.post(run, given))
        elif active is not None and not active.called_off:
            self.rounds.post(active, given)

    def run_ended(self, active: Active) -> None:
        """Tell whoever waits for this run."""
        instance = active.instance
        self.slots.leave(active)
        self.latecomers.run_ended(active)
        if instance.ending is not None and instance.ending.status != "parked":
            self.attic.run_ended(active.id, instance.now)
        self.endings.tell(active.id)
        ending, parent = instance.ending, instance.charter.parent
        if parent is not None and ending is not None and ending.status != "parked":
            data = child_ended(active.id, ending.status, ending.data.get("outcome"), ending.data.get("error"))
            self.tell_parent(parent, active.id, data)

    def tell_parent(self, parent: RunId, child: RunId, data: bytes) -> None:
        """Give a parent the outcome of its child, waking it if it sleeps."""
        number = child.rsplit("/", 1)[1]
        self.errand(self.sleepers.post(parent, Input("child.ended", self.clock.now(), ref=number, data=data)))

    def run_over(self, run: RunId) -> None:
        """Tell whoever waits for a run that was ended from outside."""
        self.attic.run_ended(run, self.clock.now())
        self.endings.tell(run)

    async def unpark(self, run: RunId) -> None:
        """Replay a run that was parked and let it go on."""
        record = await self.store.get(RunRecord, run)
        if record is not None and run not in self.rounds.live:
            active = await revive(self, record, adopted=True)
            self.rounds.touch(active)
            await hear_of_children(self, [active])

    def run_fenced(self, active: Active) -> None:
        """Let go of a run that another process has taken over."""
        for call in active.instance.calls.values():
            self.outbox.close(key_of(active.id, call))
        self.slots.leave(active)
        self.endings.tell(active.id)

    def run_left(self, run: RunId) -> None:
        """Tell whoever waits here for a run that another process has ended."""
        if run not in self.rounds.live:
            self.endings.tell(run)

    # housekeeping

    def check(self) -> None:
        """See whether this coordinator is in a state to do anything.

        Raises:
            Unreachable: the store has failed.  WrongPhase: it is closed.
        """
        if self.failed is not None:
            raise self.failed
        if self._closed:
            raise WrongPhase(CLOSED)

    def errand(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a small coroutine beside everything else; it is cancelled when the coordinator stops."""
        task = self.loop.create_task(work)
        self._errands.add(task)
        task.add_done_callback(self._errand_over)

    def _errand_over(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConcertedError):  # else whoever must know of it has been told
            self.loop.call_exception_handler({"message": "an errand failed", "exception": error, "task": task})

    def _look_round(self) -> None:
        """Every heartbeat: look at the agents, renew the node's lease, evict what is idle."""
        self._tick = self.loop.call_later(self.config.manager.heartbeat_interval, self._look_round)
        self.health.look()
        self.errand(self._renew())

    async def _renew(self) -> None:
        interval = float(self.config.manager.heartbeat_interval)
        if not await self.store.beat(self.world.node, 3 * interval):
            self.give_up(ConcertedError("this node's lease was lost; its runs have been adopted elsewhere"))
            return
        if self.store.shared:
            await take_over(self)  # what the nodes that are gone have left
        await self.sleepers.evict_idle()
        await self.attic.sweep()
        await self.mail.sweep()


def _unknown(error: NotFound) -> Coordinate:
    """Make the strategy of a run whose strategy is not known here: it fails, saying so."""

    async def coordinate(_: object) -> Outcome:
        raise error

    return coordinate
