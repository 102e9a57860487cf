"""Commands on their way: delivered at least once, watched until they are answered or nobody waits.

    sent --reply--> closed
    sent --no reply, and the agent is not at work on it--> sent again, under the same key
    sent --its deadline passes--> timeout (asks outside a run; inside, the run's own timer says so)
    claimed --no heartbeat for lease_s--> expired

Everything a command waits for is one entry in a wheel of 50 ms slots, so that a command answered at
once costs two dictionary operations and no timer of its own.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from concerted.config.settings import ManagerSettings
from concerted.messages import Envelope, Reply
from concerted.ports.link import Link
from concerted.values import AgentId, RunId

__all__ = ["Carrier", "Outbox", "Sent"]

SLOT_S = 0.05  # how finely the wheel divides time


@dataclass(slots=True)
class Sent:
    """One command on its way.  All instants are of the monotonic clock.

    take: gets the one reply.  expired: called instead, once, if the lease ends without a heartbeat.
    """

    envelope: Envelope
    take: Callable[[Reply], None]
    deadline: float | None = None
    lease_s: float | None = None
    expired: Callable[[], None] | None = None
    lease_until: float = 0.0
    again_at: float = 0.0
    tries: int = 0
    slot: int = -1


class Carrier(Protocol):
    """What the outbox needs of the roster."""

    def link_of(self, agent: AgentId) -> Link | None:
        """Return the agent's link, None while it has none."""

    def refusal(self, agent: AgentId) -> str | None:
        """Say why nothing can be sent to this agent now, None if it can."""

    def asked(self, agent: AgentId) -> None:
        """Take note that a command, which will be answered or not, leaves for the agent."""

    def timed_out(self, agent: AgentId) -> None:
        """Count an unanswered command against the agent."""

    def answered(self, agent: AgentId) -> None:
        """Count an answered command in the agent's favour."""


class Outbox:
    """All open commands of one coordinator, by key."""

    def __init__(self, loop: asyncio.AbstractEventLoop, carrier: Carrier, settings: ManagerSettings) -> None:
        self._loop = loop
        self._carrier = carrier
        self._first_s = float(settings.redelivery_interval)
        self._longest_s = float(settings.max_redelivery_interval)
        self.open: dict[str, Sent] = {}
        self.redelivered = 0
        self._slots: dict[int, dict[str, Sent]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = -1

    def send(self, batch: Iterable[Sent], notices: Iterable[Envelope] = ()) -> None:
        """Deliver commands and notices; those to one agent travel as one batch, in order."""
        by_agent: dict[AgentId, list[Envelope]] = {}
        for notice in notices:
            by_agent.setdefault(notice.destination, []).append(notice)
        for sent in batch:
            self.open[sent.envelope.idempotency_key] = sent
            by_agent.setdefault(sent.envelope.destination, []).append(sent.envelope)
            self._schedule(sent, self._loop.time())
        for agent, envelopes in by_agent.items():
            self._hand_over(agent, envelopes)

    def close(self, key: str) -> Sent | None:
        """Forget a command: it is answered, or nobody waits for it any more."""
        sent = self.open.pop(key, None)
        if sent is not None:
            slot = self._slots.get(sent.slot)
            if slot is not None:
                slot.pop(key, None)
        return sent

    def replied(self, reply: Reply) -> bool:
        """Take a reply to its command; False if the command is not (or no longer) open."""
        sent = self.open.get(reply.key)
        if sent is None or sent.envelope.destination != reply.agent:
            return False
        if reply.status == "refused" and not reply.cached and 0 < reply.epoch < sent.envelope.epoch:
            return True  # it refused what an older coordinator sent; ours will come to it, or come again
        self.close(reply.key)
        self._carrier.answered(reply.agent)
        sent.take(reply)
        return True

    def renew(self, agent: AgentId, keys: Iterable[str]) -> None:
        """Renew the leases of the commands that an agent says it is at work on."""
        now = self._loop.time()
        for key in keys:
            sent = self.open.get(key)
            if sent is not None and sent.lease_s is not None and sent.envelope.destination == agent:
                sent.lease_until = now + sent.lease_s

    def agent_lost(self, agent: AgentId, reason: str, told: Collection[RunId] = ()) -> None:
        """Answer `lost` to what was open with an agent that is gone.  told: runs that know it by themselves."""
        for sent in [sent for sent in self.open.values() if sent.envelope.destination == agent]:
            self.close(sent.envelope.idempotency_key)
            if sent.envelope.coordination_id in told:
                continue
            sent.take(_lost(agent, sent.envelope.idempotency_key, reason))

    def agent_back(self, agent: AgentId) -> None:
        """Deliver again what is open with an agent that has (re)appeared, but for what it has in hand."""
        link = self._carrier.link_of(agent)
        waiting = [
            sent.envelope
            for key, sent in self.open.items()
            if sent.envelope.destination == agent and not (link is not None and link.holds(key))
        ]
        if waiting:
            self._hand_over(agent, waiting)

    def stop(self) -> None:
        """Deliver nothing more; who asked outside a run is told, runs go on elsewhere."""
        if self._timer is not None:
            self._timer.cancel()
        left, self.open = self.open, {}
        self._slots.clear()
        for key, sent in left.items():
            if sent.deadline is not None:
                sent.take(_lost(sent.envelope.destination, key, "the coordinator has stopped"))

    def _hand_over(self, agent: AgentId, envelopes: list[Envelope]) -> None:
        refusal = self._carrier.refusal(agent)
        if refusal is not None:
            for envelope in envelopes:
                sent = self.close(envelope.idempotency_key)
                if sent is not None:
                    sent.take(_lost(agent, envelope.idempotency_key, refusal))
            return
        link = self._carrier.link_of(agent)
        if link is not None:
            if any(envelope.idempotency_key for envelope in envelopes):
                self._carrier.asked(agent)
            link.send(envelopes)

    # the wheel

    def _schedule(self, sent: Sent, now: float) -> None:
        if sent.tries == 0:
            sent.tries = 1
            sent.again_at = now + self._first_s
            if sent.lease_s is not None:
                sent.lease_until = now + sent.lease_s
        next_at = sent.again_at
        if sent.deadline is not None and sent.deadline < next_at:
            next_at = sent.deadline
        if sent.lease_s is not None and sent.lease_until < next_at:
            next_at = sent.lease_until
        number = int(next_at / SLOT_S) + 1
        sent.slot = number
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = {}
            heapq.heappush(self._order, number)
            self._arm()
        slot[sent.envelope.idempotency_key] = sent

    def _arm(self) -> None:
        first = self._order[0]
        if self._timer is not None:
            if self._armed_for <= first:
                return
            self._timer.cancel()
        self._armed_for = first
        self._timer = self._loop.call_at(first * SLOT_S, self._turn)

    def _turn(self) -> None:
        """Look at everything in the slots that have come."""
        self._timer = None
        now = self._loop.time()
        while self._order and self._order[0] * SLOT_S <= now:
            for sent in list(self._slots.pop(heapq.heappop(self._order), {}).values()):
                if sent.envelope.idempotency_key in self.open:
                    self._look_at(sent, now)
        if self._order:
            self._arm()

    def _look_at(self, sent: Sent, now: float) -> None:
        key, agent = sent.envelope.idempotency_key, sent.envelope.destination
        if sent.deadline is not None and sent.deadline <= now:
            self.close(key)
            self._carrier.timed_out(agent)
            sent.take(Reply(agent=agent, status="timeout", key=key))
            return
        link = self._carrier.link_of(agent)
        held = link is not None and link.holds(key)
        if sent.lease_s is not None:
            if held and link is not None and not link.pushes_beats:
                sent.lease_until = now + sent.lease_s
            elif sent.lease_until <= now and sent.expired is not None:
                self.close(key)
                sent.expired()
                return
        if sent.again_at <= now:
            if not held:
                self.redelivered += 1
                sent.tries += 1
                self._hand_over(agent, [sent.envelope])
            wait_s = min(self._first_s * 2 ** min(sent.tries - 1, 16), self._longest_s)
            sent.again_at = now + wait_s
        if key in self.open:
            self._schedule(sent, now)


def _lost(agent: AgentId, key: str, reason: str) -> Reply:
    return Reply(agent=agent, status="lost", error=reason, key=key)
