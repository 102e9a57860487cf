"""Loading: file, environment, and where each value came from."""

from pathlib import Path

import pytest

from concerted.config.loader import load
from concerted.config.settings import ManagerSettings, Settings, StoreSettings
from concerted.errors import Invalid

ROOT = Path(__file__).parents[2]
DURATION = "expected a duration such as 300s, 24h or 100ms, got"
LEASE = "CONCERTED__COORDINATION__MANAGER__TASK_LEASE"


def complaint(text: str, **env: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        load(text, "f", Settings, env=env)
    assert str(caught.value) == "\n".join(caught.value.facts["problems"])
    return list(caught.value.facts["problems"])


def test_an_empty_file_is_all_defaults() -> None:
    loaded = load("", "f", Settings)
    assert loaded.value == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_a_file_with_all_keys_commented_out_is_all_defaults() -> None:
    assert load("coordination:\n  manager:\n    # task_lease: 30s\nstore:\n", "f", Settings).value == Settings()


def test_each_value_says_where_it_came_from() -> None:
    text = "coordination:\n  manager:\n    task_lease: 60s\nstore: sqlite:///a.db\n"
    loaded = load(text, "work.yaml", Settings, env={"CONCERTED__STORE__DURABILITY": "off"})
    assert loaded.value.coordination.manager == ManagerSettings(task_lease=60.0)
    assert loaded.value.store == StoreSettings(url="sqlite:///a.db", durability="off")
    assert loaded.origins["coordination.manager.task_lease"] == "work.yaml:3:17"
    assert loaded.origins["store.url"] == "work.yaml:4:8"
    assert loaded.origins["store.durability"] == "env CONCERTED__STORE__DURABILITY"
    assert loaded.origins["store.snapshot_every"] == "default"


def test_the_environment_overrides_the_file() -> None:
    loaded = load("coordination: {manager: {task_lease: 60s}}", "f", Settings, env={LEASE: "1h30m", "PATH": "/bin"})
    assert loaded.value.coordination.manager.task_lease == 5400.0


def test_the_environment_wins_over_a_wrong_value_too() -> None:
    assert load("coordination: {manager: {task_lease: x}}", "f", Settings, env={LEASE: "60s"}).value.coordination


def test_the_environment_may_set_a_section_by_its_shorthand_and_a_key_of_it() -> None:
    env = {"CONCERTED__STORE": "sqlite:///a.db", "CONCERTED__STORE__DURABILITY": "normal"}
    assert load("", "f", Settings, env=env).value.store == StoreSettings(url="sqlite:///a.db", durability="normal")


def test_an_aliased_section_is_overridden_in_one_place_only() -> None:
    text = "coordination:\n  strategies:\n    leader_follower: &x {election_timeout: 50s}\n    consensus: *x\n"
    env = {"CONCERTED__COORDINATION__STRATEGIES__CONSENSUS__ELECTION_TIMEOUT": "70s"}
    strategies = load(text, "f", Settings, env=env).value.coordination.strategies
    assert (strategies.leader_follower.election_timeout, strategies.consensus.election_timeout) == (50.0, 70.0)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("MANGER__TASK_LEASE", "1s", ".manger.task_lease: 'manger' is an unknown key; did you mean manager?"),
        ("MANAGER__TASK_LEAS", "1s", ".manager.task_leas: 'task_leas' is an unknown key; did you mean task_lease?"),
        ("MANAGER__TASK_LEASE__X", "1", ".manager.task_lease.x: there is nothing below, so no 'x'"),
        ("MANAGER__TASK_LEASE", "40", f".manager.task_lease: {DURATION} 40; add a unit: 40s"),
        ("MANAGER__TASK_LEASE", "", f".manager.task_lease: {DURATION} nothing"),
        ("MANAGER__TASK_LEASE", "1s", ".manager: heartbeat_interval (5s) must be shorter than task_lease (1s)"),
        ("MANAGER__TASK_LEASE", "1\udc80", ".manager.task_lease: the value is no printable text"),
        (
            "STRATEGIES",
            "1",
            (
                ".strategies: this is a section; add one of its keys: "
                "__LEADER_FOLLOWER, __CONSENSUS, __AUCTION, __CONTRACT_NET, __HIERARCHICAL, __SWARM"
            ),
        ),
    ],
)
def test_a_wrong_variable_is_named(name: str, value: str, problem: str) -> None:
    variable = f"CONCERTED__COORDINATION__{name}"
    assert complaint("", **{variable: value}) == [f"env {variable}: coordination{problem}"]


def test_a_variable_of_the_prefix_alone_is_an_error() -> None:
    assert complaint("", CONCERTED__="x") == ["env CONCERTED__: '' is an unknown key; known keys: coordination, store"]


def test_a_section_that_is_no_mapping_is_reported_once_although_the_environment_goes_into_it() -> None:
    assert complaint("coordination: [x]", **{LEASE: "60s"}) == [
        "f:1:15: coordination: expected a mapping (key: value), got a list"
    ]


def test_every_error_of_file_and_environment_comes_at_once() -> None:
    text = "coordination:\n  manager:\n    coordination_timout: 10s\n    max_children: yes\n  manager: {}\nstroe: x\n"
    assert complaint(text, CONCERTED__STORE__DURABILITY="fool") == [
        "f:3:5: coordination.manager.coordination_timout: unknown key; did you mean coordination_timeout?",
        "f:4:19: coordination.manager.max_children: expected a whole number, got 'yes'",
        "f:5:3: coordination.manager: duplicate key; it stands already in line 2",
        "f:6:1: stroe: unknown key; did you mean store?",
        "env CONCERTED__STORE__DURABILITY: store.durability: expected one of full, normal, off, got 'fool'",
    ]


def test_the_examples_of_errors_in_the_reference_are_real() -> None:
    text = "coordination:\n  manager:\n    coordination_timout: 5s\n    command_timeout: 30\n"
    with pytest.raises(Invalid) as caught:
        load(text, "work.yaml", Settings, env={"CONCERTED__STORE__DURABILITY": "ful"})
    from_reference = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for line in caught.value.facts["problems"]:
        assert line in from_reference.splitlines()
