"""The plan file of `concerted run`: who takes part, what is to be done, and how; read, checked, typed.

docs/plan.md describes the file for whoever writes one.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any, Literal

import msgspec

from concerted.config.checks import AUTO, check, section_of, settings_among, warn
from concerted.config.conversion import BAD, Conversion, items_of
from concerted.config.document import MapNode, Node, ScalarNode, compose, find, look
from concerted.config.draft import AgentEntry, Draft, ObjectiveEntry, SyncEntry, TaskEntry
from concerted.config.loader import origins, overlay, put
from concerted.config.problems import Problems
from concerted.config.settings import Coordination, Settings, StoreSettings
from concerted.values import AgentId, Meeting, Objective, Profile, Task, TaskId

__all__ = ["AgentSpec", "Plan", "load_plan"]


class AgentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that is needed to start one agent, also again and by another process.

    kind: `python` (then `python` is `module:object`), `process` (argv starts a program that speaks JSON
    lines) or `command` (argv, filled by `placeholders.fill`, is run for each task).  env: added to the
    coordinator's.  cwd: as written in the plan.
    """

    profile: Profile
    kind: Literal["python", "process", "command"]
    python: str | None = None
    argv: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A checked plan.

    agents: one for each that will be started, in the order of the file.  options: those of the strategy;
    the ones that are settings of it are typed and stand in `coordination.strategies` too.  warnings:
    `file:line:column: key: what`, of what may go wrong.  origins: key of the settings -> where its value
    was written.
    """

    name: str
    agents: tuple[AgentSpec, ...]
    objective: Objective
    strategy: str = AUTO
    options: dict[str, Any] = {}
    coordination: Coordination = Coordination()
    store: StoreSettings = StoreSettings()
    warnings: tuple[str, ...] = ()
    origins: dict[str, str] = {}


class _PlanFile(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file as it is written."""

    plan: str
    agents: tuple[AgentEntry, ...]
    objective: ObjectiveEntry = ObjectiveEntry()
    tasks: tuple[TaskEntry, ...] = ()
    sync: tuple[SyncEntry, ...] = ()
    strategy: Any = AUTO
    coordination: Coordination = Coordination()
    store: StoreSettings = StoreSettings()


def load_plan(
    text: str, file_name: str, *, strategies: Collection[str], env: Mapping[str, str] | None = None
) -> Plan:  # fmt: skip
    """Read and check a plan; `CONCERTED__COORDINATION__...` and `CONCERTED__STORE__...` in `env` override it.

    strategies: the names that `strategy:` may have, besides `auto`.

    Raises:
        Invalid: something is wrong; the message has one line for every problem, in the order of the
            file: `file:line:column: key.path: what; did you mean ...`.
    """
    problems = Problems()
    root = overlay(_with_options(compose(text, file_name, problems)), Settings, env or {}, problems)
    values = Conversion(problems, lenient=True).fields(root, _PlanFile, "")
    if items_of(root, _PlanFile) is None:
        raise problems.error()  # it is no mapping: nothing more can be said of it
    strategy, options = _strategy(root, strategies, problems)
    draft = Draft(
        root=root,
        name=values.get("plan"),
        agents=_good(values.get("agents", ())),
        tasks=_good(values.get("tasks", ())),
        sync=_good(values.get("sync", ())),
        objective=values.get("objective", ObjectiveEntry()),
        words=_words(root, _good(values.get("agents", ())), problems),
    )
    check(draft, strategy, strategies, problems)
    problems.stop_if_any()
    warnings = Problems()
    warn(draft, warnings)
    coordination = values.get("coordination", Coordination())
    return Plan(
        name=draft.name or "",
        agents=_agents(draft),
        objective=_objective(draft),
        strategy=strategy,
        options=options | _settings_among(options, strategy, coordination),
        coordination=coordination,
        store=values.get("store", StoreSettings()),
        warnings=tuple(warnings.lines()),
        origins=origins(root, Settings),
    )


def _good(entries: tuple[Any, ...]) -> dict[int, Any]:
    """Return the entries that could be read, by their place in the list."""
    return {i: entry for i, entry in enumerate(entries) if entry is not BAD}


def _strategy(root: Node, strategies: Collection[str], problems: Problems) -> tuple[str, dict[str, Any]]:
    """Return the strategy's name (empty if it has a problem) and its options as they are written."""
    node = root.items.get("strategy") if isinstance(root, MapNode) else None
    if node is None:
        return AUTO, {}
    if isinstance(node, ScalarNode) and node.text:
        return node.text, {}
    named = look(node, "name")
    if not isinstance(node, MapNode) or not isinstance(named, ScalarNode) or not named.text:
        known = ", ".join(sorted({*strategies, AUTO}))
        problems.add(node.place, "strategy", f"expected a name or a mapping with `name` and options; known: {known}")
        return "", {}
    # The conversion of the file has noted what is wrong inside; here it is only read once more.
    again = Conversion(Problems())
    return named.text, {key: again.plain(one, key) for key, one in node.items.items() if key != "name"}


def _with_options(root: Node) -> Node:
    """Put those options of the strategy that are its settings over `coordination.strategies.NAME`."""
    for key, node in settings_among(root).items():
        name = look(root, "strategy", "name")
        assert isinstance(name, ScalarNode)
        root = put(root, Settings, [*section_of(name.text), name.text, key], node)
    return root


def _settings_among(options: Mapping[str, Any], strategy: str, coordination: Coordination) -> dict[str, Any]:
    """Return the options that are settings, with the value they have after all."""
    settings: Any = {"coordination": msgspec.to_builtins(coordination)}
    for step in (*section_of(strategy), strategy):
        settings = settings.get(step, {})
    return {key: settings[key] for key in options if key in settings}


def _words(root: Node, agents: Mapping[int, AgentEntry], problems: Problems) -> dict[int, tuple[str, ...]]:
    """Split each `run:` as a shell would; by the place of its agent."""
    words: dict[int, tuple[str, ...]] = {}
    for i, entry in agents.items():
        if entry.run is None:
            continue
        try:
            words[i] = tuple(shlex.split(entry.run))
        except ValueError as error:
            problems.add(*find(root, "agents", i, "run"), f"cannot be split into words: {str(error).lower()}")
    return words


def _agents(draft: Draft) -> tuple[AgentSpec, ...]:
    return tuple(
        AgentSpec(
            profile=Profile(
                id=AgentId(agent),
                name=entry.name,
                capabilities=entry.capabilities,
                capacity=entry.capacity,
                cost=entry.cost,
                speed=entry.speed,
                bid_validity_s=entry.bid_validity,
                metadata=entry.metadata,
            ),
            kind="python" if entry.python else "process" if entry.process else "command",
            python=entry.python,
            argv=entry.process or draft.words.get(i, ()),
            env=entry.env,
            cwd=entry.cwd,
        )
        for i, entry in draft.agents.items()
        for agent in entry.ids()
    )


def _objective(draft: Draft) -> Objective:
    tasks = tuple(
        Task(
            id=TaskId(entry.id),
            description=entry.description,
            kind=entry.kind,
            payload=entry.payload,
            required_capabilities=entry.capabilities,
            max_budget=entry.budget,
            max_duration_s=entry.max_duration,
            priority=entry.priority,
            deadline_s=entry.deadline,
            retries=entry.retries,
            after=tuple(TaskId(one) for one in entry.comes_after()),
            agent=None if entry.agent is None else AgentId(entry.agent),
            mandatory=entry.mandatory,
            arrives_at=entry.meets_at(),
            waits_for=entry.held_up_by(),
            penalties=entry.penalties.named(),
            deliverables=entry.delivers(),
            quality_metrics=entry.quality_metrics,
        )
        for entry in draft.tasks.values()
    )
    wanted = draft.objective
    return Objective(
        description=wanted.description, tasks=tasks, decompose=wanted.decompose, data=wanted.data,
        sync=tuple(_meeting(entry, tasks) for entry in draft.sync.values()),
    )  # fmt: skip


def _meeting(entry: SyncEntry, tasks: tuple[Task, ...]) -> Meeting:
    arriving = tuple(AgentId(task.id) for task in tasks if entry.id in task.arrives_at)
    return Meeting(
        id=entry.id,
        participants=tuple(AgentId(name) for name in entry.participants) or arriving,
        condition=entry.condition if entry.count() is None else entry.count() or 0,
        deadline_s=entry.deadline,
        description=entry.description,
        shared=entry.shared,
    )
