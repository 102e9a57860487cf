"""The simulated network: messages are lost, doubled, delayed and overtaken, by the seed; and the links over it.

Whatever travels is encoded and decoded on its way, as on a real wire.  A message that is under way when
its sender dies still arrives; one whose receiver dies does not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from concerted.errors import Unreachable
from concerted.messages import Beat, Envelope, Reply
from concerted.ports.link import LinkEvents
from concerted.sim.disk import Fate, Moment
from concerted.sim.faults import Faults
from concerted.sim.virtual_time import Process
from concerted.values import AgentId, Profile

__all__ = ["STEP_S", "Far", "Network", "Pipe", "SimLink"]

SHORTEST_S = 0.001  # the way of the quickest message
STEP_S = 1e-6  # between two messages that arrive as one
REPLAYED_S = (5.0, 60.0)  # how late a message comes once more


class Timed(Protocol):
    """Whatever has a time."""

    def time(self) -> float:
        """Return it, in seconds."""


class Receiver(Protocol):
    """Whatever can be told something later, unless it dies before."""

    def call_at(self, when: float, fn: Callable[..., Any], *args: Any) -> None:
        """Call a function at an instant."""


class Pipe:
    """One direction between two: in order, unless a message is overtaken.  resets: how often it was broken."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self.blocked_until = 0.0
        self.resets = 0


class Network:
    """Carries messages.  lost, doubled: how many of them were."""

    def __init__(self, loop: Timed, faults: Faults, rng: random.Random) -> None:
        self._time = loop.time
        self._faults = faults
        self._rng = rng
        self.carried = self.lost = self.doubled = 0

    def carry(self, pipe: Pipe, to: Receiver, deliver: Callable[..., None], *message: Any) -> None:
        """Bring a message to a process, perhaps, and perhaps twice."""
        faults, rng = self._faults, self._rng
        self.carried += 1
        if rng.random() < faults.drop:
            self.lost += 1
            return
        twice = rng.random() < faults.duplicate
        to.call_at(self._arrival(pipe), deliver, *message)
        if twice:
            self.doubled += 1
            to.call_at(self._arrival(pipe), deliver, *message)
        if faults.replay and rng.random() < faults.replay:
            to.call_at(self._time() + rng.uniform(*REPLAYED_S), deliver, *message)

    def heal(self) -> None:
        """Lose, double and overtake nothing any more, and be quick."""
        self._faults = Faults()

    def _arrival(self, pipe: Pipe) -> float:
        faults, rng = self._faults, self._rng
        slowest = faults.delay if faults.delay > SHORTEST_S else SHORTEST_S
        at = self._time() + (SHORTEST_S + (slowest - SHORTEST_S) * rng.random())
        at = at if at > pipe.blocked_until else pipe.blocked_until
        if rng.random() < faults.reorder:
            return at + rng.uniform(0.0, 4 * slowest)
        behind = pipe.free_at + STEP_S
        pipe.free_at = at if at > behind else behind
        return pipe.free_at


class Far(Protocol):
    """The agent's end of links."""

    profile: Profile
    process: Process
    inbound: Pipe
    outbound: Pipe

    def welcome(self, link: SimLink) -> None:
        """Talk over this link from now on."""

    def receive(self, data: bytes) -> None:
        """Take one encoded envelope."""


class SimLink:
    """`ports.link.Link` to an agent of the simulation, as a socket link is to one that runs by itself.

    process: the coordinator's.  ask: told the moment and the number of each send, says what befalls the sender.
    """

    pushes_beats = True
    in_process = False

    def __init__(self, network: Network, far: Far, process: Process, ask: Callable[[Moment], Fate]) -> None:
        self.profile = far.profile
        self.agent: AgentId = far.profile.id
        self._network = network
        self._far = far
        self._agent_process = far.process
        self.process = process
        self._ask = ask
        self._events: LinkEvents | None = None
        self._in_hand: set[str] = set()

    async def open(self, events: LinkEvents) -> None:
        """Begin to talk.

        Raises:
            Unreachable: the agent has died meanwhile.
        """
        if not self._agent_process.alive:
            raise Unreachable(f"agent {self.agent} has died on the way")
        self._events = events
        self._agent_process.call(self._far.welcome, self)

    def send(self, batch: Sequence[Envelope]) -> None:
        """Put commands on the wire."""
        if self._events is None or not self.process.alive:
            return
        if self._ask("before send") == "die":
            return
        for envelope in batch:
            self._network.carry(
                self._far.inbound, self._agent_process, self._far.receive, msgspec.json.encode(envelope)
            )
        self._ask("after send")

    def holds(self, key: str) -> bool:
        """Say whether the agent, as far as its heartbeats tell, is at work on this command."""
        return key in self._in_hand

    async def close(self, reason: str) -> None:  # noqa: ARG002
        """Talk no more.  Idempotent."""
        self._events = None
        self._in_hand.clear()

    # from the agent, by way of the network

    def take_reply(self, data: bytes) -> None:
        """Take an encoded reply."""
        if self._events is not None:
            reply = _replies.decode(data)
            self._in_hand.discard(reply.key)
            self._events.replied(reply)

    def take_beat(self, data: bytes) -> None:
        """Take an encoded heartbeat: what it does not name, the agent does not have."""
        if self._events is not None:
            beat = _beats.decode(data)
            self._in_hand = set(beat.running)
            self._events.beat(beat)

    def broken(self) -> None:
        """Take note that the connection has ended: the agent has died."""
        self._in_hand.clear()
        if self._events is not None:
            self._events.suspected(self.agent, "its connection has ended")


_replies = msgspec.json.Decoder(Reply)
_beats = msgspec.json.Decoder(Beat)
