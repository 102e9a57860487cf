"""The table of strategies."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from concerted.errors import NotFound
from concerted.strategies import choose
from concerted.values import Objective

KNOWN = sorted([choose.AUTO, *choose.BUILT_IN])


def test_every_built_in_strategy_can_be_loaded() -> None:
    for name in choose.BUILT_IN:
        assert choose.load(name).__module__ == choose.BUILT_IN[name]
    assert choose.load("auto") is choose.auto


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(NotFound, match=r"there is no strategy 'auktion'; did you mean auction\?") as caught:
        choose.load("auktion")
    assert caught.value.facts["known"] == KNOWN


def test_a_name_that_is_like_nothing_gets_the_whole_list() -> None:
    with pytest.raises(NotFound, match=f"there are {', '.join(KNOWN)}"):
        choose.load("zzz")


def test_installed_strategies_are_found_by_module_or_by_function(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "concerted.strategies.auction", choose.GROUP),
        EntryPoint("other", "concerted.strategies.leader_follower:coordinate", choose.GROUP),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points if group == choose.GROUP else [])
    assert choose.names() == sorted([*KNOWN, "mine", "other"])
    assert choose.load("mine") is choose.load("auction")
    assert choose.load("other") is choose.load("leader_follower")


def test_nothing_installed_replaces_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("auction", "concerted.strategies.leader_follower", choose.GROUP)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert choose.load("auction").__module__ == "concerted.strategies.auction"


@pytest.mark.parametrize(
    ("agents", "tasks", "chosen"),
    [(1, 3, "leader_follower"), (2, 3, "auction"), (2, 0, "leader_follower"), (1, 0, "leader_follower")],
)
def test_auto_picks_by_the_rule_in_its_table(play: Any, task: Any, agents: int, tasks: int, chosen: str) -> None:
    async def act(stage: Any) -> None:
        for number in range(agents):
            await stage.agent(f"w-{number}")
        given = Objective(tasks=tuple(task(f"t{number}") for number in range(tasks)))
        view = await stage.run("auto", given)
        assert view.success == (tasks > 0)
        progressed = (await stage.log("run.progressed"))[0]
        assert progressed.data["strategy"] == chosen
        assert any(f"its strategy is {chosen}" in line for line in await stage.why(view.id))

    play(act)
