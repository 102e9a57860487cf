"""Coalitions: for each task several agents who agree to do it together, and on who gets what.

    task ready --eligible, worths--> coalitions ranked --the best that is stable enough--> bargained over
    bargained over --agreed, or the nucleolus--> contract --all agree--> active --parts, then the whole--> done
    contract --refused, or no answer--> the next best coalition
    active --a member lost--> the rest go on, if they can and vote for it; else dissolved: another coalition

Formation of one coalition takes at most `formation_timeout`; what is busy elsewhere is not eligible, so it waits for
the coalitions at work.  Each member does its part of the task, and then the leader the whole, with the results of
the parts.  What came of each coalition is remembered, and later formations go by it.

Source: the specification, CoalitionFormationManager.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from concerted.board.task import TaskState, result_of
from concerted.errors import Invalid, TimedOut
from concerted.groups.coalition import Coalition, compensations, complete, dissolve, fail, settle_payments
from concerted.groups.history import Ending, History, ending_of, recalled, remember
from concerted.messages import CoalitionChanged
from concerted.run import Fact, Run
from concerted.strategies.coalitions.forming import Formation, Rules, rules_of
from concerted.strategies.coalitions.matching import match, split
from concerted.strategies.coalitions.result import Chronicle
from concerted.strategies.coalitions.work import Work
from concerted.strategies.workshop.delegation import Delegation
from concerted.strategies.workshop.errands import Errands
from concerted.strategies.workshop.meetings import Meetings
from concerted.strategies.workshop.objective import find_tasks
from concerted.strategies.workshop.staff import Staff
from concerted.values import AgentId, Outcome, Task, TaskId

__all__ = ["coordinate", "past_history"]

COALITIONS_REMEMBERED = 10_000  # the newest ones of other runs


async def coordinate(run: Run) -> Outcome:
    """Form a coalition for each task, have it do the task, and pay its members."""
    forum = Forum(run)
    timed_out = False
    try:
        try:
            async with run.deadline():
                await forum.recall()
                await forum.work()
        except TimedOut:
            timed_out = True
    finally:
        await forum.errands.stop()
        forum.close()
    return forum.chronicle.outcome(forum.book, run.agents, forum.history, forum.states, timed_out=timed_out)


class Forum:
    """Where the coalitions of one run form."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rules: Rules = rules_of(run)
        self.history = History()
        self.errands = Errands(run)
        self.staff = Staff(run)
        self.chronicle = Chronicle()
        self.book: Delegation | None = None
        self.active: dict[TaskId, Coalition] = {}
        self.states: dict[TaskId, TaskState] = {}
        self.meetings = Meetings(run, self._met)
        self._unwilling: dict[TaskId, list[AgentId]] = {}
        self._formed = 0
        self._whole: set[TaskId] = set()  # not done by agents in part

    async def recall(self) -> None:
        """Begin with how the coalitions of earlier runs have ended, as the log says, or with the option `history`."""
        given = self.run.options.get("history")
        if given is None:
            given = await self.run.past("coalition.ended", past_history, limit=COALITIONS_REMEMBERED)
        try:
            self.history = msgspec.convert(given, History)
        except msgspec.ValidationError as error:
            raise Invalid(f"the option history of the run is no history of coalitions: {error}") from error

    async def work(self) -> None:
        """Form coalitions as long as there are tasks, and have each do its own."""
        while not self.run.agents:
            await self.errands.news(self.errands.changes)
        tasks = await find_tasks(self.run)
        book = self.book = Delegation(self.run, tasks, self.rules.coalition_attempts - 1, claimed_here=True)
        self.meetings.open(tasks)
        while book.unfinished:
            seen = self.errands.changes
            book.place({task.id: task.id for task in book.unplaced()})
            ready = [task for (task,) in book.batches().values()]
            if not ready and not book.at_work:
                _give_up(book)
            free = [task for task in ready if not self.meetings.hold_up(task.id)]
            await self._see_to_all(book, free)
            held_up = len(free) < len(ready)
            if book.at_work or held_up or not self.run.agents:
                await self.errands.news(seen)

    async def _see_to_all(self, book: Delegation, tasks: Sequence[Task]) -> None:
        """Form a coalition for each of these tasks, first for those that have been matched.

        Nobody gets those who are meant for another; if so there is none, whoever is left may join it at the end.
        """
        if self.rules.overlapping and self.rules.values == "capabilities":
            for task in await self._see_to_in_part(book, tasks):
                await self._see_to(book, task, sorted({agent for one in self.active.values() for agent in one.agents}))
            return
        meant = await match(self.run, self.rules, self.history, self.staff, tasks, self._unwilling)
        matched = [task for task in tasks if task.id in meant]
        rest: list[tuple[Task, Sequence[AgentId]]] = [(task, ()) for task in tasks if task.id not in meant]
        for place, task in enumerate(matched):
            others = sorted({agent for one in matched[place + 1 :] for agent in meant[one.id]})
            rooms = self.staff.free(others)
            kept = [agent for agent in others if rooms.get(agent, 0) < 2]
            formation = await self._see_to(book, task, kept, is_last=not kept)
            if kept and task.id not in self.active:
                rest.append((task, [agent for each in formation.refused for agent in each.refused_by]))
        for task, declined in rest:
            await self._see_to(book, task, declined)

    async def _see_to_in_part(self, book: Delegation, tasks: Sequence[Task]) -> list[Task]:
        """Form coalitions of agents who give each a part of their capacity; return the tasks for which there are none.

        If those who should do a task so do not agree, it is for agents who are free as a whole.
        """
        parts = await split(self.run, [task for task in tasks if task.id not in self._whole], self.active.values())
        for task in [task for task in tasks if task.id in parts]:
            await self._see_to(book, task, (), is_last=False, parts=parts[task.id])
            if task.id not in self.active:
                self._whole.add(task.id)
        return [task for task in tasks if task.id not in parts or task.id in self._whole]

    async def _see_to(
        self, book: Delegation, task: Task, without: Sequence[AgentId], *, is_last: bool = True,
        parts: Mapping[AgentId, float] | None = None,
    ) -> Formation:  # fmt: skip
        """Form a coalition for a task and put it to work; return how that went.

        Without one the task waits, or fails if nobody is busy and this was its last try.
        """
        name, withdrawn = f"{task.id}/{self._formed + 1}", frozenset((*self._unwilling.get(task.id, ()), *without))
        formation = Formation(self.run, self.rules, self.history, self.staff, name, withdrawn)
        formation.parts = parts or {}
        busy, coalition = bool(book.at_work), None
        try:
            async with asyncio.timeout(self.rules.formation_timeout):
                coalition = await formation.form(task)
            why = formation.why
        except TimeoutError:
            why = f"no coalition was formed within {self.rules.formation_timeout:g} s"
        self._formed += formation.proposed
        for refused in formation.refused:
            self._over(refused, {})
        if coalition is not None:
            self.active[task.id] = coalition
            for agent in coalition.agents:
                self.staff.take(agent)
            done = book.begin(task.id, [task]).done
            self.errands.send(self._carry_out(book, coalition, done, formation))
        elif is_last and not busy and self.run.agents:
            book.fail(task.id, why)
        return formation

    async def _carry_out(
        self, book: Delegation, coalition: Coalition, results: Mapping[TaskId, Any], formation: Formation
    ) -> None:
        """Have a coalition do its task, pay its members, and remember what came of it."""
        task, members = coalition.task, coalition.agents
        before = self.states.get(task.id, TaskState(task, "ready"))
        work = Work(self.run, self.rules, coalition, formation, self.states)
        try:
            state = await work.do(task, results)
        finally:
            for agent in members:
                self.staff.put_back(agent)
        del self.active[task.id]
        self._unwilling.setdefault(task.id, []).extend(work.unwilling)
        ended, paid = work.coalition, {}
        if state.status == "done":
            paid = settle_payments(ended, ended.value.total)
            ended = complete(ended, self.run.now())
            self.meetings.arrive(task, state.result)
        elif ended.status == "active":
            ended = fail(ended, work.why_not(), self.run.now())
        self._over(ended, paid)
        result = msgspec.structs.replace(
            result_of(state), attempts=state.epoch - before.epoch, failures=state.failures - before.failures
        )
        book.report(task.id, Outcome(success=state.status == "done", tasks=(result,), reason=ended.reason))
        self.run.progress(len(book.results), len(book.tasks))

    def _met(self, meeting: str, why_not: str | None) -> None:
        """Take note of the end of a meeting: those that waited for it may begin, or never will."""
        book = self.book
        assert book is not None
        if why_not is None:
            self.meetings.freed(meeting)
        else:
            for task in self.meetings.waiting_for(meeting):
                if task not in book.ended:
                    book.fail(task, f"it waited for sync point {meeting}, which came to nothing: {why_not}")
        self.errands.tell()

    def _over(self, coalition: Coalition, paid: Mapping[AgentId, float]) -> None:
        """Write down how a coalition has ended, tell those who were in it, and remember it."""
        self.history = remember(self.history, coalition)
        self.chronicle.ended(coalition, paid)
        remembered = msgspec.structs.asdict(ending_of(coalition))
        self.run.record("coalition.ended", ref=coalition.id, **remembered, reason=coalition.reason, payments=dict(paid))
        told = dict.fromkeys((*coalition.agents, *(each.agent for each in coalition.exits)))
        here = [agent for agent in told if agent in self.run.agents]
        notice = CoalitionChanged(
            coalition=coalition.id, status=coalition.status, reason=coalition.reason, payments=dict(paid),
            penalties={each.agent: each.penalty for each in coalition.exits}, compensation=compensations(coalition),
        )  # fmt: skip
        self.run.inform(here, notice)

    def close(self) -> None:
        """Dissolve the coalitions that are still at work, and call off what is not decided."""
        for coalition in self.active.values():
            self._over(dissolve(coalition, "the run ended first", self.run.now()), {})
        self.active.clear()
        self.meetings.close()
        for part, state in self.states.items():
            if not state.is_over and self.book is not None and part not in self.book.tasks:
                self.run.record("task.cancelled", ref=part, reason="its coalition is over")
        if self.book is not None:
            self.book.close()


def _give_up(book: Delegation) -> None:
    """Nothing is at work and nothing can begin: what is left waits for itself."""
    for task in list(book.tasks):
        if task not in book.ended:
            book.fail(task, "what it waits for waits for it")


def past_history(facts: Sequence[Fact]) -> Any:
    """Return the history that `coalition.ended` of other runs tells, in its JSON form."""
    endings = [(fact.at, msgspec.convert(fact.data, Ending)) for fact in facts]
    return msgspec.to_builtins(recalled(endings))
