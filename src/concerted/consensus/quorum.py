"""Quorum rules: which servers may speak for all, also while one configuration passes into the next.

    simple --joint--> joint (decisions need a majority of the old voters and one of the new) --final--> simple

Learners are sent everything and count for nothing.  The id of a server is given once: `last_id` is the highest
that has ever been in use, and whoever joins must have a higher one, so no message of a former member can be
taken for one of its successor.

Source: Ongaro & Ousterhout 2014 ("the paper"), section 6; Ongaro's thesis 2014, sections 4.2.1 and 4.3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from concerted.errors import Invalid

__all__ = ["Configuration", "NodeId", "Tally", "agreed", "is_quorum", "majority", "tally"]

NodeId = int
Tally = Literal["won", "lost", "pending"]


class Configuration(msgspec.Struct, frozen=True, omit_defaults=True, dict=True):
    """Who takes part.  All ids ascend.

    voters: whose majority decides; of a joint configuration, the new ones.  outgoing: the old voters, whose majority
    is needed as well; empty unless joint.  learners: who is sent everything and counts for nothing.
    last_id: the highest id that was ever given.
    """

    voters: tuple[NodeId, ...] = ()
    outgoing: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()
    last_id: NodeId = 0

    @classmethod
    def of(cls, voters: Sequence[NodeId], learners: Sequence[NodeId] = ()) -> Configuration:
        """Make the first configuration of a cluster.

        Raises:
            Invalid: there is no voter, an id is below 1 or stands twice.
        """
        return cls().change(voters, learners).final()

    @property
    def is_joint(self) -> bool:
        """Whether it is on the way from one configuration to the next."""
        return bool(self.outgoing)

    @cached_property
    def members(self) -> tuple[NodeId, ...]:
        """Everybody who is sent the log, ascending."""
        return tuple(sorted({*self.voters, *self.outgoing, *self.learners}))

    @cached_property
    def halves(self) -> tuple[tuple[NodeId, ...], ...]:
        """The groups of voters of each of which a decision needs a majority: one, or two while it is joint."""
        assert self.voters, "nobody can decide anything in a configuration without voters"
        return tuple([half for half in (self.voters, self.outgoing) if half])

    def is_voter(self, node: NodeId) -> bool:
        """Say whether a server's vote counts, in either half."""
        return node in self.voters or node in self.outgoing

    def change(self, voters: Sequence[NodeId], learners: Sequence[NodeId] = ()) -> Configuration:
        """Return the joint configuration that leads from this one to these voters and learners (section 6).

        Raises:
            Invalid: there is no voter; an id is below 1, stands twice, or belonged to somebody before.
        """
        assert not self.is_joint, f"a change of {self} before it is final"
        ids = [*voters, *learners]
        if not voters:
            raise Invalid("a configuration needs at least one voter; name one")
        if len(set(ids)) < len(ids):
            raise Invalid(f"voters {list(voters)} and learners {list(learners)}: each server stands there once")
        known = self.members
        if any(node <= self.last_id and node not in known for node in ids) or min(ids) < 1:
            raise Invalid(
                f"voters {list(voters)} and learners {list(learners)}: ids are given once; "
                f"whoever is not a member now takes one above {self.last_id}"
            )
        return Configuration(
            voters=tuple(sorted(voters)),
            outgoing=self.voters,
            learners=tuple(sorted(learners)),
            last_id=max(self.last_id, *ids),
        )

    def final(self) -> Configuration:
        """Return what a joint configuration leads to."""
        return msgspec.structs.replace(self, outgoing=())


def majority(count: int) -> int:
    """Return how many of `count` voters any two majorities have in common one of."""
    return count // 2 + 1


def is_quorum(configuration: Configuration, nodes: Mapping[NodeId, bool]) -> bool:
    """Say whether those marked True are a majority of the voters, and of the outgoing ones if it is joint."""
    return tally(configuration, nodes) == "won"


def tally(configuration: Configuration, votes: Mapping[NodeId, bool]) -> Tally:
    """Count an election.  votes: server -> what it said; who has not answered is missing, strangers are ignored."""
    results = [_tally(half, votes) for half in configuration.halves]
    if "lost" in results:
        return "lost"
    return "pending" if "pending" in results else "won"


def agreed(configuration: Configuration, reached: Mapping[NodeId, int]) -> int:
    """Return the highest number that a quorum has reached.  reached: server -> number; 0 if it is missing."""
    least = None
    for half in configuration.halves:
        count = len(half)
        number = sorted([reached.get(node, 0) for node in half])[count - majority(count)]
        if least is None or number < least:
            least = number
    assert least is not None
    return least


def _tally(voters: tuple[NodeId, ...], votes: Mapping[NodeId, bool]) -> Tally:
    said = [votes[node] for node in voters if node in votes]
    needed = majority(len(voters))
    if said.count(True) >= needed:
        return "won"
    return "lost" if len(voters) - said.count(False) < needed else "pending"
