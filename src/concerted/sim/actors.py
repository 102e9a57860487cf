"""The agents of a simulation: real desks and real functions in processes that die and come back.

An agent's inbox outlives its process, as a file would; the ledger of effects outlives everything and
stands outside the system under test: it counts what was really done.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.agent.abilities import Ability
from concerted.agent.desk import Desk
from concerted.agent.kit import Agent
from concerted.agent.work import Work
from concerted.consensus.decisions.rule import ABSTAIN, REJECT
from concerted.messages import Beat, Envelope, Judge, Reply
from concerted.sim.network import STEP_S, Network, Pipe, SimLink
from concerted.sim.virtual_time import Process, SimClock, VirtualLoop
from concerted.values import AgentId, Profile, Task, digest, encode

__all__ = ["Actor", "Done", "Ledger", "Stage", "stand_in"]

BEAT_S = 5.0
WORK_S = (0.05, 2.0)  # how long a stand-in works on a task, at speed 1


@dataclass(frozen=True, slots=True)
class Done:
    """One effect that really took place.  life: which life of the agent it was, from 1."""

    key: str
    agent: AgentId
    what: str
    epoch: int
    life: int
    at_s: float


class Ledger:
    """What was really done, in order."""

    def __init__(self) -> None:
        self.effects: list[Done] = []

    def repeated(self) -> dict[tuple[AgentId, str], list[Done]]:
        """Return (agent, key) -> its effects, of those that took place more than once."""
        by_key: dict[tuple[AgentId, str], list[Done]] = {}
        for done in self.effects:
            by_key.setdefault((done.agent, done.key), []).append(done)
        return {name: found for name, found in by_key.items() if len(found) > 1}


class Stage:
    """What the actors of one simulation share.  stumble: asked at each step of an agent whether it dies there."""

    def __init__(self, loop: VirtualLoop, network: Network, seed: int, stumble: Callable[[Actor, str], bool]) -> None:
        self.loop = loop
        self.network = network
        self.seed = seed
        self.ledger = Ledger()
        self.stumble = stumble
        self.clock = SimClock(loop)


class Actor:
    """One agent: its process now, its inbox for ever, its connection to whoever is the coordinator."""

    def __init__(self, stage: Stage, agent: Agent) -> None:
        self._stage = stage
        self._agent = agent
        self.profile: Profile = agent.profile
        self.inbox = SimInbox()
        self.inbound, self.outbound = Pipe(), Pipe()
        self.life = 0
        self.link: SimLink | None = None
        self.process = Process(stage.loop, f"agent {agent.id}")
        self.process.kill()  # it has not been started yet
        self._desk: Desk | None = None

    def start(self) -> None:
        """Begin a life: a new process that knows what is in its inbox and nothing else."""
        self.life += 1
        self.process = Process(self._stage.loop, f"agent {self.profile.id}")
        self.process.call(self._begin)

    def die(self, *, amnesia: bool = False) -> None:
        """End this life; with amnesia the inbox is lost, too."""
        self.process.kill()
        self.inbox = SimInbox() if amnesia else self.inbox.after_death()
        link, self.link = self.link, None
        if link is not None:
            link.process.call_at(max(self._stage.loop.time(), self.outbound.free_at) + STEP_S, link.broken)

    def welcome(self, link: SimLink) -> None:
        """Talk to a new coordinator from now on."""
        if self.link is not link:
            self.link = link
            self._send_beat(self._beat())

    def receive(self, data: bytes) -> None:
        """Take one envelope from the wire."""
        if self._stage.stumble(self, "receive") or self._desk is None:
            return
        envelope = _envelopes.decode(data)
        self._desk.take(envelope)
        if self._desk.holds(envelope.idempotency_key):
            self._send_beat(self._beat())  # it has arrived

    def _begin(self) -> None:
        agent = self._agent.like(self.profile)
        for table, kind in ((agent.tasks, "task"), (agent.answers, "request")):
            for name, ability in list(table.items()):
                table[name] = self._observed(ability, kind)
        self._desk = Desk(agent, self.inbox, self._stage.clock.now)
        self._desk.open(self._answer, self._send_beat)
        self.process.start(self._beats())

    async def _beats(self) -> None:
        while True:
            self._send_beat(self._beat())
            await asyncio.sleep(BEAT_S)

    def _beat(self) -> Beat:
        return Beat(agent=self.profile.id) if self._desk is None else self._desk.heartbeat()

    def _send_beat(self, beat: Beat) -> None:
        if self.link is not None:
            self._stage.network.carry(self.outbound, self.link.process, self.link.take_beat, msgspec.json.encode(beat))

    def _answer(self, reply: Reply) -> None:
        if self.link is not None and self.process.alive:
            self._stage.network.carry(
                self.outbound, self.link.process, self.link.take_reply, msgspec.json.encode(reply)
            )

    def _observed(self, ability: Ability, kind: str) -> Ability:
        """Wrap a function so that the ledger sees what it does; a plain task function becomes an async one."""

        def note(what: Any, work: Work) -> None:
            name = what.id if isinstance(what, Task) else work.envelope.type
            self._stage.ledger.effects.append(
                Done(work.key, self.profile.id, name, work.epoch, self.life, self._stage.loop.time())
            )

        async def perform(what: Any, work: Work) -> Any:
            await self._step("before the effect")
            note(what, work)
            await self._step("after the effect")
            value = ability.fn(what, work) if ability.takes_work else ability.fn(what)
            value = await value if inspect.isawaitable(value) else value
            await self._step("before the reply")
            return value

        def answer(request: Any, work: Work) -> Any:
            note(request, work)
            return ability.fn(request, work) if ability.takes_work else ability.fn(request)

        fn = perform if kind == "task" or ability.is_async else answer
        return Ability(fn, takes_work=True, is_async=fn is perform, on_restart=ability.on_restart)

    async def _step(self, moment: str) -> None:
        if self._stage.stumble(self, moment):
            await self._stage.loop.create_future()  # dead: this never returns


class SimInbox:
    """`agent.inbox.Inbox` that outlives its process, as `FileInbox` does: replies, epochs, and what was begun."""

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {}
        self._replies: dict[str, Reply] = {}
        self._begun: set[str] = set()
        self._interrupted: frozenset[str] = frozenset()

    def after_death(self) -> SimInbox:
        """Return what the next process finds; the dead one can change it no more."""
        found = SimInbox()
        found.epochs = dict(self.epochs)
        found._replies = dict(self._replies)
        found._begun = set(self._begun)
        found._interrupted = frozenset(self._begun)
        return found

    def reply_to(self, key: str) -> Reply | None:
        """Return the reply to a finished command."""
        return self._replies.get(key)

    def was_interrupted(self, key: str) -> bool:
        """Say whether an earlier process began this command and died before it was finished."""
        return key in self._interrupted and key in self._begun

    def start(self, key: str) -> None:
        """Remember that the command is about to be run."""
        self._begun.add(key)

    def finish(self, key: str, reply: Reply) -> None:
        """Remember the answer."""
        self._begun.discard(key)
        self._replies[key] = reply

    def forget(self, key: str) -> None:
        """Remember nothing of this command."""
        self._begun.discard(key)
        self._replies.pop(key, None)

    def raise_epoch(self, name: str, epoch: int) -> None:
        """Remember a higher epoch."""
        self.epochs[name] = epoch

    def close(self) -> None:
        """Need nothing."""


def stand_in(profile: Profile, seed: int) -> Agent:
    """Make the agent that stands in for a program: it does every task, in a time and with a result of the seed's.

    The result of a task follows from its id and payload alone, whoever does it and however often.  What it thinks
    of a proposal follows from the seed.
    """
    agent = Agent(profile)

    async def perform(task: Task, work: Work) -> Any:
        dice = random.Random(f"{seed}/{profile.id}/{task.id}/{work.epoch}")
        await asyncio.sleep(dice.uniform(*WORK_S) / profile.speed)
        return {"task": task.id, "digest": digest(encode([task.payload, dict(work.results)]))}

    async def judge(request: Judge) -> dict[str, str]:
        dice = random.Random(f"{seed}/{profile.id}/{request.decision}")
        await asyncio.sleep(dice.uniform(*WORK_S) / profile.speed)
        return {"choice": dice.choice((*request.options, *request.options, REJECT, ABSTAIN)), "reason": "by dice"}

    agent.task(on_restart="fail")(perform)
    agent.on(Judge, on_restart="fail")(judge)
    return agent


_envelopes = msgspec.json.Decoder(Envelope)
