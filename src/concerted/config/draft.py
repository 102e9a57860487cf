"""A plan as it is written, read into types but not yet checked: its entries, and where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from concerted.config.document import ListNode, MapNode, Node, ScalarNode, find, look
from concerted.config.durations import Duration
from concerted.config.problems import Place

__all__ = ["MAX_AGENTS", "MAX_TASKS", "AgentEntry", "Draft", "ObjectiveEntry", "SyncEntry", "TaskEntry"]

MAX_AGENTS = 100_000  # in one plan, counting what each `count` stands for
MAX_TASKS = 100_000  # in one plan

Level = Annotated[float, Meta(ge=0, le=1)]
Share = Annotated[float, Meta(ge=0)]


class AgentEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `agents:` as it is written; with a count it stands for `id-1` .. `id-COUNT`."""

    id: str
    python: str | None = None
    process: tuple[str, ...] | None = None
    run: str | None = None
    count: Annotated[int, Meta(ge=1, le=MAX_AGENTS)] | None = None
    name: str = ""
    capabilities: dict[str, Level] = {}
    capacity: Annotated[int, Meta(ge=1)] = 1
    cost: Annotated[float, Meta(ge=0)] = 1.0
    speed: Annotated[float, Meta(gt=0)] = 1.0
    bid_validity: Duration | None = None
    metadata: dict[str, Any] = {}
    env: dict[str, str] = {}
    cwd: str | None = None

    def ids(self) -> list[str]:
        """Return the ids of the agents this stands for."""
        return [self.id] if self.count is None else [f"{self.id}-{number}" for number in range(1, self.count + 1)]


class PenaltyEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`penalties:` of a task as it is written; a clause that is left out is that of the strategy."""

    late: Share | None = None
    failure: Share | None = None
    decommitment: Share | None = None
    cap: Share | None = None

    def named(self) -> dict[str, float]:
        """Return the clauses that are given."""
        shares = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: share for name, share in shares.items() if share is not None}


class TaskEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `tasks:` as it is written."""

    id: str
    description: str = ""
    kind: str = ""
    payload: dict[str, Any] = {}
    capabilities: dict[str, Level] = {}
    budget: Annotated[float, Meta(ge=0)] | None = None
    max_duration: Duration | None = None
    priority: int = 0
    deadline: Duration | None = None
    retries: Annotated[int, Meta(ge=0, le=1000)] = 2
    after: str | tuple[str, ...] = ()
    agent: str | None = None
    mandatory: bool = True
    arrives_at: str | tuple[str, ...] = ()
    waits_for: str | tuple[str, ...] = ()
    penalties: PenaltyEntry = PenaltyEntry()
    deliverables: str | tuple[str, ...] = ()
    quality_metrics: dict[str, Level] = {}

    def comes_after(self) -> tuple[str, ...]:
        """Return the tasks in `after`, each once."""
        return _several(self.after)

    def meets_at(self) -> tuple[str, ...]:
        """Return the sync points in `arrives_at`, each once."""
        return _several(self.arrives_at)

    def held_up_by(self) -> tuple[str, ...]:
        """Return the sync points in `waits_for`, each once."""
        return _several(self.waits_for)

    def delivers(self) -> tuple[str, ...]:
        """Return the keys in `deliverables`, each once."""
        return _several(self.deliverables)


class SyncEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One item of `sync:` as it is written."""

    id: str
    participants: tuple[str, ...] = ()
    condition: str | int = "all"
    deadline: Duration | None = None
    description: str = ""
    shared: bool = False

    def count(self) -> int | None:
        """Return the number of arrivals that is the condition, None if it is another."""
        return int(self.condition) if str(self.condition).isdigit() else None


class ObjectiveEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`objective:` as it is written; a text in its place is the description."""

    shorthand: ClassVar[str] = "description"

    description: str = ""
    decompose: str | None = None
    data: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Draft:
    """What could be read of a plan.

    agents, tasks, sync: entries by their place in the file's lists, without those that have no readable id
    and without fields that do not fit.  words: the `run:` lines that could be split, by the place of their agent.
    """

    root: Node
    name: str | None
    agents: Mapping[int, AgentEntry]
    tasks: Mapping[int, TaskEntry]
    sync: Mapping[int, SyncEntry]
    objective: ObjectiveEntry
    words: Mapping[int, tuple[str, ...]]

    def at(self, *steps: str | int) -> tuple[Place, str]:
        """Return where something stands, and its dotted path."""
        return find(self.root, *steps)

    def written(self, section: str) -> int:
        """Return how many items a list of the file has, readable or not; -1 if it is no list."""
        node = look(self.root, section)
        return len(node.items) if isinstance(node, ListNode) else 0 if node is None else -1

    def has(self, *steps: str | int) -> bool:
        """Say whether something stands there, readable or not."""
        return look(self.root, *steps) is not None

    def task_ids(self) -> dict[str, None]:
        """Return every task id that can be made out, also of tasks that have other faults, in order."""
        named = (look(self.root, "tasks", i, "id") for i in range(self.written("tasks")))
        return {node.text: None for node in named if isinstance(node, ScalarNode)}

    def payload_keys(self) -> dict[str, None]:
        """Return every key of any task's payload, in order."""
        payloads = (look(self.root, "tasks", i, "payload") for i in range(self.written("tasks")))
        return {key: None for node in payloads if isinstance(node, MapNode) for key in node.items}

    def sync_ids(self) -> dict[str, None]:
        """Return every id of a sync point that can be made out, in order."""
        named = (look(self.root, "sync", i, "id") for i in range(self.written("sync")))
        return {node.text: None for node in named if isinstance(node, ScalarNode)}


def _several(given: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return one or more names as written, each once."""
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
