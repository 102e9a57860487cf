"""Who is here: the agents, how they are reached, and how they are, from their heartbeats.

Implements `ports.link.LinkEvents` towards the links, by way of `Ears`.  A change of state is a row in the
agent's own stream; what a run must know comes to it as an input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.config.plan import AgentSpec
from concerted.errors import ConcertedError, Conflict, NotFound
from concerted.fleet.breaker import Breaker
from concerted.fleet.capabilities import Cached
from concerted.kinds import agent_stream
from concerted.messages import Beat, Reply
from concerted.ports.commands import AgentView
from concerted.ports.link import Link
from concerted.ports.store import AgentRecord, Row
from concerted.values import AgentId, AgentState, Profile, encode

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Ears", "Member", "Roster"]


@dataclass(slots=True, eq=False)
class Member:
    """One agent.  beat_at: monotonic; cached: what it last said to GET_CAPABILITIES."""

    profile: Profile
    link: Link | None
    kind: str
    spec: AgentSpec | None
    beat_at: float
    breaker: Breaker
    state: AgentState = "alive"
    load: float = 0.0
    reason: str = ""
    asking: bool = False
    asked_at: float = 0.0
    cached: Cached | None = None


class Roster:
    """The agents of one coordinator, by id."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self.members: dict[AgentId, Member] = {}

    # coming and going

    async def register(self, profile: Profile, link: Link, *, kind: str, spec: AgentSpec | None = None) -> None:
        """Make an agent known under its profile, reached by `link`; one that was known gets the new link.

        What was open with it stays open and is delivered again: its inbox knows what it has done.

        Raises:
            Unreachable: the link cannot be opened.
        """
        self._of.check()
        known = self.members.get(profile.id)
        if known is not None and known.link is not None:
            await known.link.close("it has registered anew")
        member = Member(profile, link, kind, spec, self._now(), self._new_breaker())
        self.members[profile.id] = member
        try:
            await link.open(Ears(self, member))
        except ConcertedError as error:
            del self.members[profile.id]
            if known is not None:
                self._unreachable(known, error.message)
            raise
        record = await self._record(profile.id)
        if record is None or record.state != "alive" or not _says(record, profile, kind, spec):
            data = {"profile": profile, "link": kind, "spec": spec}
            await self._of.rounds.write([self._row("agent.registered", profile.id, data)])
        if known is None or known.state == "gone":
            self._of.participants.joined(profile)
        elif known.profile != profile:
            self._of.participants.changed(profile)
        self._of.outbox.agent_back(profile.id)

    async def register_specs(self, specs: Iterable[AgentSpec]) -> None:
        """Start and register the agents of a plan; one that runs already by the same spec is left as it is.

        Raises:
            Conflict: an agent of this name is here, and is another one.
        """
        for spec in specs:
            known = self.members.get(spec.profile.id)
            if known is not None and known.spec == spec and known.state != "gone":
                continue
            if known is not None and known.spec is None and known.link is not None and known.state != "gone":
                raise Conflict(
                    f"agent {spec.profile.id} is registered already and came by itself; give yours another id",
                    agent=spec.profile.id,
                )
            await self.register(spec.profile, self._of.world.open_link(spec), kind=spec.kind, spec=spec)

    async def leave(self, agent: AgentId, reason: str) -> None:
        """Take an agent out: it has said goodbye.

        Raises:
            NotFound: nobody of this name is registered.
        """
        member = self.members.pop(agent, None)
        if member is None:
            raise NotFound(f"nobody is registered as {agent!r}", agent=agent)
        if member.link is not None:
            await member.link.close(reason)
        record = await self._record(agent)
        if record is None or record.state != "gone":
            await self._of.rounds.write([self._row("agent.left", agent, {"reason": reason})])
        self._of.participants.lost(agent, reason)

    def expect(self, records: Iterable[AgentRecord]) -> None:
        """Await agents known from the log: until they come (or their heartbeat time is over) nothing is lost."""
        for record in records:
            if record.id in self.members:
                continue
            profile = msgspec.json.decode(record.profile, type=Profile)
            spec = msgspec.json.decode(record.spec, type=AgentSpec | None)
            reason = "not seen yet since the takeover"
            self.members[record.id] = Member(
                profile, None, record.link, spec, self._now(), self._new_breaker(), state="suspect", reason=reason
            )

    async def reopen(self, record: AgentRecord) -> None:
        """Start an agent again as its spec says; one without a spec must come by itself."""
        spec = msgspec.json.decode(record.spec, type=AgentSpec | None)
        if spec is None:
            return
        try:
            await self.register(spec.profile, self._of.world.open_link(spec), kind=spec.kind, spec=spec)
        except ConcertedError as error:
            profile = msgspec.json.decode(record.profile, type=Profile)
            self.members[record.id] = Member(
                profile,
                None,
                record.link,
                spec,
                self._now(),
                self._new_breaker(),
                state="suspect",
                reason=error.message,
            )
            await self._of.rounds.write(
                [self._row("agent.fault", record.id, {"fault": "cannot_start", "detail": error.message})]
            )

    async def close(self, reason: str) -> None:
        """Close all links."""
        for member in list(self.members.values()):
            if member.link is not None:
                await member.link.close(reason)

    def views(self) -> list[AgentView]:
        """Return everybody, by id."""
        now = self._now()
        holding: dict[AgentId, int] = {}
        for sent in self._of.outbox.open.values():
            agent = sent.envelope.destination
            holding[agent] = holding.get(agent, 0) + 1
        return [
            AgentView(
                id=agent,
                state=member.state,
                link=member.kind,
                capabilities=member.profile.capabilities,
                capacity=member.profile.capacity,
                age_s=None if member.link is not None and member.link.in_process else round(now - member.beat_at, 3),
                load=member.load,
                holding=holding.get(agent, 0),
                reason=member.reason,
            )
            for agent, member in sorted(self.members.items())
        ]

    def known_answer(self, agent: AgentId) -> Any:
        """Return what the agent lately said to GET_CAPABILITIES, None if that is too long ago."""
        member = self.members.get(agent)
        if member is None or member.cached is None or not member.cached.fresh(self._now()):
            return None
        return member.cached.answer

    def learn(self, agent: AgentId, answer: Any) -> None:
        """Keep an answer to GET_CAPABILITIES for `manager.capability_ttl`."""
        member = self.members.get(agent)
        if member is not None:
            member.cached = Cached(answer, self._now() + float(self._of.config.manager.capability_ttl))

    # what the links report, by way of their Ears

    def beat(self, member: Member, beat: Beat) -> None:
        """Take a heartbeat."""
        member.beat_at = self._now()
        if beat.status is not None:
            member.load = beat.status.load
        if beat.running:
            self._of.outbox.renew(member.profile.id, beat.running)
        if member.state != "alive":
            self._better(member)

    def suspected(self, member: Member, reason: str) -> None:
        """Take note that the agent may be in trouble."""
        self.worse(member, "suspect", reason)

    def lost(self, member: Member, reason: str) -> None:
        """Take note that what the agent held is free again; the agent itself may come back."""
        self.worse(member, "gone", reason)

    def left(self, agent: AgentId, reason: str) -> None:
        """Take an agent out that has said goodbye."""
        self._of.errand(self.leave(agent, reason))

    def returned(self, member: Member) -> None:
        """Take note that the agent is reachable again."""
        member.beat_at = self._now()
        if member.state != "alive":
            self._better(member)

    def fault(self, member: Member, fault: str, detail: str) -> None:
        """Record misbehaviour."""
        self.write("agent.fault", member, {"fault": fault, "detail": detail[:1000]})

    def changed(self, member: Member, profile: Profile) -> None:
        """Take an agent's new profile."""
        if profile == member.profile or profile.id != member.profile.id:
            return
        member.profile, member.cached = profile, None
        self.write("agent.changed", member, {"profile": profile})
        self._of.participants.changed(profile)

    def replied(self, reply: Reply) -> None:
        """Take an answer; one to nothing open is late or unknown."""
        if not self._of.outbox.replied(reply):
            self._of.latecomers.take(reply)

    def worse(self, member: Member, state: AgentState, reason: str) -> None:
        """Take note that an agent is suspect or gone; what it held is lost with it."""
        if member.state in (state, "gone"):
            return
        member.state, member.reason = state, reason
        age = round(self._now() - member.beat_at, 3)
        self.write(f"agent.{state}", member, {"reason": reason, "age_s": age})
        if state == "gone":
            self._of.participants.lost(member.profile.id, reason)

    def _better(self, member: Member) -> None:
        was_gone = member.state == "gone"
        member.state, member.reason = "alive", ""
        self.write("agent.alive", member, {})
        if was_gone:
            self._of.participants.joined(member.profile)
        self._of.outbox.agent_back(member.profile.id)

    def _unreachable(self, known: Member, reason: str) -> None:
        """Go back to the agent as it was known; its old link is closed, so whoever worked with it hears of it."""
        self.members[known.profile.id] = known
        if known.link is not None:
            known.link = None
            self.worse(known, "gone", reason)

    def write(self, kind: str, member: Member, data: dict[str, Any]) -> None:
        """Write a fact about an agent into its stream."""
        self._of.errand(self._of.rounds.write([self._row(kind, member.profile.id, data)]))

    def _row(self, kind: str, agent: AgentId, data: dict[str, Any]) -> Row:
        return Row(stream=agent_stream(agent), at=self._of.clock.now(), kind=kind, agent=agent, data=encode(data))

    async def _record(self, agent: AgentId) -> AgentRecord | None:
        """Return what other nodes may have written of an agent that comes to all of them; None if there are none."""
        return await self._of.store.get(AgentRecord, agent) if self._of.store.shared else None

    def _new_breaker(self) -> Breaker:
        manager = self._of.config.manager
        return Breaker(failures=manager.breaker_failures, cooldown_s=float(manager.breaker_cooldown))

    def _now(self) -> float:
        return self._of.loop.time()


class Ears:
    """`LinkEvents` for one link: what it reports counts only as long as it is its agent's link."""

    __slots__ = ("_member", "_roster", "replied")

    def __init__(self, roster: Roster, member: Member) -> None:
        self._roster = roster
        self._member = member
        self.replied = roster.replied

    def beat(self, beat: Beat) -> None:
        """Pass a heartbeat on."""
        if self._counts():
            self._roster.beat(self._member, beat)

    def suspected(self, agent: AgentId, reason: str) -> None:  # noqa: ARG002
        """Pass a suspicion on."""
        if self._counts():
            self._roster.suspected(self._member, reason)

    def lost(self, agent: AgentId, reason: str) -> None:  # noqa: ARG002
        """Pass a loss on."""
        if self._counts():
            self._roster.lost(self._member, reason)

    def left(self, agent: AgentId, reason: str) -> None:
        """Pass a goodbye on."""
        if self._counts():
            self._roster.left(agent, reason)

    def returned(self, agent: AgentId) -> None:  # noqa: ARG002
        """Pass a return on."""
        if self._counts():
            self._roster.returned(self._member)

    def fault(self, agent: AgentId, fault: str, detail: str) -> None:  # noqa: ARG002
        """Pass misbehaviour on."""
        if self._counts():
            self._roster.fault(self._member, fault, detail)

    def changed(self, profile: Profile) -> None:
        """Pass a new profile on."""
        if self._counts():
            self._roster.changed(self._member, profile)

    def _counts(self) -> bool:
        return self._roster.members.get(self._member.profile.id) is self._member


def _says(record: AgentRecord, profile: Profile, kind: str, spec: AgentSpec | None) -> bool:
    """Say whether the log has just this registration already."""
    return (
        record.link == kind
        and msgspec.json.decode(record.profile, type=Profile) == profile
        and msgspec.json.decode(record.spec, type=AgentSpec | None) == spec
    )
