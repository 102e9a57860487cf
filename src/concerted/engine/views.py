"""What callers see: runs, agents, events and causes, put together from the store and what is in memory.

Without a coordinator (`of=None`) the same views come from the file alone, when nobody owns it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.engine.replicas.hindrance import hindrance, opening_waits, stalled_groups
from concerted.errors import Invalid, NotFound
from concerted.kinds import agent_stream, primitive_stream, run_stream
from concerted.machine import Look
from concerted.ports.commands import AgentView, Events, EventView, RunView, StatusView, Waiting, WhyView
from concerted.ports.store import AgentRecord, Entry, PrimitiveRecord, ReadStore, RunRecord, TaskRecord
from concerted.primitives.fold import read_state
from concerted.primitives.table import machine_of
from concerted.story.chain import read_story
from concerted.story.primitives import OPEN, about_primitive, is_blocked, record_waits
from concerted.story.sentences import about_agent
from concerted.values import AgentId, Instant, Metrics, Outcome, Profile, RunId, TaskResult

if TYPE_CHECKING:
    from concerted.engine.coordinator import Coordinator

__all__ = ["ReadStore", "Viewer", "event_view"]

PAGE = 10_000
LINES = 200  # of a primitive's history before its folded state
BLOCKED = 100  # primitives, and callers, that one status shows
DECIDING = re.compile("local effect (?:outcome of )?(?P<kind>decision|agreement) (?P<id>.+)")  # of a run
UNFINISHED = ("queued", "initializing", "active", "parked")


class Viewer:
    """Reads for one caller.  of: the coordinator that owns the store, if this process has it."""

    def __init__(self, store: ReadStore, now: Callable[[], Instant], of: Coordinator | None = None) -> None:
        self._store = store
        self._now = now
        self._of = of

    async def run(self, run: RunId, *, brief: bool = False) -> RunView:
        """Return one run with its tasks (`brief`: without) and what it waits for.

        Raises:
            NotFound: there is no such run.
        """
        record = await self._store.get(RunRecord, run)
        if record is None:
            raise NotFound(f"there is no run {run!r}; `concerted status --all` lists them", run=run)
        tasks = () if brief else await self._tasks(run)
        waiting: tuple[Waiting, ...] = ()
        if record.status in UNFINISHED and not brief:
            waiting = await self._waiting(record)
        return _run_view(record, tasks, waiting)

    async def status(self, *, everything: bool, limit: int) -> StatusView:
        """Return the whole at a glance: unfinished runs (`everything`: all), agents, counts."""
        where = None if everything else {"status": UNFINISHED}
        records = await self._store.find(RunRecord, where, limit=min(limit, PAGE))
        runs = []
        for record in records:
            waiting = await self._waiting(record) if record.status in UNFINISHED else ()
            runs.append(_run_view(record, await self._tasks(record.id), waiting))
        agents = await self.agents()
        counts: dict[str, int] = {}
        for run in runs:
            counts[run.status] = counts.get(run.status, 0) + 1
        return StatusView(
            url=self._store.url,
            owner=None if self._of is None else self._of.pid,
            seq=await self._store.last_seq(),
            runs=tuple(runs),
            agents=tuple(agents),
            counts=dict(sorted(counts.items())),
            blocked=await self._blocked(),
            now=self._now(),
        )

    async def agents(self) -> list[AgentView]:
        """Return all agents by id: those that are here as they are, those of other nodes as the log has them."""
        if self._of is None:
            return await self._agents()
        here = self._of.roster.views()
        if not self._of.store.shared:
            return here
        known = {view.id for view in here}
        others = [view for view in await self._agents() if view.id not in known]
        return sorted([*here, *map(_elsewhere, others)], key=lambda view: view.id)

    async def events(self, asked: Events) -> list[EventView]:
        """Return entries of the log."""
        if not 0 < asked.limit <= PAGE:
            raise Invalid(f"limit is {asked.limit}; it must be 1..{PAGE}")
        entries = await self._store.log(
            after=asked.after, until=asked.until, stream=asked.stream, kind=asked.kind, limit=asked.limit
        )
        return [event_view(entry) for entry in entries]

    async def why(self, subject: str) -> WhyView:
        """Explain a run, a task or an agent.

        Raises:
            NotFound: nothing has this name.  Invalid: several runs have a task of this name.
        """
        record = await self._store.get(RunRecord, subject)
        if record is not None:
            story = read_story(record.id, await self._history(record.id))
            return WhyView(subject=subject, lines=story.chain(), waiting=await self._waiting(record))
        agent = await self._store.get(AgentRecord, subject)
        if agent is not None:
            return await self._why_agent(AgentId(subject))
        primitive = await self._primitive(subject)
        if primitive is not None:
            return await self._why_primitive(primitive)
        return await self._why_task(subject)

    # primitives

    async def _primitive(self, subject: str) -> PrimitiveRecord | None:
        found = await self._store.get(PrimitiveRecord, subject)
        named = [found] if found else await self._store.find(PrimitiveRecord, {"id": subject}, limit=20)
        if len(named) > 1:
            streams = ", ".join(record.stream for record in named)
            raise Invalid(f"{len(named)} primitives are called {subject!r}; say which: {streams}")
        return named[0] if named else None

    async def _why_primitive(self, record: PrimitiveRecord) -> WhyView:
        entries = await self._store.stream(record.stream, after=max(0, record.folded - LINES), limit=PAGE)
        own = await self._waits_of(record)
        waiting = (*(() if own is None else (own,)), *self._callers(record.stream))
        return WhyView(subject=record.stream, lines=about_primitive(entries), waiting=waiting)

    async def _waits_of(self, record: PrimitiveRecord) -> Waiting | None:
        """Say what an open primitive waits for, by its state; None: for nothing."""
        hindered = await hindrance(self._store, record)
        if hindered is not None or not is_blocked(record):
            return hindered
        machine = machine_of(record.kind)
        state, _, _ = await read_state(self._store, machine, record.stream)
        told = machine.answer(state, Look(), self._now())
        missing = getattr(told, "missing", getattr(told, "proposers", ()))
        gone = getattr(told, "lost_agents", ()) or getattr(told, "lost", ())
        return record_waits(record, missing, gone, await self._gone(missing))

    async def _by_what(self, waiting: Waiting) -> Waiting:
        """Say of a run that has something decided what that waits for; any other wait is as it was."""
        asked = DECIDING.fullmatch(waiting.waiting_for)
        if asked is None:
            return waiting
        stream = primitive_stream(asked["kind"], asked["id"])
        record = await self._store.get(PrimitiveRecord, stream)
        told = await (opening_waits(self._store, stream) if record is None else self._waits_of(record))
        if told is None:
            return waiting
        return msgspec.structs.replace(
            waiting,
            waiting_for=f"{asked['kind']} {asked['id']}: {told.waiting_for}",
            unblocked_by=told.unblocked_by,
            deadline=told.deadline or waiting.deadline,
        )

    async def _gone(self, missing: Iterable[AgentId]) -> dict[str, AgentRecord]:
        """Return those of the missing who are agents, and gone, whether or not the primitive has heard of it."""
        wanted = {*missing}
        gone = await self._store.find(AgentRecord, {"state": "gone"}, limit=PAGE) if wanted else []
        return {record.id: record for record in gone if record.id in wanted}

    def _callers(self, stream: str | None = None) -> list[Waiting]:
        """Return who waits at primitives now, as far as this process knows."""
        views = [] if self._of is None else self._of.primitives.waits.views()
        return [view for view in views if stream is None or view.subject.endswith(f" at {stream}")]

    async def _blocked(self) -> tuple[Waiting, ...]:
        records = await self._store.find(PrimitiveRecord, {"status": OPEN}, limit=BLOCKED)
        blocked = [record for record in records if is_blocked(record)]
        stalled = await stalled_groups(self._store)
        hindered = [await hindrance(self._store, record) for record in (*stalled, *blocked)] if stalled else []
        waiting = [each for each in hindered if each is not None]
        told = {each.subject for each in waiting}
        waiting += [record_waits(record) for record in blocked if record.stream not in told]
        return (*waiting, *self._callers()[:BLOCKED])

    async def _why_task(self, subject: str) -> WhyView:
        run, _, task = subject.rpartition(":")
        found = [await self._store.get(TaskRecord, run, task)] if run else []
        records = [record for record in found if record is not None]
        if not records:
            records = await self._store.find(TaskRecord, {"id": subject}, limit=20)
        if not records:
            raise NotFound(f"no run, agent or task is named {subject!r}; `concerted status --all` lists them")
        if len(records) > 1:
            named = ", ".join(f"{record.run}:{record.id}" for record in records[:5])
            raise Invalid(f"{len(records)} runs have a task {subject!r}; say which: {named}")
        record = records[0]
        story = read_story(record.run, await self._history(record.run))
        key = f"{record.run}:{record.id}"
        waiting = tuple(waiting for waiting in story.waiting() if waiting.subject == key)
        return WhyView(subject=key, lines=story.chain(record.id), waiting=waiting)

    async def _why_agent(self, agent: AgentId) -> WhyView:
        lines = list(about_agent(agent, await self._store.stream(agent_stream(agent), limit=PAGE)))
        waiting: list[Waiting] = []
        for record in await self._store.find(RunRecord, {"status": UNFINISHED}, limit=100):
            found = await self._waiting(record, agent)
            waiting += [each for each in found if agent in each.unblocked_by.split(", ")]
        held = await self._store.find(TaskRecord, {"agent": agent, "status": "running"}, limit=100)
        lines += [f"holds {task.run}:{task.id} under claim {task.epoch}" for task in held]
        if self._of is not None:
            waiting += self._of.primitives.waits.views(agent)
            waiting += await self._of.primitives.waits.views_elsewhere(agent)
        return WhyView(subject=agent, lines=tuple(lines), waiting=tuple(waiting))

    async def _waiting(self, record: RunRecord, agent: AgentId | None = None) -> tuple[Waiting, ...]:
        if record.status == "parked":
            return (Waiting(subject=record.id, waiting_for=f"a person: {record.error}", since=record.created_at,
                            unblocked_by="`concerted resume` or `concerted cancel`"),)  # fmt: skip
        if self._of is not None and record.id in self._of.foreign:
            return (Waiting(subject=record.id, waiting_for=self._of.foreign[record.id], since=record.created_at,
                            unblocked_by="a coordinator that has the strategy"),)  # fmt: skip
        active = None if self._of is None else self._of.rounds.live.get(record.id)
        story = read_story(record.id, await self._history(record.id))
        if active is not None:  # who gave up waiting without a word is known in memory alone
            run = active.instance
            story.open = {n: o for n, o in story.open.items() if n in run.calls or n in run.children or n in run.works}
        if agent is not None:
            story.open = {number: each for number, each in story.open.items() if each.agent == agent}
        waiting = story.waiting()
        if record.status == "queued" and self._of is not None and active is not None:
            place, bound = self._of.slots.place(active), self._of.slots.bound(active)
            told = f"a free slot (place {place}; {bound} runs are active, the bound)"
            return (msgspec.structs.replace(waiting[0], waiting_for=told),)
        return tuple([await self._by_what(each) for each in waiting])

    async def _history(self, run: str) -> list[Entry]:
        return await self._store.stream(run_stream(run))

    async def _tasks(self, run: RunId) -> tuple[TaskResult, ...]:
        found: list[TaskRecord] = []
        while page := await self._store.find(
            TaskRecord, {"run": run}, limit=PAGE, after=(run, found[-1].id) if found else ()
        ):
            found += page
            if len(page) < PAGE:
                break
        return tuple(
            TaskResult(
                id=task.id,
                status=task.status,
                agent=task.agent,
                attempts=task.attempts,
                epoch=task.epoch,
                result=None if task.result is None else msgspec.json.decode(task.result),
                error=task.error,
            )
            for task in found
        )

    async def _agents(self) -> list[AgentView]:
        views = []
        for record in await self._store.find(AgentRecord, None, limit=PAGE):
            profile = msgspec.json.decode(record.profile, type=Profile)
            views.append(
                AgentView(
                    id=record.id,
                    state=record.state,
                    link=record.link,
                    capabilities=profile.capabilities,
                    capacity=profile.capacity,
                    reason=record.reason,
                )
            )
        return views


def _elsewhere(view: AgentView) -> AgentView:
    """Say of an agent that it has not come to this node; one that is gone, or has left, is gone for all."""
    return view if view.state == "gone" else msgspec.structs.replace(view, state="elsewhere")


def _run_view(record: RunRecord, tasks: tuple[TaskResult, ...], waiting: tuple[Waiting, ...]) -> RunView:
    ended: dict[str, Any] = msgspec.json.decode(record.result) if record.result else {}
    outcome = msgspec.convert(ended["outcome"], Outcome) if ended.get("outcome") else None
    if outcome is not None and outcome.tasks:
        known = {task.id: task for task in outcome.tasks}
        tasks = tuple(known.get(task.id, task) for task in tasks) if tasks else ()
    return RunView(
        id=record.id,
        plan=record.plan,
        strategy=record.strategy,
        status=record.status,
        success=None if record.ended_at is None else bool(outcome and outcome.success),
        reason=record.error or (outcome.reason if outcome else ""),
        tasks=tasks,
        participants=outcome.participants if outcome else {},
        metrics=msgspec.convert(ended["metrics"], Metrics) if ended.get("metrics") else None,
        result=outcome.result if outcome else None,
        progress=None if record.progress is None else msgspec.json.decode(record.progress),
        parent=record.parent,
        created_at=record.created_at,
        started_at=record.started_at,
        ended_at=record.ended_at,
        deadline_at=record.deadline_at,
        epoch=record.epoch,
        attempts=record.attempts,
        waiting=waiting,
    )


def event_view(entry: Entry) -> EventView:
    """Decode one entry for a caller."""
    return EventView(
        seq=entry.seq,
        stream=entry.stream,
        stream_seq=entry.stream_seq,
        at=entry.at,
        kind=entry.kind,
        agent=entry.agent,
        ref=entry.ref,
        data=entry.value(),
    )
