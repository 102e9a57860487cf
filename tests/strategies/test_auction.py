"""The auction, on the real coordinator with real agents, in virtual time."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, Refused
from concerted.config.settings import Auction, Coordination, ManagerSettings, Strategies
from concerted.messages import Bid, Bids, RequestBid
from concerted.strategies.auctions.mechanism import Mechanism
from concerted.values import AgentId, Objective, TaskId

QUICK = Coordination(strategies=Strategies(auction=Auction(bidding_timeout=3.0)))


def bidding(name: str, *, reason: str = "", load: float = 0.0, **costs: float) -> Agent:
    """Make an agent that bids these costs, a duration of 10 s, and quality 1; and does any task in a second."""
    agent = Agent(name)

    @agent.on(RequestBid)
    def bid(request: RequestBid) -> Bids:
        offered = {task.id for task in request.tasks}
        bids = [
            Bid(task=TaskId(task), cost=cost, estimated_duration_s=10.0)
            for task, cost in costs.items()
            if task in offered
        ]
        return Bids(bids=tuple(bids), reason=reason, load=load)

    @agent.task()
    async def do(task: Any) -> str:
        await asyncio.sleep(1.0)
        return f"{task.id} by {name}"

    return agent


def winners(view: Any) -> dict[str, str]:
    return {task.id: task.agent for task in view.tasks}


# a round


def test_all_tasks_that_are_ready_are_auctioned_in_one_round(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.agent(name)
        view = await stage.run("auction", [task("a"), task("b"), task("c")])
        assert view.status == "completed"
        assert sorted(winners(view).values()) == ["ann", "bob", "cy"]
        (announced,) = await stage.log("auction.announced")
        assert announced.data["tasks"] == ["a", "b", "c"]
        assert announced.data["bidders"] == ["ann", "bob", "cy"]
        assert stage.seconds == pytest.approx(1.0)
        for player in stage.players.values():
            assert player.types() == ["ANNOUNCE_AUCTION", "REQUEST_BID", "AUCTION_CLOSED", "EXECUTE_TASK"]

    play(act)


def test_the_cheapest_wins_and_the_result_says_so(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=8.0))
        await stage.enter(bidding("bob", a=2.0))
        view = await stage.run("auction", [task("a", max_budget=10.0)])
        (record,) = view.result["auction_results"]
        assert (record["winner_id"], record["success"], record["bid_count"]) == ("bob", True, 2)
        assert [bid["bidder"] for bid in record["all_bids"]] == ["bob", "ann"]
        assert record["winning_bid"] == record["all_bids"][0]
        assert view.result["execution_results"] == [{"task_id": "a", "agent_id": "bob", "success": True}]
        assert (view.result["tasks_completed"], view.result["total_tasks"], view.result["rounds"]) == (1, 1, 1)

    play(act)


def test_the_best_assignment_of_a_round_is_not_always_the_best_bid_of_each_task(play: Any, task: Any) -> None:
    """bob is the best for both and can do one: the round is worth more if he does b, which ann does badly."""

    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=3.0, b=9.0))
        await stage.enter(bidding("bob", a=2.0, b=2.0))
        tasks = [task("a", max_budget=10.0), task("b", max_budget=10.0)]
        assert winners(await stage.run("auction", tasks)) == {"a": "ann", "b": "bob"}

    play(act)


def test_sequential_awards_give_one_task_after_the_other_to_its_best_bid(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=3.0, b=9.0))
        await stage.enter(bidding("bob", a=2.0, b=2.0))
        tasks = [task("a", max_budget=10.0), task("b", max_budget=10.0)]
        assert winners(await stage.run("auction", tasks, award="sequential")) == {"a": "bob", "b": "ann"}

    play(act)


def test_what_the_specification_wants_can_be_had(play: Any, task: Any) -> None:
    """Its formula has a maximum cost of 1,000, so prices of 2 and 8 hardly differ, and quality decides."""

    async def act(stage: Any) -> None:
        careless = bidding("ann", a=2.0)
        careless.answers.clear()
        careless.on(RequestBid)(
            lambda request: Bids(bids=(Bid(task=TaskId("a"), cost=2.0, estimated_duration_s=10.0, quality_score=0.9),))
        )
        await stage.enter(careless)
        await stage.enter(bidding("bob", a=8.0))
        tasks = [task("a", max_budget=10.0)]
        view = await stage.run("auction", tasks, mode="specification", scores=True)
        (record,) = view.result["auction_results"]
        assert record["winner_id"] == "bob"
        assert set(record["winning_bid"]["parts"]) == {"cost", "time", "quality", "capability"}

    play(act)


def test_a_round_closes_at_its_deadline_without_those_who_are_silent(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        slow = await stage.agent("bob")
        slow.deaf_to.add("REQUEST_BID")
        view = await stage.run("auction", [task("a")])
        assert winners(view) == {"a": "ann"}
        assert stage.seconds == pytest.approx(4.0)
        (closed,) = await stage.log("auction.closed")
        assert closed.data["silent"] == {"bob": "timeout"}

    play(act, QUICK)


def test_somebody_who_is_silent_is_not_waited_for_in_every_round(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        (await stage.agent("bob")).deaf_to.add("REQUEST_BID")
        chain = [task("a"), task("b", "a"), task("c", "b"), task("d", "c")]
        view = await stage.run("auction", chain)
        assert view.success
        asked = [event.data["bidders"] for event in await stage.log("auction.announced")]
        assert asked == [["ann", "bob"], ["ann"], ["ann"], ["ann", "bob"]]
        assert stage.seconds == pytest.approx(10.0)  # 3 s twice for bob, and four tasks

    play(act, QUICK)


def test_an_agent_with_no_room_is_not_asked(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a"), task("b")])
        assert view.success
        assert [event.data["tasks"] for event in await stage.log("auction.announced")] == [["a", "b"], ["b"]]
        assert stage.seconds == pytest.approx(2.0)

    play(act)


def test_an_agent_holds_as_many_tasks_as_it_has_capacity_for(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        at_once, most = 0, 0

        async def do(task: Any, work: Any) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(1.0)
            at_once -= 1

        await stage.agent("ann", do, capacity=3)
        view = await stage.run("auction", [task(f"t{number}") for number in range(7)])
        assert view.success
        assert most == 3
        assert stage.seconds == pytest.approx(3.0)

    play(act)


def test_a_busy_agent_scores_less_than_an_idle_one(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        busy = bidding("ann", load=1.0, a=5.0)
        busy.change(capacity=2)
        await stage.enter(busy)
        await stage.enter(bidding("bob", a=5.0))
        await stage.run("auction", [task("a", max_budget=10.0, max_duration_s=100.0)])
        assert winners(await stage.view()) == {"a": "bob"}

    play(act)


def test_a_task_that_names_its_agent_goes_to_nobody_else(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=1.0, b=1.0))
        await stage.enter(bidding("bob", a=9.0, b=9.0))
        tasks = [task("a", agent=AgentId("bob")), task("b", agent=AgentId("bob"))]
        assert winners(await stage.run("auction", tasks)) == {"a": "bob", "b": "bob"}

    play(act)


def brief(name: str, cost: float, *, until: float, takes_s: float = 1.0, refuses: bool = False) -> Agent:
    """Make an agent whose bid on a binds until so many seconds before the round closes."""
    agent = Agent(name)

    @agent.on(RequestBid)
    def bid(request: RequestBid) -> Bids:
        ends = request.closes_at - until
        one = Bid(task=TaskId("a"), cost=cost, estimated_duration_s=10.0, valid_until=ends)
        return Bids(bids=(one,) if any(task.id == "a" for task in request.tasks) else ())

    @agent.task()
    async def do(task: Any) -> str:
        await asyncio.sleep(takes_s)
        if refuses:
            raise Refused("not today")
        return f"{task.id} by {name}"

    return agent


@pytest.mark.parametrize("options", [{}, {"award": "sequential"}, {"scoring": "minmax"}, {"payment": "vcg"}])
def test_a_bid_that_has_run_out_when_bidding_closes_wins_nothing_and_the_result_says_so(
    play: Any, task: Any, options: dict[str, str]
) -> None:
    """dan keeps the round open until its end, and by then ann's bid, the best, is no longer valid."""

    async def act(stage: Any) -> None:
        await stage.enter(brief("ann", 1.0, until=2.0))
        await stage.enter(bidding("bob", a=5.0))
        (await stage.agent("dan")).deaf_to.add("REQUEST_BID")
        view = await stage.run("auction", [task("a", max_budget=10.0)], **options)
        assert winners(view) == {"a": "bob"}
        (record,) = view.result["auction_results"]
        ann = next(bid for bid in record["all_bids"] if bid["bidder"] == "ann")
        assert ann["score"] == -1.0
        assert ann["reason"].startswith("no longer valid: it was until ")
        assert any("ann bid 1 for 10 s at quality 1: no longer valid" in line for line in await stage.why("r:a"))

    play(act, QUICK)


@pytest.mark.parametrize("options", [{}, {"payment": "second_price"}])
def test_where_every_bid_has_run_out_the_task_waits_and_then_fails_with_that_reason(
    play: Any, task: Any, options: dict[str, str]
) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(brief("ann", 1.0, until=2.0))
        (await stage.agent("dan")).deaf_to.add("REQUEST_BID")
        view = await stage.run("auction", [task("a", max_budget=10.0, retries=0)], **options)
        assert not view.success
        assert "no longer valid" in view.tasks[0].error
        (record,) = view.result["auction_results"]
        assert "no longer valid" in record["reason"]

    play(act, QUICK)


def test_the_next_best_bid_is_passed_over_if_it_has_run_out_when_the_winner_refuses(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(brief("ann", 1.0, until=0.0, takes_s=5.0, refuses=True))
        await stage.enter(brief("bob", 2.0, until=0.0))
        await stage.enter(bidding("cy", a=9.0))
        view = await stage.run("auction", [task("a", max_budget=10.0)])
        assert winners(view) == {"a": "cy"}
        assert view.result["rounds"] == 1

    play(act, QUICK)


def test_a_bid_that_runs_out_while_the_round_is_cleared_wins_nothing(
    play: Any, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing takes 4 s here, and ann's bid lasts for 3 s: she has none that holds in any of two rounds."""

    async def act(stage: Any) -> None:
        compare = Mechanism.clear_aside

        def slowly(*given: Any) -> Any:
            stage.loop._now += 4.0
            return compare(*given)

        monkeypatch.setattr(Mechanism, "clear_aside", slowly)
        await stage.enter(brief("ann", 1.0, until=0.0))
        view = await stage.run("auction", [task("a", max_budget=10.0, retries=1)], payment="vcg")
        assert not view.success
        reason = "the winning bid, of ann, ran out while bids were compared"
        assert view.tasks[0].error == f"{reason}, in 2 auctions"
        (record,) = view.result["auction_results"]
        assert (record["success"], record["reason"]) == (False, reason)
        assert "payments" not in view.result

    play(act, QUICK)


@pytest.mark.parametrize("takes_s", [1.0, 5.0])
def test_bids_that_run_out_are_judged_the_same_after_a_crash(play: Any, task: Any, takes_s: float) -> None:
    """bob's bid lasts for 3 s: ann's refusal comes before or after that, and coordinators die in between."""

    async def act(stage: Any) -> None:
        await stage.enter(brief("ann", 1.0, until=0.0, takes_s=takes_s, refuses=True))
        await stage.enter(brief("bob", 2.0, until=0.0))
        await stage.enter(bidding("cy", a=9.0))
        await stage.submit("auction", [task("a", max_budget=10.0)])
        for _ in range(4):
            await asyncio.sleep(0.3)
            await stage.crash()
        assert winners(await stage.end()) == {"a": "bob" if takes_s < 3.0 else "cy"}

    play(act, QUICK)


def test_what_an_agent_lacks_is_a_floor_that_no_price_makes_good(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        cheap = bidding("ann", a=0.0)
        await stage.enter(cheap)
        await stage.agent("bob", capabilities={"python": 0.8}, cost=9.0)
        tasks = [task("a", required_capabilities={"python": 0.7}, max_budget=10.0)]
        view = await stage.run("auction", tasks, scores=True)
        (record,) = view.result["auction_results"]
        assert record["winner_id"] == "bob"
        assert record["all_bids"][1]["bidder"] == "ann"
        assert record["all_bids"][1]["score"] < 0
        assert "below the floor: python 0 < 0.7" in record["all_bids"][1]["reason"]

    play(act)


def test_on_request_the_result_says_why_the_others_did_not_win_or_bid(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=8.0))
        await stage.enter(bidding("bob", a=2.0))
        await stage.enter(bidding("cy", reason="on holiday"))
        await stage.enter(bidding("dan", b=2.0))
        odd = Agent("eve")
        odd.on(RequestBid)(lambda request: "eleven")
        await stage.enter(odd)
        view = await stage.run("auction", [task("a", max_budget=10.0), task("b", max_budget=10.0)], scores=True)
        record = view.result["auction_results"][0]
        assert set(record["winning_bid"]["parts"]) == {"cost", "time", "quality", "reliability"}
        assert sum(record["winning_bid"]["parts"].values()) == pytest.approx(record["winning_bid"]["score"])
        assert "of bob" in record["all_bids"][1]["reason"]
        assert "cost" in record["all_bids"][1]["reason"]
        assert record["no_bids"]["cy"] == "on holiday"
        assert record["no_bids"]["dan"] == "it bid on other tasks only"
        assert record["no_bids"]["eve"].startswith("its answer is no list of bids")

    play(act)


def test_bids_beyond_the_bound_do_not_count(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=1.0, b=1.0, c=1.0))
        await stage.run("auction", [task("a"), task("b"), task("c")], max_bids=2)
        closed = (await stage.log("auction.closed"))[0]
        assert closed.data["bid_count"] == 2

    play(act)


# what goes wrong


def test_who_refuses_is_followed_by_the_next_best_bid_without_a_new_auction(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Any, work: Any) -> None:
            raise Refused("not my kind of work")

        await stage.agent("ann", refuse, cost=1.0)
        await stage.agent("bob", cost=2.0)
        await stage.agent("cy", cost=3.0)
        view = await stage.run("auction", [task("a")])
        assert winners(view) == {"a": "bob"}
        assert view.tasks[0].attempts == 2
        assert len(await stage.log("auction.announced")) == 1
        (released,) = await stage.log("task.released")
        assert (released.agent, released.data["status"], released.data["attempts_left"]) == ("ann", "refused", 3)

    play(act)


def test_a_task_that_one_refuses_waits_for_the_other_who_is_busy(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Any, work: Any) -> None:
            if task.id == "hard":
                raise Refused("too hard")
            await asyncio.sleep(50.0)

        async def slowly(task: Any, work: Any) -> None:
            await asyncio.sleep(20.0)

        await stage.agent("ann", refuse)
        await stage.agent("bob", slowly, cost=0.5)
        tasks = [task("long", priority=1, agent=AgentId("bob")), task("hard", retries=0)]
        view = await stage.run("auction", tasks)
        assert winners(view) == {"long": "bob", "hard": "bob"}
        assert stage.seconds == pytest.approx(40.0)
        assert len(await stage.log("task.claimed")) == 3, "ann is not asked again and again"

    play(act)


def test_a_task_that_everybody_refuses_fails_after_its_retries_and_says_who_refused(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def refuse(task: Any, work: Any) -> None:
            raise Refused("never")

        await stage.agent("ann", refuse)
        await stage.agent("bob", refuse)
        view = await stage.run("auction", [task("a", retries=1)])
        assert (view.status, view.success) == ("failed", False)
        assert view.tasks[0].error == "ann, bob refused it, and nobody else has bid, in 2 auctions"
        assert "a: ann, bob refused it" in view.reason
        assert len(await stage.log("task.claimed")) == 4

    play(act, QUICK)


def test_when_the_winner_is_lost_the_next_best_takes_over_at_once(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", cost=1.0)
        await stage.agent("bob", cost=2.0)
        await stage.submit("auction", [task("a")])
        await asyncio.sleep(0.4)
        stage.players["ann"].lose("killed")
        view = await stage.end()
        assert winners(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(1.4)
        assert view.tasks[0].epoch == 2

    play(act)


def test_a_task_whose_only_agent_is_lost_waits_until_somebody_comes(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.submit("auction", [task("a")])
        await asyncio.sleep(0.5)
        stage.players["ann"].lose()
        await asyncio.sleep(99.5)
        assert (await stage.view()).status == "active"
        await stage.agent("bob")
        view = await stage.end()
        assert winners(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(101.0)

    play(act)


def test_whoever_fails_at_a_task_does_not_get_it_again_while_others_bid(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Any, work: Any) -> None:
            raise ValueError("no such file")

        await stage.agent("ann", fail, cost=1.0)
        await stage.agent("bob", cost=5.0)
        view = await stage.run("auction", [task("a", retries=1)])
        assert winners(view) == {"a": "bob"}
        assert view.tasks[0].attempts == 2

    play(act)


def test_a_task_that_fails_once_too_often_fails_with_all_that_comes_after_it(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Any, work: Any) -> str:
            if task.id == "a":
                raise ValueError("no such file")
            return "ok"

        await stage.agent("ann", fail)
        view = await stage.run("auction", [task("a", retries=1), task("b", "a"), task("c", "b"), task("d")])
        ended = {one.id: (one.status, one.attempts, one.error) for one in view.tasks}
        assert ended["a"] == ("failed", 2, "ValueError: no such file (attempt 2 of ann, the last)")
        assert ended["b"] == ("failed", 0, "it comes after a, and a was not done")
        assert ended["c"] == ("failed", 0, "it comes after a by way of b, and a was not done")
        assert ended["d"] == ("done", 1, None)
        assert view.status == "failed"
        assert view.reason == "3 of 4 tasks not done; a: ValueError: no such file (attempt 2 of ann, the last)"
        assert view.participants["ann"].failed == ("a",)

    play(act)


def test_a_task_that_is_not_mandatory_may_fail(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def fail(task: Any, work: Any) -> str:
            if task.id == "a":
                raise ValueError("no")
            return "ok"

        await stage.agent("ann", fail)
        view = await stage.run("auction", [task("a", retries=0, mandatory=False), task("b")])
        assert (view.status, view.success) == ("completed", True)

    play(act)


def test_an_attempt_ends_at_its_time_limit_and_the_next_best_takes_over(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def hang(task: Any, work: Any) -> None:
            await asyncio.sleep(1000.0)

        await stage.agent("ann", hang, cost=1.0)
        await stage.agent("bob", cost=2.0)
        view = await stage.run("auction", [task("a", max_duration_s=5.0)])
        assert winners(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(6.0)

    play(act)


def test_a_task_that_nobody_can_do_waits_for_somebody_who_can(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.submit("auction", [task("a", required_capabilities={"python": 0.7})])
        await asyncio.sleep(1.0)
        (waiting,) = await stage.log("task.waiting")
        assert (waiting.ref, waiting.data["reason"]) == ("a", "nobody who can do it has bid")
        await stage.agent("bob", capabilities={"python": 0.9})
        view = await stage.end()
        assert winners(view) == {"a": "bob"}
        assert stage.seconds == pytest.approx(2.0)

    play(act)


def test_it_also_waits_for_somebody_who_learns_it(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        player = await stage.agent("ann")
        await stage.submit("auction", [task("a", required_capabilities={"python": 0.7})])
        await asyncio.sleep(1.0)
        player._abilities.change(capabilities={"python": 0.9})
        await stage.end()
        assert stage.seconds == pytest.approx(2.0)

    play(act)


def test_it_fails_with_the_reason_when_nobody_comes(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a", required_capabilities={"python": 0.7}, retries=2)])
        assert view.tasks[0].error == "nobody who can do it has bid, in 3 auctions"
        assert stage.seconds == pytest.approx(6.0)

    play(act, QUICK)


def test_waiting_for_a_busy_agent_is_no_failed_auction(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def slowly(task: Any, work: Any) -> None:
            await asyncio.sleep(60.0)

        await stage.agent("ann", slowly, capabilities={"python": 1.0})
        await stage.agent("bob", cost=0.5)
        needs = {"python": 0.5}
        tasks = [task("a", required_capabilities=needs), task("b", required_capabilities=needs, retries=0), task("c")]
        view = await stage.run("auction", tasks)
        assert winners(view) == {"a": "ann", "b": "ann", "c": "bob"}

    play(act, QUICK)


def test_a_task_past_its_deadline_fails_and_the_others_go_on(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def slowly(task: Any, work: Any) -> None:
            await asyncio.sleep(10.0)

        await stage.agent("ann", slowly)
        tasks = [
            task("a", priority=1),
            task("open", deadline_s=4.0),
            task("after", "a", deadline_s=5.0),
            task("held", deadline_s=15.0),
        ]
        view = await stage.run("auction", tasks)
        ended = {one.id: (one.status, one.error, one.ended_at - view.started_at) for one in view.tasks}
        assert ended["a"][0] == "done"
        assert ended["open"] == ("failed", "its deadline of 4 s has passed", pytest.approx(4.0))
        assert ended["after"] == ("failed", "its deadline of 5 s has passed", pytest.approx(5.0))
        assert ended["held"] == ("failed", "its deadline of 15 s has passed", pytest.approx(15.0))

    play(act)


def test_at_the_deadline_of_the_run_what_is_done_is_in_the_outcome(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def do(task: Any, work: Any) -> str:
            await asyncio.sleep(task.payload["takes"])
            return "ok"

        await stage.agent("ann", do, capacity=2)
        tasks = [task("quick", payload={"takes": 1.0}), task("slow", payload={"takes": 99.0}), task("next", "slow")]
        view = await stage.run("auction", tasks, timeout_s=10.0)
        assert (view.status, view.success) == ("timed_out", False)
        ended = {one.id: (one.status, one.result) for one in view.tasks}
        assert ended == {"quick": ("done", "ok"), "slow": ("cancelled", None), "next": ("cancelled", None)}
        assert view.reason.startswith("the deadline passed first: 2 of 3 tasks not done")
        assert view.result["tasks_completed"] == 1
        assert stage.seconds == pytest.approx(10.0)
        assert "CANCEL_TASK" in stage.players["ann"].types()

    play(act)


def test_a_run_that_is_called_off_calls_its_tasks_back(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.submit("auction", [task("a"), task("b")])
        await asyncio.sleep(0.5)
        await stage.cancel()
        view = await stage.end()
        assert view.status == "cancelled"
        assert [event.ref for event in await stage.log("task.cancelled")] == ["a", "b"]
        await asyncio.sleep(0.1)
        assert "CANCEL_TASK" in stage.players["ann"].types()

    play(act)


def test_without_tasks_there_is_nothing_to_succeed_in(play: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", Objective(description="nothing"))
        assert (view.success, view.reason) == (False, "there were no tasks")

    play(act)


def test_a_graph_that_is_none_fails_the_run_and_names_the_problem(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a", "b"), task("b", "a")])
        assert view.status == "failed"
        assert "tasks wait for each other in a circle: a -> b -> a" in view.reason

    play(act)


def test_options_that_fit_no_setting_are_named(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a")], award="lottery")
        assert view.status == "failed"
        assert "award" in view.reason

    play(act)


# the whole


def test_results_of_earlier_tasks_are_there_for_later_ones(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        async def add(task: Any, work: Any) -> int:
            return sum(work.results.values()) + task.payload.get("number", 0)

        await stage.agent("ann", add, capacity=2)
        tasks = [task("a", payload={"number": 3}), task("b", payload={"number": 4}), task("sum", "a", "b")]
        view = await stage.run("auction", tasks)
        assert view.tasks[2].result == 7

    play(act)


def test_a_crash_at_any_moment_changes_nothing_in_the_end(play: Any, task: Any) -> None:
    """Coordinators die every 0.3 s; each task is accepted once, and no finished one is done again."""

    async def act(stage: Any) -> None:
        done: Counter[str] = Counter()

        async def do(task: Any, work: Any) -> str:
            await asyncio.sleep(0.7)
            done[task.id] += 1
            return "ok"

        for name in ("ann", "bob"):
            await stage.agent(name, do)
        await stage.submit("auction", [task("a"), task("b"), task("c", "a"), task("d", "b", "c")])
        for _ in range(6):
            await asyncio.sleep(0.3)
            await stage.crash()
        view = await stage.end()
        assert view.success
        accepted = [event.ref for event in await stage.log("task.done")]
        assert sorted(accepted) == ["a", "b", "c", "d"]

    play(act)


def test_more_tasks_than_are_offered_at_once_all_get_done(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name in ("ann", "bob", "cy"):
            await stage.agent(name, capacity=5)
        hopeless = [task(f"h{n}", required_capabilities={"magic": 1.0}, priority=9, mandatory=False) for n in range(70)]
        view = await stage.run("auction", [*hopeless, *[task(f"t{number}") for number in range(150)]])
        assert view.success
        assert Counter(one.status for one in view.tasks) == {"done": 150, "failed": 70}
        announced = [len(event.data["tasks"]) for event in await stage.log("auction.announced")]
        assert max(announced) == 60, "four for each of the fifteen places"

    play(act, QUICK)


def test_tasks_beyond_an_agents_bids_are_not_given_up_for_want_of_bids(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task(f"t{number}", retries=0) for number in range(9)], max_bids=2)
        assert view.success

    play(act)


def test_an_envelope_never_holds_more_than_it_may(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann", capacity=9)
        big = [task(f"t{number}", payload={"text": "x" * 1500}) for number in range(9)]
        view = await stage.run("auction", big)
        assert view.success
        for envelope in stage.players["ann"].heard:
            assert len(envelope.payload) < 4096

    play(act, Coordination(manager=ManagerSettings(max_envelope_bytes=4096)))


def test_the_log_tells_the_story_in_the_words_of_the_kinds(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        await stage.run("auction", [task("a")])
        kinds = [event.kind for event in await stage.log()]
        assert kinds == [
            "run.created", "run.started", "tasks.added", "auction.announced", "command.sent", "reply.received",
            "auction.closed", "task.claimed", "command.sent", "reply.received", "task.done", "run.progressed",
            "run.completed",
        ]  # fmt: skip
        (closed,) = await stage.log("auction.closed")
        assert closed.data["bids"] == {"ann": [["a", 1.0, 60.0, 1.0, 1.0, 0.0]]}
        assert closed.data["awards"] == {"a": "ann"}

    play(act)


# other mechanisms


def offering(name: str, *bids: Bid, capacity: int = 1) -> Agent:
    """Make an agent that makes those of these bids that are for tasks on offer, and does any task in a second."""
    agent = bidding(name)
    agent.profile = msgspec.structs.replace(agent.profile, capacity=capacity)
    agent.answers.clear()

    @agent.on(RequestBid)
    def bid(request: RequestBid) -> Bids:
        offered = {task.id for task in request.tasks}
        return Bids(bids=tuple(one for one in bids if offered.issuperset([one.task, *one.also])))

    return agent


def asks(tasks: str, cost: float, xor: str = "") -> Bid:
    first, *others = (TaskId(one) for one in tasks.split())
    return Bid(task=first, also=tuple(others), cost=cost, estimated_duration_s=10.0, xor=xor)


def test_with_vcg_the_winner_is_owed_more_than_it_bid(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        for name, cost in (("ann", 7.0), ("bob", 9.0), ("cy", 12.0)):
            await stage.enter(bidding(name, a=cost))
        view = await stage.run("auction", [task("a", max_budget=20.0)], payment="vcg", scores=True)
        assert winners(view) == {"a": "ann"}
        reason = "vcg: 7, and 2 that the whole owes to ann"
        assert view.result["payments"] == [
            {"agent_id": "ann", "tasks": ["a"], "amount": 9.0, "reason": reason, "due": True}
        ]
        (closed,) = await stage.log("auction.closed")
        assert closed.data["payments"] == [["ann", ["a"], 9.0, reason]]
        (record,) = view.result["auction_results"]
        assert [(bid["bidder"], bid["score"]) for bid in record["all_bids"]] == [
            ("ann", 13.0),
            ("bob", 11.0),
            ("cy", 8.0),
        ]
        assert any("ann is owed 9 for a: vcg" in line for line in await stage.why("r:a"))

    play(act)


def test_a_bundle_is_done_by_one_agent_that_is_cheaper_for_both(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(offering("ann", asks("a b", 3.0), asks("a", 9.0), capacity=2))
        await stage.enter(offering("bob", asks("a", 8.0)))
        await stage.enter(offering("cy", asks("b", 8.0)))
        tasks = [task("a", max_budget=10.0), task("b", max_budget=10.0)]
        view = await stage.run("auction", tasks, award="combinatorial")
        assert winners(view) == {"a": "ann", "b": "ann"}
        assert [(one["tasks"], one["amount"], one["due"]) for one in view.result["payments"]] == [
            (["a", "b"], 3.0, True)
        ]
        (a, _) = view.result["auction_results"]
        assert a["winning_bid"]["tasks"] == ["a", "b"]

    play(act)


@pytest.mark.parametrize("payment", ["as_bid", "vcg"])
def test_a_bundle_does_not_count_where_single_tasks_are_auctioned(play: Any, task: Any, payment: str) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(offering("ann", asks("a b", 3.0), asks("b", 1.0, xor="either"), capacity=2))
        await stage.enter(offering("bob", asks("a", 8.0), asks("b", 8.0), capacity=2))
        tasks = [task("a", max_budget=10.0), task("b", max_budget=10.0)]
        assert winners(await stage.run("auction", tasks, payment=payment)) == {"a": "bob", "b": "bob"}

    play(act)


def test_prices_rise_until_the_second_stops(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=2.0))
        await stage.enter(bidding("bob", a=5.0))
        view = await stage.run("auction", [task("a", max_budget=10.0)], award="ascending")
        assert winners(view) == {"a": "ann"}
        (payment,) = view.result["payments"]
        assert payment["amount"] == pytest.approx(5.0, abs=0.1)

    play(act)


def takes(task: str, cost: float, size: float) -> Bid:
    return Bid(task=TaskId(task), cost=cost, estimated_duration_s=10.0, size=size)


def test_large_tasks_are_shared_out_by_how_much_of_an_agent_each_takes(play: Any, task: Any) -> None:
    """ann has room for five places: two tasks of two, and the third only when one of them is done."""

    async def act(stage: Any) -> None:
        await stage.enter(offering("ann", *(takes(name, 1.0, 2.0) for name in "abc"), capacity=5))
        view = await stage.run("auction", [task("a"), task("b"), task("c")], award="generalised")
        assert winners(view) == {"a": "ann", "b": "ann", "c": "ann"}
        sold = [sorted(closed.data["awards"]) for closed in await stage.log("auction.closed")]
        assert [tasks for tasks in sold if tasks] == [["a", "b"], ["c"]]

    play(act)


def test_a_search_that_stops_early_says_that_it_has_not_proved_its_find(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        sizes = {"ann": (3.0, 2.0, 4.0, 2.0, 3.0), "bob": (2.0, 4.0, 3.0, 3.0, 2.0)}
        for name, own in sizes.items():
            bids = [takes(one, float(at + len(name)), size) for at, (one, size) in enumerate(zip("abcde", own))]  # noqa: B905
            await stage.enter(offering(name, *bids, capacity=5))
        tasks = [task(one, max_budget=20.0) for one in "abcde"]
        told = {}
        for steps in (1, 400_000):
            view = await stage.run(
                "auction", tasks, run_id=f"of-{steps}", award="generalised", payment="vcg", search_steps=steps
            )
            assert view.success
            told[steps] = {one["status"] for one in view.result["auction_results"]}
        assert "feasible" in told[1]
        assert told[400_000] == {"optimal"}

    play(act)


def test_a_task_that_takes_more_than_any_agent_has_fails_and_says_so(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(offering("ann", takes("a", 1.0, 3.0), takes("b", 1.0, 0.5), capacity=2))
        view = await stage.run("auction", [task("a", retries=0), task("b", retries=0)], award="generalised")
        reasons = {one["task_id"]: one["reason"] for one in view.result["auction_results"]}
        assert reasons["a"] == "no bid is admissible: ann, too large: it takes 3, and ann has capacity for 2"
        (closed,) = await stage.log("auction.closed")
        assert closed.data["silent"] == {"ann": "its bid for b: size is 0.5; it must be at least 1 for each task"}

    play(act, QUICK)


def test_a_bid_with_a_size_does_not_count_where_tasks_are_counted(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(offering("ann", takes("a", 1.0, 2.0), takes("b", 1.0, 1.0), capacity=4))
        await stage.enter(offering("bob", takes("a", 8.0, 1.0), takes("b", 8.0, 1.0), capacity=4))
        for award in ("optimal", "cbba"):
            view = await stage.run("auction", [task("a"), task("b")], run_id=award, award=award)
            assert winners(view) == {"a": "bob", "b": "ann"}

    play(act)


def test_bids_are_scored_against_each_other_if_the_plan_says_so(play: Any, task: Any) -> None:
    """Of a budget of 1,000 the prices differ by nothing, and the better quality wins; among the bids they decide."""

    async def act(stage: Any) -> None:
        for name, cost, quality in (("ann", 1.0, 0.8), ("bob", 9.0, 1.0), ("cy", 2.0, 0.0)):
            one = Bid(task=TaskId("a"), cost=cost, estimated_duration_s=10.0, quality_score=quality)
            await stage.enter(offering(name, one))
        for scoring, winner in (("reserve", "bob"), ("fixed", "bob"), ("minmax", "ann")):
            tasks = [task("a", max_budget=1000.0)]
            view = await stage.run("auction", tasks, run_id=scoring, scoring=scoring, scores=True)
            assert winners(view) == {"a": winner}
        (record,) = view.result["auction_results"]
        cost = {bid["bidder"]: bid["parts"]["cost"] for bid in record["all_bids"]}
        assert cost == pytest.approx({"ann": 0.3, "bob": 0.0, "cy": 0.3 * 7 / 8})

    play(act)


@pytest.mark.parametrize("options", [{"award": "generalised"}, {"award": "cbba"}, {"scoring": "minmax"}])
def test_a_crash_changes_nothing_under_any_rule(play: Any, task: Any, options: dict[str, str]) -> None:
    async def act(stage: Any) -> None:
        sizes = 2.0 if options.get("award") == "generalised" else 1.0
        for name in ("ann", "bob"):
            await stage.enter(offering(name, *(takes(one, 3.0, sizes) for one in "abcd"), capacity=2))
        await stage.submit("auction", [task(one) for one in "abcd"], **options)
        for _ in range(4):
            await asyncio.sleep(0.4)
            await stage.crash()
        view = await stage.end()
        assert view.success
        assert sorted(winners(view)) == ["a", "b", "c", "d"]

    play(act)


def test_why_judges_by_the_options_of_the_run_and_not_by_the_settings_alone(play: Any, task: Any) -> None:
    """In the specification's mode a capability is no floor: ann lost by her score, and that is what is told."""

    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=900.0))
        await stage.enter(bidding("bob", a=1.0))
        view = await stage.run("auction", [task("a", required_capabilities={"dig": 0.5})], mode="specification")
        assert winners(view) == {"a": "bob"}
        told = "\n".join(await stage.why("r:a"))
        (verdict,) = [line for line in told.split("\n") if "ann bid 900" in line]
        assert "most of all for cost" in verdict, "and not that it is below the floor"

    play(act)


def test_a_second_price_is_paid_and_a_refused_task_is_auctioned_again(play: Any, task: Any) -> None:
    """What ann was promised holds for nobody else: bob wins the next round, and is owed what he bid or the budget."""

    async def act(stage: Any) -> None:
        async def refuse(_task: Any, _work: Any) -> str:
            raise Refused("not today")

        unwilling = bidding("ann", a=2.0)
        unwilling.tasks.clear()
        unwilling.task()(refuse)
        await stage.enter(unwilling)
        await stage.enter(bidding("bob", a=5.0))
        view = await stage.run("auction", [task("a", max_budget=10.0)], payment="second_price")
        assert winners(view) == {"a": "bob"}
        assert view.result["rounds"] == 2
        (payment,) = view.result["payments"]
        assert (payment["agent_id"], payment["amount"], payment["due"]) == ("bob", 10.0, True)
        assert payment["reason"] == "nobody else bid: the budget"

    play(act)


def test_a_bid_that_is_none_is_told_and_does_not_stop_the_market(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=-1.0))
        await stage.enter(bidding("bob", a=5.0))
        view = await stage.run("auction", [task("a", max_budget=10.0)], payment="vcg")
        assert winners(view) == {"a": "bob"}
        (closed,) = await stage.log("auction.closed")
        assert closed.data["silent"] == {"ann": "its bid for a: price is -1; it must be at least 0 and finite"}

    play(act)


def test_a_task_that_all_bids_are_over_the_budget_of_fails_in_the_end(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.enter(bidding("ann", a=11.0))
        view = await stage.run("auction", [task("a", max_budget=10.0, retries=1)], payment="vcg")
        assert not view.success
        (record,) = view.result["auction_results"]
        assert record["reason"] == "no bid is admissible: ann, over budget: 11 > 10"

    play(act, QUICK)


def test_a_mechanism_that_cannot_be_is_refused_at_the_start(play: Any, task: Any) -> None:
    async def act(stage: Any) -> None:
        await stage.agent("ann")
        view = await stage.run("auction", [task("a")], payment="vcg")
        assert view.status == "failed"
        assert "a: give each task a budget" in view.reason

    play(act)
