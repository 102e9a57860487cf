"""The settings: the specification's keys and defaults, ours beside them, each documented and read by something."""

import re
from pathlib import Path

import msgspec
import pytest

from concerted.config.listing import describe
from concerted.config.loader import load
from concerted.config.settings import Coordination, Criteria, ManagerSettings, Settings
from concerted.errors import Invalid
from concerted.values import encode

ROOT = Path(__file__).parents[2]

SPECIFICATION = """
coordination:
  manager:
    max_concurrent_coordinations: 10
    coordination_timeout: 300s
    health_check_interval: 10s

  strategies:
    leader_follower:
      election_timeout: 30s
      heartbeat_interval: 5s
      failover_threshold: 3

    consensus:
      algorithm: raft  # raft, pbft, paxos
      election_timeout: 10s
      heartbeat_interval: 2s
      log_replication_batch_size: 100

    auction:
      bidding_timeout: 30s
      evaluation_criteria:
        cost: 0.3
        time: 0.25
        quality: 0.25
        reliability: 0.2

    contract_net:
      proposal_timeout: 60s
      negotiation_rounds: 5
      contract_duration: 24h

  synchronization:
    default_timeout: 60s
    barrier_cleanup_delay: 60s
    sync_check_interval: 100ms

  coalition:
    max_coalition_size: 10
    formation_timeout: 120s
    profit_sharing_rounds: 10
    stability_threshold: 0.7

  monitoring:
    metrics_collection: true
    coordination_logging: true
    performance_tracking: true
"""

# Keys of the specification whose features are still to come.  Take a key out when something reads it.
READ_LATER = {
    "coordination.monitoring.metrics_collection",
    "coordination.monitoring.coordination_logging",
    "coordination.monitoring.performance_tracking",
}


def test_the_configuration_of_the_specification_is_the_default() -> None:
    loaded = load(SPECIFICATION, "specification.yaml", Settings)
    assert loaded.value == Settings()
    written = [key for key, origin in loaded.origins.items() if origin != "default"]
    assert len(written) == sum(1 for line in SPECIFICATION.splitlines() if re.search(r": \S", line))


def test_settings_survive_the_log() -> None:
    settings = Coordination(manager=ManagerSettings(task_lease=12.5))
    assert msgspec.json.decode(encode(settings), type=Coordination) == settings


def test_shares_of_the_score_add_up_to_one() -> None:
    assert Criteria(cost=1.0, time=0, quality=0, reliability=0).cost == 1.0
    with pytest.raises(ValueError, match=r"is 1\.7; these are shares of the score, so they must add up to 1"):
        Criteria(cost=1.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("manager: {task_lease: 5s}", "manager: heartbeat_interval (5s) must be shorter than task_lease (5s)"),
        (
            "manager: {max_redelivery_interval: 500ms}",
            "manager: max_redelivery_interval (500ms) must not be shorter than redelivery_interval (1s)",
        ),
        (
            "strategies: {consensus: {election_timeout: 1s}}",
            "strategies.consensus: heartbeat_interval (2s) must be shorter than election_timeout (1s)",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(text: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        load(f"coordination: {{{text}}}", "f", Settings)
    assert str(caught.value).endswith(f" coordination.{problem}")


def test_every_key_has_a_unit_or_choices_and_a_meaning() -> None:
    for key in describe():
        assert key.doc, f"{key.path}: say in its annotation what it means"
        is_word = key.default in ("true", "false", "null") or key.choices
        assert key.unit or is_word, f"{key.path}: name the unit in its annotation"
        assert not key.doc.endswith("."), f"{key.path}: one line without a full stop"


def test_every_key_is_read_by_something() -> None:
    for path in sorted(set(KEYS) - READ_LATER):
        assert is_read(path), (
            f"{path}: nothing outside config/ reads it; use it, take it out, "
            "or name it in READ_LATER if it is the specification's and its feature is still to come"
        )


def test_the_list_of_keys_that_are_read_later_shrinks() -> None:
    assert set(KEYS) >= READ_LATER, "take out what is no key any more"
    for path in sorted(READ_LATER):
        assert not is_read(path), f"{path} is read now: take it out of READ_LATER"


def test_the_reference_has_every_key_as_it_is() -> None:
    reference = (ROOT / "docs" / "configuration.md").read_text("utf-8").splitlines()
    rows = [line for line in reference if line.startswith("| `")]
    assert rows == [row(key.path) for key in describe()], "docs/configuration.md: copy the rows from the right side"


KEYS = {key.path: key for key in describe()}
SOURCES = {
    path: path.read_text("utf-8")
    for path in sorted((ROOT / "src" / "concerted").rglob("*.py"))
    if path.parent.name != "config"
}


def is_read(path: str) -> bool:
    """Say whether some module uses an attribute of this name.

    A name that sections of several names have counts only where the module also names the section.
    """
    section, _, name = path.rpartition(".")
    section = section.rpartition(".")[2]
    shared = len({other.split(".")[-2] for other in KEYS if other.endswith(f".{name}")}) > 1
    use, owner = re.compile(rf"\.{name}\b"), re.compile(rf"\b{section}\b")
    return any(use.search(text) and (owner.search(text) or not shared) for text in SOURCES.values())


def row(path: str) -> str:
    key = KEYS[path]
    words = "true / false" if key.default in ("true", "false") else "text"
    return f"| `{path}` | `{key.default}` | {' / '.join(key.choices) or key.unit or words} | {key.doc} |"
