"""The talk by which agents share tasks out without an auctioneer: each round everybody is told, and says, what is new.

The run carries what is said from neighbour to neighbour and judges nothing; every answer is an input of the log, so a
coordinator that takes over goes on in the middle of the talk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from concerted.allocation.market.gossip import Stake, Talk, neighbours_of
from concerted.config.settings import Auction
from concerted.messages import Claims, Reply, ShareOut
from concerted.run import Run
from concerted.values import AgentId, TaskId

__all__ = ["share_out"]


async def share_out(
    run: Run, rules: Auction, auction: str, tasks: tuple[TaskId, ...], stakes: Mapping[AgentId, Stake]
) -> Talk:
    """Let agents talk until they agree, at most `gossip_rounds`; who is lost or silent for long is left out."""
    talk = Talk(auction, tasks, stakes, neighbours_of(sorted(stakes)))
    while talk.present and not talk.is_agreed and talk.rounds < rules.gossip_rounds:
        talk.rounds += 1
        for agent in talk.present:
            if agent not in run.agents:
                talk.forget(agent, "it is gone")
        requests = {agent: talk.request(agent) for agent in talk.present}
        asks = [run.ask(agent, request, deadline=rules.gossip_timeout) for agent, request in requests.items()]
        for (agent, request), reply in zip(requests.items(), await asyncio.gather(*asks), strict=True):
            wrong = _hear(talk, request, agent, reply)
            if wrong:
                talk.miss(agent, wrong)
    run.record(
        "auction.shared", ref=auction, rounds=talk.rounds, agreed=talk.is_agreed, agents=talk.present, gone=talk.gone
    )
    return talk


def _hear(talk: Talk, request: ShareOut, agent: AgentId, reply: Reply) -> str:
    """Take an answer up; return what is wrong with it, '' if nothing is."""
    if not reply.ok:
        return f"{reply.status}: {reply.error}" if reply.error else reply.status
    try:
        claims = msgspec.convert(reply.value, Claims)
    except msgspec.ValidationError as error:
        return f"its answer is no claims: {error}"
    return talk.hear(request, agent, claims)
