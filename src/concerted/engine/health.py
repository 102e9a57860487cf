"""How agents are: judged by the age of their heartbeats; those that send none are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from concerted.engine.outbox import Sent
from concerted.engine.roster import Member, Roster
from concerted.fleet.liveness import Thresholds, judge
from concerted.messages import Beat, Envelope, GetStatus, Reply, encode_request, request_type
from concerted.values import AgentStatus

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Health"]

_STATUS = encode_request(GetStatus())
_STATUS_TYPE = request_type(GetStatus())


class Health:
    """Looks after the agents of one roster."""

    def __init__(self, coordinator: Coordinator, roster: Roster) -> None:
        self._of = coordinator
        self._roster = roster
        settings = coordinator.config
        self._threshold = settings.strategies.leader_follower.failover_threshold
        self._beat_s = float(settings.manager.heartbeat_interval)
        self._check_s = float(settings.manager.health_check_interval)

    def look(self) -> None:
        """Judge everybody by the age of the last heartbeat; ask those that send none how they are."""
        now = self._of.loop.time()
        for member in list(self._roster.members.values()):
            link = member.link
            if (link is not None and link.in_process) or member.state == "gone":
                continue
            pushes = link is None or link.pushes_beats
            interval = self._beat_s if pushes else self._check_s
            if not pushes and not member.asking and now - member.asked_at >= interval:
                self._ask_status(member, now)
            state = judge(now - member.beat_at, Thresholds(interval, self._threshold))
            if state != "alive":
                self._roster.worse(member, state, f"no heartbeat for {now - member.beat_at:.1f} s")

    def _ask_status(self, member: Member, now: float) -> None:
        member.asking, member.asked_at = True, now
        number = self._of.asker.next_message_id()
        agent = member.profile.id

        def take(reply: Reply) -> None:
            member.asking = False
            if reply.ok:
                try:
                    status = msgspec.convert(reply.value, AgentStatus)
                except msgspec.ValidationError as error:
                    self._roster.fault(member, "bad_status", str(error))
                    return
                self._roster.beat(member, Beat(agent=agent, status=status))

        envelope = Envelope(
            id=number, type=_STATUS_TYPE, destination=agent, payload=msgspec.Raw(_STATUS),
            timestamp=self._of.clock.now(), idempotency_key=number,
        )  # fmt: skip
        self._of.outbox.send([Sent(envelope, take, deadline=now + self._check_s)])
