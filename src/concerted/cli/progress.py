"""A run as it goes, from its events: the lines that are worth reading, and the picture of now."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Protocol

from concerted.cli.output import ago, clip
from concerted.kinds import ENDINGS, run_stream
from concerted.launch import Session
from concerted.ports.commands import Events, EventView
from concerted.ports.store import Entry
from concerted.story.sentences import sentence
from concerted.values import Instant

__all__ = ["LINES", "Picture", "Screen", "follow", "is_of", "remember"]

LINES = 12  # of the live picture, at most
LINE_CHARS = 100
FRAME_S = 0.25  # between two looks at the log: four pictures a second
PAGE = 1000
TROUBLE = {
    "agent.fault", "agent.gone", "breaker.opened", "leader.lost", "claim.expired", "participant.lost", "result.refused",
    "run.resumed", "task.cancelled", "task.failed", "task.released",
}  # fmt: skip
NOTABLE = TROUBLE | set(ENDINGS) | {
    "cancel.requested", "deadline.passed", "leader.elected", "participant.joined", "run.unparked", "task.done",
    "task.waiting",
}  # fmt: skip
OF_AGENTS = {
    "agent.suspect": "is suspect",
    "agent.gone": "is gone",
    "agent.fault": "misbehaved",
    "breaker.opened": "fails; commands to it fail fast",
    "breaker.closed": "answers again",
}


@dataclass(slots=True)
class Picture:
    """What the events of one run come to.  claims: task -> its agent and since when."""

    run: str
    agents: dict[str, str] = field(default_factory=dict)
    after: dict[str, tuple[str, ...]] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    claims: dict[str, tuple[str, Instant]] = field(default_factory=dict)
    began_at: Instant = 0.0
    state: str = "queued"

    def take(self, event: EventView) -> None:
        """Go on by one event."""
        data = event.data if isinstance(event.data, dict) else {}
        match event.kind:
            case "run.created":
                self.began_at = event.at
                self.agents = {str(profile["id"]): "" for profile in data.get("agents", ())}
            case "run.started" | "run.unparked":
                self.state = "active"
            case "tasks.added":
                for task in data["tasks"]:
                    self.after[task["id"]] = tuple(task.get("after", ()))
                    self.status[task["id"]] = "pending" if task.get("after") else "ready"
            case "participant.joined":
                self.agents[event.agent or "?"] = ""
            case "participant.lost":
                self.agents[event.agent or "?"] = "lost"
            case kind if kind in ENDINGS:
                self.state = ENDINGS[kind]
                self.claims.clear()
            case kind if kind.startswith("task.") and event.stream == run_stream(self.run):
                self._task(kind, event, data)

    def _task(self, kind: str, event: EventView, data: dict[str, Any]) -> None:
        task = event.ref or "?"
        if kind == "task.claimed":
            self.claims[task] = (event.agent or "?", event.at)
            self.status[task] = "running"
        elif kind == "task.waiting":
            self.waiting[task] = str(data.get("reason", ""))
        elif kind != "task.assigned":
            self.claims.pop(task, None)
            self.waiting.pop(task, None)
            ended = kind.removeprefix("task.")
            self.status[task] = ended if ended in ("done", "failed", "cancelled") else "ready"

    def count(self, status: str) -> int:
        """Count the tasks in one status."""
        return sum(one == status for one in self.status.values())

    def headline(self, now: Instant) -> str:
        """Say in one line how far it is."""
        lost = sum(state == "lost" for state in self.agents.values())
        parts = [f"{self.count('done')} of {len(self.status)} tasks done"]
        parts += [f"{self.count(status)} {status}" for status in ("running", "failed") if self.count(status)]
        parts.append(f"{len(self.agents) - lost} agents" + (f", {lost} lost" if lost else ""))
        return f"{self.run}: {self.state}, {', '.join(parts)}, {ago(now - self.began_at)}"

    def lines(self, now: Instant, most: int = LINES) -> list[str]:
        """Say what goes on, in at most so many lines: who does what, then what waits for what."""
        busy = [f"  {task}  {agent}  {ago(now - since)}" for task, (agent, since) in self.claims.items()]
        idle = []
        for task, status in self.status.items():
            if status == "pending":
                open_ones = [other for other in self.after[task] if self.status.get(other) != "done"]
                idle.append(f"  {task}  waits for {clip(', '.join(open_ones))}")
            elif status == "ready":
                idle.append(
                    f"  {task}  waits for an agent" + (f": {clip(why)}" if (why := self.waiting.get(task)) else "")
                )
        found = [self.headline(now), *busy, *idle]
        if len(found) > most:
            found = [*found[: most - 1], f"  ... and {len(found) - most + 1} more"]
        return [line[:LINE_CHARS] for line in found]

    def words(self, event: EventView) -> str | None:
        """Put a notable event into one line; None for any other."""
        data = event.data if isinstance(event.data, dict) else {}
        if event.kind in OF_AGENTS:
            told = data.get("reason") or data.get("detail")
            words: str | None = f"{event.agent} {OF_AGENTS[event.kind]}" + (f": {clip(told)}" if told else "")
        elif event.kind in NOTABLE:
            words = sentence(_entry(event), data)
        else:
            return None
        child = "" if event.stream in (run_stream(self.run), f"agent:{event.agent}") else f"{event.stream}: "
        return words and f"+{event.at - self.began_at:.1f}s  {child}{words}"


class Screen(Protocol):
    """Where progress is shown."""

    def line(self, text: str, *, trouble: bool) -> None:
        """Show one notable event."""

    def picture(self, picture: Picture) -> None:
        """Show how it stands now."""


def is_of(event: EventView, picture: Picture) -> bool:
    """Say whether an event is of this run, a child of it, or an agent in it."""
    stream = run_stream(picture.run)
    return event.stream == stream or event.stream.startswith(f"{stream}/") or (
        event.stream.startswith("agent:") and event.agent in picture.agents
    )  # fmt: skip


async def remember(session: Session, picture: Picture, until: int) -> None:
    """Take in what has happened up to entry `until`, silently."""
    after = 0
    while page := await session.events(after=after, until=until, stream=run_stream(picture.run), limit=PAGE):
        for event in page:
            picture.take(event)
        after = page[-1].seq


async def follow(session: Session, picture: Picture, screen: Screen, after: int) -> None:
    """Show what happens after entry `after`, until the run's ending has been shown."""
    while True:
        page: list[EventView] = await session.give(Events(after=after, limit=PAGE, wait_s=FRAME_S))
        for event in page:
            after = event.seq
            if not is_of(event, picture):
                continue
            picture.take(event)
            words = picture.words(event)
            if words is not None:
                screen.line(words, trouble=event.kind in TROUBLE)
            if event.kind in ENDINGS and event.stream == run_stream(picture.run):
                screen.picture(picture)
                return
        screen.picture(picture)
        if len(page) < PAGE:
            await asyncio.sleep(FRAME_S)


def _entry(event: EventView) -> Entry:
    return Entry(
        seq=event.seq, stream=event.stream, stream_seq=event.stream_seq, at=event.at, kind=event.kind,
        agent=event.agent, ref=event.ref,
    )  # fmt: skip
