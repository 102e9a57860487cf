"""The examples of docs/strategies, run as they stand there."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted.config.plan import load_plan
from concerted.config.settings import Coordination, Strategies
from concerted.messages import CheckProgress
from concerted.strategies import choose
from concerted.strategies.auctions.sales import AuctionResult
from concerted.strategies.coalitions.result import CoalitionResult
from concerted.strategies.consensus import ConsensusResult
from concerted.strategies.contracts.book import ContractNetResult
from concerted.strategies.hierarchies.tree import HierarchyResult
from concerted.strategies.leader_follower import LeaderResult
from concerted.strategies.swarms.result import SwarmResult
from concerted.values import Objective, Task, TaskId

PAGES = {
    path.stem.replace("-", "_"): path.read_text("utf-8")
    for path in sorted((Path(__file__).parents[2] / "docs" / "strategies").glob("*.md"))
}
RESULTS = {
    "auction": AuctionResult,
    "coalition": CoalitionResult,
    "consensus": ConsensusResult,
    "contract_net": ContractNetResult,
    "hierarchical": HierarchyResult,
    "leader_follower": LeaderResult,
    "swarm": SwarmResult,
}
OPTIONS = {"scores", "manager", "level"}  # of a strategy, that are no settings
OPTIONS |= {"space", "points", "distances", "options", "neighbours"}
OPTIONS |= {"constraints", "history", "links", "unions"}

PENALTIES = ("late_penalty", "failure_penalty", "decommitment_penalty", "penalty_cap", "max_levels", "max_contractors")

each_page = pytest.mark.parametrize("name", PAGES)


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES[name], re.DOTALL)


def space(name: str, at: int = 0) -> dict[str, Any]:
    """Run one of the page's blocks of Python and return what it defines."""
    block = blocks(name, "python")[at]
    found: dict[str, Any] = {"__name__": f"page_{name}"}
    exec(compile(block, f"docs/strategies/{name}.md", "exec"), found)
    return found


def test_every_strategy_has_a_page() -> None:
    assert set(PAGES) == set(choose.BUILT_IN)


@each_page
def test_the_plan_is_one_and_names_the_strategy(name: str) -> None:
    for block in blocks(name, "yaml"):
        assert load_plan(block, "plan.yaml", strategies=choose.BUILT_IN).strategy == name


@each_page
def test_the_result_has_these_fields_and_no_others(name: str) -> None:
    (block,) = blocks(name, "json")
    shown = json.loads(block)
    result = msgspec.convert(shown, RESULTS[name], strict=True)
    assert set(shown) == set(msgspec.to_builtins(result))


@each_page
def test_every_setting_is_on_its_page_with_its_default(name: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGES[name].split("## Settings")[1], re.MULTILINE))
    settings = Coordination().coalition if name == "coalition" else getattr(Strategies(), name)
    fields = set(settings.__struct_fields__)
    assert set(rows) - (OPTIONS - fields) == fields
    for key in (
        "mode",
        "award",
        "payment",
        "max_bids",
        "failover_threshold",
        "negotiation_rounds",
        "improvement",
        *PENALTIES,
    ):
        if key in rows:
            assert rows[key].strip() == f"`{getattr(settings, key)}`"


def test_the_bidder_bids_as_its_page_says(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        ann = space("auction")["ann"]

        @ann.task()
        async def do(task: Any) -> None:
            await asyncio.sleep(1.0)

        await stage.enter(ann)
        short, long = task("short", payload={"pages": 3}), task("long", payload={"pages": 21}, retries=0)
        view = await stage.run("auction", [short, long])
        assert {one.id: one.status for one in view.tasks} == {"short": "done", "long": "failed"}
        record = view.result["auction_results"][0]
        assert (record["task_id"], record["winning_bid"]["cost"]) == ("short", 6.0)

    play(act)


def test_the_bidder_on_bundles_bids_as_its_page_says(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        bob = space("auction", 1)["bob"]

        @bob.task()
        async def do(task: Any) -> None:
            await asyncio.sleep(1.0)

        await stage.enter(bob)
        view = await stage.run("auction", [task("a"), task("b"), task("c")], award="combinatorial")
        assert view.success
        promised = [(one["tasks"], one["amount"], one["due"]) for one in view.result["payments"]]
        assert promised == [(["a", "b"], 5.0, True), (["c"], 4.0, True)]

    play(act)


def test_the_contractor_bargains_as_its_page_says(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        ann = space("contract_net")["ann"]

        @ann.task()
        async def do(task: Any) -> dict[str, int]:
            return {"pages": 12}

        await stage.enter(ann)
        tight, loose, small = task("tight", max_budget=6.5), task("loose"), task("small", max_budget=5.0, retries=0)
        view = await stage.run("contract_net", [tight, loose, small])
        assert view.result["endings"] == {"tight": "done", "loose": "done", "small": "no_proposal"}
        assert sorted(one["value"] for one in view.result["contracts"]) == [6.5, 10.0]

    play(act)


def test_the_editor_leads_as_its_page_says(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(space("leader_follower")["editor"])
        for name in ("ann", "bob"):
            await stage.agent(name)
        view = await stage.run("leader_follower", Objective(data={"chapters": 3}))
        assert view.success
        assert [one.id for one in view.tasks] == ["book", "chapter-1", "chapter-2", "chapter-3"]
        assert view.result["leader"] == "editor"

    play(act)


def test_the_head_reassigns_as_its_page_says() -> None:
    reassign = space("hierarchical")["reassign"]
    asked = CheckProgress(
        term=1, ready=(Task(id=TaskId("a")),), loads={"ann": 3, "cy": 1}, free={"ann": 1, "cy": 2}, capabilities={}
    )  # fmt: skip
    assert reassign(asked) == {"a": "cy"}


def test_the_member_bargains_as_its_page_says(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        bob = space("coalition")["bob"]

        @bob.task()
        async def do(task: Any) -> None:
            await asyncio.sleep(1.0)

        await stage.enter(bob)
        await stage.agent("ann", capabilities={"french": 0.9, "leadership": 0.9}, cost=3.0)
        deal = task("deal", required_capabilities={"french": 0.8, "law": 0.5}, max_budget=20.0)
        (formed,) = (await stage.run("coalition", [deal])).result["coalitions"]
        assert formed["profit_sharing"]["shares"]["bob"] >= 9.0

    play(act)


def test_the_rule_of_auto_is_the_one_that_is_written_down() -> None:
    assert choose.__doc__ is not None
    told = re.findall(r"^\| (.+?) \| (\w+) \|$", choose.__doc__, re.MULTILINE)[1:]
    assert [strategy for _, strategy in told] == ["leader_follower", "leader_follower", "auction"]
