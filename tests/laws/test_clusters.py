"""Laws of clusters: every agent is in exactly one, sizes are kept to, and few move when few come or go."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from concerted.groups.clusters import Clustering, admit, dismiss, organise, reorganise
from concerted.groups.partition import partition, settle, sizes_allowed
from concerted.values import AgentId, Profile

few = settings(max_examples=settings().max_examples // 2)
balances = st.sampled_from(["none", "max", "exact"])


def profiles(count: int, seed: int) -> list[Profile]:
    dice = np.random.default_rng(seed)
    names = ("x", "y", "leadership")
    return [
        Profile(
            id=AgentId(f"a{number}"),
            capabilities={name: round(float(dice.random()), 1) for name in names if dice.random() < 0.7},
        )
        for number in range(count)
    ]


def check(clustering: Clustering, everybody: list[Profile]) -> None:
    """Everybody is in exactly one cluster, which one of its members leads."""
    listed = [agent for cluster in clustering.clusters for agent in cluster.agents]
    assert sorted(listed) == sorted(each.id for each in everybody)
    assert all(cluster.leader in cluster.agents for cluster in clustering.clusters)
    assert sorted(clustering.centres) == sorted(cluster.id for cluster in clustering.clusters)


@few
@given(st.integers(1, 40), st.data(), balances, st.integers(0, 2**32), st.booleans())
def test_sizes_are_kept_to_and_settling_makes_nothing_worse(
    n: int, data: st.DataObject, balance: str, seed: int, coarse: bool
) -> None:
    k = data.draw(st.integers(1, n))
    points = np.random.default_rng(seed).normal(size=(n, 3))
    if coarse:  # many points on the same place
        points = np.round(points)
    found = partition(points, k, balance, seed)  # type: ignore[arg-type]
    sizes = np.bincount(found.labels, minlength=k)
    low, high = sizes_allowed(n, k, balance)  # type: ignore[arg-type]
    assert sizes.sum() == n
    assert sizes.min() >= low
    assert sizes.max() <= high
    again = settle(points, found.labels, k, balance, 0.1)  # type: ignore[arg-type]
    assert again.inertia <= found.inertia + 1e-9


@few
@given(st.integers(1, 60), balances, st.integers(0, 2**32), st.lists(st.booleans(), max_size=12))
def test_whoever_comes_and_goes_everybody_is_in_exactly_one_cluster(
    count: int, balance: str, seed: int, changes: list[bool]
) -> None:
    everybody = profiles(count, seed)
    clustering = organise(everybody, balance=balance, seed=seed)  # type: ignore[arg-type]
    check(clustering, everybody)
    for number, comes in enumerate(changes):
        before = {each.id: clustering.of(each.id).id for each in everybody}
        if comes or len(everybody) == 1:
            new = Profile(id=AgentId(f"b{number}"), capabilities={"x": 0.5})
            clustering = admit(clustering, new, {each.id: each for each in everybody})
            everybody.append(new)
        else:
            gone = everybody.pop(seed % len(everybody))
            clustering = dismiss(clustering, gone.id, {each.id: each for each in everybody})
        check(clustering, everybody)
        assert all(clustering.of(each.id).id == before.get(each.id, clustering.of(each.id).id) for each in everybody)
    check(reorganise(clustering, everybody, seed), everybody)
