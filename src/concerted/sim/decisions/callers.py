"""When askers ask in virtual time: whom they take for the leader, how long they wait, and that they ask again."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from concerted.consensus.quorum import NodeId
from concerted.sim.decisions.crowd import Crowd
from concerted.sim.decisions.errands import Asker
from concerted.sim.worlds.timeline import Life, Timeline

__all__ = ["Callers"]

RETRY_S = 5.0  # how long somebody waits for an answer
AGAIN = 0.1  # the share of commands that come once more when they are answered

Ask = Callable[[Sequence[NodeId], bytes], NodeId | None]


@dataclass(slots=True, kw_only=True)
class Callers:
    """All askers of a world.

    there: who can be asked.  ask: asks these, and returns who is said to lead.  leader: who does.  is_signed: whether
    nobody is believed alone, so that whoever is not answered asks all.
    """

    rng: random.Random
    timeline: Timeline
    life: Life
    crowd: Crowd
    there: Callable[[], list[NodeId]]
    ask: Ask
    leader: Callable[[], NodeId | None]
    is_signed: bool

    def __post_init__(self) -> None:
        self.crowd.on_end = self._ended

    def begin(self) -> None:
        """Let all begin with their errands."""
        for asker in self.crowd.askers:
            self._go_on(asker)

    def _go_on(self, asker: Asker) -> None:
        """Begin with the next errand, when it is time."""
        asker.turn += 1
        if not asker.is_done:
            at = asker.errands[0][0] if asker.errands else 0.0
            self.timeline.at(max(at, self.timeline.now + 0.01), self.life, self._ask, asker, asker.turn, False)

    def _ask(self, asker: Asker, turn: int, again: bool) -> None:
        """Ask whoever is said to lead, or anybody; after a while, somebody else, or all."""
        if asker.turn != turn:
            return
        there = self.there()
        if there:
            node = asker.believed if asker.believed in there else self.rng.choice(there)
            assert node is not None, f"{asker} believes nobody"
            asked = there if again and self.is_signed else [node]
            asker.believed = self.ask(asked, asker.next_command())
        if asker.turn == turn:
            late = RETRY_S if asker.believed is not None else 0.5 + self.rng.random()
            self.timeline.at(self.timeline.now + late, self.life, self._give_up, asker, turn)

    def _give_up(self, asker: Asker, turn: int) -> None:
        if asker.turn == turn:
            asker.believed = None if self.rng.random() < 0.5 else asker.believed
            self._ask(asker, turn, again=True)

    def _ended(self, asker: Asker, command: bytes) -> None:
        """Go on to the next errand; what was answered may come once more, as from a network that has kept it."""
        if command and self.rng.random() < AGAIN:
            late = self.timeline.now + self.rng.uniform(0.0, RETRY_S)
            self.timeline.at(late, self.life, self._once_more, command)
        self._go_on(asker)

    def _once_more(self, command: bytes) -> None:
        leader = self.leader()
        if leader is not None:
            self.ask([leader], command)
