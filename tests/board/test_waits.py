"""The wait-for graph: which wait closes a cycle, how it is said, and who waits for somebody who is gone."""

import pytest

from concerted.board.waits import (
    Cycle,
    Link,
    Waiter,
    blocked_by_gone,
    blocked_with,
    by_agent,
    closes_cycle,
    deadlock,
    explain,
)
from concerted.errors import Deadlock
from concerted.machine import Wait
from concerted.values import AgentId

pytestmark = pytest.mark.pure


def waiting(agent: str, subject: str, text: str, on: tuple[str, ...], needed: int = 1) -> Waiter:
    return Waiter(AgentId(agent), subject, Wait(text, 5.0, tuple(AgentId(name) for name in on), needed))


def waits(agent: str, on: str, needed: int = 1) -> Waiter:
    """Return a wait for agents: `waits("ann", "bob cy")`."""
    return waiting(agent, f"{agent}>{on}", on.replace(" ", " and ") or "somebody", tuple(on.split()), needed)


def said(new: Waiter, *others: Waiter) -> str:
    """Return the deadlock in words; "" if there is none."""
    cycle = closes_cycle(by_agent(others), new)
    return "" if cycle is None else explain(cycle)


# two agents


def test_waiting_for_somebody_who_waits_for_nothing_is_no_deadlock() -> None:
    assert said(waits("ann", "bob")) == ""


def test_two_who_wait_for_each_other_are_told_so_in_words() -> None:
    bob = waiting("bob", "lease:src", "ann's lease on src/a.py", ("ann",))
    ann = waiting("ann", "sync_point:s1", "bob at sync point s1", ("bob",))
    cycle = closes_cycle(by_agent([bob]), ann)
    assert cycle == Cycle(
        (
            Link(AgentId("ann"), "sync_point:s1", "bob at sync point s1", 5.0, AgentId("bob")),
            Link(AgentId("bob"), "lease:src", "ann's lease on src/a.py", 5.0, AgentId("ann")),
        )
    )
    assert explain(cycle) == "ann waits for bob at sync point s1, bob waits for ann's lease on src/a.py"
    assert cycle.agents == ("ann", "bob")


def test_the_error_carries_the_cycle_in_words_and_in_fields() -> None:
    cycle = closes_cycle(by_agent([waits("bob", "ann")]), waits("ann", "bob"))
    assert cycle is not None
    error = deadlock(cycle)
    assert isinstance(error, Deadlock)
    assert error.message.startswith("ann would wait for ever: ann waits for bob, bob waits for ann; one of them must")
    assert error.facts["agents"] == ["ann", "bob"]
    assert error.facts["cycle"][1] == {
        "agent": "bob", "subject": "bob>ann", "waiting_for": "ann", "since": 5.0, "on": "ann"
    }  # fmt: skip


def test_whoever_waits_for_itself_alone_waits_for_ever() -> None:
    assert said(waiting("ann", "lease:x", "ann's lease on x", ("ann",))) == "ann waits for ann's lease on x"


def test_a_deadline_is_no_way_out() -> None:
    bob = Waiter(AgentId("bob"), "s", Wait("ann", 5.0, (AgentId("ann"),), deadline=6.0))
    assert said(waits("ann", "bob"), bob) == "ann waits for bob, bob waits for ann"


def test_a_wait_that_anybody_may_end_is_no_deadlock() -> None:
    assert said(waits("ann", "bob"), waits("bob", "")) == ""
    assert said(waits("ann", ""), waits("bob", "ann")) == ""


def test_a_wait_that_needs_nobody_is_no_deadlock() -> None:
    assert said(waits("ann", "bob", needed=0), waits("bob", "ann")) == ""


# longer ways


def test_a_ring_is_told_in_its_order() -> None:
    others = [waits("cy", "dee"), waits("bob", "cy"), waits("dee", "ann")]
    assert said(waits("ann", "bob"), *others) == (
        "ann waits for bob, bob waits for cy, cy waits for dee, dee waits for ann"
    )


def test_the_shortest_way_round_is_told() -> None:
    others = [waits("bob", "cy ann", needed=2), waits("cy", "ann")]
    assert said(waits("ann", "bob"), *others) == "ann waits for bob, bob waits for cy and ann"


def test_the_same_question_is_always_answered_alike() -> None:
    others = [waits(name, "ann") for name in ("bob", "cy", "dee")]
    answers = {said(waits("ann", "dee cy bob", needed=2), *others) for _ in range(5)}
    assert answers == {"ann waits for dee and cy and bob, dee waits for ann"}


def test_who_joins_the_deadlock_of_others_is_told_their_cycle() -> None:
    others = [waits("bob", "cy"), waits("cy", "bob")]
    assert said(waits("ann", "bob"), *others) == "ann waits for bob, bob waits for cy, cy waits for bob"


def test_a_cycle_elsewhere_does_not_concern_whoever_does_not_wait_for_it() -> None:
    others = [waits("bob", "cy"), waits("cy", "bob"), waits("dee", "eve")]
    assert said(waits("ann", "dee"), *others) == ""


def test_an_agent_that_the_text_does_not_name_is_named() -> None:
    ann = waiting("ann", "s", "2 more parties at barrier b", ("bob", "cy"), needed=2)
    assert said(ann, waits("cy", "ann")) == "ann waits for 2 more parties at barrier b (only with cy), cy waits for ann"
    planning = waiting("bob", "s", "the planning", ("ann",))
    assert said(waits("ann", "bob"), planning) == "ann waits for bob, bob waits for the planning (only with ann)"


# any `needed` of several


@pytest.mark.parametrize(("needed", "text"), [(1, ""), (2, "ann waits for bob and cy, bob waits for ann")])
def test_a_wait_ends_when_enough_of_the_agents_can_act(needed: int, text: str) -> None:
    assert said(waits("ann", "bob cy", needed), waits("bob", "ann")) == text


def test_one_way_out_anywhere_is_enough_for_all() -> None:
    others = [waits("bob", "ann cy"), waits("cy", "dee"), waits("dee", "ann eve")]
    assert said(waits("ann", "bob"), *others) == ""


def test_an_agent_named_twice_counts_once() -> None:
    ann = waiting("ann", "s", "bob and cy", ("bob", "bob", "cy"), needed=2)
    assert said(ann, waits("cy", "ann")) == "ann waits for bob and cy, cy waits for ann"


def test_a_wait_for_more_agents_than_there_are_cannot_end() -> None:
    assert said(waits("ann", "bob", needed=2)) == "ann waits for bob (too few can end it)"
    others = [waits("bob", "cy", needed=2)]
    assert said(waits("ann", "bob"), *others) == "ann waits for bob, bob waits for cy (too few can end it)"


# several waits at once


def test_an_agent_with_two_waits_goes_on_as_soon_as_one_of_them_ends() -> None:
    assert said(waits("ann", "bob"), waits("bob", "ann"), waits("bob", "cy")) == ""


def test_an_agent_none_of_whose_waits_can_end_is_blocked() -> None:
    others = [waits("bob", "ann"), waits("bob", "cy"), waits("cy", "ann")]
    assert said(waits("ann", "bob"), *others) == "ann waits for bob, bob waits for ann"


def test_the_new_waiter_may_go_on_by_another_wait_of_its_own() -> None:
    """ann waits for cy elsewhere; when cy comes, ann may do what bob waits for."""
    assert said(waits("ann", "bob"), waits("bob", "ann"), waits("ann", "cy")) == ""


def test_it_does_not_matter_whether_the_new_wait_is_in_the_graph_already() -> None:
    new = waits("ann", "bob")
    assert said(new, new, waits("bob", "ann")) == "ann waits for bob, bob waits for ann"
    assert said(new, new, waits("bob", "cy")) == ""


# cost


def test_only_what_can_be_reached_is_looked_at() -> None:
    class Counted(dict[AgentId, list[Waiter]]):
        looked_at = 0

        def get(self, key, default=None):  # type: ignore[no-untyped-def]
            self.looked_at += 1
            return super().get(key, default)

    crowd = [waits(f"a{n}", f"a{n + 1}") for n in range(10_000)]
    graph = Counted(by_agent([*crowd, waits("bob", "ann")]))
    assert closes_cycle(graph, waits("ann", "bob")) is not None
    assert graph.looked_at == 2


def test_waits_that_share_their_agents_cost_as_one() -> None:
    missing = tuple(AgentId(f"m{n}") for n in range(2_000))
    crowd = [Waiter(agent, "point", Wait("the others", 1.0, missing, len(missing))) for agent in missing]
    new = Waiter(AgentId("ann"), "point", Wait("the others", 1.0, missing, len(missing)))
    cycle = closes_cycle(by_agent(crowd), new)  # one by one these would be four million steps
    assert cycle is not None
    assert len(cycle.links) == 2


# the gone

GONE = {AgentId("bob"): "no heartbeat for 20 s", AgentId("cy"): "its process ended"}


def test_a_wait_for_somebody_who_is_gone_is_named_with_the_reason() -> None:
    graph = by_agent([waiting("ann", "sync_point:s1", "bob at sync point s1", ("bob",)), waits("dee", "ann")])
    (hopeless,) = blocked_by_gone(graph, GONE)
    assert hopeless.why == "ann waits for bob at sync point s1; bob is gone: no heartbeat for 20 s"
    assert (hopeless.waiter.agent, hopeless.left, hopeless.gone) == ("ann", (), ("bob",))


def test_enough_others_who_are_left_make_it_no_matter() -> None:
    assert blocked_by_gone(by_agent([waits("ann", "bob dee")]), GONE) == ()


def test_too_few_who_are_left_make_it_hopeless() -> None:
    (hopeless,) = blocked_by_gone(by_agent([waits("ann", "bob cy dee", needed=2)]), GONE)
    assert (hopeless.left, hopeless.gone) == (("dee",), ("bob", "cy"))
    assert hopeless.why == (
        "ann waits for bob and cy and dee; bob is gone: no heartbeat for 20 s; cy is gone: its process ended; "
        "2 are needed and 1 left"
    )


def test_the_waits_of_the_gone_and_waits_for_anybody_are_left_out() -> None:
    assert blocked_by_gone(by_agent([waits("bob", "cy"), waits("ann", "")]), GONE) == ()


def test_with_nobody_gone_nothing_is_hopeless() -> None:
    assert blocked_by_gone(by_agent([waits("ann", "bob", needed=2)]), {}) == ()
    assert blocked_by_gone(by_agent([waits("ann", "dee", needed=2)]), GONE) == ()


def test_hopeless_waits_come_in_the_order_of_the_agents_and_name_a_few() -> None:
    gone = {AgentId(f"g{n:02}"): "killed" for n in range(12)}
    found = blocked_by_gone(by_agent([waits("zed", " ".join(gone)), waits("ann", "g00")]), gone)
    assert [hopeless.waiter.agent for hopeless in found] == ["ann", "zed"]
    assert found[1].why.endswith("g09 is gone: killed; and 2 more are gone")


def test_what_a_blocked_wait_rests_on_are_the_waits_of_those_that_cannot_act() -> None:
    ann, other, cy = waits("ann", "cy"), waits("ann", "bob"), waits("cy", "bob")
    able, far = waits("dan", "eve"), waits("fay", "gus")
    found = blocked_with(by_agent([ann, other, cy, able, far]), waits("bob", "ann"))
    assert found is not None
    assert {agent: list(of) for agent, of in found.items() if agent != "bob"} == {"ann": [ann, other], "cy": [cy]}
    assert blocked_with(by_agent([ann, cy, able]), waits("bob", "dan")) is None
