"""All who ask replicas about decisions, in virtual time: whom they believe to lead, and how long they wait."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import Ready
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.replicas.kept import Outcome
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.errands import Asker
from concerted.sim.worlds.host import Host
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Crowd"]

RETRY_S = 5.0  # how long somebody waits for an answer
AGAIN = 0.1  # the share of commands that come once more when they are answered

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


class Crowd(Generic[C]):
    """All askers of a world.  propose: has a server propose a command.  court: is shown what they are told."""

    def __init__(
        self,
        rng: random.Random,
        timeline: Timeline,
        life: Life,
        hosts: Mapping[NodeId, Host[C]],
        propose: Callable[[NodeId, bytes], Ready[Any, Any]],
        court: Court,
    ) -> None:
        self.askers: Sequence[Asker] = ()
        self.answered_count = 0
        self._rng = rng
        self._timeline = timeline
        self._life = life
        self._hosts = hosts
        self._propose = propose
        self._court = court

    def gather(self, askers: Sequence[Asker]) -> None:
        """Be these; what each is going to cast is known to the court."""
        self.askers = askers
        for asker in askers:
            for _, wanted in asker.errands:
                choice = getattr(wanted, "choice", None)
                if choice is not None:
                    self._court.cast.setdefault((wanted.id, asker.agent), set()).add(choice)

    def begin(self) -> None:
        """Let all begin with their errands."""
        for asker in self.askers:
            self._go_on(asker)

    def _go_on(self, asker: Asker) -> None:
        """Begin with the next errand, when it is time."""
        asker.turn += 1
        if not asker.is_done:
            at = asker.errands[0][0] if asker.errands else 0.0
            self._timeline.at(max(at, self._timeline.now + 0.01), self._life, self._ask, asker, asker.turn)

    def _ask(self, asker: Asker, turn: int) -> None:
        """Ask whoever is said to lead, or anybody; after a while, somebody else."""
        if asker.turn != turn:
            return
        alive = [node for node, host in self._hosts.items() if host.is_alive]
        if alive:
            node = asker.believed if asker.believed in alive else self._rng.choice(alive)
            assert node is not None, f"{asker} believes nobody"
            refused = self._propose(node, asker.next_command()).refused
            asker.believed = node if refused is None else refused.leader
        if asker.turn == turn:
            late = RETRY_S if asker.believed is not None else 0.5 + self._rng.random()
            self._timeline.at(self._timeline.now + late, self._life, self._give_up, asker, turn)

    def _give_up(self, asker: Asker, turn: int) -> None:
        if asker.turn == turn:
            asker.believed = None if self._rng.random() < 0.5 else asker.believed
            self._ask(asker, turn)

    def answered(self, answer: Answer) -> None:
        """Tell whoever has asked; whichever server has applied it may be the one that was asked."""
        if answer.status == "opened":
            asker = next((each for each in self.askers if each.id == answer.number and not each.session), None)
            if asker is not None:
                asker.session, asker.command = answer.session, b""
                self._go_on(asker)
            return
        if answer.status == "done":
            self._court.told(msgspec.json.decode(answer.result, type=Outcome))
        asker = next((each for each in self.askers if each.session == answer.session), None)
        if asker is not None and asker.command and asker.number == answer.number:
            assert answer.status == "done", f"{asker} is told {answer.status}"
            command, asker.command = asker.command, b""
            self.answered_count += 1
            if self._rng.random() < AGAIN:
                late = self._timeline.now + self._rng.uniform(0.0, RETRY_S)
                self._timeline.at(late, self._life, self._once_more, command)
            self._go_on(asker)

    def _once_more(self, command: bytes) -> None:
        """Let a command that was answered come once more, as from a network that has kept it."""
        hosts = self._hosts.items()
        leading = next((node for node, host in hosts if host.is_alive and host.replica.core.leader == node), None)
        if leading is not None:
            self._propose(leading, command)
