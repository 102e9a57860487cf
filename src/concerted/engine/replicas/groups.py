"""The groups of replicas of one coordinator: made of its agents, and found again after a restart.

CreateReplicaGroup --hosts asked for addresses--> formed --> tended until it is ended
a command with `algorithm: raft | paxos | pbft` --its object is entrusted to a group--> the group decides
    --what has happened is copied into the coordinator's log--> the caller is answered from there
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.consensus.replica_group import Create, End, Form, ReplicaGroup, tolerates
from concerted.engine.replicas.arrivals import Arrivals
from concerted.engine.replicas.dismissing import Dismissing
from concerted.engine.replicas.places import coordinator_key, group_folder
from concerted.errors import ConcertedError, Invalid, NotFound, TimedOut, WrongPhase
from concerted.groups.leadership import Candidate, elect
from concerted.messages import PrepareReplica
from concerted.ports.primitive import Ask
from concerted.ports.replica_groups import CreateReplicaGroup, EndReplicaGroup, ReplaceReplicaHost
from concerted.ports.store import PrimitiveRecord
from concerted.replicas.keys import make_key
from concerted.replicas.protocols.algorithms import kind_of
from concerted.replicas.spec import COORDINATOR, Group
from concerted.values import AgentId

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator
    from concerted.engine.replicas.tended import Tended
    from concerted.engine.roster import Member

__all__ = ["KIND", "LOOK_S", "Groups"]

KIND = "replica_group"
PREPARE_S = 10.0  # how long an agent may take to say where its replica would listen
LOOK_S = 1.0  # how long who looks waits for the group's own word, before what was copied is shown
DEFAULT_COUNT: dict[Replicated, int] = {"raft": 3, "paxos": 3, "pbft": 4}


class Groups:
    """The groups of one coordinator.  Where it has no folder for replicas, as in a simulation, it has none."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._of = coordinator
        self._tended: dict[str, Tended] = {}
        self._forming: dict[str, asyncio.Task[None]] = {}
        self._dismissing = Dismissing(coordinator)
        self._arrivals = Arrivals(coordinator.loop)

    @property
    def any(self) -> bool:
        """Whether any group is tended here."""
        return bool(self._tended)

    async def open(self) -> None:
        """Tend again what there is."""
        if self._of.world.replicas is None:
            return
        for status in ("forming", "ready"):
            for record in await self._of.store.find(PrimitiveRecord, {"kind": KIND, "status": status}):
                self.form_soon(record.id)
        for record in await self._of.store.find(PrimitiveRecord, {"kind": KIND, "status": "ending"}):
            self._of.errand(self._dismiss(record.id))

    async def close(self) -> None:
        """Leave all groups to themselves."""
        forming, self._forming = list(self._forming.values()), {}
        for task in forming:
            task.cancel()
        if forming:
            await asyncio.wait(forming)
        tended, self._tended = list(self._tended.values()), {}
        await asyncio.gather(*(each.close() for each in tended))

    def found(self, agent: AgentId) -> None:
        """Take note that an agent has joined; have its replicas run again if it is back."""
        self._arrivals.note()
        for tended in self._tended.values():
            if agent in tended.hosts:
                self._of.errand(tended.host_again(agent))
        for id in sorted({*self._dismissing.pending, *self._tended}):
            self._of.errand(self._dismissing.at(id, agent))

    # Commands about groups

    async def prepared(self, command: Ask) -> Ask:
        """Return a command as it is to be served: one that makes a group names its hosts, and all of them are here.

        Raises:
            Invalid: there can be no replicas here, or there are too few agents.  NotFound: one of them is not here.
        """
        if isinstance(command, ReplaceReplicaHost):
            new = (command.new,)
            await self._arrivals.enough(lambda: self._require_here(new))
        if not isinstance(command, CreateReplicaGroup):
            return command
        if self._of.world.replicas is None:
            raise Invalid("this coordinator has no place for replicas; open one on a store in a file or a database")
        known = (await self._of.primitives.host.reach(KIND, command.id)).state
        if known is not None and not command.hosts:
            return msgspec.structs.replace(command, hosts=known.terms.hosts)
        making = command
        return msgspec.structs.replace(command, hosts=await self._arrivals.enough(lambda: self._hosts(making)))

    def _hosts(self, command: CreateReplicaGroup) -> tuple[AgentId, ...]:
        """Return who hosts a group.

        Raises:
            NotFound: one who was named is not here.  Invalid: too few are.
        """
        self._require_here(command.hosts)
        return command.hosts or self._choose(command.algorithm, command.count)

    def _require_here(self, hosts: tuple[AgentId, ...]) -> None:
        """Make sure that these are known.

        Raises:
            NotFound: somebody is not.
        """
        strangers = [host for host in hosts if host not in self._of.roster.members]
        if strangers:
            raise NotFound(f"nobody is registered as {', '.join(strangers)}; who hosts a replica must be here")

    async def served(self, command: Ask) -> None:
        """Do what follows from a command about a group that was decided."""
        if isinstance(command, CreateReplicaGroup):
            self.form_soon(command.id)
        elif isinstance(command, EndReplicaGroup):
            await self._dismiss(command.id)
        elif isinstance(command, ReplaceReplicaHost) and command.id in self._tended:
            self._tended[command.id].look_soon()

    def _choose(self, algorithm: Replicated, count: int | None) -> tuple[AgentId, ...]:
        """Choose hosts by their leadership scores.

        Raises:
            Invalid: there are too few.
        """
        wanted = DEFAULT_COUNT[algorithm] if count is None else count
        left = {
            agent: Candidate(agent, member.profile.capabilities, member.load)
            for agent, member in sorted(self._of.roster.members.items())
            if member.state == "alive"
        }
        chosen: list[AgentId] = []
        while left and len(chosen) < wanted:
            election = elect(left.values())
            assert election is not None
            chosen.append(election.winner)
            del left[election.winner]
        if len(chosen) < wanted:
            raise Invalid(
                f"{len(chosen)} agents are here, and {algorithm} is to have {wanted} replicas; start more agents, or "
                "ask for fewer replicas"
            )
        return tuple(chosen)

    # Forming and ending

    def form_soon(self, id: str) -> None:
        if id not in self._forming and id not in self._tended:
            self._forming[id] = self._of.loop.create_task(self._form(id))
            self._forming[id].add_done_callback(lambda task: self._formed(id, task))

    def _formed(self, id: str, task: asyncio.Task[None]) -> None:
        self._forming.pop(id, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ConcertedError):  # else the group has ended, or we are closing
            self._of.loop.call_exception_handler({"message": "a group could not be formed", "exception": error})

    async def _form(self, id: str) -> None:
        """Ask all hosts for an address, until all have one; then tend the group."""
        host = self._of.primitives.host
        state: ReplicaGroup = (await host.reach(KIND, id)).state
        while state.status == "forming":
            group = await self._prepare(state.terms)
            if group is not None:
                await host.decide(KIND, id, Form(msgspec.to_builtins(group, str_keys=True)))
            else:
                await asyncio.sleep(state.terms.heartbeat_interval_s)
            state = (await host.reach(KIND, id)).state
        if state.status == "ready" and id not in self._tended:
            from concerted.engine.replicas.tended import Tended

            tended = self._tended[id] = Tended(self._of, state, self._folder(), self._dismissing.all)
            tended.begin([stream for stream, _ in sorted(state.objects.unordered())])
            await self._dismissing.all(id)

    async def _prepare(self, terms: Create) -> Group | None:
        """Return the group's description; None: a host has not answered.  One that refuses ends the group.

        Raises:
            ConcertedError: the group is over.
        """
        uid = f"{terms.id}-{terms.uid}"
        addresses: dict[int, str] = {}
        keys: dict[int, str] = {}
        signs = kind_of(terms.algorithm).is_signed
        for node, agent in enumerate(terms.hosts, 1):
            request = PrepareReplica(group=uid, node=node, folder=self._folder(), signs=signs)
            reply = await self._of.asker.ask(agent, request, deadline=PREPARE_S)
            if reply.status in ("refused", "failed"):
                reason = f"{agent} cannot host a replica: {reply.error}"
                await self._of.primitives.host.decide(KIND, terms.id, End(terms.by, reason, is_admin=True))
                return None
            if not reply.ok:
                return None
            addresses[node] = str(reply.value["address"])
            if signs:
                keys[node] = str(reply.value["key"])
        return Group(
            id=uid,
            algorithm=terms.algorithm,
            replicas=addresses,
            hosts=dict(enumerate(terms.hosts, 1)),
            keys=keys,
            clients={COORDINATOR: make_key(coordinator_key(self._folder(), uid))} if signs else {},
            election_timeout_s=terms.election_timeout_s,
            heartbeat_interval_s=terms.heartbeat_interval_s,
            batch_count=terms.batch_count,
            bounds=terms.bounds,
        )

    async def _dismiss(self, id: str) -> None:
        """Copy what is left to copy, then have the replicas ended and their files removed."""
        state: ReplicaGroup = (await self._of.primitives.host.reach(KIND, id)).state
        tended = self._tended.pop(id, None)
        if tended is not None:
            for stream, _ in sorted(state.objects.unordered()):
                with contextlib.suppress(TimedOut):
                    await tended.copy(stream, timeout_s=LOOK_S)
            await tended.close()
        place = group_folder(self._folder(), f"{id}-{state.terms.uid}")
        (place / "coordinator.key").unlink(missing_ok=True)
        self._dismissing.pending.add(id)
        await self._dismissing.all(id)
        with contextlib.suppress(OSError):  # it is gone, or a host that is away has files there still
            place.rmdir()

    def _folder(self) -> str:
        assert self._of.world.replicas is not None, "a group where there is no place for one"
        return str(self._of.world.replicas)

    # Finding one

    async def fitting(self, algorithm: Replicated, hosts: tuple[AgentId, ...]) -> str | None:
        """Return a group that has room, and enough hosts here: these, or if none are named any of this algorithm."""
        found: list[ReplicaGroup] = []
        for record in await self._of.store.find(PrimitiveRecord, {"kind": KIND, "status": "ready"}):
            state: ReplicaGroup = (await self._of.primitives.host.reach(KIND, record.id)).state
            is_fit = state.terms.algorithm == algorithm and (not hosts or sorted(state.hosts) == sorted(hosts))
            if is_fit and state.has_room:
                found.append(state)
        try:
            return await self._arrivals.enough(lambda: _manned(found, self._of.roster.members)) if found else None
        except NotFound:
            return None

    async def ready(self, id: str, algorithm: Replicated | None = None) -> Tended:
        """Wait until a group is tended here.

        Raises:
            NotFound: there is no such group.  Invalid: it is of another algorithm.  WrongPhase: it is over.
            TimedOut: its hosts do not all answer.
        """
        host = self._of.primitives.host
        state: ReplicaGroup | None = (await host.reach(KIND, id)).state
        if state is None:
            raise NotFound(f"there is no group of replicas {id!r}; create it, or leave the name out")
        if algorithm is not None and state.terms.algorithm != algorithm:
            raise Invalid(f"group {id} is of {state.terms.algorithm}, not of {algorithm}; name another, or none")
        within_s = float(self._of.config.manager.command_timeout)
        if id not in self._tended:
            self.form_soon(id)
            forming = self._forming.get(id)
            if forming is not None:
                await asyncio.wait([forming], timeout=within_s)
        tended = self._tended.get(id)
        if tended is not None:
            return tended
        state = (await host.reach(KIND, id)).state
        assert state is not None
        if state.is_over:
            raise WrongPhase(f"group {id} is over: {state.reason}; what it kept stays as it is; take another id")
        raise TimedOut(f"group {id} is not ready within {within_s:g} s; {', '.join(state.hosts)} must all answer")


def _manned(groups: Sequence[ReplicaGroup], members: Mapping[AgentId, Member]) -> str:
    """Return the first group of which enough hosts are here to decide anything.

    Raises:
        NotFound: there is none.
    """
    for group in groups:
        away = sum(agent not in members or members[agent].state == "gone" for agent in group.hosts)
        if away <= tolerates(group.terms.algorithm, len(group.hosts)):
            return group.terms.id
    raise NotFound("too few hosts of any group of replicas are here")
