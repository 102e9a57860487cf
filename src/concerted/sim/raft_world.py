"""A Raft cluster in virtual time: a lossy network, slow disks, clocks that run apart, deaths, pauses and partitions.

    everything goes wrong as the faults say --FAULTS_S--> all is healed but a minority --a client is answered--> done

Each seed draws its own settings besides its faults: how many servers there are, how large batches and windows are, how
busy clients are, and how often somebody compacts, hands over or changes the members.  Things last as long as they do
in life; what hardly ever happens there is for `raft_walk`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from concerted.consensus.quorum import Configuration, NodeId, majority
from concerted.consensus.raft.messages import Message
from concerted.consensus.raft.ready import ReadId, Ready, Refusal, Settings
from concerted.consensus.sessions import Answer
from concerted.sim.faults import Faults
from concerted.sim.network import STEP_S, Network, Pipe
from concerted.sim.raft_checks import Broken, RaftChecks
from concerted.sim.raft_clients import Asked, Client, Clients
from concerted.sim.raft_cluster import Disk, Replica
from concerted.sim.virtual_time import Process, VirtualLoop, run_virtual

__all__ = ["RaftPlayed", "play_raft"]

FAULTS_S = 120.0  # of virtual time in which things go wrong
HEAL_TIMEOUTS = 30.0  # election timeouts within which a healed cluster must answer
WRITE_S = (0.0005, 0.004)  # how long a disk takes
AWAY_S = (0.1, 25.0)  # how long the dead, the paused and the unreachable are
RETRY_S = 5.0  # how long a client waits for its answer
CLIENTS = 3
MOST_MEMBERS = 7


@dataclass(frozen=True, slots=True)
class RaftPlayed:
    """What came of one world.  problems: empty if all is well.  steps: inputs to cores.  answered: of clients."""

    seed: int
    faults: Faults
    problems: tuple[str, ...]
    history: tuple[Asked, ...]
    steps: int
    chosen: int
    leaders: int
    answered: int
    messages: int
    virtual_s: float


class Host:
    """The machine of one server: its clock, its disk's pace, its process now.  rate: of its clock, 1.0 is true."""

    def __init__(self, world: RaftWorld, node: NodeId, configuration: Configuration, rate: float) -> None:
        self._world = world
        self._loop = world.loop
        self._rate = rate
        self._offset = world.rng.uniform(0.0, 1000.0)
        self.replica = Replica(
            node, world.settings, Disk(node, configuration), world.checks, world.rng.random, world.send,
            world.sessions_limit, world.answered, world.was_read,
        )  # fmt: skip
        self.process = Process(self._loop, f"server {node}")
        self.process.kill()
        self.paused_until = 0.0
        self.dies_behind: str | None = None
        self._armed = 0.0
        self._is_busy = False

    def start(self) -> None:
        """Begin a life."""
        self.process = Process(self._loop, f"server {self.replica.id}")
        self._is_busy, self.dies_behind, self._armed = False, None, float("inf")
        self.replica.now = self._now()
        self.replica.start()
        self._go_on()

    def die(self) -> None:
        """End this life."""
        self.process.kill()
        self.replica.die()

    def act(self, act: Callable[[Replica], Any]) -> Any:
        """Have the server do something now."""
        self.replica.now = self._now()
        result = act(self.replica)
        self._go_on()
        return result

    def receive(self, data: bytes) -> None:
        """Take a message from the network."""
        if self._loop.time() < self.paused_until:
            self.process.call_at(self.paused_until, self.receive, data)
        else:
            self.act(lambda replica: replica.receive(_messages.decode(data)))

    def _now(self) -> float:
        return self._offset + self._rate * self._loop.time()

    def _go_on(self) -> None:
        """Let the disk begin with what waits, and be woken in time."""
        if self.replica.raft is None:
            self.die()
            return
        waiting = self.replica.waiting
        while waiting and waiting[0].write is None and not self._is_busy and self.dies_behind is None:
            self.replica.carry_out()
        if waiting and not self._is_busy:
            self._is_busy = True
            late = self._world.rng.uniform(*WRITE_S)
            self.process.call_at(max(self._loop.time(), self.paused_until) + late, self._carry_out)
        due = max((self.replica.core.next_deadline - self._offset) / self._rate, self._loop.time()) + STEP_S
        if due < self._armed:
            self._armed = due
            self.process.call_at(due, self._wake)

    def _carry_out(self) -> None:
        self._is_busy = False
        behind, self.dies_behind = self.dies_behind, None
        if behind == "nothing":
            self.replica.die_writing(self._world.rng.random())
            self.die()
        else:
            self.act(lambda replica: replica.carry_out(behind))

    def _wake(self) -> None:
        self._armed = float("inf")
        if self._loop.time() < self.paused_until:
            self.process.call_at(self.paused_until, self._wake)
        else:
            self.act(lambda replica: replica.wake())


class RaftWorld:
    """One cluster under one seed.  `await RaftWorld(...).play()` on a virtual loop of its own."""

    def __init__(self, seed: int, faults: Faults) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop), "a world lives on a virtual loop: run_virtual(world.play())"
        self.loop = loop
        self.seed = seed
        self.rng = rng = random.Random(f"{seed}/raft")
        self.faults = faults.draw(random.Random(f"{seed}/mix"))
        self.network = Network(loop, self.faults, rng)
        self.outside = Process(loop, "outside")
        self.settings = Settings(
            election_timeout_s=10.0, heartbeat_interval_s=2.0, batch_count=rng.choice((1, 5, 100)),
            window=rng.choice((1, 4, 64)), uncommitted_count=rng.choice((10, 10_000)),
        )  # fmt: skip
        self.sessions_limit = rng.choice((2, 1000))
        self.hosts: dict[NodeId, Host] = {}
        self._replicas: dict[NodeId, Replica] = {}
        self.checks = RaftChecks(self._replicas)
        self._awaited: dict[int, asyncio.Event] = {}
        self.clients = Clients(rng, CLIENTS, self._ended)
        self._pipes: dict[tuple[NodeId, NodeId], Pipe] = {}
        self._cut: set[tuple[NodeId, NodeId]] = set()
        self.over: asyncio.Future[None] = loop.create_future()
        loop.set_exception_handler(self._failed)
        for node in range(1, rng.choice((1, 3, 3, 3, 5)) + 1):
            self.add(node, Configuration())
        first = Configuration.of(tuple(self.hosts))
        for host in self.hosts.values():
            host.replica.disk = Disk(host.replica.id, first)
            host.start()

    def add(self, node: NodeId, configuration: Configuration) -> Host:
        """Put up a machine for another server."""
        skew = min(self.faults.skew, 5.0) / 100.0
        host = Host(self, node, configuration, 1.0 + self.rng.uniform(-skew, skew))
        self.hosts[node], self._replicas[node] = host, host.replica
        return host

    def send(self, message: Message) -> None:
        """Put a message on the wire."""
        host = self.hosts.get(message.to)
        if host is not None and (message.source, message.to) not in self._cut and host.process.alive:
            pipe = self._pipes.setdefault((message.source, message.to), Pipe())
            self.network.carry(pipe, host.process, host.receive, _encoder.encode(message))

    async def play(self) -> RaftPlayed:
        """Play to the end, or until something is wrong."""
        problems: list[str] = []
        self.outside.start(self._course())
        try:
            await self.over
        except (Broken, AssertionError) as error:
            problems.append(f"at {self.loop.time():.4f} s: {error}")
        self.outside.kill()
        for host in self.hosts.values():
            host.die()
        return RaftPlayed(
            self.seed, self.faults, tuple(problems), tuple(self.clients.history), self.checks.steps,
            len(self.checks.chosen), len(self.checks.leaders), self.clients.answered_count, self.network.carried,
            self.loop.time(),
        )  # fmt: skip

    def _failed(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception") or AssertionError(context["message"])
        if not self.over.done():
            self.over.set_exception(error)

    # What happens

    async def _course(self) -> None:
        try:
            for client in self.clients.all:
                self.outside.start(self._busy(client, self.rng.choice((0.2, 1.0, 3.0))))
            for mischief, count in (
                (self._crash, self.faults.crash), (self._crash_unwritten, self.faults.disk),
                (self._pause, self.faults.pause), (self._partition, self.faults.silence),
                (self._compact, self.rng.choice((0, 10))), (self._transfer, self.rng.choice((0, 0, 4))),
                (self._change_members, self.rng.choice((0, 0, 5))),
            ):  # fmt: skip
                for _ in range(count):
                    self.outside.call_at(self.rng.uniform(0.0, FAULTS_S), mischief)
            await asyncio.sleep(FAULTS_S)
            await self._end_well()
        except BaseException as error:
            if not self.over.done():
                self.over.set_exception(error)
            raise

    async def _busy(self, client: Client, pause_s: float) -> None:
        """Ask for one thing after the other, of whoever is said to lead."""
        believed: NodeId | None = None
        while True:
            await asyncio.sleep(self.rng.uniform(0.0, 2 * pause_s))
            refused = self._ask(client, believed)
            if refused is not None:
                believed = refused.leader
                continue
            answered = self._awaited[client.id] = asyncio.Event()
            try:
                async with asyncio.timeout(RETRY_S):
                    await answered.wait()
            except TimeoutError:
                believed = None  # it may be dead, or deposed

    def _ask(self, client: Client, believed: NodeId | None) -> Refusal | None:
        nodes = [node for node, host in self.hosts.items() if host.process.alive]
        if not nodes:
            return Refusal("not_leader")
        host = self.hosts[believed if believed in nodes else self.rng.choice(nodes)]
        refused: Refusal | None = host.act(lambda replica: self.clients.ask(client, replica, self.loop.time()))
        return refused

    def _ended(self, client: Client) -> None:
        if client.id in self._awaited:
            self._awaited[client.id].set()

    def answered(self, replica: Replica, answer: Answer) -> None:
        """Tell the client."""
        self.clients.answered(replica, answer, self.loop.time())

    def was_read(self, replica: Replica, read: ReadId, registers: dict[str, Any] | None) -> None:
        """Tell the client."""
        if registers is not None:
            self.clients.was_read(replica, read, registers, self.loop.time())

    def _anybody(self) -> Host | None:
        alive = [host for host in self.hosts.values() if host.process.alive]
        return self.rng.choice(alive) if alive else None

    def _leader(self) -> Host | None:
        leaders = [host for host in self.hosts.values() if host.process.alive and host.replica.core.role == "leader"]
        return max(leaders, key=lambda host: host.replica.core.term, default=None)

    def _victim(self) -> Host | None:
        return self._leader() if self.rng.random() < 0.5 else self._anybody()

    def _crash(self) -> None:
        """Let a server die, now or in the middle of what it does next; it comes back."""
        host = self._victim()
        if host is not None:
            host.dies_behind = self.rng.choice((None, "write", "send", "apply"))
            if host.dies_behind is None:
                host.die()
            self._back(host)

    def _crash_unwritten(self) -> None:
        """Let a server die while its disk writes, with a part of that on it."""
        host = self._victim()
        if host is not None:
            host.dies_behind = "nothing"
            self._back(host)

    def _back(self, host: Host) -> None:
        def back() -> None:
            host.die()
            host.start()

        self.outside.call_at(self.loop.time() + self.rng.uniform(*AWAY_S), back)

    def _pause(self) -> None:
        host = self._victim()
        if host is not None:
            host.paused_until = self.loop.time() + self.rng.uniform(*AWAY_S)

    def _partition(self) -> None:
        """Cut one way, or all ways of one server, or between two halves; or leave one bridge between these."""
        nodes = list(self.hosts)
        one, other = self.rng.choice(nodes), self.rng.choice(nodes)
        side = [node for node in nodes if self.rng.random() < 0.5]
        kind = self.rng.choice(("way", "server", "halves", "bridge"))
        ways = {(one, other)} if kind == "way" else set()
        if kind == "server":
            ways = {(one, node) for node in nodes} | {(node, one) for node in nodes}
        elif kind in {"halves", "bridge"}:
            ways = {(a, b) for a in nodes for b in nodes if (a in side) != (b in side)}
            if kind == "bridge":
                ways = {(a, b) for a, b in ways if one not in (a, b)}
        self._cut |= ways
        self.outside.call_at(self.loop.time() + self.rng.uniform(*AWAY_S), self._cut.difference_update, ways)

    def _compact(self) -> None:
        host = self._anybody()
        if host is not None:
            host.act(lambda replica: replica.compact())

    def _transfer(self) -> None:
        host, successor = self._leader(), self.rng.choice(list(self.hosts))
        if host is not None:
            host.act(lambda replica: replica.give(lambda raft: raft.transfer(successor, replica.now)))

    def _change_members(self) -> None:
        """Ask for other members: some of those there are, and perhaps somebody new."""
        host = self._leader()
        if host is None or host.replica.core.log.configuration.is_joint:
            return
        configuration = host.replica.core.log.configuration
        voters = [node for node in configuration.members if self.rng.random() < 0.8] or list(configuration.voters[:1])
        learners = []
        if max(self.hosts) < MOST_MEMBERS:
            learners.append(max(self.hosts) + 1)
            self.add(learners[0], Configuration()).start()

        def change(replica: Replica) -> Ready:
            return replica.give(lambda raft: raft.change_members(voters, learners, replica.now))

        host.act(change)

    # The end

    async def _end_well(self) -> None:
        """Heal the network and all but a minority of the servers: a client must be answered in time."""
        self._cut.clear()
        self.network.heal()
        for host in self.hosts.values():
            host.paused_until = 0.0
            host.dies_behind = None
            if not host.process.alive:
                host.start()
        self._leave_a_minority_dead()
        client = Client(CLIENTS + 1)
        self.clients.all.append(client)
        self.outside.start(self._busy(client, 0.5))
        until = self.loop.time() + HEAL_TIMEOUTS * self.settings.election_timeout_s
        while not client.session:
            if self.loop.time() > until:
                roles = {node: (host.replica.core.role, host.replica.core.term) for node, host in self.hosts.items()
                         if host.process.alive}  # fmt: skip
                raise Broken(f"liveness: nobody is answered {HEAL_TIMEOUTS:g} election timeouts after healing: {roles}")
            await asyncio.sleep(1.0)
        self.over.set_result(None)

    def _leave_a_minority_dead(self) -> None:
        found = [host.replica.core.log.configuration for host in self.hosts.values()]
        halves = sorted({half for each in found for half in (each.voters, each.outgoing) if half})
        dead: list[NodeId] = []
        for node in sorted(self.hosts):
            rest = [set(half) - {node, *dead} for half in halves]
            if self.rng.random() < 0.3 and all(
                len(left) >= majority(len(half)) for left, half in zip(rest, halves, strict=True)
            ):
                dead.append(node)
                self.hosts[node].die()


def play_raft(seed: int, faults: Faults) -> RaftPlayed:
    """Play one world.  The same seed and faults play the same."""

    async def main() -> RaftPlayed:
        return await RaftWorld(seed, faults).play()

    return run_virtual(main())


_encoder = msgspec.msgpack.Encoder()
_messages: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
