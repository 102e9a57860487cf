"""The log of a run, read aloud: what is open, who holds what, and the cause chain of anything in it.

Pure functions over entries, so that `why` says the same whether a coordinator answers or the file is
read with nobody owning it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from concerted.config.settings import Auction
from concerted.kinds import ENDINGS
from concerted.ports.commands import Waiting
from concerted.ports.store import Entry
from concerted.story.sentences import clock, reply_words, sentence, some
from concerted.story.verdicts import Sale, rules_of
from concerted.values import Instant

__all__ = ["Line", "Open", "Story", "read_story"]


@dataclass(slots=True)
class Line:
    """One sentence.  about: the tasks that it concerns, None for all.  sale: the auction round that it closes."""

    at: Instant
    words: str
    about: frozenset[str] | None
    sale: Sale | None = None


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
    lines: list[Line] = field(default_factory=list)
    sale: Sale = field(default_factory=Sale)  # the auction round that is going on
    rules: Auction = field(default_factory=Auction)
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
                    waiting_for=f"{kind} from {some(agents)}" if agents else kind,
                    since=since,
                    unblocked_by=some(agents) if agents else kind,
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
                        waiting_for=f"task {some(missing)}",
                        since=task["since"],
                        unblocked_by=some([self.claims[m][0] if m in self.claims else m for m in missing]),
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
        """Return the story in sentences, of the whole run or of one task: then with why each bidder did not win it."""
        told = []
        for line in self.lines:
            if task is not None and line.about is not None and task not in line.about:
                continue
            words = line.words
            if task is not None and line.sale is not None:
                words = line.sale.verdict(task, self.tasks[task]["task"], self.rules)
            told.append(f"{clock(line.at - self.created_at)}  {words}")
        return tuple(told)


def read_story(run: str, entries: Iterable[Entry]) -> Story:
    """Read a run's stream, in order."""
    story = Story(run)
    for entry in entries:
        value = entry.value()
        if not isinstance(value, dict):
            value = {}
        asked = story.open.get(int(entry.ref or 0)) if entry.kind == "reply.received" else None
        about = _about(story, entry, value)
        _follow(story, entry, value)
        words = sentence(entry, value) if asked is None else reply_words(asked.type, entry.agent or "?", value)
        if words:
            closed = entry.kind == "auction.closed"
            story.lines.append(Line(entry.at, words, about, story.sale if closed else None))
    return story


def _about(story: Story, entry: Entry, value: dict[str, Any]) -> frozenset[str] | None:
    """Return the tasks that an entry concerns, None for all."""
    match entry.kind:
        case "auction.announced":
            return frozenset(value["tasks"])
        case "auction.closed":
            return frozenset(value["awards"]) | frozenset(value.get("unsold") or ())
        case "participant.lost":
            return frozenset(task for task, claim in story.claims.items() if claim[0] == entry.agent)
        case "claim.expired" | "result.refused":
            return frozenset({str(value.get("task"))})
        case "command.sent" | "reply.received" | "reply.late" | "participant.joined" | "participant.changed":
            return frozenset()  # bids are told where the round is closed, results where they are accepted
        case _ if entry.ref and entry.kind.startswith(("task.", "cfp.", "proposals.", "contract.")):
            return frozenset({entry.ref})
        case _:
            return None


def _follow(story: Story, entry: Entry, value: dict[str, Any]) -> None:
    kind, ref = entry.kind, entry.ref or ""
    match kind:
        case "run.created":
            story.created_at = entry.at
            story.rules = rules_of(value)
        case "auction.announced":
            story.sale = Sale(bidders=list(value["bidders"]))
        case "auction.closed":
            story.sale.close(value, entry.at)
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
        case "reply.received" | "child.ended" | "effect.recorded" | "claim.expired":
            opened_before = story.open.pop(int(ref), None)
            if opened_before is not None and opened_before.type == "REQUEST_BID":
                story.sale.answers[entry.agent or "?"] = value
        case "timer.fired":  # that of a deadline closes what it was the deadline of
            due = value.get("due", 0.0)
            story.open = {n: each for n, each in story.open.items() if each.deadline is None or each.deadline > due}
        case "participant.lost":
            for number in [n for n, each in story.open.items() if each.agent == entry.agent]:
                del story.open[number]
        case "tasks.added":
            for task in value["tasks"]:
                after = list(task.get("after", ()))
                status = "pending" if after else "ready"
                story.tasks[task["id"]] = {"status": status, "after": after, "since": entry.at, "task": task}
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
    task = story.tasks.setdefault(ref, {"status": "ready", "after": [], "since": entry.at, "task": {"id": ref}})
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
