"""The consensus-based bundle algorithm: agents that share tasks out by talking."""

import pytest

from concerted.allocation.market.cbba import CbbaAgent, CbbaMessage
from concerted.errors import Invalid
from concerted.values import AgentId, TaskId

WORTH = {"ann": {"dig": 9.0, "sow": 8.0}, "bob": {"dig": 7.0, "sow": 2.0}}


def agent(name: str, most: int = 2) -> CbbaAgent:
    return CbbaAgent(AgentId(name), map(TaskId, WORTH[name]), lambda _bundle, task: WORTH[name][task], most)


def test_an_agent_alone_takes_what_it_bids_the_most_for_first() -> None:
    ann = agent("ann")
    said = ann.step()
    assert ann.bundle == ["dig", "sow"]
    assert said == CbbaMessage(AgentId("ann"), 1, {"dig": ("ann", 9.0), "sow": ("ann", 8.0)}, {"ann": 1})


def test_an_agent_takes_no_more_than_it_may_and_nothing_that_it_does_not_want() -> None:
    assert agent("ann", most=1).step().claims == {"dig": ("ann", 9.0)}
    picky = CbbaAgent(AgentId("cy"), [TaskId("dig"), TaskId("sow")], lambda _, task: float(task == "sow"), 5)
    picky.step()
    assert picky.bundle == ["sow"]


def test_who_is_outbid_gives_back_that_task_and_all_after_it() -> None:
    ann, bob = agent("ann", most=1), agent("bob")
    said = ann.step()
    bob.step()
    assert bob.bundle == ["dig", "sow"]
    assert bob.step([said]).claims == {"dig": ("ann", 9.0), "sow": ("bob", 2.0)}
    assert bob.bundle == ["sow"], "given back with dig, and taken again on its own"


def test_two_agents_that_hear_each_other_agree() -> None:
    ann, bob = agent("ann", most=1), agent("bob")
    of_ann, of_bob = ann.step(), bob.step()
    for _ in range(3):
        of_ann, of_bob = ann.step([of_bob]), bob.step([of_ann])
    assert ann.claims == bob.claims == {"dig": ("ann", 9.0), "sow": ("bob", 2.0)}
    assert (ann.bundle, bob.bundle) == (["dig"], ["sow"])


def test_an_old_or_repeated_message_changes_nothing() -> None:
    ann, bob = agent("ann"), agent("bob")
    first, second = ann.step(), ann.step()
    bob.step([second])
    assert bob.step([first, second, second]).claims == second.claims


def test_of_equal_bids_the_smaller_name_wins() -> None:
    one, other = (CbbaAgent(AgentId(name), [TaskId("dig")], lambda _, __: 5.0, 1) for name in ("ann", "bob"))
    of_one, of_other = one.step(), other.step()
    assert one.step([of_other]).claims == other.step([of_one]).claims == {"dig": ("ann", 5.0)}


def test_what_is_worth_more_the_more_there_is_is_not_bid_for_above_what_came_before() -> None:
    eager = CbbaAgent(AgentId("ann"), [TaskId("dig"), TaskId("sow")], lambda bundle, _: 1.0 + len(bundle), 2)
    assert eager.step().claims == {"dig": ("ann", 1.0), "sow": ("ann", 1.0)}


def test_what_an_agent_that_is_gone_had_won_is_free_again() -> None:
    ann, bob = agent("ann"), agent("bob")
    said = ann.step()
    bob.step([said])
    assert bob.bundle == []
    bob.forget(AgentId("ann"))
    assert bob.step([said]).claims == {"dig": ("bob", 7.0), "sow": ("bob", 2.0)}


def test_a_negative_number_of_tasks_is_refused() -> None:
    with pytest.raises(Invalid, match="ann: it takes -1 tasks; it must be at least 0"):
        agent("ann", most=-1)
