"""Talks over shares, with members who say what they are told to; test_coalition.py has whole runs."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from concerted.config.settings import Coalition
from concerted.messages import ProposeDivision, Reply, RequestDivision
from concerted.strategies.coalitions.talks import Talks, read_reply
from concerted.values import AgentId, Task, TaskId

DEAL = Task(id=TaskId("deal"))
FIRST = {AgentId("ann"): 50.0, AgentId("bob"): 50.0}
ALONE = dict.fromkeys(FIRST, 0.0)


class Table:
    """As much of a run as is asked here.  offers: what was shown; suggestions: what proposers were told."""

    def __init__(self, answer: Callable[[str, float], Any], proposal: Any = None) -> None:
        self._answer, self._proposal = answer, proposal
        self.offers: list[dict[str, float]] = []
        self.proposers: list[str] = []

    async def gather(self, agents: list[AgentId], request: ProposeDivision, *, deadline: float) -> list[Reply]:
        self.offers.append(dict(request.shares))
        said = [(agent, self._answer(agent, request.shares[agent])) for agent in agents]
        return [
            Reply(agent=agent, status="timeout") if value is None else Reply(agent=agent, status="ok", value=value)
            for agent, value in said
        ]

    async def ask(self, agent: AgentId, request: RequestDivision, *, deadline: float) -> Reply:
        self.proposers.append(agent)
        return Reply(agent=agent, status="ok", value=self._proposal or request.suggestion)


def talks(table: Table, **rules: Any) -> Talks:
    return Talks(table, Coalition(**rules), "r/deal/1", DEAL, ALONE)  # type: ignore[arg-type]


def test_it_is_over_when_all_accept() -> None:
    table = Table(lambda agent, share: {"accepted": True})
    bargain = asyncio.run(talks(table).bisect(FIRST))
    assert (bargain.status, table.offers) == ("agreed", [FIRST])


def test_what_a_member_names_is_offered_to_it() -> None:
    table = Table(
        lambda agent, share: {"accepted": agent != "bob" or share >= 70.0, "share": 70.0 if agent == "bob" else None}
    )
    bargain = asyncio.run(talks(table).bisect(FIRST))
    assert bargain.status == "agreed"
    assert table.offers[-1]["bob"] >= 70.0
    assert sum(table.offers[-1].values()) == pytest.approx(100.0)


@pytest.mark.parametrize("answer", [None, "yes", {"accepted": "perhaps"}])
def test_what_is_no_answer_is_no_consent(answer: Any) -> None:
    table = Table(lambda agent, share: answer)
    bargain = asyncio.run(talks(table, profit_sharing_rounds=2).bisect(FIRST))
    assert bargain.status != "agreed"
    assert len(table.offers) <= 2


def test_members_propose_in_turn_until_one_offer_is_accepted() -> None:
    rounds = iter([False, False, True, True])
    table = Table(lambda agent, share: {"accepted": next(rounds)})
    offers = asyncio.run(talks(table).alternate(100.0))
    assert (offers.status, table.proposers) == ("agreed", ["ann", "bob"])


def test_an_unsound_proposal_is_replaced_by_the_equilibrium() -> None:
    table = Table(lambda agent, share: {"accepted": True}, proposal={"ann": 1_000.0})
    offers = asyncio.run(talks(table).alternate(100.0))
    assert offers.status == "agreed"
    assert sum(offers.shares.values()) == pytest.approx(100.0)


def test_a_reply_of_another_form_reads_as_none() -> None:
    assert read_reply(Reply(agent=AgentId("ann"), status="ok", value={"a": 1}), float) is None
    assert read_reply(Reply(agent=AgentId("ann"), status="lost"), float) is None
    assert read_reply(Reply(agent=AgentId("ann"), status="ok", value=2.5), float) == 2.5
