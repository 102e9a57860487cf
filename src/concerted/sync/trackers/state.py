"""What a progress tracker can be asked, what it remembers, and how events change it; the rules are in `progress`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.persistent import Map
from concerted.sync.trackers.pace import Mark, marked
from concerted.values import AgentId, Instant

__all__ = [
    "STEPS_KEPT",
    "Await",
    "Cancel",
    "CompletesWith",
    "Create",
    "Ending",
    "ProgressTracker",
    "Request",
    "Standing",
    "Status",
    "StepData",
    "Terms",
    "Update",
    "evolve",
]

STEPS_KEPT = 100  # steps whose data is kept, those told of last; the log has all

Status = Literal["active", "completed", "cancelled"]
CompletesWith = Literal["creator", "participants"]


@dataclass(frozen=True, slots=True)
class Create:
    """Make a tracker.

    weights: participant -> how much its share counts; who is not in it has 1.  may_go_back: steps may become
    fewer.  stalled_after_s: without an update for so long it is stalled; None: it never is.  completes_with: it is
    complete when its creator reports the last step, or when all participants have reached it.
    """

    id: str
    by: AgentId
    name: str
    total_steps: int
    participants: tuple[AgentId, ...] = ()
    description: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    weights: dict[AgentId, float] | None = None
    may_go_back: bool = False
    stalled_after_s: float | None = None
    completes_with: CompletesWith = "creator"


@dataclass(frozen=True, slots=True)
class Update:
    """Report a step, with data of it or None.  The creator's is the current step, a participant's its own."""

    agent: AgentId
    step: int
    data: Any = None


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until the current step or the percentage (0..1) has been reached, or it has ended; neither: the end."""

    agent: AgentId | None = None
    step: int | None = None
    percentage: float | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call it off."""

    by: AgentId
    reason: str = ""
    is_admin: bool = False


Request = Create | Update | Await | Cancel | Wake | Look | Lost | Found


@dataclass(frozen=True, slots=True)
class Terms:
    """What a tracker was made with; it never changes.  weight_total: of all participants."""

    id: str
    name: str
    description: str
    creator: AgentId
    total_steps: int
    metadata: dict[str, Any]
    weights: dict[str, float] | None
    weight_total: float
    may_go_back: bool
    stalled_after_s: float | None
    completes_with: CompletesWith
    created_at: Instant


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a participant stands.  updated_at: None before its first report."""

    step: int
    weight: float
    updated_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class StepData:
    """What somebody reported with a step."""

    step: int
    agent: AgentId
    data: Any
    at: Instant


@dataclass(frozen=True, slots=True)
class Ending:
    """When, by whom and why it ended; the reason only if it was cancelled."""

    at: Instant
    by: AgentId | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ProgressTracker:
    """Where the work stands.

    current_step: the creator's.  weighted_steps: the sum over the participants; finished: how many of them have
    reached the last step.  peak_step, peak: the furthest that it ever was.  marks: for its pace.  kept: the data of
    the steps told of last, oldest first.  updated_at, creator_updated_at: of the last report, of the creator's.
    stalled_at: when it began to be late; None: it is not.
    """

    terms: Terms
    standings: Map[str, Standing]
    marks: tuple[Mark, ...]
    updated_at: Instant
    current_step: int = 0
    creator_updated_at: Instant | None = None
    weighted_steps: float = 0.0
    finished: int = 0
    peak_step: int = 0
    peak: float = 0.0
    kept: tuple[StepData, ...] = ()
    stalled_at: Instant | None = None
    lost: Map[str, str] = field(default_factory=Map)
    status: Status = "active"
    ending: Ending | None = None

    @property
    def percentage(self) -> float:
        """What is done, 0..1: the weighted mean of the participants, or the creator's if there are none."""
        if not self.standings:
            return self.current_step / self.terms.total_steps
        if self.finished == len(self.standings):
            return 1.0
        return max(0.0, min(1.0, self.weighted_steps / (self.terms.weight_total * self.terms.total_steps)))


def evolve(state: ProgressTracker | None, event: Event, at: Instant) -> ProgressTracker:
    """Return the state after an event of this tracker, which happened at `at`."""
    if state is None:
        return _created(event, at)
    match event.kind:
        case "progress.updated":
            return _updated(state, event, at)
        case "progress.stalled":
            return replace(state, stalled_at=event.data["deadline_at"])
        case "progress.resumed":
            return replace(state, stalled_at=None)
        case "progress.participant_lost":
            return replace(state, lost=state.lost.set(str(event.agent), event.data["reason"]))
        case "progress.participant_found":
            return replace(state, lost=state.lost.without(str(event.agent)))
        case "progress.completed" | "progress.cancelled":
            ending = Ending(at, event.agent, event.data.get("reason"))
            return replace(state, status=event.data["status"], ending=ending, stalled_at=None)
        case _:
            return state


def _created(event: Event, at: Instant) -> ProgressTracker:
    assert event.kind == "progress.created", event.kind
    assert event.agent is not None, "a progress tracker has a creator"
    data = event.data
    weights = data["weights"] or {}
    standings = {agent: Standing(0, weights.get(agent, 1.0)) for agent in data["participants"]}
    terms = Terms(
        id=data["id"],
        name=data["name"],
        description=data["description"],
        creator=event.agent,
        total_steps=data["total_steps"],
        metadata=data["metadata"],
        weights=data["weights"],
        weight_total=float(sum(standing.weight for standing in standings.values())),
        may_go_back=data["may_go_back"],
        stalled_after_s=data["stalled_after_s"],
        completes_with=data["completes_with"],
        created_at=at,
    )
    return ProgressTracker(terms, Map(standings), (Mark(at, 0.0),), at)


def _updated(state: ProgressTracker, event: Event, at: Instant) -> ProgressTracker:
    agent, step, data = AgentId(str(event.agent)), event.data["step"], event.data["data"]
    moved = replace(
        state,
        updated_at=at,
        kept=state.kept if data is None else _kept(state.kept, StepData(step, agent, data, at)),
        lost=state.lost.without(agent),
    )
    if agent == state.terms.creator:
        moved = replace(
            moved, current_step=step, peak_step=max(state.peak_step, step), creator_updated_at=at
        )  # fmt: skip
    standing = state.standings.get(agent)
    if standing is not None:
        last = state.terms.total_steps
        moved = replace(
            moved,
            standings=state.standings.set(agent, replace(standing, step=step, updated_at=at)),
            weighted_steps=state.weighted_steps + standing.weight * (step - standing.step),
            finished=state.finished + (step == last) - (standing.step == last),
        )
    done = moved.percentage
    return replace(
        moved, peak=max(state.peak, done), marks=marked(state.marks, at, done * state.terms.total_steps)
    )  # fmt: skip


def _kept(kept: tuple[StepData, ...], told: StepData) -> tuple[StepData, ...]:
    """Return the data with what was told last of each step."""
    others = tuple(one for one in kept if one.step != told.step)
    return (*others[1 - STEPS_KEPT :], told)
