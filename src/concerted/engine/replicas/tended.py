"""One group of replicas that a coordinator tends: it sees to it that they run, and copies what they have kept.

    every so often: how does each stand? --who leads is noted, and who is silent or cut off; who does not answer is
        started again; a host that is to be replaced is, step by step (`replacing`)
    each object that is entrusted to it: its events --as they happen--> the coordinator's own log, until it is over

The group decides without all of this; what is missed while the coordinator is away is copied when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.consensus.replica_group import Accuse, Lead, Release, ReplicaGroup, tolerates
from concerted.consensus.standing import Stand, Standing, picture_of
from concerted.engine.replicas.places import coordinator_key
from concerted.engine.replicas.replacing import replace_host
from concerted.errors import ConcertedError, TimedOut, Unreachable, WrongPhase
from concerted.machine import Copied, Event, Lost
from concerted.messages import HostReplica
from concerted.ports.agreements import GetAgreement
from concerted.ports.decisions import GetDecision
from concerted.ports.primitive import Ask
from concerted.replicas.clients.speaking import client_for
from concerted.replicas.kept import AGREEMENT, KeptEvent
from concerted.replicas.spec import COORDINATOR, Group
from concerted.replicas.status import Status
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["Tended"]

FOLLOW_S = 60.0  # how long one question for news waits
STATUS_S = 1.0  # how long a replica may take to say how it stands
LOOKS: Mapping[str, Callable[..., Ask]] = {"agreement": GetAgreement, "decision": GetDecision}  # what may be over
HOST_S = 10.0  # how long an agent may take to start a replica


class Tended:
    """A group, from `begin` until `close`.

    group: its newest description.  client: what the coordinator asks of it.  dismiss: has replicas that left it ended.
    """

    def __init__(
        self, coordinator: Coordinator, state: ReplicaGroup, folder: str, dismiss: Callable[[str], Awaitable[None]]
    ) -> None:  # fmt: skip
        assert state.group is not None, f"group {state.terms.id} is not formed"
        self.id = state.terms.id
        self.group = msgspec.convert(state.group, Group, str_keys=True)
        self.client = client_for(self.group, COORDINATOR, coordinator_key(folder, self.group.id))
        self._of = coordinator
        self.folder = folder
        self.dismiss = dismiss
        self._again = asyncio.Event()
        self._following: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._picture: Stand | None = None  # how the replicas stand, since `_seen_at`
        self._seen_at = 0.0

    @property
    def hosts(self) -> tuple[AgentId, ...]:
        """The agents beside which its replicas run, those that are joining included."""
        return tuple(self.group.hosts.values())

    def begin(self, streams: Sequence[str]) -> None:
        """See to the replicas from now on, and follow what is theirs."""
        self._looking = self._of.loop.create_task(self._look_round())
        for stream in streams:
            self.follow(stream)

    async def close(self) -> None:
        """Leave them to themselves."""
        tasks = [*self._following.values(), *([self._looking] if self._looking is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.client.close()

    # What they keep

    def follow(self, stream: str) -> None:
        """Copy what happens to an object as it happens, until it is over."""
        if stream not in self._following:
            task = self._of.loop.create_task(self._follow(stream))
            self._following[stream] = task
            task.add_done_callback(lambda _: self._following.pop(stream, None))

    async def copy(self, stream: str, *, timeout_s: float) -> None:
        """Copy all that has happened to an object by now.

        Raises:
            TimedOut: the group does not answer.
        """
        while True:
            known = await self._known(stream)
            events = await self.client.history(stream, known, timeout_s=timeout_s)
            if not events:
                return
            await self._write(stream, known, events)

    async def _follow(self, stream: str) -> None:
        kind, _, id = stream.partition(":")
        with contextlib.suppress(Unreachable, WrongPhase):  # the coordinator ends, and its successor goes on
            while not getattr((await self._of.primitives.host.reach(kind, id)).state, "is_over", False):
                known = await self._known(stream)
                with contextlib.suppress(TimedOut):
                    await self._write(stream, known, await self.client.events(stream, known, timeout_s=FOLLOW_S))
            await self._release(stream)

    async def _release(self, stream: str) -> None:
        """Tell the group that all of something that is over is in our log: it need not keep it for ever."""
        kind, _, id = stream.partition(":")
        look = LOOKS.get(kind)
        state: ReplicaGroup = (await self._of.primitives.host.reach("replica_group", self.id)).state
        if look is None or stream not in state.objects or (self.group.algorithm, kind) == ("paxos", AGREEMENT):
            return
        while True:
            try:
                await self.client.do(look(id=id), is_admin=True, copied=await self._known(stream), timeout_s=FOLLOW_S)
            except TimedOut:
                continue
            except WrongPhase:  # it has left already, and this was not noted
                pass
            break
        await self._of.primitives.host.decide("replica_group", self.id, Release(stream))

    async def _known(self, stream: str) -> int:
        kind, _, id = stream.partition(":")
        state = (await self._of.primitives.host.reach(kind, id)).state
        return 0 if state is None else int(state.length)

    async def _write(self, stream: str, known: int, events: Sequence[KeptEvent]) -> None:
        kind, _, id = stream.partition(":")
        copied = Copied(known + 1, tuple((_event(each), each.at, each.sends) for each in events))
        await self._of.primitives.host.decide(kind, id, copied)

    # The replicas

    async def host_all(self) -> None:
        """Have every replica run that does not, as far as its host is here; who cannot now is asked again later."""
        await asyncio.gather(*(self.host(node) for node in sorted(self.group.replicas)))

    async def host_again(self, agent: AgentId) -> None:
        """Have the replica of an agent that is back run."""
        for node, host in sorted(self.group.hosts.items()):
            if host == agent:
                await self.host(node)

    async def host(self, node: int) -> None:
        """Have one replica run; a host that has lost its files cannot, and is noted as lost."""
        agent = self.group.hosts[node]
        member = self._of.roster.members.get(agent)
        if member is None or member.state == "gone":
            return
        request = HostReplica(group=msgspec.to_builtins(self.group, str_keys=True), node=node, folder=self.folder)
        reply = await self._of.asker.ask(agent, request, deadline=HOST_S)
        if reply.status == "refused":
            with contextlib.suppress(ConcertedError):  # it has ended meanwhile
                await self._of.primitives.host.decide("replica_group", self.id, Lost(agent, str(reply.error)))

    async def _look_round(self) -> None:
        """Note who leads, and have those started again that do not answer."""
        await self.host_all()
        while True:
            self._again.clear()
            try:
                state = await self._renewed()
            except (Unreachable, WrongPhase):  # the coordinator ends, and its successor goes on
                return
            nodes = sorted(self.group.replicas)
            stand = await asyncio.gather(*(self._status(node) for node in nodes))
            known = [each for each in stand if each is not None and each.leader is not None]
            if known:
                newest = max(known, key=lambda each: each.term)
                assert newest.leader is not None
                with contextlib.suppress(ConcertedError):  # it has ended meanwhile
                    await self._of.primitives.host.decide("replica_group", self.id, Lead(newest.leader, newest.term))
            await self._note_stand(state, dict(zip(nodes, stand, strict=True)))
            await self._note_liars([each for each in stand if each is not None])
            for node, each in zip(nodes, stand, strict=True):
                if each is None:
                    await self.host(node)
            pause_s = self.group.election_timeout_s if known else self.group.heartbeat_interval_s
            if state.replacement is not None and not state.replacement.refusal:
                await replace_host(self, self._of, state.replacement, [each for each in stand if each is not None])
                pause_s = self.group.heartbeat_interval_s
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), pause_s)

    def look_soon(self) -> None:
        """Look again now: there is something to do."""
        self._again.set()

    async def _renewed(self) -> ReplicaGroup:
        """Take over the newest description, which another coordinator may have written."""
        state: ReplicaGroup = (await self._of.primitives.host.reach("replica_group", self.id)).state
        group = msgspec.convert(state.group, Group, str_keys=True)
        if group != self.group:
            self.group = group
            self.client.learn(group)
        return state

    async def _note_stand(self, state: ReplicaGroup, stand: Mapping[int, Status | None]) -> None:
        """Note who is silent or cut off when that has lasted, and at once that all is well again.

        An election takes up to two election timeouts, and then nobody leads; that too few answer takes less.
        """
        said = {
            state.nodes[node]: None if each is None else (each.leader, each.term)
            for node, each in stand.items()
            if node in state.nodes
        }
        failing = tolerates(state.terms.algorithm, len(said))
        picture, now = picture_of(said, len(said) - failing), self._of.loop.time()
        if picture != self._picture:
            self._picture, self._seen_at = picture, now
        is_better = picture.decides and not picture.apart and set(picture.silent) <= set(state.standing.silent)
        patience_s = self.group.election_timeout_s * (1 if len(picture.silent) > failing else 2)
        if is_better or now - self._seen_at >= patience_s:
            with contextlib.suppress(ConcertedError):  # it has ended meanwhile
                await self._of.primitives.host.decide("replica_group", self.id, picture)

    async def note_decided(self) -> None:
        """Note that it has decided something: whoever was missed, enough are there."""
        standing: Standing = (await self._of.primitives.host.reach("replica_group", self.id)).state.standing
        if standing.stalled_at is not None:
            with contextlib.suppress(ConcertedError):  # it has ended meanwhile
                there = Stand(standing.silent, standing.apart, decides=True)
                await self._of.primitives.host.decide("replica_group", self.id, there)

    async def _note_liars(self, stand: Sequence[Status]) -> None:
        """Note who has provably lied to so many that one of them is honest."""
        enough = tolerates("pbft", self.group.members_count) + 1
        for node in sorted(self.group.replicas):
            if sum(node in each.accused for each in stand) >= enough:
                with contextlib.suppress(ConcertedError):
                    await self._of.primitives.host.decide("replica_group", self.id, Accuse(node))

    async def _status(self, node: int) -> Status | None:
        try:
            return await self.client.status(node, timeout_s=STATUS_S)
        except TimedOut:
            return None


def _event(kept: KeptEvent) -> Event:
    data: dict[str, Any] = kept.data
    return Event(kept.kind, None if kept.agent is None else AgentId(kept.agent), kept.ref, data)
