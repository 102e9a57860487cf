"""A stage for strategies: the real coordinator and real agents in virtual time, and a log to read afterwards."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.config.settings import Coordination
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.links.local import LocalLink
from concerted.messages import Envelope
from concerted.ports.commands import Cancel, Events, EventView, GetRun, RunView, Submit, Why
from concerted.sim.virtual_time import SimClock, run_virtual
from concerted.stores.memory import MemoryStore
from concerted.strategies import choose
from concerted.values import Objective, RunId, Task, TaskId


class PlayerLink(LocalLink):
    """A local link whose agent can be deaf to some requests, and can be lost.

    heard: (type, payload) of all that was sent to it.
    """

    def __init__(self, agent: Agent, clock: SimClock) -> None:
        super().__init__(agent, now=clock.now)
        self.deaf_to: set[str] = set()
        self.heard: list[Envelope] = []

    def send(self, batch: Sequence[Envelope]) -> None:
        self.heard += batch
        super().send([envelope for envelope in batch if envelope.type not in self.deaf_to and "*" not in self.deaf_to])

    def lose(self, reason: str = "its process ended") -> None:
        """Be lost, and answer nothing any more."""
        assert self._events is not None
        self.deaf_to.add("*")
        self._events.lost(self.agent, reason)

    def types(self) -> list[str]:
        return [envelope.type for envelope in self.heard]


class Stage:
    """One test's world."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = SimClock(self.loop)
        self.store = MemoryStore()
        self.config = Coordination()
        self.coordinator: Coordinator = None  # type: ignore[assignment]
        self.players: dict[str, PlayerLink] = {}

    async def start(self, config: Coordination | None = None) -> None:
        self.config = config or self.config
        await self.store.open()
        world = World(
            store=self.store, clock=self.clock, strategies=choose.load, open_link=None,  # type: ignore[arg-type]
            config=self.config, threads=False,
        )  # fmt: skip
        self.coordinator = Coordinator(world)
        await self.coordinator.start()
        for player in self.players.values():
            await self._register(player)

    async def crash(self) -> None:
        """End the coordinator as SIGKILL would; begin again over what is durable."""
        self.coordinator._stop()
        self.store = MemoryStore(self.store.export())
        await self.start()

    async def agent(self, name: str, do: Callable[..., Awaitable[Any]] | None = None, **profile: Any) -> PlayerLink:
        """Bring in an agent that does any task by `do(task, work)`; by default in a second."""

        async def in_a_second(task: Task, work: Any) -> str:
            await asyncio.sleep(1.0)
            return f"{task.id} by {name}"

        agent = Agent(name, **profile)
        agent.task()(do or in_a_second)
        return await self.enter(agent)

    async def enter(self, agent: Agent) -> PlayerLink:
        """Bring in an agent, or the same one again."""
        player = self.players[agent.id] = PlayerLink(agent, self.clock)
        await self._register(player)
        return player

    async def _register(self, player: PlayerLink) -> None:
        await self.coordinator.roster.register(player._abilities.profile, player, kind="local")

    async def submit(self, strategy: str, objective: Objective | Sequence[Task], **options: Any) -> None:
        timeout_s, run = options.pop("timeout_s", None), RunId(options.pop("run_id", "r"))
        given = objective if isinstance(objective, Objective) else Objective(tasks=tuple(objective))
        command = Submit(id=run, strategy=strategy, objective=given, options=options, timeout_s=timeout_s)
        await serve(self.coordinator, command, LOCAL)

    async def run(self, strategy: str, objective: Objective | Sequence[Task], **options: Any) -> RunView:
        await self.submit(strategy, objective, **options)
        return await self.end(options.get("run_id", "r"))

    async def end(self, run: str = "r") -> RunView:
        view: RunView = await serve(self.coordinator, GetRun(id=RunId(run), wait_s=7200), LOCAL)
        assert view.ended_at is not None, f"the run still goes on: {view}"
        assert view.status != "parked", view
        return view

    async def view(self) -> RunView:
        return await serve(self.coordinator, GetRun(id=RunId("r")), LOCAL)  # type: ignore[no-any-return]

    async def cancel(self) -> None:
        await serve(self.coordinator, Cancel(id=RunId("r"), reason="enough"), LOCAL)

    async def why(self, subject: str) -> list[str]:
        return list((await serve(self.coordinator, Why(subject=subject), LOCAL)).lines)

    async def log(self, kind: str | None = None) -> list[EventView]:
        return await serve(self.coordinator, Events(stream="run:r", kind=kind, limit=10_000), LOCAL)  # type: ignore[no-any-return]

    @property
    def seconds(self) -> float:
        """How much time has passed."""
        return self.loop.time()


def task(name: str, *after: str, **fields: Any) -> Task:
    return Task(id=TaskId(name), after=tuple(TaskId(one) for one in after), **fields)


Act = Callable[[Stage], Awaitable[None]]


@pytest.fixture
def play() -> Callable[..., None]:
    """Play an act on a stage of its own: `play(act)`, or `play(act, Coordination(...))`."""

    def begin(act: Act, config: Coordination | None = None) -> None:
        async def main() -> None:
            stage = Stage()
            await stage.start(config)
            try:
                await act(stage)
            finally:
                await stage.coordinator.close()

        run_virtual(main())

    return begin


@pytest.fixture(name="task")
def task_maker() -> Callable[..., Task]:
    """Make a task: `task("c", "a", "b", priority=1)` comes after a and b."""
    return task
