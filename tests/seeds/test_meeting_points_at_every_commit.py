"""Kill the coordinator at every commit of every kind of meeting point, and nobody can tell afterwards.

Each case is a script of callers that use the library.  First it is played without deaths.  Then it is played once for
every commit, with the coordinator killed before or after it, and for every takeover that dies itself.  Callers
outlive coordinators: as a session does, each gives its command again to the next one.  What the callers were
told, the log but for times, and the tables are the same as without deaths; so nobody has counted twice.
"""

import asyncio
import itertools
import random
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest

from concerted.client.calls import Calls
from concerted.config.settings import Coordination
from concerted.consensus.decisions.rule import rule_of
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator
from concerted.engine.coordinator import World as Given
from concerted.engine.permissions import LOCAL
from concerted.errors import ConcertedError, NotFound
from concerted.ports.commands import Command
from concerted.ports.holding import AcquireLease, RenewLease, Resign
from concerted.ports.store import Entry, MessageRecord, ParticipantRecord, PrimitiveRecord
from concerted.ports.tracking import CreateLatch
from concerted.primitives import deciding
from concerted.primitives.fold import FOLDED
from concerted.sim.disk import Fate, Moment, SimDisk, SimStore
from concerted.sim.virtual_time import EPOCH, Process, SimClock, VirtualLoop, run_virtual
from concerted.sim.world import Kill
from concerted.sync.barriers.barrier import Action
from concerted.sync.points.predicate import Condition
from concerted.values import AgentId

GAP_S = 0.05  # between the death of a coordinator and the start of the next
LIMIT_S = 1_000.0  # virtual time after which a script is stuck
# What may be written or not, and nobody is told of: that nothing was due, that a grant was confirmed in its holder's
# name before it was released; and who asks again for what is refused is noted again.
# Nor does a folded state say anything new: half of the plays fold as often as they can, and come back from that.
ASIDE = ("leases.checked", "semaphore.checked", "membership.checked", "lease.confirmed", "access.refused", FOLDED)
# What depends on when, besides what ends in _at or _s: the digest of an opening covers its instant, and the number of a
# message counts the rows before it, folds among them.
TIMES = ("at", "since", "until", "cursor", "folded", "number", "rate", "opening_digest")

Script = Callable[["Stage"], Awaitable[None]]


class Stage(Calls):
    """One play: the disk, the coordinators that live one after the other, and what the callers were told."""

    def __init__(self, kills: tuple[Kill, ...]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        self._process = Process(loop, "callers")
        self._kills = list(kills)
        self._begun = asyncio.Event()
        self.disk = SimDisk(loop, random.Random(1))
        self.lives: list[Life] = []
        self.told: dict[str, Any] = {}
        self.complaints: list[str] = []
        loop.set_exception_handler(self._complain)

    def _complain(self, _: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(str(context) + "".join(traceback.format_exception(error) if error else ()))

    async def play(self, script: Script) -> None:
        """Play a script to its end."""
        self._begin()
        async with asyncio.timeout(LIMIT_S):
            await script(self)
            await asyncio.sleep(1.0)  # what is done after an answer
        self.lives[-1].process.kill()

    def ask(self, life: "Life", moment: Moment, number: int) -> Fate:
        """Say what befalls a coordinator at this moment."""
        if self._kills and (self._kills[0].moment, self._kills[0].number) == (moment, number) and life.process.alive:
            self._kills.pop(0)
            life.process.kill()
            life.died.set_result(None)
            self._begun.clear()
            self._process.call_at(self._loop.time() + GAP_S, self._begin)
            return "die"
        return "go on"

    def _begin(self) -> None:
        life = Life(self, len(self.lives) + 1)
        self.lives.append(life)
        life.process.start(life.live(self._begun))

    # what callers do

    async def give(self, command: Command) -> Any:
        """Give a command until some coordinator has answered it."""
        while True:
            await self._begun.wait()
            life = self.lives[-1]
            answer: asyncio.Future[Any] = self._loop.create_future()
            life.process.start(life.serve(command, answer))
            await asyncio.wait([answer, life.died], return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()

    async def at(self, second: float) -> None:
        """Wait until so many seconds after the beginning; a coordinator's death takes less than one."""
        await asyncio.sleep(max(0.0, second - self._loop.time()))

    async def tell(self, name: str, work: Awaitable[Any]) -> Any:
        """Keep what somebody is told, under a name; a refusal too."""
        assert name not in self.told, f"{name} is told twice"
        try:
            told = self.told[name] = await work
        except ConcertedError as error:
            told = self.told[name] = error.code
        return told

    def later(self, second: float, name: str, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        """Do something at a certain second, while the script goes on."""

        async def act() -> Any:
            await self.at(second)
            return await self.tell(name, work)

        return asyncio.ensure_future(act())


class Life:
    """One coordinator, from its start to its death."""

    def __init__(self, stage: Stage, number: int) -> None:
        self._stage = stage
        self._number = number
        self._coordinator: Coordinator | None = None
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.died: asyncio.Future[None] = loop.create_future()
        self.process = Process(loop, f"coordinator {number}")
        self._clock = SimClock(loop)

    async def live(self, begun: asyncio.Event) -> None:
        """Take over."""
        store = SimStore(self._stage.disk, lambda moment, number: self._stage.ask(self, moment, number))
        await store.open()
        self._coordinator = Coordinator(
            Given(
                store=store, clock=self._clock, strategies=no_strategy, open_link=no_strategy, config=Coordination(),
                node=f"node-{self._number}", threads=False, actions={"add up": lambda payload, arrived: len(arrived)},
            )
        )  # fmt: skip
        await self._coordinator.start()
        begun.set()

    async def serve(self, command: Command, answer: "asyncio.Future[Any]") -> None:
        """Serve a command as the door does."""
        assert self._coordinator is not None
        try:
            told = await serve(self._coordinator, command, LOCAL)
        except ConcertedError as error:
            answer.set_exception(error)
        else:
            answer.set_result(told)


def no_strategy(name: object) -> Any:
    raise NotFound(f"there is no strategy {name!r}")


# The scripts


async def sync_points(c: Stage) -> None:
    names = ["ann", "bob", "cy"]
    p = c.sync_point("all")
    await c.tell("made", p.create(names, agent="ann", deadline_at=EPOCH + 500))
    first = c.later(1, "ann meets", p.arrive("ann", {"n": 1}, timeout_s=400))
    second = c.later(2, "bob meets", p.arrive("bob", timeout_s=400))
    await c.at(3)
    await c.tell("cy meets", p.arrive("cy", [3], timeout_s=400))
    await asyncio.gather(first, second)
    await c.tell("a stranger", p.arrive("zoe"))
    q = c.sync_point("two")
    await q.create(names, condition=2, agent="ann")
    await c.tell("once", q.arrive("ann", timeout_s=0))
    await c.tell("again", q.arrive("ann", timeout_s=0))
    await c.tell("added", q.add(["dan"], agent="ann"))
    await c.at(5)
    await c.tell("dan completes", q.arrive("dan", timeout_s=9))
    r = c.sync_point("expires")
    await r.create(names, condition="majority", deadline_at=EPOCH + 20, agent="bob")
    await c.tell("ann waits in vain", r.arrive("ann", timeout_s=100))
    await c.at(25)
    await c.tell("too late", r.arrive("bob"))
    s = c.sync_point("cancelled")
    await s.create(names, condition=Condition("predicate", text="size(arrived) == 2"), agent="ann")
    waiting = c.later(26, "cy is told", s.arrive("cy", timeout_s=100))
    await c.at(27)
    await c.tell("called off", s.cancel("rain", agent="ann"))
    await c.tell("called off again", s.cancel("snow", agent="ann"))
    await waiting


async def barriers(c: Stage) -> None:
    b = c.barrier("plain")
    await c.tell("made", b.create(["ann", "bob"], agent="ann", timeout_s=30))
    for generation in range(3):
        waiting = c.later(1 + 2 * generation, f"ann {generation}", b.arrive("ann", generation, timeout_s=90))
        await c.at(2 + 2 * generation)
        await c.tell(f"bob {generation}", b.arrive("bob", timeout_s=90))
        await waiting
    await c.at(8)
    waiting = c.later(9, "ann is broken", b.arrive("ann", timeout_s=90))
    await c.at(10)
    await c.tell("reset", b.reset("again", agent="ann"))
    await waiting
    await c.tell("ann alone", b.arrive("ann", timeout_s=90))
    e = c.barrier("elects")
    await e.create(2, agent="ann", action=Action("elected", "by ann", timeout_s=30))
    waiting = c.later(51, "ann is elected", e.arrive("ann", generation=0, timeout_s=90))
    await c.at(52)
    other = c.later(53, "bob waits for ann", e.arrive("bob", timeout_s=90))
    elected = await waiting
    await c.at(55)
    await c.tell("ann has done it", e.finish_action(elected, "done", agent="ann"))
    await c.tell("ann says it again", e.finish_action(elected, "done", agent="ann"))
    await other


async def double_barriers(c: Stage) -> None:
    d = c.double_barrier("d")
    await c.tell("made", d.create(["ann", "bob"], agent="ann", timeout_s=60))
    for generation in range(2):
        begin = 10 * generation
        waiting = c.later(begin + 1, f"ann in {generation}", d.enter("ann", timeout_s=90))
        await c.at(begin + 2)
        await c.tell(f"bob in {generation}", d.enter("bob", {"n": 2}, timeout_s=90))
        await waiting
        waiting = c.later(begin + 3, f"bob out {generation}", d.leave("bob", timeout_s=90))
        await c.at(begin + 4)
        await c.tell(f"ann out {generation}", d.leave("ann", timeout_s=90))
        await waiting
    await c.at(30)
    await c.tell("ann alone", d.enter("ann", timeout_s=90))


async def phasers(c: Stage) -> None:
    p = c.phaser("p")
    await c.tell("made", p.create(["ann", "bob"], agent="ann", policy="shrink", late_after_s=20))
    waiting = c.later(1, "ann 0", p.arrive("ann", 1, timeout_s=90))
    await c.at(2)
    await c.tell("bob 0", p.arrive("bob", timeout_s=90))
    await waiting
    await c.tell("cy joins", p.register("cy"))
    await c.at(4)
    await c.tell("ann goes on", p.arrive("ann", then="go_on"))
    await c.at(5)
    await c.tell("bob leaves", p.arrive("bob", then="deregister"))
    await c.at(6)
    await c.tell("cy 1", p.arrive("cy", timeout_s=90))
    await c.at(7)
    await c.tell("ann waits for cy, who is late", p.arrive("ann", timeout_s=90))
    await c.tell("ann leaves", p.deregister("ann"))
    await c.tell("over", p.get())


async def latches(c: Stage) -> None:
    latch = c.latch("l")
    await c.tell("made", c.give(CreateLatch(id="l", agent=AgentId("ann"), count=3)))
    waiting = c.later(1, "ann waits", latch.wait(agent="ann", timeout_s=300))
    await c.at(2)
    await c.tell("bob takes", latch.take("t1", ttl_s=5, agent="bob"))
    await c.at(3)
    await c.tell("cy counts", latch.count_down(agent="cy"))
    await c.tell("cy counts again", latch.count_down("t2", agent="cy"))
    await c.tell("the same", latch.count_down("t2", agent="cy"))
    await c.at(20)
    await c.tell("dan takes what bob lost", latch.take("t3", ttl_s=5, agent="dan"))
    await c.tell("dan counts", latch.count_down("t3", agent="dan"))
    await waiting
    expiring = c.latch("m")
    await c.give(CreateLatch(id="m", agent=AgentId("ann"), count=1, deadline_at=EPOCH + 40))
    await c.tell("in vain", expiring.wait(agent="ann", timeout_s=100))


async def trackers(c: Stage) -> None:
    t = c.tracker("t")
    await c.tell("made", t.create(4, ["ann", "bob"], agent="eve", stalled_after_s=30))
    waiting = c.later(1, "eve waits", t.wait(timeout_s=400))
    await c.at(2)
    await c.tell("ann 1", t.update(1, {"x": 1}, agent="ann"))
    await c.tell("ann back", t.update(0, agent="ann"))
    await c.tell("bob 4", t.update(4, agent="bob"))
    await c.at(40)
    await c.tell("stalled", t.get())
    await c.tell("eve 2", t.update(2, agent="eve"))
    await c.tell("eve 4", t.update(4, agent="eve"))
    await waiting
    u = c.tracker("u")
    await u.create(2, agent="eve")
    await c.tell("called off", u.cancel("no more", agent="eve"))


async def leases(c: Stage) -> None:
    """Held with the library, renewed and handed over; let go by time; asked for, withdrawn, refused."""
    ends = []

    async def hold(name: str, begin: float, length_s: float) -> None:
        await c.at(begin)
        async with c.leases.hold("src/**", holder=name, ttl_s=30, purpose="edit", timeout_s=300) as held:
            c.told[f"{name} holds"] = held.token
            await asyncio.sleep(length_s)
            c.told[f"{name} held"] = (await c.leases.check("src/**", held.token)).valid
        ends.append(name)

    await asyncio.gather(hold("ann", 1, 40), hold("bob", 2, 25), hold("cy", 3, 1))
    c.told["in turn"] = ends
    await c.at(80)
    ask = AcquireLease(agent=AgentId("dan"), ticket="d", names=("x", "y"), ttl_s=20, wait_s=0)
    dan = await c.tell("dan takes two", c.give(ask))
    await c.tell("dan takes them again", c.give(ask))
    waits = c.later(82, "eve waits", c.leases.acquire(
        AcquireLease(agent=AgentId("eve"), ticket="e", names=("y",), ttl_s=20), timeout_s=200))  # fmt: skip
    await c.at(83)
    refused = AcquireLease(agent=AgentId("fay"), ticket="f", names=("x",), queue=False)
    await c.tell("fay is refused", c.give(refused))
    await c.tell("fay asks for it", c.leases.ask_for("x", "please", agent="fay"))
    await c.at(90)
    await c.tell("dan renews", c.give(RenewLease(agent=AgentId("dan"), token=dan.token)))
    eve = await waits
    await c.tell("dan has lost it", c.give(RenewLease(agent=AgentId("dan"), token=dan.token)))
    await c.tell("eve has it", c.leases.check("y", eve.token))


async def semaphores(c: Stage) -> None:
    s = c.semaphore("s")
    await c.tell("made", s.create(2, agent="ann"))
    one = await c.tell("ann", s.acquire(holder="ann", ticket="a", ttl_s=300))
    await c.tell("bob", s.acquire(holder="bob", ticket="b", ttl_s=10))
    cy = c.later(2, "cy", s.acquire(2, holder="cy", ticket="c", ttl_s=300, timeout_s=200))
    await c.at(3)
    await c.tell("ann renews", s.renew(one.token, holder="ann"))
    await c.at(50)
    await c.tell("ann releases", s.release("a", holder="ann"))
    await c.tell("ann releases again", s.release("a", holder="ann"))
    await cy
    await c.tell("at last", s.get())


async def budgets(c: Stage) -> None:
    b = c.budget("b")
    await c.tell("made", b.create(100, period_s=60, agent="ann"))
    await c.tell("ann", b.spend(40, holder="ann", ticket="1"))
    await c.tell("ann again", b.spend(40, holder="ann", ticket="1"))
    await c.tell("bob", b.reserve(50, holder="bob", ticket="2", ttl_s=300))
    cy = c.later(2, "cy waits for the next period", b.spend(30, holder="cy", ticket="3", timeout_s=200))
    await c.at(4)
    await c.tell("bob settles", b.settle("2", 45, holder="bob"))
    await cy
    await c.tell("at last", b.get())


async def registers(c: Stage) -> None:
    r = c.register_value("r")
    waiting = c.later(3, "bob waits", r.wait(2, timeout_s=90))
    await c.tell("put", r.put("x", agent="ann"))
    await c.tell("swap", r.compare_and_swap("y", expected_version=1, agent="ann"))
    await c.tell("swap of what is not", r.compare_and_swap("z", expected_version=1, agent="ann"))
    await c.at(5)
    await c.tell("third", r.put({"n": 3}, agent="bob"))
    await waiting
    n = c.register_value("n")
    for number in range(5):
        await c.tell(f"count {number}", n.increment(agent="ann"))
    await c.tell("beyond", n.increment(10, maximum=12, agent="ann"))
    await c.tell("sum", n.get())


async def elections(c: Stage) -> None:
    e = c.election("e")
    ann = await c.tell("ann leads", e.campaign("ann", ttl_s=60, ticket="a"))
    bob = c.later(1, "bob waits", e.campaign("bob", ttl_s=60, ticket="b", timeout_s=300))
    cy = c.later(2, "cy waits", e.campaign("cy", ttl_s=15, ticket="c", timeout_s=300))
    watching = asyncio.ensure_future(e.observe(ann.epoch, timeout_s=300))
    await c.at(4)
    await c.tell("ann says", e.proclaim(ann.token, "follow me", leader="ann"))
    await c.tell("ann renews", e.renew(ann.token, leader="ann"))
    await c.at(6)
    resigned = await c.give(Resign(id="e", agent=AgentId("ann"), token=ann.token))
    c.told["ann resigns"] = resigned.success
    leader = await bob
    c.told["dan has seen it"] = (await watching).epoch != ann.epoch
    await c.tell("ann is heard no more", e.proclaim(ann.token, "no", leader="ann"))
    await c.at(20)
    await c.tell("bob renews", e.renew(leader.token, leader="bob"))
    await cy  # bob falls silent
    await c.tell("bob is heard no more", e.renew(leader.token, leader="bob"))


async def groups(c: Stage) -> None:
    g = c.group("g")
    waiting = c.later(1, "two are there", g.wait_for_members(2, timeout_s=90))
    await c.tell("ann joins", g.join("ann", {"x": 1}))
    await c.at(2)
    await c.tell("bob joins", g.join("bob", ttl_s=15))
    await waiting
    await c.tell("bob joins again", g.join("bob", ttl_s=15))
    await c.tell("bob renews", g.renew("bob"))
    await c.tell("until bob is gone", g.watch(2, timeout_s=90))
    await c.tell("ann leaves", g.leave("ann"))
    await c.tell("nobody", g.get())


async def inboxes(c: Stage) -> None:
    ann, bob = c.inbox("ann"), c.inbox("bob")
    waiting = c.later(1, "bob gets the first", bob.fetch(timeout_s=90, all=True))
    await c.at(2)
    for number in range(3):
        await c.tell(f"ann sends {number}", ann.send("bob", {"n": number}))
    await c.tell("sent again", ann.send("bob", "x", request_id="r"))
    await c.tell("and again", ann.send("bob", "x", request_id="r"))
    first = await waiting
    await c.at(4)
    got = await c.tell("bob gets all", bob.fetch(all=True))
    await c.tell("bob has done them", bob.acknowledge([one.id for one in [*first, *got]]))
    await c.tell("nothing is left", bob.fetch(all=True))
    await ann.send("bob", "in passing")
    await c.tell("fetched, and no more", bob.fetch())
    await c.tell("urgent", ann.send("bob", "now", priority="high", acknowledge_within_s=10, escalate_to="cy"))
    await c.at(30)
    await c.tell("delivered anew", bob.fetch())
    await c.at(150)
    await c.tell("cy is told", c.inbox("cy").fetch(all=True))
    await c.tell("receipts", ann.receipts())


async def decisions(c: Stage) -> None:
    voters = {"ann": 1, "bob": 2, "cy": 1}
    d = c.decision("ship")
    await c.tell("opened", d.create("ship it?", voters, rule="2/3", deadline_at=EPOCH + 500, agent="dan"))
    await c.tell("opened again", d.create("ship it?", voters, rule="2/3", deadline_at=EPOCH + 500, agent="dan"))
    await c.tell("another proposer", d.create("ship nothing?", voters, agent="eve"))
    waiting = c.later(1, "dan waits", d.wait(agent="dan", timeout_s=400))
    first = c.later(2, "ann votes", d.vote("accept", "green", agent="ann", timeout_s=400))
    await c.at(3)
    await c.tell("ann changes her mind", d.vote("reject", agent="ann"))
    await c.tell("ann says it again", d.vote("reject", agent="ann"))
    await c.tell("a stranger", d.vote("accept", agent="zoe"))
    await c.tell("bob settles it", d.vote("accept", agent="bob", timeout_s=400))
    await asyncio.gather(waiting, first)
    await c.tell("too late", d.vote("reject", agent="cy"))
    v = c.decision("vetoed")
    await v.create("delete it?", ["ann", "bob", "cy"], rule=rule_of("majority", vetoes=["cy"]), agent="dan")
    for name in ("ann", "bob"):
        await c.tell(f"{name} is not enough", v.vote("accept", agent=name))
    await c.tell("the veto comes last", v.vote("reject", "no", agent="cy"))
    silent = c.decision("silent")
    await silent.create("anybody?", ["ann", "bob"], deadline_at=EPOCH + 20, agent="dan")
    await c.tell("ann waits in vain", silent.vote("accept", agent="ann", timeout_s=100))
    w = c.decision("withdrawn")
    await w.create("never mind?", ["ann"], agent="dan")
    await c.tell("somebody else withdraws", w.cancel(agent="ann"))
    await c.tell("withdrawn", w.cancel("moot", agent="dan"))


async def agreements(c: Stage) -> None:
    k = c.agreement("colour")
    await c.tell("opened", k.create(valid="red|blue", proposers=["ann", "bob"], agent="dan"))
    waiting = c.later(1, "dan waits", k.wait(timeout_s=400))
    await c.at(2)
    await c.tell("no such colour", k.propose("green", agent="ann", request_id="r1"))
    await c.tell("no proposer", k.propose("red", agent="cy", request_id="r2"))
    await c.tell("ann is first", k.propose("red", agent="ann", request_id="r3"))
    await c.tell("bob is not", k.propose("blue", agent="bob", request_id="r4"))
    await c.tell("ann again", k.propose("red", agent="ann", request_id="r3"))
    await waiting
    await asyncio.gather(
        c.tell("two at once, one", c.agree("port", 1, agent="ann", request_id="r5")),
        c.tell("two at once, two", c.agree("port", 2, agent="bob", request_id="r6")),
    )
    late = c.agreement("late")
    await late.create(deadline_at=EPOCH + 20, agent="dan")
    await c.tell("nobody proposes", late.wait(timeout_s=100))
    await c.tell("too late", late.propose(1, agent="ann", request_id="r7"))


async def decision_logs(c: Stage) -> None:
    log = c.log("audit")
    await c.tell("made", log.create(writers=["ann", "bob"], agent="dan"))
    waiting = c.later(1, "dan waits for the first", anext(log.follow(timeout_s=400)))
    await c.at(2)
    await c.tell("no writer", log.append(0, agent="cy", request_id="r0"))
    for number in range(4):
        await c.tell(f"entry {number}", log.append({"n": number}, agent="ann", request_id=f"r{number}"))
    await c.tell("entry 1 again", log.append({"n": 1}, agent="ann", request_id="r1"))
    await c.tell("another entry 1", log.append({"n": 9}, agent="ann", request_id="r1"))
    await waiting
    await asyncio.gather(
        c.tell("bob at once", log.append("x", agent="bob", request_id="r1")),
        c.tell("ann at once", log.append("y", agent="ann", request_id="r9")),
    )
    await c.tell("a page", log.read(after=1, limit=3))
    await c.tell("all of it", log.read())
    await c.tell("nothing new", asyncio.ensure_future(gather_all(log.follow(after=6, timeout_s=5))))


async def gather_all(entries: AsyncIterator[Any]) -> list[Any]:
    return [entry async for entry in entries]


SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (
        sync_points, barriers, double_barriers, phasers, latches, trackers, leases, semaphores, budgets, registers,
        elections, groups, inboxes, decisions, agreements, decision_logs,
    )
}  # fmt: skip


async def coordinators_action(c: Stage) -> None:
    b = c.barrier("acts")
    await b.create(2, agent="ann", action=Action("coordinator", "add up"))
    waiting = c.later(1, "ann", b.arrive("ann", timeout_s=300))
    await c.at(2)
    await c.tell("bob", b.arrive("bob", timeout_s=300))
    await waiting


# The plays


@pytest.mark.parametrize("name", SCRIPTS)
def test_killed_anywhere_callers_are_told_the_same_and_nobody_counts_twice(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = played(SCRIPTS[name], (), monkeypatch)
    assert whole["coordinators"] == 1
    commits = whole.pop("commits")
    assert commits > 5
    for kills in every_kill(commits):
        again = played(SCRIPTS[name], kills, monkeypatch)
        assert again["coordinators"] == len(kills) + 1, f"killed {kills}: it did not die as it should"
        for what in ("told", "log", "tables"):
            assert again[what] == whole[what], f"killed {kills}"


def test_the_coordinator_s_action_counts_once_though_it_is_begun_again_after_a_death_in_the_middle_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commits = played(coordinators_action, (), monkeypatch)["commits"]
    epochs = set()
    for kills in every_kill(commits):
        again = played(coordinators_action, kills, monkeypatch)
        kinds = [kind for kind, *_ in again["log"]["barrier:acts"]]
        assert kinds.count("barrier.released") == kinds.count("barrier.action_done") == 1, f"killed {kills}"
        for name in ("ann", "bob"):
            told = again["told"][name]
            assert (told["status"], told["generation"], told["action_result"]) == ("released", 0, 2), f"killed {kills}"
            epochs.add(told["action_epoch"])
    assert epochs == {1, 2}


def every_kill(commits: int) -> Iterator[tuple[Kill, ...]]:
    """Give each commit's deaths: before it, after it, and twice in a row."""
    for number in range(1, commits + 1):
        yield (Kill("before commit", number),)
        yield (Kill("after commit", number),)
        yield (Kill("before commit", number), Kill("before commit", number))
        yield (Kill("after commit", number), Kill("after commit", number + 1))


def played(script: Script, kills: tuple[Kill, ...], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Play a script; return what was told and what is left, without what depends on when."""
    numbers = itertools.count(1)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=next(numbers)))
    monkeypatch.setattr(deciding, "FOLD_ROWS", 1 if kills and kills[0].number % 2 else 1_000)
    monkeypatch.setattr(deciding, "FOLD_SHARE", 1 << 40)

    async def main() -> dict[str, Any]:
        stage = Stage(kills)
        await stage.play(script)
        commits, coordinators = stage.disk.commits, len(stage.lives)
        assert stage.complaints == [], f"killed {kills}: errors that were nobody's: {''.join(stage.complaints)}"
        memory = stage.disk.memory
        await memory.open()
        assert await memory.rebuild() == 0
        names = Names()
        log = names.logs(await memory.log(limit=100_000))
        tables = [
            timeless(msgspec.to_builtins(record))
            for table in (PrimitiveRecord, ParticipantRecord)
            for record in await memory.find(table, limit=10_000)
        ]
        messages = [names.message(record) for record in await memory.find(MessageRecord, limit=10_000)]
        tables += sorted(messages, key=repr)
        told = {name: names.told(what) for name, what in stage.told.items()}
        return {"told": told, "log": log, "tables": tables, "commits": commits, "coordinators": coordinators}

    return run_virtual(main())


class Names:
    """Names that depend on when, and on who was the coordinator, by the order in which they came up."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}

    def logs(self, entries: list[Entry]) -> dict[str, list[Any]]:
        """Return the log stream by stream."""
        found: dict[str, list[Any]] = {}
        for entry in entries:
            if entry.kind in ASIDE:
                continue
            data = timeless(entry.value())
            if entry.stream == "mail":
                for id in [data.get("id"), *data.get("ids", ())]:
                    if id is not None:
                        self._numbers.setdefault(id, f"message {len(self._numbers)}")
            found.setdefault(entry.stream, []).append(self._renamed([entry.kind, entry.agent, entry.ref, data]))
        return found

    def message(self, record: MessageRecord) -> Any:
        """Return a message in a table."""
        content = msgspec.json.decode(record.content)
        return self._renamed(timeless({**msgspec.structs.asdict(record), "content": content}))

    def told(self, what: Any) -> Any:
        """Return an answer."""
        return self._renamed(timeless(msgspec.to_builtins(what)))

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._renamed(part) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._renamed(part) for part in value]
        return self._numbers.get(value, value) if isinstance(value, str) else value


def timeless(value: Any) -> Any:
    """Drop what depends on when."""
    if isinstance(value, dict):
        return {
            name: timeless(part)
            for name, part in value.items()
            if not (isinstance(name, str) and (name in TIMES or name.endswith(("_at", "_s"))))
        }
    return [timeless(part) for part in value] if isinstance(value, list | tuple) else value
