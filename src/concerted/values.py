"""The nouns everybody shares: ids, instants, profiles, tasks, objectives, outcomes.

All are frozen and have one JSON form.  Instants are seconds since the Unix epoch (UTC), lengths of
time are seconds, levels and ratios are 0..1.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, NewType

import msgspec

from concerted.errors import Invalid

__all__ = [
    "AgentId",
    "AgentState",
    "AgentStatus",
    "Instant",
    "Meeting",
    "Metrics",
    "Objective",
    "Outcome",
    "ParticipantResult",
    "Profile",
    "RunId",
    "RunStatus",
    "Task",
    "TaskId",
    "TaskResult",
    "TaskStatus",
    "as_kept",
    "digest",
    "encode",
    "is_name",
]

AgentId = NewType("AgentId", str)
RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
Instant = float

CLAUSES = ("late", "failure", "decommitment", "cap")  # of contracts, each a share of the price
NAME_BYTES = 200  # the longest id of anything

AgentState = Literal["alive", "suspect", "gone"]
RunStatus = Literal[
    "queued", "initializing", "active", "completed", "failed", "cancelled", "timed_out", "parked"
]  # fmt: skip
TaskStatus = Literal["pending", "ready", "running", "done", "failed", "cancelled"]

_encoder = msgspec.json.Encoder(order="deterministic")


def encode(value: Any) -> bytes:
    """Encode a value as canonical JSON: sorted keys, no spaces; equal values give equal bytes."""
    return _encoder.encode(value)


def as_kept(value: Any, what: str, limit_bytes: int) -> Any:
    """Return a value as it will come back from the log.

    Raises:
        Invalid: it has no JSON form, or a longer one than that.
    """
    try:
        data = encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} has no JSON form: {error}") from error
    if len(data) > limit_bytes:
        raise Invalid(f"{what} has {len(data)} bytes, at most {limit_bytes}; keep a reference instead")
    return msgspec.json.decode(data)


def digest(data: bytes) -> str:
    """Name bytes by content: 16 hex digits of BLAKE2b, for keys and divergence checks."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def is_name(text: str) -> bool:
    """Say whether `text` may name something: 1..200 bytes, printable, no space at either end."""
    return 0 < len(text.encode()) <= NAME_BYTES and text.isprintable() and text.strip() == text


def _level(owner: str, what: str, level: float) -> None:
    if not 0.0 <= level <= 1.0:
        raise ValueError(f"{owner}: {what} is {level}; levels are 0..1")


class Profile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who an agent is and what it can do.

    capabilities: any name -> level 0..1; `leadership`, `reliability`, `communication` and
    `decision_making` are the ones that elections read.  capacity: tasks at once.  cost: price hint of
    one task, in the unit of task budgets.  speed: 1.0 does a task in its nominal time, 2.0 in half.
    bid_validity_s: how long its bids and proposals bind from when it makes them; None: until they are decided.
    """

    id: AgentId
    name: str = ""
    capabilities: dict[str, float] = {}
    capacity: int = 1
    cost: float = 1.0
    speed: float = 1.0
    bid_validity_s: float | None = None
    metadata: dict[str, Any] = {}

    def __post_init__(self) -> None:
        if not is_name(self.id):
            raise ValueError(f"{self.id!r} cannot name an agent: 1..{NAME_BYTES} printable bytes, no outer spaces")
        for capability, level in self.capabilities.items():
            _level(f"agent {self.id}", f"capability {capability}", level)
        if self.capacity < 1:
            raise ValueError(f"agent {self.id}: capacity is {self.capacity}; it must be at least 1")
        if not (self.cost >= 0 and self.speed > 0):
            raise ValueError(f"agent {self.id}: cost must be at least 0 and speed above 0")
        if self.bid_validity_s is not None and not 0 < self.bid_validity_s < float("inf"):
            raise ValueError(f"agent {self.id}: bid_validity is {self.bid_validity_s}; it must be above 0 and finite")


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of itself: the answer to GET_STATUS.  load and health are 0..1."""

    id: AgentId
    state: Literal["available", "busy", "unavailable"] = "available"
    health: float = 1.0
    load: float = 0.0
    timestamp: Instant = 0.0


class Task(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of work.

    kind: which of an agent's task functions does it.  required_capabilities: name -> least level, a
    hard floor.  max_budget: the most it may cost.  max_duration_s: one attempt's time limit, from its
    claim.  deadline_s: seconds after the run's start by which it must be done.  retries: further
    attempts after a failed one.  after: tasks that must be done first.  agent: who must do it, if
    that is not for the strategy to choose.  arrives_at: meetings of the objective at which it arrives when
    it is done; waits_for: those that must be complete before it begins.  penalties: clause (late, failure,
    decommitment, cap) -> share of the price; deliverables: keys that the result must have; quality_metrics: name ->
    least level that it must show: of every contract on the task, where there are contracts.
    """

    id: TaskId
    description: str = ""
    kind: str = ""
    payload: dict[str, Any] = {}
    required_capabilities: dict[str, float] = {}
    max_budget: float | None = None
    max_duration_s: float | None = None
    priority: int = 0
    deadline_s: float | None = None
    retries: int = 2
    after: tuple[TaskId, ...] = ()
    agent: AgentId | None = None
    mandatory: bool = True
    arrives_at: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    penalties: dict[str, float] = {}
    deliverables: tuple[str, ...] = ()
    quality_metrics: dict[str, float] = {}

    def __post_init__(self) -> None:
        if not is_name(self.id):
            raise ValueError(f"{self.id!r} cannot name a task: 1..{NAME_BYTES} printable bytes, no outer spaces")
        for capability, level in self.required_capabilities.items():
            _level(f"task {self.id}", f"required capability {capability}", level)
        for what, length in (("max_duration", self.max_duration_s), ("deadline", self.deadline_s)):
            if length is not None and not length > 0:
                raise ValueError(f"task {self.id}: {what} is {length}; it must be above 0")
        if self.retries < 0 or (self.max_budget is not None and not self.max_budget >= 0):
            raise ValueError(f"task {self.id}: retries and budget must be at least 0")
        for clause, share in self.penalties.items():
            if clause not in CLAUSES:
                raise ValueError(f"task {self.id}: there is no penalty {clause}; there are {', '.join(CLAUSES)}")
            if not 0.0 <= share < float("inf"):
                raise ValueError(f"task {self.id}: penalty {clause} is {share}; it must be at least 0 and finite")
        for metric, level in self.quality_metrics.items():
            _level(f"task {self.id}", f"quality metric {metric}", level)


class Meeting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sync point of a run, at which its tasks arrive or for which they wait.

    participants: by default the tasks that arrive at it.  condition: all, majority, a number or an expression.
    deadline_s: seconds after the run's start.  shared: it is known by its id alone, so that other runs, agents
    and scripts meet there too; else it is this run's, `RUN:ID`.
    """

    id: str
    participants: tuple[AgentId, ...] = ()
    condition: str | int = "all"
    deadline_s: float | None = None
    description: str = ""
    shared: bool = False


class Objective(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a run is for: a text, the tasks if they are known, or the name of what finds them.

    decompose: `module:function` (objective -> list of tasks), called once through `run.do`.  folder: where
    its module is looked for first, so that any process may call it.  sync: where its tasks meet.  done: tasks
    that were done before the run, with their results; its own may come after them.
    """

    description: str = ""
    sync: tuple[Meeting, ...] = ()
    tasks: tuple[Task, ...] = ()
    decompose: str | None = None
    folder: str | None = None
    data: dict[str, Any] = {}
    done: dict[TaskId, Any] = {}


class TaskResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one task ended.  attempts counts claims, failures those that failed; epoch is that of the accepted one."""

    id: TaskId
    status: TaskStatus
    agent: AgentId | None = None
    attempts: int = 0
    failures: int = 0
    epoch: int = 0
    result: Any = None
    error: str | None = None
    started_at: Instant | None = None
    ended_at: Instant | None = None


class ParticipantResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one agent contributed to a run."""

    agent: AgentId
    done: tuple[TaskId, ...] = ()
    failed: tuple[TaskId, ...] = ()
    role: str = ""


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What a run took, counted by the engine.  waiting_s: phase -> seconds spent waiting in it."""

    messages: int = 0
    replies: int = 0
    timeouts: int = 0
    retries: int = 0
    rounds: int = 0
    wall_s: float = 0.0
    waiting_s: dict[str, float] = {}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy returns.  result: typed per strategy, of one JSON form."""

    success: bool
    result: Any = None
    reason: str = ""
    tasks: tuple[TaskResult, ...] = ()
    participants: dict[AgentId, ParticipantResult] = {}
    timed_out: bool = False
