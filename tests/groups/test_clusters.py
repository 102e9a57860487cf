"""Clusters of agents: who is with whom, who leads, and what stays when agents come and go."""

import pytest

from concerted.errors import Conflict, Invalid, NotFound
from concerted.groups.clusters import (
    DRIFT,
    LEADER_MARGIN,
    Clustering,
    admit,
    cluster_count,
    dismiss,
    has_drifted,
    organise,
    reorganise,
)
from concerted.values import AgentId, Profile


def fleet(count: int = 16, **capabilities: float) -> list[Profile]:
    """Make agents of four trades, in turn."""
    trades = ("baking", "cooking", "driving", "singing")
    return [
        Profile(id=AgentId(f"a{number:02}"), capabilities={trades[number % 4]: 0.9, **capabilities}, capacity=2)
        for number in range(count)
    ]


def known(*profiles: Profile) -> dict[AgentId, Profile]:
    return {profile.id: profile for profile in profiles}


def together(clustering: Clustering) -> list[tuple[str, ...]]:
    return [cluster.agents for cluster in clustering.clusters]


@pytest.mark.parametrize(
    ("agents", "clusters"), [(0, 0), (1, 1), (2, 2), (4, 2), (5, 3), (16, 4), (17, 5), (10_000, 100)]
)
def test_there_are_as_many_clusters_as_the_root_of_the_agents(agents: int, clusters: int) -> None:
    assert cluster_count(agents) == clusters


def test_agents_of_one_trade_come_together() -> None:
    found = organise(fleet())
    assert together(found) == [tuple(f"a{at + 4 * step:02}" for step in range(4)) for at in range(4)]
    assert [cluster.id for cluster in found.clusters] == ["c1", "c2", "c3", "c4"]


def test_a_cluster_says_what_it_can_do_and_how_much() -> None:
    first = organise(fleet()).clusters[0]
    assert first.capabilities == {"baking": 0.9}
    assert first.capacity == 8


def test_a_capability_that_all_have_alike_decides_nothing() -> None:
    with_it = organise(fleet(16, breathing=1.0))
    assert with_it.names == ("baking", "cooking", "driving", "singing")
    assert together(with_it) == together(organise(fleet()))


def test_agents_that_are_all_alike_are_parted_by_number_alone() -> None:
    alike = [Profile(id=AgentId(f"a{number:03}")) for number in range(100)]
    sizes = [len(cluster.agents) for cluster in organise(alike, balance="exact").clusters]
    assert sizes == [10] * 10


def test_the_fittest_member_leads_and_of_equals_the_first() -> None:
    profiles = fleet()
    profiles[4] = Profile(id=AgentId("a04"), capabilities={"baking": 0.9, "leadership": 0.8})
    found = organise(profiles)
    assert (found.of(AgentId("a04")).leader, found.of(AgentId("a04")).score) == ("a04", 68.0)
    assert found.of(AgentId("a01")).leader == "a01"


def test_a_newcomer_joins_the_nearest_and_nobody_else_moves() -> None:
    profiles = fleet(15)  # one singer less than of the others
    before = organise(profiles)
    new = Profile(id=AgentId("zoe"), capabilities={"singing": 0.8})
    after = admit(before, new, known(*profiles))
    assert after.of(AgentId("zoe")).id == before.of(AgentId("a03")).id
    for profile in profiles:
        assert after.of(profile.id).id == before.of(profile.id).id
    assert after.changed == 1


def test_where_no_cluster_has_room_a_newcomer_gets_one_of_its_own() -> None:
    profiles = fleet(4)
    before = organise(profiles, clusters=2, balance="exact")
    after = before
    for number in range(6):
        new = Profile(id=AgentId(f"z{number}"), capabilities={"baking": 0.9})
        after = admit(after, new, known(*profiles, new))
        profiles.append(new)
    assert [cluster.id for cluster in after.clusters[:2]] == ["c1", "c2"]
    assert len(after.clusters) > 2
    assert after.agents == 10


def test_who_is_there_already_is_not_admitted_again() -> None:
    profiles = fleet()
    with pytest.raises(Conflict, match="a03 is in a cluster already: c4"):
        admit(organise(profiles), profiles[3], known(*profiles))


def test_a_lost_leader_has_a_successor_and_its_cluster_stays() -> None:
    profiles = fleet()
    before = organise(profiles)
    after = dismiss(before, AgentId("a00"), known(*profiles[1:]))
    assert after.clusters[0].agents == ("a04", "a08", "a12")
    assert after.clusters[0].leader == "a04"
    assert after.clusters[1:] == before.clusters[1:]


def test_a_cluster_goes_with_its_last_member_and_its_id_is_not_used_again() -> None:
    profiles = fleet(4)
    clusters = organise(profiles, clusters=4)
    left = dismiss(clusters, AgentId("a03"), known(*profiles[:3]))
    assert [cluster.id for cluster in left.clusters] == ["c1", "c2", "c3"]
    assert "c4" not in left.centres
    full = left
    for number in range(9):
        full = admit(full, Profile(id=AgentId(f"z{number}")), known(*profiles))
    assert "c4" not in [cluster.id for cluster in full.clusters]


def test_who_is_in_no_cluster_cannot_be_dismissed() -> None:
    with pytest.raises(NotFound, match="eve is in no cluster"):
        dismiss(organise(fleet()), AgentId("eve"), {})


def test_leadership_does_not_pass_for_a_little() -> None:
    profiles = fleet()
    before = organise(profiles)
    little, much = 0.9 * LEADER_MARGIN / 10, 1.5 * LEADER_MARGIN / 10
    for level, leader in ((little, "a00"), (much, "zoe")):
        new = Profile(id=AgentId("zoe"), capabilities={"baking": 0.9, "leadership": level})
        assert admit(before, new, known(*profiles)).of(AgentId("zoe")).leader == leader


def test_reorganising_what_has_not_changed_changes_nothing() -> None:
    profiles = fleet(30)
    before = organise(profiles)
    after = reorganise(before, profiles)
    assert together(after) == together(before)
    assert [cluster.leader for cluster in after.clusters] == [cluster.leader for cluster in before.clusters]


def test_who_has_learned_another_trade_changes_its_cluster() -> None:
    profiles = fleet(24)
    before = organise(profiles, clusters=4)
    profiles[0] = Profile(id=AgentId("a00"), capabilities={"cooking": 0.9})
    after = reorganise(before, profiles)
    assert after.of(AgentId("a00")).id == before.of(AgentId("a01")).id
    others = [profile.id for profile in profiles[1:]]
    assert [after.of(agent).id for agent in others] == [before.of(agent).id for agent in others]


def test_much_coming_and_going_is_noticed_and_reorganised() -> None:
    profiles = fleet(16)
    clusters = organise(profiles)
    for number in range(5):
        assert not has_drifted(clusters)
        new = Profile(id=AgentId(f"z{number}"), capabilities={"baking": 0.5})
        clusters = admit(clusters, new, known(*profiles))
        profiles.append(new)
    clusters = dismiss(clusters, AgentId("a00"), known(*profiles[1:]))
    assert has_drifted(clusters)
    assert clusters.changed > DRIFT * clusters.agents
    assert reorganise(clusters, profiles[1:]).changed == 0


def test_another_number_of_agents_has_other_clusters_with_new_ids() -> None:
    before = organise(fleet(16))
    after = reorganise(before, fleet(100))
    assert len(after.clusters) == 10
    assert [cluster.id for cluster in after.clusters][:2] == ["c5", "c6"]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(Invalid, match="there is nobody"):
        organise([])
    with pytest.raises(Invalid, match="4 agents cannot form 5 clusters; 1 to 4"):
        organise(fleet(4), clusters=5)
    with pytest.raises(Conflict, match="two agents called a00"):
        organise([*fleet(4), *fleet(1)])
