"""Clusters: many agents in groups of similar ones, each with a leader, that stay as they are as agents come and go.

    agents --levels, standardised--> points --partition--> clusters --reelect--> leaders
    an agent goes --dismiss--> its cluster, smaller, or gone with its last member
    an agent comes --admit--> the nearest cluster with room, or one of its own
    much has changed --reorganise--> the same clusters where they are still right, by the centres of before

There are ceil(sqrt n) clusters for n agents unless told otherwise.  A cluster keeps its id, its members and its
leader as long as there is no good reason against it: a member leaves for a centre that is nearer by a margin, a
leader for one whose score is higher by a margin.

Source: the specification, HierarchicalCoordinator, `organizeIntoClusters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isqrt
from typing import TYPE_CHECKING

import msgspec

from concerted.errors import Conflict, Invalid, NotFound
from concerted.groups.games import Array
from concerted.groups.leadership import Candidate, reelect
from concerted.groups.partition import Balance, partition, settle, sizes_allowed
from concerted.values import AgentId, Profile

if TYPE_CHECKING:
    from numpy import bool_
    from numpy.typing import NDArray

__all__ = [
    "Cluster",
    "Clustering",
    "admit",
    "cluster_count",
    "dismiss",
    "has_drifted",
    "organise",
    "reorganise",
]

LEADER_MARGIN = 5.0  # points of 100 by which a new leader must be better than the one there is
MEMBER_MARGIN = 0.2  # by which part a member must come nearer to a centre to change its cluster
DRIFT = 0.25  # of the agents that have come or gone, after which it pays to reorganise
MOST_FEATURES = 64  # capabilities that count: those that differ most


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """One cluster.  agents: by id.  capabilities: name -> the highest level of a member.  capacity: tasks at once.

    leader: whose score (0..100) is highest, or was when it was elected.
    """

    id: str
    agents: tuple[AgentId, ...]
    leader: AgentId
    score: float
    capabilities: dict[str, float]
    capacity: int


class Clustering(msgspec.Struct, frozen=True, kw_only=True):
    """All clusters, and what a newcomer is placed by.

    names: the capabilities that count.  means, spreads: by which levels are standardised.  centres: cluster ->
    its centre in standardised levels.  formed: how many clusters there have ever been; ids are not used twice.
    changed: how many agents have come or gone since the clusters were formed.
    """

    clusters: tuple[Cluster, ...]
    names: tuple[str, ...]
    means: tuple[float, ...]
    spreads: tuple[float, ...]
    centres: dict[str, tuple[float, ...]]
    balance: Balance = "max"
    inertia: float = 0.0
    formed: int = 0
    changed: int = 0

    @property
    def agents(self) -> int:
        """How many agents there are in all clusters."""
        return sum(len(cluster.agents) for cluster in self.clusters)

    def of(self, agent: AgentId) -> Cluster:
        """Return the cluster of an agent.

        Raises:
            NotFound: it is in none.
        """
        for cluster in self.clusters:
            if agent in cluster.agents:
                return cluster
        raise NotFound(f"{agent} is in no cluster; admit it first", agent=agent)


def cluster_count(agents: int) -> int:
    """Return how many clusters so many agents form: ceil(sqrt n)."""
    return 0 if agents == 0 else isqrt(agents - 1) + 1


def organise(
    profiles: Iterable[Profile], *, clusters: int | None = None, balance: Balance = "max", seed: int = 0
) -> Clustering:
    """Form clusters of similar agents, each with its leader.  clusters: how many; by default ceil(sqrt n).

    Raises:
        Invalid: there is nobody, or there are more clusters than agents.
    """
    everybody = _by_id(profiles)
    if not everybody:
        raise Invalid("there is nobody to form clusters of; register agents first")
    count = cluster_count(len(everybody)) if clusters is None else clusters
    if not 1 <= count <= len(everybody):
        raise Invalid(f"{len(everybody)} agents cannot form {count} clusters; 1 to {len(everybody)}")
    scale = _scale_of(everybody)
    points = scale.points(everybody)
    found = partition(points, count, balance, seed)
    groups: dict[int, list[Profile]] = {}
    for profile, label in zip(everybody, found.labels.tolist(), strict=True):
        groups.setdefault(label, []).append(profile)
    order = sorted(groups, key=lambda label: groups[label][0].id)
    ids = {label: f"c{number}" for number, label in enumerate(order, 1)}
    return Clustering(
        clusters=tuple(_cluster(ids[label], groups[label], None) for label in order),
        names=scale.names,
        means=tuple(scale.means),
        spreads=tuple(scale.spreads),
        centres={ids[label]: tuple(found.centres[label].tolist()) for label in order},
        balance=balance,
        inertia=found.inertia,
        formed=len(order),
    )


def admit(clustering: Clustering, profile: Profile, profiles: Mapping[AgentId, Profile]) -> Clustering:
    """Return the clusters with a newcomer in the nearest that has room; without any, in one of its own.

    profiles: of the members there are, by whom the leader is judged.

    Raises:
        Conflict: it is in a cluster already.
    """
    if any(profile.id in cluster.agents for cluster in clustering.clusters):
        raise Conflict(f"{profile.id} is in a cluster already: {clustering.of(profile.id).id}")
    agents = clustering.agents + 1
    _, most = sizes_allowed(agents, max(1, cluster_count(agents)), clustering.balance)
    point = _scale_from(clustering).points([profile])[0].tolist()
    near = [
        (_squared(point, clustering.centres[cluster.id]), cluster.id)
        for cluster in clustering.clusters
        if len(cluster.agents) < most
    ]
    changes = {"changed": clustering.changed + 1}
    if not near:
        number = clustering.formed + 1
        new = _cluster(f"c{number}", [profile], None)
        centres = {**clustering.centres, new.id: tuple(point)}
        return msgspec.structs.replace(
            clustering, clusters=(*clustering.clusters, new), centres=centres, formed=number, **changes
        )
    chosen = min(near)[1]
    return msgspec.structs.replace(clustering, clusters=_changed(clustering, chosen, profiles, add=profile), **changes)


def dismiss(clustering: Clustering, agent: AgentId, profiles: Mapping[AgentId, Profile]) -> Clustering:
    """Return the clusters without an agent; a lost leader has a successor, a cluster without members is gone.

    profiles: of those who stay.

    Raises:
        NotFound: it is in no cluster.
    """
    cluster = clustering.of(agent)
    left = _changed(clustering, cluster.id, profiles, remove=agent)
    there = {each.id for each in left}
    centres = {name: centre for name, centre in clustering.centres.items() if name in there}
    return msgspec.structs.replace(clustering, clusters=left, centres=centres, changed=clustering.changed + 1)


def has_drifted(clustering: Clustering) -> bool:
    """Say whether so many have come or gone since the clusters were formed that it pays to reorganise."""
    return clustering.changed > DRIFT * max(1, clustering.agents)


def reorganise(clustering: Clustering, profiles: Iterable[Profile], seed: int = 0) -> Clustering:
    """Form the clusters anew, beginning with those there are; ids and leaders stay where clusters do.

    A member stays where it is unless another centre is nearer by a margin, as far as sizes allow.  If the number
    of clusters that so many agents form has changed by more than a quarter, all are formed from nothing.

    Raises:
        Invalid: there is nobody.
    """
    import numpy as np

    everybody = _by_id(profiles)
    wanted = cluster_count(len(everybody))
    have = len(clustering.clusters)
    if not everybody or not have or have > len(everybody) or abs(wanted - have) > max(1, wanted // 4):
        fresh = organise(everybody, balance=clustering.balance, seed=seed)
        return _renumbered(fresh, clustering.formed)
    scale = _scale_from(clustering)
    points = scale.points(everybody)
    ids = [cluster.id for cluster in clustering.clusters]
    place = {agent: at for at, cluster in enumerate(clustering.clusters) for agent in cluster.agents}
    own = np.array([place.get(each.id, -1) for each in everybody])
    found = settle(points, own, len(ids), clustering.balance, MEMBER_MARGIN)
    groups: dict[str, list[Profile]] = {}
    for profile, label in zip(everybody, found.labels.tolist(), strict=True):
        groups.setdefault(ids[label], []).append(profile)
    leaders = {cluster.id: cluster.leader for cluster in clustering.clusters}
    kept = [name for name in ids if name in groups]
    centres = {name: tuple(found.centres[ids.index(name)].tolist()) for name in kept}
    return msgspec.structs.replace(
        clustering,
        clusters=tuple(_cluster(name, groups[name], leaders[name]) for name in kept),
        centres=centres,
        inertia=found.inertia,
        changed=0,
    )


def _renumbered(fresh: Clustering, formed: int) -> Clustering:
    """Give new clusters ids that no earlier one has had."""
    new = {cluster.id: f"c{formed + number}" for number, cluster in enumerate(fresh.clusters, 1)}
    return msgspec.structs.replace(
        fresh,
        clusters=tuple(msgspec.structs.replace(each, id=new[each.id]) for each in fresh.clusters),
        centres={new[name]: centre for name, centre in fresh.centres.items()},
        formed=formed + len(new),
    )


# One cluster


def _cluster(name: str, members: Sequence[Profile], leader: AgentId | None) -> Cluster:
    """Make a cluster of its members, by id; the leader stays unless another is fitter by a margin."""
    candidates = [Candidate(each.id, each.capabilities) for each in members]
    election = reelect(candidates, leader, LEADER_MARGIN)
    assert election is not None
    best: dict[str, float] = {}
    for each in members:
        for capability, level in each.capabilities.items():
            best[capability] = max(level, best.get(capability, 0.0))
    return Cluster(
        id=name,
        agents=tuple(each.id for each in members),
        leader=election.winner,
        score=election.scores[election.winner],
        capabilities=dict(sorted(best.items())),
        capacity=sum(each.capacity for each in members),
    )


def _changed(
    clustering: Clustering,
    name: str,
    profiles: Mapping[AgentId, Profile],
    *,
    add: Profile | None = None,
    remove: AgentId | None = None,
) -> tuple[Cluster, ...]:
    """Return the clusters with a member more or less in one of them."""
    after = []
    for cluster in clustering.clusters:
        if cluster.id != name:
            after.append(cluster)
            continue
        members = [profiles[agent] for agent in cluster.agents if agent != remove and agent in profiles]
        members = sorted([*members, *([add] if add is not None else [])], key=lambda each: each.id)
        if members:
            after.append(_cluster(name, members, cluster.leader))
    return tuple(after)


# Levels as points


@dataclass(frozen=True, slots=True)
class _Scale:
    """By which levels become points: less the mean, over the spread, one column for each name."""

    names: tuple[str, ...]
    means: Sequence[float]
    spreads: Sequence[float]

    def points(self, profiles: Sequence[Profile]) -> Array:
        """Return float64[profiles, names]; a level that an agent does not name is 0."""
        import numpy as np

        levels = np.array([[each.capabilities.get(name, 0.0) for name in self.names] for each in profiles])
        levels = levels.reshape(len(profiles), len(self.names))
        found: Array = (levels - np.asarray(self.means)) / np.asarray(self.spreads)
        return found


def _scale_of(profiles: Sequence[Profile]) -> _Scale:
    """Return the scale in which every capability that differs between agents has mean 0 and spread 1."""
    import numpy as np

    names = sorted({name for each in profiles for name in each.capabilities})
    levels = np.array([[each.capabilities.get(name, 0.0) for name in names] for each in profiles])
    levels = levels.reshape(len(profiles), len(names))
    means, spreads = levels.mean(axis=0), levels.std(axis=0)
    differs: NDArray[bool_] = spreads > 1e-9
    by_spread = np.argsort(-spreads, kind="stable")[:MOST_FEATURES]
    kept = sorted(int(place) for place in by_spread if differs[place])
    return _Scale(
        tuple(names[place] for place in kept),
        [float(means[place]) for place in kept],
        [float(spreads[place]) for place in kept],
    )


def _scale_from(clustering: Clustering) -> _Scale:
    return _Scale(clustering.names, clustering.means, clustering.spreads)


def _squared(one: Sequence[float], other: Sequence[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _by_id(profiles: Iterable[Profile]) -> list[Profile]:
    """Sort the agents by id.

    Raises:
        Conflict: two have the same id.
    """
    everybody = sorted(profiles, key=lambda each: each.id)
    for one, other in pairwise(everybody):
        if one.id == other.id:
            raise Conflict(f"there are two agents called {one.id}; ids must differ")
    return everybody
