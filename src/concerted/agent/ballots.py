"""How an agent's judgement gets to the group that keeps the decision, also while no coordinator is there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec

from concerted.agent.abilities import Abilities
from concerted.errors import ConcertedError
from concerted.messages import Judge, Judgement, Request

__all__ = ["JUDGE", "Ballots"]

JUDGE = str(Judge.__struct_config__.tag)
LONGEST_S = 3600.0  # how long a ballot without a deadline is tried


class Ballots:
    """The ballots of one agent that are on their way to groups of replicas."""

    def __init__(self) -> None:
        self._casting: set[asyncio.Task[None]] = set()

    def judged(self, agent: Abilities, request: Request, value: Any) -> None:
        """Bring a judgement also to the replicas that keep the decision, if any do."""
        if isinstance(request, Judge) and request.group is not None:
            casting = asyncio.get_running_loop().create_task(_cast(agent, request, value))
            self._casting.add(casting)
            casting.add_done_callback(self._casting.discard)

    def stop(self) -> list[asyncio.Task[None]]:
        """Cast nothing more; return what was called off."""
        for casting in self._casting:
            casting.cancel()
        return list(self._casting)


async def _cast(agent: Abilities, request: Judge, value: Any) -> None:
    """Cast the ballot that an agent has answered with, with the replicas themselves; the coordinator does it too.

    Whichever comes first counts, and the other is the same.  What is refused (it is closed, or no ballot at all) is
    told to the coordinator, which asks; here nobody could do anything about it.
    """
    from concerted.ports.decisions import CastBallot
    from concerted.replicas.clients.speaking import client_for
    from concerted.replicas.spec import Group

    with contextlib.suppress(ConcertedError, msgspec.ValidationError):
        judgement = Judgement(choice=value) if isinstance(value, str) else msgspec.convert(value, Judgement)
        ballot = CastBallot(
            id=request.decision,
            agent=agent.id,
            choice=judgement.choice,
            reason=judgement.reason,
            signature=judgement.signature,
        )
        group = msgspec.convert(request.group, Group, str_keys=True)
        hosted = agent.hosted.key_of(group.id)
        name, key = (agent.id, None) if hosted is None else hosted
        client = client_for(group, name, key)
        left_s = LONGEST_S if request.closes_at is None else max(0.0, request.closes_at - time.time())
        try:
            await client.do(ballot, agent=agent.id, timeout_s=left_s)
        finally:
            await client.close()
