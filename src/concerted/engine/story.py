"""The log of a run, read aloud: what is open, who holds what, and the cause chain of anything in it.

Pure functions over entries, so that `why` says the same whether a coordinator answers or the file is
read with nobody owning it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from concerted.kinds import ENDINGS
from concerted.ports.commands import Waiting
from concerted.ports.store import Entry
from concerted.values import Instant

__all__ = ["Open", "Story", "about_agent", "read_story", "sentence"]

NAMED = 5  # agents or tasks named in one sentence; the rest are counted


@dataclass(slots=True)
class Open:
    """One thing that is waited for."""

    type: str
    agent: str | None
    since: Instant
    deadline: Instant | None = None
    task: str | None = None


@dataclass(slots=True)
class Story:
    """What a run's entries come to."""

    run: str
    open: dict[int, Open] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    claims: dict[str, tuple[str, int, Instant]] = field(default_factory=dict)  # task -> agent, epoch, since
    lines: list[tuple[Instant, str | None, str | None, str]] = field(default_factory=list)  # at, task, agent, words
    status: str = "queued"
    created_at: Instant = 0.0
    deadline_at: Instant | None = None

    def waiting(self) -> tuple[Waiting, ...]:
        """Say what the run and its tasks wait for now, oldest first; alike commands are one entry."""
        if self.status == "queued":
            return (Waiting(subject=self.run, waiting_for="a free slot", since=self.created_at,
                            unblocked_by="the end of another run"),)  # fmt: skip
        if self.status in ENDINGS.values():
            return ()
        found = [self._claim(task, *claim) for task, claim in self.claims.items()]
        groups: dict[tuple[str, Instant], list[Open]] = {}
        for each in self.open.values():
            if each.type != "EXECUTE_TASK":
                groups.setdefault((each.type, each.since), []).append(each)
        for (kind, since), members in groups.items():
            agents = [member.agent for member in members if member.agent]
            found.append(
                Waiting(
                    subject=self.run,
                    waiting_for=f"{kind} from {_some(agents)}" if agents else kind,
                    since=since,
                    unblocked_by=_some(agents) if agents else kind,
                    deadline=min((m.deadline for m in members if m.deadline), default=self.deadline_at),
                )
            )
        found += self._dependencies()
        if not found:
            found.append(Waiting(subject=self.run, waiting_for="a signal or a timer", since=self.created_at,
                                 unblocked_by="`concerted signal`, or time", deadline=self.deadline_at))  # fmt: skip
        return tuple(sorted(found, key=lambda waiting: (waiting.since, waiting.subject)))

    def _claim(self, task: str, agent: str, epoch: int, since: Instant) -> Waiting:
        return Waiting(
            subject=f"{self.run}:{task}",
            waiting_for=f"the result from {agent} (claim {epoch})",
            since=since,
            unblocked_by=agent,
            deadline=self.deadline_at,
        )

    def _dependencies(self) -> list[Waiting]:
        found = []
        for name, task in self.tasks.items():
            if task["status"] == "pending":
                missing = [other for other in task["after"] if self.tasks.get(other, {}).get("status") != "done"]
                found.append(
                    Waiting(
                        subject=f"{self.run}:{name}",
                        waiting_for=f"task {_some(missing)}",
                        since=task["since"],
                        unblocked_by=_some([self.claims[m][0] if m in self.claims else m for m in missing]),
                        deadline=self.deadline_at,
                    )
                )
            elif task["status"] == "ready" and name not in self.claims:
                reason = task.get("reason") or "an agent"
                found.append(
                    Waiting(
                        subject=f"{self.run}:{name}",
                        waiting_for=f"an agent: {reason}" if task.get("reason") else "an agent that takes it",
                        since=task["since"],
                        unblocked_by="an agent that can do it",
                        deadline=self.deadline_at,
                    )
                )
        return found

    def chain(self, task: str | None = None) -> tuple[str, ...]:
        """Return the story in sentences, of one task or of the whole run."""
        lines = [line for line in self.lines if task is None or line[1] in (None, task)]
        return tuple(f"{_clock(at - self.created_at)}  {words}" for at, _, _, words in lines)


def read_story(run: str, entries: Iterable[Entry]) -> Story:
    """Read a run's stream, in order."""
    story = Story(run)
    for entry in entries:
        value = entry.value()
        if not isinstance(value, dict):
            value = {}
        asked = story.open.get(int(entry.ref or 0)) if entry.kind == "reply.received" else None
        _follow(story, entry, value)
        words = sentence(entry, value) if asked is None else _reply_words(asked.type, entry.agent or "?", value)
        if words:
            task = entry.ref if entry.kind.startswith("task.") else value.get("task")
            story.lines.append((entry.at, task, entry.agent, words))
    return story


def _follow(story: Story, entry: Entry, value: dict[str, Any]) -> None:
    kind, ref = entry.kind, entry.ref or ""
    match kind:
        case "run.created":
            story.created_at = entry.at
        case "run.started":
            story.status, story.deadline_at = "active", value.get("deadline_at")
        case "run.unparked":
            story.status = "active"
        case "command.sent":
            for offset, agent in enumerate(value["agents"]):
                opened = Open(value["type"], agent, entry.at, value.get("reply_by"))
                story.open[int(ref) + offset] = opened
        case "child.started":
            story.open[int(ref)] = Open(f"child run {value['run']}", None, entry.at)
        case "effect.started":
            story.open[int(ref)] = Open(f"local effect {value['name']}", None, entry.at)
        case "reply.received" | "child.ended" | "effect.recorded" | "lease.expired":
            story.open.pop(int(ref), None)
        case "participant.lost":
            for number in [n for n, each in story.open.items() if each.agent == entry.agent]:
                del story.open[number]
        case "tasks.added":
            for task in value["tasks"]:
                after = list(task.get("after", ()))
                status = "pending" if after else "ready"
                story.tasks[task["id"]] = {"status": status, "after": after, "since": entry.at}
        case "run.restarted":
            story.open.clear()
        case _ if kind in ENDINGS:
            story.status = ENDINGS[kind]
            story.open.clear()
            story.claims.clear()
        case _ if kind.startswith("task."):
            _follow_task(story, entry, value)


def _follow_task(story: Story, entry: Entry, value: dict[str, Any]) -> None:
    ref = entry.ref or ""
    task = story.tasks.setdefault(ref, {"status": "ready", "after": [], "since": entry.at})
    task["since"] = entry.at
    match entry.kind:
        case "task.claimed":
            story.claims[ref] = (entry.agent or "?", value.get("epoch", 0), entry.at)
            task["status"] = "running"
        case "task.released" | "task.waiting" | "task.ready":
            story.claims.pop(ref, None)
            task["status"], task["reason"] = "ready", value.get("reason")
        case "task.done" | "task.failed" | "task.cancelled":
            story.claims.pop(ref, None)
            task["status"] = entry.kind.removeprefix("task.")


def sentence(entry: Entry, value: dict[str, Any]) -> str | None:
    """Put one entry into words; None for what only a replay needs."""
    agent, ref = entry.agent or "?", entry.ref or "?"
    match entry.kind:
        case "run.created":
            return f"run asked for: strategy {value['strategy']}, {len(value.get('agents') or ())} agents"
        case "run.started":
            return f"it got a slot on node {value['node']}"
        case "run.resumed":
            return f"taken over by node {value['node']} under epoch {value['epoch']}"
        case "command.sent":
            return f"asked {_some(value['agents'])}: {value['type']}"
        case "reply.received":
            return f"{agent} answered {value['status']}"
        case "reply.late":
            return f"{agent} answered command {ref} too late ({value['status']}); kept, not applied"
        case "result.refused":
            return (
                f"{agent} came with a result of {value['task']} under claim {value['epoch']}, which is over "
                f"(now {value['current_epoch']}); refused and kept"
            )
        case "lease.expired":
            return f"{agent} let the lease of {value['task']} run out"
        case "participant.lost":
            return f"{agent} was lost: {value.get('reason', '')}"
        case "participant.joined":
            return f"{agent} joined"
        case "signal.received":
            return f"signal {value['name']} came"
        case "cancel.requested":
            return f"{value.get('by')} called it off: {value.get('reason') or 'no reason given'}"
        case "deadline.passed":
            return "its deadline passed"
        case "child.started":
            return f"child run {value['run']} started ({value['strategy']})"
        case "child.ended":
            return f"child run {value['run']} {value['status']}"
        case _:
            return _domain_words(entry.kind, agent, ref, value)


def _domain_words(kind: str, agent: str, ref: str, value: dict[str, Any]) -> str | None:
    match kind:
        case "tasks.added":
            return f"tasks: {_some([task['id'] for task in value['tasks']])}"
        case "auction.announced":
            return f"auction of {_some(value['tasks'])} to {_some(value['bidders'])}"
        case "auction.closed":
            awards = [f"{task} to {winner}" for task, winner in value["awards"].items()]
            unsold = [f"{task}: {why}" for task, why in (value.get("unsold") or {}).items()]
            return f"awarded {_some(awards) or 'nothing'}" + (f"; unsold {_some(unsold)}" if unsold else "")
        case "task.ready":
            return f"task {ref} is ready: all it comes after is done"
        case "task.claimed":
            return f"{agent} claimed {ref} (claim {value['epoch']})"
        case "task.released":
            return f"{agent} no longer holds {ref}: {value.get('reason') or value.get('status')}"
        case "task.assigned":
            return f"the leader gave {ref} to {agent}"
        case "task.done":
            return f"{agent} did {ref}; accepted under claim {value.get('epoch')}"
        case "task.failed" | "task.cancelled" | "task.waiting":
            return f"task {ref} {kind.removeprefix('task.')}: {value.get('reason', '')}"
        case "leader.elected":
            return f"{agent} leads in term {value['term']}"
        case "leader.lost":
            return f"the leader {agent} was lost: {value.get('reason', '')}"
        case _ if kind in ENDINGS:
            told = value.get("error") or value.get("reason")
            return f"run {ENDINGS[kind].replace('_', ' ')}" + (f": {told}" if told else "")
        case _:
            return None


def _reply_words(asked: str, agent: str, value: dict[str, Any]) -> str | None:
    """Put an answer into words; None where the next line says it better."""
    told = value.get("error")
    if value["status"] != "ok":
        return f"{agent} answered {asked}: {value['status']}" + (f", {told}" if told else "")
    answer = value.get("value")
    if asked == "REQUEST_BID" and isinstance(answer, dict):
        bids = [f"{bid['task']} for {bid['cost']:g}" for bid in answer.get("bids", ()) if isinstance(bid, dict)]
        return (
            f"{agent} bid on {_some(bids)}" if bids else f"{agent} did not bid: {answer.get('reason') or 'no reason'}"
        )
    if asked in _ANSWERED_BY_THE_NEXT_LINE:
        return None
    return f"{agent} answered {asked}"


_ANSWERED_BY_THE_NEXT_LINE = frozenset(
    {"EXECUTE_TASK", "GET_CAPABILITIES", "GET_STATUS", "CHECK_PROGRESS", "DECOMPOSE_OBJECTIVE", "FOLLOW_LEADER"}
)


def about_agent(agent: str, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Tell an agent's own stream in sentences."""
    lines = []
    first: Instant | None = None
    for entry in entries:
        value = entry.value()
        first = entry.at if first is None else first
        words = {
            "agent.registered": f"{agent} registered ({value.get('link')})",
            "agent.changed": f"{agent} has a new profile",
            "agent.suspect": f"{agent} is suspect: {value.get('reason', '')}",
            "agent.gone": f"{agent} is gone: {value.get('reason', '')}",
            "agent.alive": f"{agent} is back",
            "agent.left": f"{agent} left: {value.get('reason', '')}",
            "agent.fault": f"{agent} misbehaved: {value.get('fault')}: {value.get('detail', '')}",
            "breaker.opened": f"commands to {agent} fail fast after {value.get('failures')} failures",
            "breaker.closed": f"{agent} answers again",
        }.get(entry.kind)
        if words:
            lines.append(f"{_clock(entry.at - first)}  {words}")
    return tuple(lines)


def _some(names: Iterable[Any]) -> str:
    """Name the first five and count the rest."""
    listed = [str(name) for name in names]
    rest = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _clock(seconds: float) -> str:
    return f"+{seconds:.3f}s"
