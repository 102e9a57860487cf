"""What groups of replicas keep: commands about it are theirs to decide, and what has happened is copied from them.

a command with `algorithm: raft | paxos | pbft` --a group is chosen, and its object entrusted to it--> the group decides
    --what has happened is copied into the coordinator's log--> the caller is answered from there
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.consensus import replica_group
from concerted.consensus.keeper import Choose, Keeper
from concerted.consensus.keeping import REPLICATED, Replicated, is_elsewhere, warnings_for
from concerted.consensus.replica_group import Entrust, ReplicaGroup
from concerted.engine.replicas.ending import KEEPER, require_nothing_open
from concerted.engine.replicas.groups import KIND, LOOK_S, Groups
from concerted.errors import ConcertedError, Invalid, Overloaded, TimedOut
from concerted.machine import Result
from concerted.ports.agreements import ReadDecisionLog
from concerted.ports.primitive import Ask, Caller
from concerted.ports.replica_groups import CreateReplicaGroup, EndReplicaGroup
from concerted.replicas.given import MACHINES
from concerted.story.replica_groups import too_few
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.replicas.tended import Tended

__all__ = ["Keepers"]

KNOWN_COUNT = 10_000  # objects whose group is remembered


class Keepers:
    """Who keeps what, for one coordinator."""

    def __init__(self, coordinator: Coordinator, groups: Groups) -> None:
        self._of = coordinator
        self._groups = groups
        self._choosing = asyncio.Lock()
        self._known: dict[str, str] = {}  # object -> the group that keeps it

    async def forward(self, command: Ask, caller: Caller) -> None:
        """Have a group do what concerns something that it keeps, or is to keep; of all else nothing is done here.

        Raises:
            WrongPhase: the group is over, and with it whatever could be waited for; or it is to end and may not.
            ConcertedError: the group refuses it, does not answer in time, or cannot be made.
        """
        if isinstance(command, EndReplicaGroup):
            await require_nothing_open(self._of, self._groups, command, caller)
        if command.kind not in MACHINES:
            return
        stream = f"{command.kind}:{command.id}"
        held = await self._of.primitives.host.reach(command.kind, command.id)
        if held.state is None:
            algorithm = getattr(command, "algorithm", None)
            if algorithm in REPLICATED:
                tended = await self._entrusted(stream, command, caller)
            elif self._groups.any and await self._group_of(stream) is not None:
                tended = await self._keeper(stream)  # it is on its way
            else:
                return
        elif not is_elsewhere(held.state) or getattr(held.state, "is_over", False):
            return  # what is over is copied in whole, and nothing happens to it any more
        elif command.looks and not _is_in_vain(command, held.state) and await self._is_past(stream):
            return
        else:
            tended = await self._keeper(stream)
        within_s = self._patience_s()
        if command.looks:
            with contextlib.suppress(TimedOut):
                await tended.copy(stream, timeout_s=LOOK_S)
            return
        try:
            await tended.client.do(command, agent=caller.agent, is_admin=caller.is_admin, timeout_s=within_s)
            await tended.copy(stream, timeout_s=within_s)
        except TimedOut as error:
            stalled = too_few(stream, (await self._of.primitives.host.reach(KIND, tended.id)).state)
            if stalled is None:
                raise
            raise TimedOut(f"{stream} waits for {stalled.waiting_for}; ask again, it counts once") from error
        await tended.note_decided()
        tended.follow(stream)

    async def completed(self, result: Result, stream: str) -> Result:
        """Say in an answer about something that a group keeps who that is."""
        if getattr(result, "algorithm", None) not in REPLICATED:
            return result
        keeper = await self._group_of(stream)
        if keeper is None:
            return result
        leader = keeper.nodes.get(keeper.leader) if keeper.leader is not None else None
        facts: dict[str, Any] = {
            "stored_by": keeper.hosts, "term": keeper.term, "leader": leader, "group": keeper.group,
            "warnings": warnings_for(keeper.terms.id, len(keeper.nodes)),
        }  # fmt: skip
        known = type(result).__struct_fields__
        return msgspec.structs.replace(result, **{name: value for name, value in facts.items() if name in known})

    async def _entrusted(self, stream: str, command: Ask, caller: Caller) -> Tended:
        """Return the group that is to keep something: the one that was chosen for it, here or by another node, also if
        nothing came of that yet; else the one that was named, one that fits, or a new one.
        """
        host = self._of.primitives.host
        algorithm: Replicated = getattr(command, "algorithm")  # noqa: B009
        async with self._choosing:
            chosen: Keeper | None = (await host.reach(KEEPER, stream)).state
            if chosen is None or await self._came_to_nothing(chosen, stream):
                choice = await self._choice(command, caller, None if chosen is None else chosen.group)
                chosen = (await host.decide(KEEPER, stream, choice)).state
            assert chosen is not None, f"no group was chosen for {stream}"
            if chosen.hosts and (await host.reach(KIND, chosen.group)).state is None:
                making = CreateReplicaGroup(id=chosen.group, algorithm=algorithm, hosts=chosen.hosts)
                await host.decide(KIND, chosen.group, making.request(caller))
            tended = await self._groups.ready(chosen.group, algorithm)
            await host.decide(KIND, chosen.group, Entrust(stream))
            return tended

    async def _choice(self, command: Ask, caller: Caller, instead_of: str | None) -> Choose:
        """Choose a group for something; nothing is made yet.

        Raises:
            Invalid: a group is named, and agents besides.
            ConcertedError: the one that was named is none, or there cannot be a new one.
        """
        algorithm: Replicated = getattr(command, "algorithm")  # noqa: B009
        named: str | None = getattr(command, "group", None)
        hosts: tuple[AgentId, ...] = getattr(command, "replicas", ())
        if named is not None and hosts:
            raise Invalid(
                f"group {named} has its replicas beside agents of its own: leave {', '.join(hosts)} out, or the "
                "group, and then one beside these agents is found or made"
            )
        if named is not None:
            await self._groups.ready(named, algorithm)
            self._require_room((await self._of.primitives.host.reach(KIND, named)).state)
            return Choose(named, (), instead_of)
        there = await self._groups.fitting(algorithm, hosts)
        if there is not None:
            return Choose(there, (), instead_of)
        making = CreateReplicaGroup(id=f"{algorithm}-{secrets.token_hex(3)}", algorithm=algorithm, hosts=hosts)
        making = await self._groups.prepared(making)  # type: ignore[assignment]
        replica_group.decide(None, making.request(caller), caller.now)  # a group that cannot be is not chosen
        return Choose(making.id, making.hosts, instead_of)

    def _require_room(self, group: ReplicaGroup) -> None:
        """Make sure that a group may keep one thing more.

        Raises:
            Overloaded: it is full.
        """
        if not group.has_room:
            raise Overloaded(
                f"group {group.terms.id} is full: it keeps {len(group.objects)} decisions, agreements and logs, and "
                f"has kept {len(group.past)} more; name another one, or none, and one that has room is found or made",
                bound=group.terms.bounds.objects_count,
            )

    async def _came_to_nothing(self, chosen: Keeper, stream: str) -> bool:
        """Say whether the group that was chosen is over, and never kept the thing."""
        state: ReplicaGroup | None = (await self._of.primitives.host.reach(KIND, chosen.group)).state
        return state is not None and state.is_over and not state.has(stream)

    def _patience_s(self) -> float:
        """Return how long a group may take: a command's time, or as many elections as may fail if that is longer."""
        settings = self._of.config.strategies.consensus
        elections_s = 2 * settings.max_terms * float(settings.election_timeout)
        return max(float(self._of.config.manager.command_timeout), elections_s)

    async def _is_past(self, stream: str) -> bool:
        """Whether the group that kept it has ended; all that happened is in our own log."""
        keeper = await self._group_of(stream)
        return keeper is not None and keeper.is_over

    async def _keeper(self, stream: str) -> Tended:
        keeper = await self._group_of(stream)
        if keeper is None:
            raise ConcertedError(f"no group is known to keep {stream}")
        return await self._groups.ready(keeper.terms.id)

    async def _group_of(self, stream: str) -> ReplicaGroup | None:
        """Return the group that an object is entrusted to; that never changes."""
        host, known = self._of.primitives.host, self._known.get(stream)
        if known is not None:
            state: ReplicaGroup = (await host.reach(KIND, known)).state
            return state
        chosen: Keeper | None = (await host.reach(KEEPER, stream)).state
        group: ReplicaGroup | None = None if chosen is None else (await host.reach(KIND, chosen.group)).state
        if chosen is None or group is None or not group.has(stream):
            return None
        if len(self._known) >= KNOWN_COUNT:
            self._known.clear()
        self._known[stream] = chosen.group
        return group


def _is_in_vain(command: Ask, state: Any) -> bool:
    """Say whether a command waits for what only a group can bring about: the end of what is open, or one entry more."""
    if isinstance(command, ReadDecisionLog) and command.after < len(state.entries):
        return False
    return command.wait_s > 0
