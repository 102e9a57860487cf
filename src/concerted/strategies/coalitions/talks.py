"""The talks of a coalition's members over who gets what: offers shown to all, until all accept or no round is left.

bisect: shares --PROPOSE_DIVISION--> yes, no, a share that would do --> other shares ... agreed | stable | exhausted
alternate: a proposer --REQUEST_DIVISION--> shares --PROPOSE_DIVISION--> yes | no --> the next proposer ...
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

import msgspec

from concerted.config.settings import Coalition as CoalitionSettings
from concerted.errors import Invalid
from concerted.groups.bargaining import (
    Answer,
    Bargain,
    Offers,
    answered,
    equilibrium_offer,
    heard,
    open_bargain,
    open_offers,
    proposed,
)
from concerted.messages import ProposeDivision, Reply, RequestDivision
from concerted.run import Run
from concerted.values import AgentId, Task

__all__ = ["Talks", "read_reply"]


class _Said(msgspec.Struct, frozen=True):
    """An answer to an offer."""

    accepted: bool
    share: float | None = None


class Talks:
    """The talks over one coalition.  name: the coalition's.  alone: member -> what it has without the others."""

    def __init__(
        self, run: Run, rules: CoalitionSettings, name: str, task: Task, alone: Mapping[AgentId, float]
    ) -> None:  # fmt: skip
        self.run = run
        self.rules = rules
        self.name = name
        self.task = task
        self.alone = dict(alone)

    async def bisect(self, first: Mapping[AgentId, float]) -> Bargain:
        """Show the members shares, beginning with the first, between what was refused and what is enough."""
        mode: Literal["bisection", "specification"] = "bisection"
        if self.rules.bargaining == "specification":
            mode = "specification"
        bargain = open_bargain(first, self.alone, self.rules.profit_sharing_rounds, mode)
        while bargain.status == "open":
            bargain = heard(bargain, await self._hear(bargain.shares, len(bargain.rounds) + 1))
        return bargain

    async def alternate(self, total: float) -> Offers:
        """Let the members propose in turn; who proposes nothing sound has the equilibrium proposed in its name."""
        discounts = dict.fromkeys(self.alone, self.rules.discount)
        offers = open_offers(tuple(self.alone), total, discounts, self.alone, self.rules.profit_sharing_rounds)
        while offers.status == "open":
            best, number = equilibrium_offer(offers), len(offers.rounds) + 1
            question = RequestDivision(
                coalition=self.name, task=self.task, total=offers.total, suggestion=best, alone=self.alone, round=number
            )
            reply = await self.run.ask(offers.proposer, question, deadline=self.rules.answer_timeout)
            try:
                offers = proposed(offers, offers.proposer, msgspec.convert(reply.value, dict[AgentId, float]))
            except (msgspec.ValidationError, Invalid):
                offers = proposed(offers, offers.proposer, best)
            offers = answered(offers, await self._hear(offers.shares, number))
        return offers

    async def _hear(self, shares: Mapping[AgentId, float], number: int) -> list[Answer]:
        """Show an offer to all members; an answer of another form counts as none."""
        request = ProposeDivision(
            coalition=self.name, task=self.task, shares=dict(shares), alone=self.alone, round=number
        )
        replies = await self.run.gather(sorted(shares), request, deadline=self.rules.answer_timeout)
        answers = []
        for reply in replies:
            said = read_reply(reply, _Said)
            if reply.status == "refused":
                said = _Said(accepted=False)
            if said is not None:
                share = said.share if said.share is not None and isfinite(said.share) else None
                answers.append(Answer(reply.agent, said.accepted, share))
        return answers


def read_reply(reply: Reply, kind: type[Any]) -> Any:
    """Read an answer; None if there is none, or one of another form."""
    if not reply.ok:
        return None
    try:
        return msgspec.convert(reply.value, kind)
    except msgspec.ValidationError:
        return None
