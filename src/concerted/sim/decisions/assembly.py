"""One group that keeps decisions and all who ask it, whoever says when anything happens: a world, or a walk.

It puts what is asked into the log as real replicas do, with what their wall clocks say; its liars are the cores of PBFT
with twisted words (`sim.pbft.liars`), whose hosts lie about decisions as well (`liars`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Message, read_request
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.replicated_log import ReplicatedLog
from concerted.consensus.sessions import Answer
from concerted.replicas.protocols.entering import Proposed
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.crowd import Crowd
from concerted.sim.decisions.errands import Asker
from concerted.sim.decisions.keeper import Keeper
from concerted.sim.decisions.keeping import Keeping
from concerted.sim.decisions.liars import Slanderer
from concerted.sim.pbft.checks import PbftChecks
from concerted.sim.pbft.liars import Liar
from concerted.sim.pbft.replica import Unwatched

__all__ = ["BEGAN_AT", "WALLS_S", "Assembly"]

BEGAN_AT = 1_000_000.0  # what a wall clock that is right says when the world begins
WALLS_S = 20.0  # how far wall clocks lie apart at most
STALE_S = 1.0  # how old the time of a group that signs may be when a command comes
UNWATCHED = Unwatched()

C = TypeVar("C", bound=ReplicatedLog[Any, Any])


@dataclass(kw_only=True)
class Assembly(Generic[C]):
    """One group.  replicas: the honest.  wall: what a server's wall clock says, or one that is right (of nobody, 0).

    keepers: the honest, as what they keep.  liars: the others.
    """

    keeping: Keeping
    settings: Any
    rng: random.Random
    replicas: dict[NodeId, Replica[C]]
    send: Callable[[Any], None]
    wall: Callable[[NodeId], float]
    askers: Sequence[Asker]
    keepers: dict[NodeId, Keeper[C]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = self.keeping.algorithm.checks(self.replicas)
        self.court = Court(self.watch.chosen, self.keeping.honest)
        self.crowd = Crowd(self.askers, self.court, self.keeping.honest)
        self.nodes = tuple(range(1, self.keeping.servers + 1))
        self.liars = {node: self._liar(node) for node in sorted(self.keeping.liars)}

    def keeper(self, node: NodeId, configuration: Configuration) -> Keeper[C]:
        """Return another honest server, which has not begun."""
        algorithm = self.keeping.algorithm
        keeper: Keeper[C] = Keeper(
            id=node,
            begin=algorithm.start,
            settings=self.settings,
            disk=Disk(algorithm.storage, node, algorithm.first(configuration)),
            watch=self.watch,
            dice=self.rng.random,
            send=self.send,
            on_answer=lambda replica, answer: self.crowd.hear(replica.id, answer),
            make=lambda: self.keeping.make(node),
            judged=self.court.judged,
        )
        self.keepers[node] = self.replicas[node] = keeper
        return keeper

    def ask(self, node: NodeId, commands: Sequence[bytes]) -> None:
        """Ask a liar."""
        for command in commands:
            self.liars[node].liar.ask(read_request(command))

    # What goes into the log

    def signed(self, node: NodeId, command: bytes) -> bytes:
        """Return a session's command as it is put into the log.  node: which server is asked."""
        return self.keeping.enter(Proposed(self.wall(node), node, command, self._term(node)))

    def with_time(self, node: NodeId, entered: bytes) -> list[bytes]:
        """Return what a server puts into the log for what it is asked: before it the time, if the group's is old."""
        if self.keeping.is_signed and self.wall(node) - self.keepers[node].kept.now > STALE_S:
            return [self.time(node), entered]
        return [entered]

    def time(self, node: NodeId) -> bytes:
        """Return what a server puts into the log to say the time."""
        return self.keeping.enter(Proposed(self.wall(node), node, b"", self._term(node)))

    def is_due(self, node: NodeId) -> bool:
        """Say whether a deadline has passed by a server's clock, and the time is for it to say."""
        keeper = self.keepers[node]
        if not (self.keeping.is_signed or keeper.core.leader == node):
            return False
        due = keeper.kept.next_wake()
        return due is not None and due <= self.wall(node)

    def _term(self, node: NodeId) -> int:
        keeper = self.keepers.get(node)
        return 0 if keeper is None or keeper.running is None else keeper.core.term

    # The end

    def judge_whole(self) -> None:
        """Look at all that replicas show."""
        for keeper in self.keepers.values():
            if keeper.running is not None:
                self.court.judged_whole(keeper)

    def latest_deadline_at(self) -> float | None:
        """Return the last deadline of what is open; None: no deadline is open."""
        self.court.standing(len(self.watch.chosen))
        found = [
            each.made["deadline_at"]
            for each in self.court.oracle.decisions.values()
            if each.status == "voting" and each.made.get("deadline_at") is not None
        ]
        return max(found, default=None)

    # Liars

    @property
    def group(self) -> Group:
        """Who signs."""
        assert self.keeping.members is not None, f"nobody lies in a group of {self.keeping.algorithm.name}"
        return self.keeping.members

    @property
    def checks(self) -> PbftChecks:
        """What the honest are held to, where others lie."""
        assert isinstance(self.watch, PbftChecks), f"{self.watch} are none of PBFT"
        return self.watch

    def make(self, node: NodeId, post: Callable[[Message], None]) -> Keeper[Any]:
        """Make a replica that nobody watches."""
        algorithm = self.keeping.algorithm
        return Keeper(
            id=node,
            begin=algorithm.start,
            settings=self.settings,
            disk=Disk(algorithm.storage, node, algorithm.first(Configuration())),
            watch=UNWATCHED,
            dice=self.rng.random,
            send=post,
            on_answer=lambda _, answer: self._lied(node, answer),
            make=lambda: self.keeping.make(node),
            judged=lambda _: None,
        )

    def _liar(self, node: NodeId) -> Slanderer:
        kinds = self.keeping.liars[node]
        return Slanderer(
            liar=Liar(self, node, self.rng, kinds, self.send),
            kinds=kinds,
            rng=self.rng,
            nodes=self.nodes,
            post=self.send,
            sign=self.keeping.sign,
            wanted=lambda: self.crowd.wanted,
            now=lambda: self.wall(0),
        )

    def _lied(self, node: NodeId, answer: Answer) -> None:
        self.crowd.hear(node, self.liars[node].told(answer))
