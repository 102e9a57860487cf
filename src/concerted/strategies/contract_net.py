"""The contract net: a manager calls for proposals on each task, negotiates, and makes a contract with the best.

    manager selected; for each ready task, as many at once as there are free places:
    cfp -> proposals, or refusals -> judged -> (revised cfp -> ...) -> accept-proposal -> contract
        -> carried out under a lease -> settled: paid, penalties booked
    declined, failed, withdrawn from, lost --> the next proposal that still binds --nobody left--> a new cfp
    nobody proposes, `retries` + 1 times --> no proposal

The manager makes no proposals itself, unless there is nobody else.  Each task ends as done, failed, no proposal
or cancelled (signal `cancel`, payload `{"task": ..., "reason": ...}`; the manager then pays for withdrawing).
How reliable an agent is follows from the contracts it has kept, in this run and in the log of earlier ones.
What each side may say when is the table in `allocation/contracts/conversation.py`.

Sources: Smith 1980, "The Contract Net Protocol"; FIPA SC00029H; FIPA SC00030H.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from concerted.errors import Invalid, TimedOut
from concerted.groups.leadership import Candidate, elect
from concerted.run import Run
from concerted.strategies.contracts.book import ContractBook, ContractNetResult, past_history
from concerted.strategies.contracts.call_for_proposals import Call, Office
from concerted.strategies.contracts.shop import ContractShop
from concerted.strategies.contracts.work import award
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.staff import is_able
from concerted.strategies.workshop.tasks import opened
from concerted.values import AgentId, Instant, Outcome, Task, TaskId

__all__ = ["coordinate"]

CONTRACTS_REMEMBERED = 10_000  # the newest ones of other runs
CANCEL = "cancel"  # the signal by which a task is called off
NAMED = 5  # agents whose reasons stand in one sentence; the rest are counted


async def coordinate(run: Run) -> Outcome:
    """Contract the tasks of the objective out until each is done or given up."""
    timed_out = False
    async with opened(ContractShop(run)) as shop:
        net = Net(run, shop)
        listening = asyncio.ensure_future(net.listen())
        try:
            async with run.deadline():
                shop.add(await find_tasks(run))
                await net.remember()
                await net.work()
        except TimedOut:
            timed_out = True
        finally:
            listening.cancel()
    return shop.outcome(net.result(), timed_out=timed_out)


@dataclass(slots=True)
class Asked:
    """What asking about one task has come to.  agents: who was asked and is not to be asked again for a while.

    why: agent -> why it is not under contract.  pause_until: when everybody may be asked again.
    """

    agents: set[AgentId] = field(default_factory=set)
    why: dict[AgentId, str] = field(default_factory=dict)
    times: int = 0
    pause_until: Instant = 0.0


class Net:
    """The manager's side of one run."""

    def __init__(self, run: Run, shop: ContractShop) -> None:
        self.run = run
        self.shop = shop
        rules = overlay(run.config.strategies.contract_net, run.options)
        self.office = Office(run, shop, rules, ContractBook(), _level(run))
        self._asked: dict[TaskId, Asked] = {}
        self._calling = 0
        self._unpunctual: dict[AgentId, int] = {}
        self._wanted_manager = _wanted_manager(run)

    async def remember(self) -> None:
        """Begin with what the log says of how everybody has kept earlier contracts, or with the option `history`."""
        given = self.run.options.get("history")
        if given is None:
            given = await self.run.past("contract.settled", past_history, limit=CONTRACTS_REMEMBERED)
        self.office.book.remember(given)

    async def work(self) -> None:
        """Call for proposals whenever there is a task and somebody for it, until each is decided and settled."""
        news = asyncio.ensure_future(self._watch())
        try:
            while self.shop.unfinished or self.shop.busy:
                seen = self.shop.changes
                if self.shop.waiting(1) and self.run.agents:
                    self._choose_manager()
                    self._call()
                await self.shop.news(seen, within=self._pause_s())
            await self.shop.news(-1)  # what has gone wrong in the last of them
        finally:
            news.cancel()

    async def listen(self) -> None:
        """Call tasks off as signals come."""
        while True:
            self._call_off(await self.run.signal(CANCEL))

    def result(self) -> ContractNetResult:
        """Return what it all came to."""
        return self.office.book.result(self.office.manager, self.shop.states)

    # who manages

    def _choose_manager(self) -> None:
        """Keep the manager, or choose one: whom the options name, else the best leader by profile."""
        agents = self.run.agents
        if self.office.manager in agents:
            return
        manager, scores = self._wanted_manager, dict[AgentId, float]()
        if manager is None or manager not in agents:
            election = elect(Candidate(agent, profile.capabilities) for agent, profile in agents.items())
            assert election is not None, "a manager is chosen where there are agents"
            manager, scores = election.winner, dict(election.scores)
        self.office.manager = manager
        others = {agent: "contractor" for agent in sorted(agents) if agent != manager}
        self.shop.roles = {**self.shop.roles, **others, manager: "manager"}
        self.run.record("manager.selected", agent=manager, scores=scores)

    def _contractors(self) -> list[AgentId]:
        """Return who may be asked: everybody but the manager, or the manager if it is alone."""
        manager = self.office.manager
        others = sorted(agent for agent in self.run.agents if agent != manager)
        return others or [agent for agent in self.run.agents if agent == manager]

    # calls

    def _call(self) -> None:
        """Open calls for the tasks that are ready, the most urgent first, as many as there are places for."""
        everybody = self._contractors()
        free = self.shop.staff.free(everybody)
        places, now = sum(free.values()) - self._calling, self.run.now()
        able_for: dict[Any, list[AgentId]] = {}
        for task in self.shop.waiting(max(0, places) + len(self._asked)):
            if places <= 0:
                return
            asked = self._asked.get(task.id, Asked())
            if asked.pause_until > now:
                continue
            needs = (task.agent, tuple(sorted(task.required_capabilities.items())))
            if needs not in able_for:
                able_for[needs] = [agent for agent in everybody if is_able(self.run.agents[agent], task)]
            passed_over = asked.agents | self.shop.declined.get(task.id, set())
            left = [agent for agent in able_for[needs] if agent not in passed_over]
            contractors = [agent for agent in left if agent in free]
            if not left:
                self._nobody(task)
            elif contractors:
                places -= 1
                self.shop.begin(task.id, partial(self._contract_out, task, self._most_promising(contractors)))

    def _most_promising(self, contractors: list[AgentId]) -> list[AgentId]:
        """Return whom one call asks: all, or the `max_contractors` with the best record, then the least to do."""
        most, book, staff = self.office.rules.max_contractors, self.office.book, self.shop.staff
        if len(contractors) <= most:
            return contractors
        return sorted(contractors, key=lambda agent: (-book.reliability(agent), staff.load(agent), agent))[:most]

    async def _contract_out(self, task: Task, contractors: list[AgentId]) -> None:
        """See to one task: negotiate, then go from one binding proposal to the next until it is decided."""
        call = Call(self.office, task, contractors)
        contracts = 0
        self._calling += 1
        try:
            try:
                await call.negotiate()
            finally:
                self._calling -= 1
            self._rest_the_silent(call)
            while not call.is_over:
                chosen = call.next_best()
                if chosen is None:
                    break
                contracts += await award(call, chosen)
        finally:
            self._remember(task, call, contracts)
            state = self.shop.states[task.id]
            call.close(f"task {task.id} is {state.status}" if state.is_over else "another call may follow")

    def _remember(self, task: Task, call: Call, contracts: int) -> None:
        """Note who need not be asked again soon: nobody if there was a contract, else who made no good proposal."""
        if call.is_over:
            self._asked.pop(task.id, None)
            return
        asked = self._asked.setdefault(task.id, Asked())
        if contracts:
            asked.agents.clear()
            return
        ranking = call.ranking()
        still_bound = {one.agent for one in ranking.best}
        asked.agents |= {agent for agent in call.talks if agent not in still_bound}
        asked.why |= {**call.reasons, **ranking.unfit}

    def _nobody(self, task: Task) -> None:
        """Nobody has a proposal that can be accepted: ask again after a while, `retries` more times."""
        asked = self._asked.setdefault(task.id, Asked())
        asked.times += 1
        why = [f"{agent}: {reason}" for agent, reason in sorted(asked.why.items())]
        more = f" and {len(why) - NAMED} more" if len(why) > NAMED else ""
        reason = "; ".join(why[:NAMED]) + more or "nobody who can do it is here"
        if asked.times > task.retries:
            if task.id not in self.office.book.contracted:
                self.office.book.unproposed.add(task.id)
            del self._asked[task.id]
            self.shop.fail(task.id, f"no proposal to accept in {asked.times} calls; {reason}")
            return
        self.shop.wait_for_agent(task.id, reason)
        self.shop.forgive(task.id)
        asked.agents.clear()
        asked.why.clear()
        asked.pause_until = self.run.now() + self.office.rules.proposal_timeout

    def _rest_the_silent(self, call: Call) -> None:
        """Do not wait in every call for somebody who does not answer: twice as long not, each time."""
        for agent in call.talks:
            if agent in call.silent:
                times = self._unpunctual[agent] = self._unpunctual.get(agent, 0) + 1
                self.shop.staff.rest(agent, self.office.rules.proposal_timeout * 2 ** (times - 1))
            else:
                self._unpunctual.pop(agent, None)

    # what comes from outside

    async def _watch(self) -> None:
        """Ask those anew who have come back or changed, and do not wait with it."""
        async for change in self.run.watch():
            for asked in self._asked.values():
                asked.pause_until = 0.0
                asked.agents.discard(change.agent)

    def _call_off(self, payload: Any) -> None:
        """Call a task off, if the signal names one that is not over."""
        wanted = payload if isinstance(payload, dict) else {}
        task, state = wanted.get("task"), self.shop.states.get(TaskId(str(wanted.get("task"))))
        if state is None:
            known = 'send {"task": ID, "reason": TEXT}'
            self.office.not_understood(CANCEL, None, None, f"there is no task {task!r} in this run; {known}")
        elif state.is_over:
            self.office.not_understood(CANCEL, state.id, None, f"task {state.id} is {state.status} already")
        else:
            self.shop.cancel(state.id, str(wanted.get("reason") or "it was called off"))

    def _pause_s(self) -> float | None:
        """Return in how many seconds the next pause of an open task ends, None if none has one."""
        now = self.run.now()
        ends = [self._asked[task].pause_until for task in self.shop.open if task in self._asked]
        return min((end - now for end in ends if end > now), default=None)


def _level(run: Run) -> int:
    level = run.options.get("level", 1)
    if not isinstance(level, int) or level < 1:
        raise Invalid(f"run {run.id}: the option level is {level!r}; it is the depth of subcontracting, from 1")
    return level


def _wanted_manager(run: Run) -> AgentId | None:
    """Return whom the options name as manager.

    Raises:
        Invalid: it is no agent of the run.
    """
    wanted = run.options.get("manager")
    if wanted is None or wanted in run.agents:
        return None if wanted is None else AgentId(wanted)
    some = ", ".join(sorted(run.agents)[:NAMED]) or "nobody"
    raise Invalid(f"run {run.id}: the option manager names {wanted!r}, who is no agent of it; there are {some}")
