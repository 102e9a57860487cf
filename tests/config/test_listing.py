"""Lists of keys: what is set, and what each key means."""

from concerted.config.listing import Key, describe, flatten
from concerted.config.loader import load
from concerted.config.settings import Auction, Settings


def test_every_value_is_shown_as_it_is_written_in_a_file() -> None:
    shown = flatten(Settings())
    assert shown["coordination.manager.coordination_timeout"] == "300s"
    assert shown["coordination.strategies.contract_net.contract_duration"] == "24h"
    assert shown["coordination.synchronization.sync_check_interval"] == "100ms"
    assert shown["coordination.strategies.auction.evaluation_criteria.cost"] == "0.3"
    assert shown["coordination.monitoring.metrics_collection"] == "true"
    assert shown["store.durability"] == "full"
    assert shown["store.archive_after"] == "null"


def test_what_is_shown_loads_as_the_same_settings() -> None:
    env = {f"CONCERTED__{key.upper().replace('.', '__')}": value for key, value in flatten(Settings()).items()}
    assert load("", "f", Settings, env=env).value == Settings()


def test_a_key_is_described_by_its_unit_default_and_meaning() -> None:
    keys = {key.path: key for key in describe()}
    assert keys["coordination.manager.max_children"] == Key(
        "coordination.manager.max_children", "runs", "100", "Child runs active at once, of all root runs together"
    )
    assert set(keys["coordination.strategies.auction.mode"].choices) == {"sound", "specification"}
    assert keys["store.archive_after"].unit == "duration"


def test_a_section_can_be_described_alone() -> None:
    assert [key.path for key in describe(Auction)][:2] == ["bidding_timeout", "mode"]


def test_the_list_of_values_and_the_list_of_keys_agree() -> None:
    assert list(flatten(Settings())) == [key.path for key in describe()]
