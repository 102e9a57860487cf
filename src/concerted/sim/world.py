"""One simulated world: a coordinator that is killed and started again until everything asked of it is over.

    coordinator n --dies, fails, is taken for dead--> coordinator n+1 over the same disk ... --all runs over--> done

The coordinator is the real one (`engine.coordinator`), the desks of the agents are the real ones; time,
network, disk and deaths are not.  Same scenario, same seed, same faults: same transcript, to the letter.
"""

from __future__ import annotations

import asyncio
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

from concerted.agent.kit import Agent
from concerted.config.plan import AgentSpec
from concerted.config.settings import Coordination
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator
from concerted.engine.coordinator import World as Given
from concerted.engine.permissions import LOCAL
from concerted.errors import ConcertedError, Invalid, LeaseLost, Unreachable, WrongPhase
from concerted.ports.commands import Command, GetRun, Submit
from concerted.ports.store import Entry, RunRecord
from concerted.runs.instance import Coordinate
from concerted.sim.actors import Actor, Ledger, Stage
from concerted.sim.disk import Fate, Moment, SimDisk, SimStore
from concerted.sim.faults import NOT_OF_PLANS, Faults
from concerted.sim.network import Network, SimLink
from concerted.sim.virtual_time import EPOCH, Process, SimClock, VirtualLoop
from concerted.stores.adoption import UNFINISHED
from concerted.values import Instant, RunId

__all__ = ["Kill", "Played", "Scenario", "Step", "World"]

LIMIT_S = 7_200.0  # virtual time after which a world that is not done is stuck
GATHER_S = 10.0  # how long a new coordinator waits for agents before it takes runs in
AFTERMATH_S = 3.0  # how long a world goes on after its last run has ended, for answers that come too late
TRANSCRIPT_LINES = 20_000
GAP_S = (0.05, 3.0)  # between the death of a coordinator and the start of the next
AWAY_S = (0.1, 25.0)  # between the death of an agent and its return
SILENCE_S = (0.5, 40.0)  # how long an agent cannot be reached
OVER = ("completed", "failed", "cancelled", "timed_out", "parked")


@dataclass(frozen=True, slots=True)
class Step:
    """Something that somebody outside does: a command at an instant, given again until it is answered."""

    at_s: float
    command: Command


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a coordinator dies: at which moment of which commit or send, counted over the life of the world."""

    moment: Moment
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens when nothing breaks.

    agents: seed -> the agents.  plan, words: the file, and further words, of the command line that plays it.
    """

    runs: tuple[Submit, ...]
    agents: Callable[[int], list[Agent]]
    strategies: Callable[[str], Coordinate]
    config: Coordination = field(default_factory=Coordination)
    steps: tuple[Step, ...] = ()
    plan: str | None = None
    words: tuple[str, ...] = ()
    limit_s: float = LIMIT_S


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of one world.  stuck: why it never ended, if it did not.  complaints: errors that
    should have been somebody's and were nobody's."""

    seed: int
    faults: Faults
    records: dict[RunId, RunRecord]
    log: list[Entry]
    ledger: Ledger
    disk: SimDisk
    sends: int
    coordinators: int
    virtual_s: float
    transcript: list[str]
    durable_at_deaths: list[int]
    began_at: Instant = EPOCH
    stuck: str | None = None
    messages: int = 0
    complaints: list[str]

    @property
    def commits(self) -> int:
        """How often the disk was written, by whatever."""
        return self.disk.commits


class World:
    """One scenario under one seed.  `await World(...).play()` on a virtual loop of its own."""

    def __init__(self, scenario: Scenario, seed: int, faults: Faults, kills: tuple[Kill, ...] = ()) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "a world lives on a virtual loop: run_virtual(world.play())"
        self._loop = loop
        self._process = Process(loop, "world")  # the one that does not die
        self._scenario = scenario
        self._seed = seed
        self.faults = faults.draw(self._dice("mix"), NOT_OF_PLANS)
        self._chaos = Chaos(self.faults, self._dice("chaos"), kills)
        self.network = Network(loop, self.faults, self._dice("network"))
        self.disk = SimDisk(loop, self._dice("disk"))
        self._stage = Stage(loop, self.network, seed, self._stumbles)
        self.actors = [Actor(self._stage, agent) for agent in scenario.agents(seed)]
        self.sends = 0
        self.lives: list[Life] = []
        self.submitted = self.stepped = 0  # runs and steps that some coordinator has answered
        self._successor: asyncio.Future[str] | None = None
        self._transcript: list[str] = []
        self._durable: list[int] = []
        self.complaints: list[str] = []
        loop.set_exception_handler(self._complain)

    async def play(self) -> Played:
        """Play until every run is over, or the limit."""
        stuck = None
        for actor in self.actors:
            actor.start()
        try:
            async with asyncio.timeout(self._scenario.limit_s):
                await self._lives_and_deaths()
        except TimeoutError:
            stuck = f"not over after {self._scenario.limit_s:g} s of virtual time; waiting: {self._loop.waiting()}"
            self.note(f"STUCK: {stuck}")
        for process in [*(life.process for life in self.lives), *(actor.process for actor in self.actors)]:
            process.kill()
        for life in self.lives:
            life.bury()
        memory = self.disk.memory
        await memory.open()
        return Played(
            seed=self._seed,
            faults=self.faults,
            records={run.id: run for run in await memory.find(RunRecord, limit=10_000)},
            log=list(memory.export().entries),
            ledger=self._stage.ledger,
            disk=self.disk,
            sends=self.sends,
            coordinators=len(self.lives),
            virtual_s=self._loop.time(),
            transcript=self._transcript,
            durable_at_deaths=self._durable,
            stuck=stuck,
            messages=self.network.carried,
            complaints=self.complaints,
        )

    def note(self, what: str) -> None:
        """Add a line to the transcript."""
        if len(self._transcript) < TRANSCRIPT_LINES:
            self._transcript.append(f"{self._loop.time():10.4f}  {what}")

    async def _lives_and_deaths(self) -> None:
        dice = self._dice("restarts")
        while True:
            self._successor = self._loop.create_future()
            life = Life(self, len(self.lives) + 1, dice.uniform(-1, 1) * self.faults.skew / 2)
            self.lives.append(life)
            self.note(f"coordinator {life.number} starts")
            main = life.process.start(life.live(self._scenario))
            main.add_done_callback(self._over)
            either: list[asyncio.Future[Any]] = [main, self._successor]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            self._durable.append(await self._length())
            if self._successor.done():
                self.note(f"coordinator {life.number} {self._successor.result()}")
            elif main.exception() is not None or main.result():
                return
            await asyncio.sleep(dice.uniform(*GAP_S))

    def _over(self, main: asyncio.Task[bool]) -> None:
        """Keep what ended a life that should not have."""
        if not main.cancelled() and (error := main.exception()) is not None:
            self.complaints.append("".join(traceback.format_exception(error)))

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Keep what the loop has to complain of: a callback that raised, an error that nobody looked at."""
        error = context.get("exception")
        trace = "" if error is None else "".join(traceback.format_exception(error))
        self.complaints.append(f"{context.get('message')}\n{trace}")

    async def _length(self) -> int:
        await self.disk.memory.open()
        return await self.disk.memory.last_seq()

    # fates

    def ask(self, life: Life, moment: Moment, number: int) -> Fate:
        """Say what befalls a coordinator at this moment."""
        if not life.process.alive or life is not self.lives[-1]:
            return "go on"
        fate = self._chaos.fate(moment, number)
        if fate == "die":
            life.process.kill()
            self._let_go(life, f"dies {moment} {number}")
        elif fate == "fail":
            self.note(f"coordinator {life.number}: the disk fails {moment} {number}")
        elif self._chaos.is_taken_for_dead(moment):
            self._let_go(life, f"is taken for dead {moment} {number} and goes on")
        return fate

    def count_send(self, life: Life, moment: Moment) -> Fate:
        """Number a send, and say what befalls who sends."""
        self.sends += moment == "before send"
        return self.ask(life, moment, self.sends)

    def _let_go(self, life: Life, why: str) -> None:
        assert self._successor is not None
        if life is self.lives[-1] and not self._successor.done():
            self._successor.set_result(why)

    def _stumbles(self, actor: Actor, moment: str) -> bool:
        """Say whether an agent dies here; see to it that it comes back."""
        happening = self._chaos.befalls_agent()
        if happening == "silence":
            until = self._loop.time() + self._chaos.rng.uniform(*SILENCE_S)
            actor.inbound.blocked_until = actor.outbound.blocked_until = until
            self.note(f"agent {actor.profile.id} cannot be reached until {until:.3f}")
        if happening != "death":
            return False
        amnesia = self._chaos.rng.random() < self.faults.amnesia
        actor.die(amnesia=amnesia)
        self.note(f"agent {actor.profile.id} dies: {moment}{' and forgets all' if amnesia else ''}")
        self._process.call_at(self._loop.time() + self._chaos.rng.uniform(*AWAY_S), self._restart, actor)
        return True

    def _restart(self, actor: Actor) -> None:
        self.note(f"agent {actor.profile.id} is back")
        actor.start()
        for life in self.lives:
            life.process.call(life.admit, actor)

    def _dice(self, what: str) -> random.Random:
        return random.Random(f"{self._seed}/{what}")


class Life:
    """One coordinator of a world, from its start to its death."""

    def __init__(self, world: World, number: int, skew_s: float) -> None:
        self._world = world
        self.number = number
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        self.process = Process(loop, f"coordinator {number}")
        self._clock = SimClock(loop, skew_s)
        self._coordinator: Coordinator | None = None
        self._joining: set[asyncio.Task[None]] = set()

    async def live(self, scenario: Scenario) -> bool:
        """Take over what is unfinished, take in what is asked, wait until all of it is over; False if it gave up."""
        store = SimStore(self._world.disk, lambda moment, number: self._world.ask(self, moment, number))
        await store.open()
        given = Given(
            store=store,
            clock=self._clock,
            strategies=scenario.strategies,
            open_link=_no_link,
            config=scenario.config,
            node=f"node-{self.number}",
            threads=False,
        )
        self._coordinator = coordinator = Coordinator(given)
        try:
            await coordinator.start()
            await self._serve(scenario)
            await coordinator.close()
        except (Unreachable, LeaseLost, WrongPhase) as error:
            self._world.note(f"coordinator {self.number} gives up: {error.message}")
            self.process.kill()
            return False
        return True

    async def _serve(self, scenario: Scenario) -> None:
        for actor in self._world.actors:
            self.admit(actor)
        if self._joining:
            await asyncio.wait(self._joining, timeout=GATHER_S)
        for submit in scenario.runs[self._world.submitted :]:
            await self._do(submit)
            self._world.submitted = max(self._world.submitted, scenario.runs.index(submit) + 1)
        for place, step in list(enumerate(scenario.steps))[self._world.stepped :]:
            await asyncio.sleep(max(0.0, step.at_s - self._loop.time()))
            await self._do(step.command)
            self._world.stepped = max(self._world.stepped, place + 1)
        for asked in scenario.runs:
            await self._see_it_end(asked.id)
        while await self._world.disk.memory.find(RunRecord, {"status": UNFINISHED}, limit=1):
            await asyncio.sleep(1.0)  # children that were called off may have something to undo yet
            assert self._coordinator is not None
            self._coordinator.check()
        await asyncio.sleep(AFTERMATH_S)

    def bury(self) -> None:
        """Close what the dead coordinator's strategies have left open."""
        for active in [] if self._coordinator is None else self._coordinator.rounds.live.values():
            active.instance.abandon()

    def admit(self, actor: Actor) -> None:
        """Let an agent in that has come by itself."""
        if self._coordinator is not None and actor.process.alive:
            task = asyncio.get_running_loop().create_task(self._admit(actor, self._coordinator))
            self._joining.add(task)
            task.add_done_callback(self._joining.discard)

    async def _admit(self, actor: Actor, coordinator: Coordinator) -> None:
        link = SimLink(self._world.network, actor, self.process, lambda moment: self._world.count_send(self, moment))
        try:
            await coordinator.roster.register(actor.profile, link, kind="socket")
        except ConcertedError as error:
            self._world.note(f"agent {actor.profile.id} is not admitted by {self.number}: {error.message}")

    async def _do(self, command: Command) -> Any:
        """Give a command; one that is refused for good is noted, one that was not answered is given again."""
        assert self._coordinator is not None
        try:
            return await serve(self._coordinator, command, LOCAL)
        except (Unreachable, LeaseLost):
            raise
        except ConcertedError as error:
            self._world.note(f"{type(command).__name__} is refused: {error.message}")
            return None

    async def _see_it_end(self, run: RunId) -> None:
        while True:
            view = await self._do(GetRun(id=run, wait_s=600.0, brief=True))
            if view is None or view.status in OVER:
                self._world.note(f"run {run}: {'refused' if view is None else view.status}")
                return
            await asyncio.sleep(1.0)


class Chaos:
    """Decides what befalls whom: at stated places, or by the dice and a budget."""

    def __init__(self, faults: Faults, rng: random.Random, kills: tuple[Kill, ...]) -> None:
        self.rng = rng
        self._kills = list(kills)
        self._left = {
            "crash": faults.crash, "pause": faults.pause, "disk": faults.disk,
            "agent_crash": faults.agent_crash, "silence": faults.silence,
        }  # fmt: skip
        self._hazard = {what: 10 ** rng.uniform(-2.5, -0.7) for what in self._left}

    def fate(self, moment: Moment, number: int) -> Fate:
        """Say what befalls the coordinator."""
        if self._kills and (self._kills[0].moment, self._kills[0].number) == (moment, number):
            self._kills.pop(0)
            return "die"
        if self._happens("crash"):
            return "die"
        if moment.endswith("commit") and self._happens("disk"):
            return "fail"
        return "go on"

    def is_taken_for_dead(self, moment: Moment) -> bool:
        """Say whether a successor starts while the coordinator goes on."""
        return moment.endswith("commit") and self._happens("pause")

    def befalls_agent(self) -> str | None:
        """Say whether an agent dies at this step, or cannot be reached for a while."""
        if self._happens("agent_crash"):
            return "death"
        return "silence" if self._happens("silence") else None

    def _happens(self, what: str) -> bool:
        if self._left[what] <= 0 or self.rng.random() >= self._hazard[what]:
            return False
        self._left[what] -= 1
        return True


def _no_link(spec: AgentSpec) -> NoReturn:
    raise Invalid(f"agent {spec.profile.id}: in a simulation agents are not started from specs")
