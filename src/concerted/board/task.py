"""A task on the board: who holds it, under which claim, and how it ends.

    pending --MakeReady--> ready --Claim--> running --Complete--> done
                           ready <--Release-- running --Release, no attempts left--> failed
    pending | ready | running --Fail--> failed
    pending | ready | running --Cancel--> cancelled

Each claim has an epoch, one higher than the last.  A result that comes under an older one is refused,
so a task is accepted once, however many agents believe that they hold it.  The lease of a claim is
watched where the heartbeats are; here its end is a release with the status `lost`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from concerted.errors import Invalid, WrongPhase
from concerted.machine import Event, Step
from concerted.messages import ReplyStatus
from concerted.values import AgentId, Instant, Task, TaskId, TaskResult, TaskStatus

__all__ = [
    "LOSSES",
    "Cancel",
    "Claim",
    "Complete",
    "Fail",
    "MakeReady",
    "Postpone",
    "Release",
    "Request",
    "TaskState",
    "attempts_left",
    "decide",
    "evolve",
    "result_of",
]

LOSSES = 10  # holders a task may lose before it counts as what kills them

_COUNTED = ("failed", "timeout")  # how an attempt ends that counts against `Task.retries`
_OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands.

    agent: its holder, or its last one.  epoch: that of its newest claim, hence also their number.
    failures, losses: how many claims ended so.  reason: why it waits or was not done.
    """

    task: Task
    status: TaskStatus = "pending"
    agent: AgentId | None = None
    epoch: int = 0
    failures: int = 0
    losses: int = 0
    result: Any = None
    reason: str | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.task.id

    @property
    def is_over(self) -> bool:
        """Whether it is decided how the task ends."""
        return self.status in _OVER


@dataclass(frozen=True, slots=True)
class MakeReady:
    """Everything the task comes after is done."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Let an agent hold the task, for `lease_s` seconds after each heartbeat."""

    agent: AgentId
    lease_s: float


@dataclass(frozen=True, slots=True)
class Complete:
    """Take a result that was reached under this epoch."""

    agent: AgentId
    epoch: int
    result: Any = None


@dataclass(frozen=True, slots=True)
class Release:
    """End the claim of this epoch without a result.  status: how its command was answered."""

    epoch: int
    status: ReplyStatus
    reason: str


@dataclass(frozen=True, slots=True)
class Postpone:
    """Say why a ready task is not given to anybody now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """Give the task up."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call the task off."""

    reason: str


Request = MakeReady | Claim | Complete | Release | Postpone | Fail | Cancel


def decide(state: TaskState, request: Request, now: Instant) -> Step:
    """Return what the request comes to.  Repeating what has happened already is harmless: no events.

    A result of an old claim becomes `result.refused`.  A claim's Step wakes when its lease would end
    without a heartbeat.

    Raises:
        WrongPhase: a claim on a task that is not ready, or postponing one.
        Invalid: a result or release under an epoch that was never given.
    """
    match request:
        case MakeReady():
            return _step(state, "task.ready") if state.status == "pending" else Step()
        case Claim(agent, lease_s):
            _require_ready(state, f"be claimed by {agent}")
            epoch = state.epoch + 1
            step = _step(state, "task.claimed", agent, epoch=epoch, attempt=epoch, lease_s=lease_s)
            return replace(step, wake_at=now + lease_s)
        case Complete():
            return _complete(state, request)
        case Release():
            return _release(state, request)
        case Postpone(reason):
            _require_ready(state, "wait")
            return Step() if state.reason == reason else _step(state, "task.waiting", reason=reason)
        case Fail(reason):
            return Step() if state.is_over else _step(state, "task.failed", reason=reason)
        case Cancel(reason):
            return Step() if state.is_over else _step(state, "task.cancelled", reason=reason)


def evolve(state: TaskState, event: Event, at: Instant) -> TaskState:
    """Return the state after an event of this task, which happened at `at`; other kinds change nothing."""
    data = event.data
    match event.kind:
        case "task.ready":
            return replace(state, status="ready", reason=None)
        case "task.claimed":
            return replace(
                state, status="running", agent=event.agent, epoch=data["epoch"], reason=None, started_at=at
            )  # fmt: skip
        case "task.released":
            return replace(
                state,
                status="ready",
                reason=data["reason"],
                failures=state.failures + (data["status"] in _COUNTED),
                losses=state.losses + (data["status"] == "lost"),
            )
        case "task.waiting":
            return replace(state, reason=data["reason"])
        case "task.done":
            return replace(state, status="done", result=data["result"], reason=None, ended_at=at)
        case "task.failed":
            return replace(state, status="failed", reason=data["reason"], ended_at=at)
        case "task.cancelled":
            return replace(state, status="cancelled", reason=data["reason"], ended_at=at)
        case _:
            return state


def attempts_left(state: TaskState) -> int:
    """Return how many more claims may fail; a claim that is running now is one of them."""
    return max(0, state.task.retries + 1 - state.failures) if state.losses < LOSSES else 0


def result_of(state: TaskState) -> TaskResult:
    """Return how the task ended, or where it stands, as an outcome shows it."""
    return TaskResult(
        id=state.id,
        status=state.status,
        agent=None if state.status in ("pending", "ready") else state.agent,
        attempts=state.epoch,
        failures=state.failures,
        epoch=state.epoch if state.status == "done" else 0,
        result=state.result,
        error=None if state.status == "done" else state.reason,
        started_at=state.started_at,
        ended_at=state.ended_at,
    )


def _complete(state: TaskState, request: Complete) -> Step:
    _require_known(state, request.epoch)
    if request.epoch == state.epoch and state.status == "running":
        return _step(state, "task.done", request.agent, epoch=request.epoch, result=request.result)
    if request.epoch == state.epoch and state.status == "done":
        return Step()  # the same result once more
    refused = {
        "task": state.id,
        "epoch": request.epoch,
        "current_epoch": state.epoch,
        "value": request.result,
    }
    return Step((Event("result.refused", request.agent, None, refused),))


def _release(state: TaskState, request: Release) -> Step:
    _require_known(state, request.epoch)
    if request.epoch != state.epoch or state.status != "running":
        return Step()
    event = Event(
        "task.released",
        state.agent,
        state.id,
        {"epoch": request.epoch, "status": request.status, "reason": request.reason},
    )
    left = attempts_left(evolve(state, event, 0.0))
    event.data["attempts_left"] = left
    if left:
        return Step((event,))
    why = f"{request.reason} (attempt {state.epoch} of {state.agent}, the last)"
    if state.losses + 1 >= LOSSES and request.status == "lost":
        why = f"{LOSSES} agents were lost while they did it; the last: {state.agent}, {request.reason}"
    return Step((event, Event("task.failed", None, state.id, {"reason": why})))


def _step(state: TaskState, kind: str, agent: AgentId | None = None, **data: Any) -> Step:
    return Step((Event(kind, agent, state.id, data),))


def _require_ready(state: TaskState, what: str) -> None:
    if state.status != "ready":
        held = f" by {state.agent} under claim {state.epoch}" if state.status == "running" else ""
        raise WrongPhase(f"task {state.id} is {state.status}{held}; only a ready task can {what}", task=state.id)


def _require_known(state: TaskState, epoch: int) -> None:
    if not 1 <= epoch <= state.epoch:
        raise Invalid(f"task {state.id} was never claimed under epoch {epoch}; its newest is {state.epoch}")
