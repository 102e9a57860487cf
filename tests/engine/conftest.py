"""A coordinator in virtual time over a store in memory, with agents whose every message a test can see."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from concerted.config.settings import Coordination, ManagerSettings
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.errors import NotFound
from concerted.launch.clock import SystemClock
from concerted.messages import Beat, Envelope, Reply, Request, decode_request
from concerted.ports.commands import Command, Events, EventView, GetRun, RunView, Submit
from concerted.ports.link import LinkEvents
from concerted.sim.virtual_time import SimClock, VirtualLoop, run_virtual
from concerted.stores.memory import MemoryStore
from concerted.stores.postgres.store import PostgresStore
from concerted.values import AgentId, Objective, Profile


class Wire:
    """A link to an agent that answers as the test says: `answer(request) -> value`, a Reply, or SILENCE.

    sent: all envelopes, in order.  batches: how many came together.  `reply` answers later.
    """

    SILENCE = object()

    def __init__(self, name: str, answer: Callable[[Request], Any] | None = None, **profile: Any) -> None:
        self.profile = Profile(id=AgentId(name), **profile)
        self.agent = self.profile.id
        self.answer = answer or (lambda request: Wire.SILENCE)
        self.pushes_beats = True
        self.in_process = True  # so that nobody is lost for want of heartbeats; a test may say otherwise
        self.sent: list[Envelope] = []
        self.batches: list[int] = []
        self.held: set[str] = set()
        self.events: LinkEvents | None = None
        self.closed: list[str] = []

    async def open(self, events: LinkEvents) -> None:
        self.events = events

    def send(self, batch: Sequence[Envelope]) -> None:
        self.batches.append(len(batch))
        for envelope in batch:
            self.sent.append(envelope)
            value = self.answer(decode_request(envelope.type, envelope.payload))
            if value is not Wire.SILENCE and envelope.idempotency_key:
                self.reply(value, key=envelope.idempotency_key)

    def reply(self, value: Any = None, *, key: str | None = None, **fields: Any) -> None:
        """Answer the command of this key, by default the newest one."""
        assert self.events is not None
        key = self.keys[-1] if key is None else key
        if isinstance(value, Reply):
            self.events.replied(msgspec.structs.replace(value, agent=self.agent, key=key))
        else:
            self.events.replied(Reply(agent=self.agent, status="ok", value=value, key=key, **fields))

    def beat(self, *running: str) -> None:
        assert self.events is not None
        self.events.beat(Beat(agent=self.agent, running=running))

    @property
    def keys(self) -> list[str]:
        """The keys of the commands that came, repeated ones included."""
        return [envelope.idempotency_key for envelope in self.sent if envelope.idempotency_key]

    def of_type(self, name: str) -> list[Envelope]:
        return [envelope for envelope in self.sent if envelope.type == name]

    def holds(self, key: str) -> bool:
        return key in self.held

    async def close(self, reason: str) -> None:
        self.closed.append(reason)
        self.events = None


class Bench:
    """One test's world.  `crash()` leaves what is durable; `start()` begins again over it."""

    def __init__(self, strategies: dict[str, Any], manager: dict[str, Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = SimClock(self.loop)
        self.strategies = strategies
        self.config = Coordination(manager=ManagerSettings(**manager))
        self.store = MemoryStore()
        self.coordinator: Coordinator = None  # type: ignore[assignment]
        self.wires: dict[str, Wire] = {}
        self._starts = 0
        self.world: dict[str, Any] = {}

    async def start(self) -> Coordinator:
        self._starts += 1
        await self.store.open()
        world = World(
            store=self.store, clock=self.clock, strategies=self.strategy, config=self.config,
            node=f"node-{self._starts}", **{"open_link": None, "threads": False, **self.world},
        )  # fmt: skip
        self.coordinator = Coordinator(world)
        await self.coordinator.start()
        for wire in self.wires.values():
            await self.coordinator.roster.register(wire.profile, wire, kind="test")
        return self.coordinator

    def strategy(self, name: str) -> Any:
        if name not in self.strategies:
            raise NotFound(f"there is no strategy {name!r}")
        return self.strategies[name]

    async def agent(self, name: str, answer: Callable[[Request], Any] | None = None, **profile: Any) -> Wire:
        wire = self.wires[name] = Wire(name, answer, **profile)
        await self.coordinator.roster.register(wire.profile, wire, kind="test")
        return wire

    def crash(self) -> None:
        """End the coordinator as SIGKILL would, and keep what is durable."""
        self.coordinator._stop()
        self.store = MemoryStore(self.store.export())

    async def again(self) -> Coordinator:
        self.crash()
        return await self.start()

    async def serve(self, command: Command) -> Any:
        return await serve(self.coordinator, command, LOCAL)

    async def submit(self, strategy: str = "s", run: str = "r", **fields: Any) -> Any:
        fields = {"objective": Objective(), **fields}
        return await self.serve(Submit(id=run, strategy=strategy, **fields))

    async def end(self, run: str = "r") -> RunView:
        """Wait for the run's end."""
        return await self.serve(GetRun(id=run, wait_s=600))

    async def view(self, run: str = "r") -> RunView:
        return await self.serve(GetRun(id=run))

    async def log(self, kind: str | None = None, stream: str = "run:r") -> list[EventView]:
        return await self.serve(Events(stream=stream, kind=kind, limit=10_000))

    async def kinds(self, stream: str = "run:r") -> list[str]:
        return [event.kind for event in await self.log(stream=stream)]


Main = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def bench() -> Callable[..., None]:
    """Run a test's main function: `bench(main, s=strategy, manager={...})`."""

    def run(main: Main, *, manager: dict[str, Any] | None = None, **strategies: Any) -> None:
        complaints: list[Any] = []

        async def play() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            loop.set_exception_handler(lambda _, context: complaints.append(context))
            made = Bench(strategies, manager or {})
            await made.start()
            try:
                async with asyncio.timeout(100_000):
                    await main(made)
            finally:
                await made.coordinator.close()

        run_virtual(play())
        assert complaints == [], "an error that was nobody's"

    return run


Scene = Callable[[list[Coordinator]], Awaitable[None]]


@pytest.fixture
def on_nodes(postgres: Callable[[], str]) -> Callable[[int, Scene], None]:
    """Play a scene with so many coordinators on one PostgreSQL: `on_nodes(2, scene)`."""

    def nothing(name: object) -> Any:
        raise NotFound(f"there is no {name}")

    async def play(count: int, scene: Scene, complaints: list[Any]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        url = postgres()
        async with AsyncExitStack() as stack, asyncio.timeout(60):
            nodes = []
            for number in range(count):
                store = PostgresStore(url, durability="off")
                await store.open()
                world = World(
                    store=store, clock=SystemClock(), strategies=nothing, open_link=nothing, node=f"node-{number}",
                    threads=False,
                )  # fmt: skip
                nodes.append(await stack.enter_async_context(Coordinator(world)))
            await scene(nodes)

    def run(count: int, scene: Scene) -> None:
        complaints: list[Any] = []
        asyncio.run(play(count, scene, complaints))
        assert complaints == [], "an error that was nobody's"

    return run
