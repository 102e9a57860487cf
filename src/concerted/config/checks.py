"""What is wrong with a plan as a whole, and what may go wrong with it: the rules that no single value shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from msgspec import inspect

from concerted.config.conversion import fields_of
from concerted.config.document import MapNode, Node, ScalarNode, look
from concerted.config.draft import MAX_AGENTS, MAX_TASKS, AgentEntry, Draft, TaskEntry
from concerted.config.graph import find_cycles
from concerted.config.placeholders import Placeholder, parse
from concerted.config.problems import Problems, similar, suggest
from concerted.config.settings import Coordination, Strategies
from concerted.config.sync_checks import check_sync
from concerted.values import NAME_BYTES, is_name

__all__ = ["AUTO", "check", "settings_among", "warn"]

AUTO = "auto"  # the strategy that chooses a strategy
COALITION = "coalition"  # whose settings are a section of their own, as in the specification

MISSPELT = 0.75  # alike enough to be the same word; `electorate` is not `election_timeout`
_MAX_COMPARISONS = 2_000_000  # of a task with an agent; warnings of larger plans are incomplete
ASKING = frozenset(("consensus",))  # strategies that put a question and need no tasks
LEADING = frozenset(("hierarchical", "leader_follower"))  # in which a leader may find the tasks
CONTRACTING = frozenset(("contract_net", "hierarchical"))  # strategies that may make contracts on tasks
WITHOUT_CONTRACTS = frozenset((AUTO, "auction", "coalition", "leader_follower", "swarm"))
_TERMS = ("penalties", "deliverables", "quality_metrics")
_WAYS = ("python", "process", "run")
_SHELLS = {"bash", "dash", "ksh", "sh", "zsh"}
_SHELL_SIGNS = {"|", "||", "&", "&&", ";", "<", "<<", ">", ">>", "2>", "2>&1", "&>"}


def check(draft: Draft, strategy: str, strategies: Collection[str], problems: Problems) -> None:
    """Note everything that keeps this plan from being run."""
    if draft.name is not None and not is_name(draft.name):
        problems.add(*draft.at("plan"), _no_name(draft.name))
    known = sorted({*strategies, AUTO})
    if strategy and strategy not in known:
        steps = ("strategy", "name") if draft.at("strategy", "name")[0] != draft.at("strategy")[0] else ("strategy",)
        problems.add(*draft.at(*steps), f"there is no strategy {strategy!r}{suggest(strategy, known)}")
    _check_agents(draft, problems)
    _check_tasks(draft, strategy, problems)
    check_sync(draft, problems)
    _check_placeholders(draft, problems)


def warn(draft: Draft, warnings: Problems) -> None:
    """Note what may go wrong in a plan that passed `check`."""
    _warn_of_tasks_that_nobody_can_do(draft, warnings)
    for i, words in draft.words.items():
        _warn_of_shell_words(draft, i, words, warnings)
    _warn_of_missing_values(draft, warnings)
    _warn_of_options(draft, warnings)
    _warn_of_terms_without_contracts(draft, warnings)


def section_of(strategy: str) -> list[str]:
    """Return the steps to the section in which the settings of a strategy stand."""
    return ["coordination"] if strategy == COALITION else ["coordination", "strategies"]


def settings_among(root: Node) -> dict[str, Node]:
    """Return the options of the strategy that are settings of it , as written."""
    known, options = _options(root)
    return {key: node for key, node in options.items() if key in known}


def _warn_of_options(draft: Draft, warnings: Problems) -> None:
    """Warn of options that look like misspelt settings; the strategy may know them all the same."""
    known, options = _options(draft.root)
    for key in options:
        meant = similar(key, known, MISSPELT)
        if key not in known and meant:
            what = f"is no setting of this strategy and goes to it as it is; did you mean {meant}?"
            warnings.add(*draft.at("strategy", key), what)


def _options(root: Node) -> tuple[Collection[str], dict[str, Node]]:
    """Return the names of the strategy's settings, none if it has none, and its options as written."""
    name, strategy = look(root, "strategy", "name"), look(root, "strategy")
    section = None
    if isinstance(name, ScalarNode):
        owner = fields_of(Coordination) if name.text == COALITION else fields_of(Strategies)
        section = owner.get(name.text)
    if section is None or not isinstance(strategy, MapNode) or not isinstance(section.type, inspect.StructType):
        return (), {}
    return fields_of(section.type.cls), {key: node for key, node in strategy.items.items() if key != "name"}


def _no_name(text: str) -> str:
    return f"{text!r} cannot be a name: 1..{NAME_BYTES} printable bytes, no space at either end"


# Agents


def _check_agents(draft: Draft, problems: Problems) -> None:
    if draft.written("agents") == 0 and draft.at("agents")[0] != draft.root.place:
        problems.add(*draft.at("agents"), "a plan needs at least one agent")
    seen: dict[str, int] = {}
    for i, entry in draft.agents.items():
        _check_way(draft, i, entry, problems)
        if not is_name(entry.ids()[-1]):
            problems.add(*draft.at("agents", i, "id"), _no_name(entry.ids()[-1]))
        if len(seen) + (entry.count or 1) > MAX_AGENTS:
            problems.add(
                *draft.at("agents", i), f"with this one there are more than {MAX_AGENTS} agents; that is the bound"
            )
            break
        for agent in entry.ids():
            if agent in seen:
                line = draft.at("agents", seen[agent], "id")[0].line
                problems.add(
                    *draft.at("agents", i, "id"), f"there is another agent {agent!r}, in line {line}; ids are unique"
                )
                break
            seen[agent] = i


def _check_way(draft: Draft, i: int, entry: AgentEntry, problems: Problems) -> None:
    """Check how the agent is reached: exactly one way, and a sound one."""
    given = [way for way in _WAYS if draft.has("agents", i, way)]
    if len(given) != 1:
        found = f"{' and '.join(given)} are given" if given else "none is given"
        problems.add(*draft.at("agents", i), f"give exactly one of {', '.join(_WAYS)}: {found}")
    if entry.python is not None:
        if not _is_reference(entry.python):
            wanted = "expected `module:object`, such as my_agents:reviewer"
            problems.add(*draft.at("agents", i, "python"), f"{wanted}, got {entry.python!r}")
        for key in ("env", "cwd"):
            if getattr(entry, key) and len(given) == 1:
                problems.add(
                    *draft.at("agents", i, key), "only programs have one; a python agent lives in this process"
                )
    words = entry.process if entry.process is not None else draft.words.get(i)
    if words is not None and not (words and words[0]):
        problems.add(*draft.at("agents", i, "run" if entry.run is not None else "process"), "names no program")
    for key, texts in (
        ("process", entry.process or ()),
        ("run", draft.words.get(i, ())),
        ("env", (*entry.env, *entry.env.values())),
        ("cwd", (entry.cwd or "",)),
    ):
        if any("\0" in text for text in texts):
            problems.add(*draft.at("agents", i, key), "holds a NUL character, which no program can be given")
    for name in entry.env:
        if not name or "=" in name:
            problems.add(*draft.at("agents", i, "env", name), f"{name!r} cannot name an environment variable")


def _is_reference(text: str) -> bool:
    """Say whether a text has the form `package.module:object`."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


# Tasks


def _needs_none(draft: Draft, strategy: str) -> bool:
    """Say whether data stand in for tasks: the stops of a round trip, or what a leader is to find the tasks in."""
    if strategy in LEADING:
        return draft.has("objective", "data")
    mode = look(draft.root, "strategy", "mode")
    return strategy == "swarm" and isinstance(mode, ScalarNode) and mode.text == "route"


def _check_tasks(draft: Draft, strategy: str, problems: Problems) -> None:
    decompose = draft.objective.decompose
    if decompose is not None and not _is_reference(decompose):
        wanted = "expected `module:function`, such as my_plan:split"
        problems.add(*draft.at("objective", "decompose"), f"{wanted}, got {decompose!r}")
    if strategy in ASKING:
        if not (draft.has("strategy", "question") or draft.has("objective", "description")):
            what = "there is nothing to decide: give the strategy a `question`, or the objective a `description`"
            problems.add(*draft.at("strategy"), what)
    elif draft.written("tasks") == 0 and not (draft.has("objective", "decompose") or _needs_none(draft, strategy)):
        problems.add(*draft.at("tasks"), "there is nothing to do: give tasks, or an objective that has `decompose`")
    if draft.written("tasks") > MAX_TASKS:
        problems.add(*draft.at("tasks"), f"there are {draft.written('tasks')} tasks; the bound is {MAX_TASKS}")
        return
    ids = draft.task_ids()
    agents = dict.fromkeys(agent for entry in draft.agents.values() for agent in entry.ids())
    agents_known = len(draft.agents) == draft.written("agents") and all(
        entry.count or not draft.has("agents", i, "count") for i, entry in draft.agents.items()
    )
    seen: dict[str, int] = {}
    for i, entry in draft.tasks.items():
        if not is_name(entry.id):
            problems.add(*draft.at("tasks", i, "id"), _no_name(entry.id))
        if entry.id in seen:
            line = draft.at("tasks", seen[entry.id], "id")[0].line
            problems.add(
                *draft.at("tasks", i, "id"), f"there is another task {entry.id!r}, in line {line}; ids are unique"
            )
        seen.setdefault(entry.id, i)
        _check_after(draft, i, entry, ids, problems)
        if agents_known and entry.agent is not None and entry.agent not in agents:
            problems.add(*draft.at("tasks", i, "agent"), _no_agent(entry.agent, draft, agents))
    for cycle in find_cycles({one: draft.tasks[i].comes_after() for one, i in seen.items()}):
        circle = " -> ".join([*cycle, cycle[0]])
        problems.add(*draft.at("tasks", seen[cycle[0]], "after"), f"tasks wait for each other in a circle: {circle}")


def _check_after(draft: Draft, i: int, entry: TaskEntry, ids: Collection[str], problems: Problems) -> None:
    many = not isinstance(entry.after, str)
    for j, other in enumerate(entry.after if many else (str(entry.after),)):
        if other not in ids:
            steps: tuple[str | int, ...] = ("tasks", i, "after", j) if many else ("tasks", i, "after")
            problems.add(*draft.at(*steps), f"there is no task {other!r}{suggest(other, ids)}")


def _no_agent(name: str, draft: Draft, agents: Collection[str]) -> str:
    for entry in draft.agents.values():
        if entry.id == name and entry.count:
            return f"{name!r} stands for {entry.ids()[0]} .. {entry.ids()[-1]}; name one of them"
    return f"there is no agent {name!r}{suggest(name, agents)}"


# Command lines


def _check_placeholders(draft: Draft, problems: Problems) -> None:
    """Check what stands in braces.  Which tasks there will be is only known without `decompose`."""
    keys, ids = draft.payload_keys(), draft.task_ids()
    all_known = draft.written("tasks") > 0 and not draft.has("objective", "decompose")
    for i, words in draft.words.items():
        found, wrong = parse(words)
        for what in wrong:
            problems.add(*draft.at("agents", i, "run"), what)
        for source, name in found if all_known else ():
            if source == "payload" and name not in keys:
                what = f"{{payload.{name}}}: no task has {name!r} in its payload{suggest(name, keys, 'there are')}"
            elif source == "results" and name not in ids:
                what = f"{{results.{name}}}: there is no task {name!r}{suggest(name, ids)}"
            else:
                continue
            problems.add(*draft.at("agents", i, "run"), what)


def _warn_of_missing_values(draft: Draft, warnings: Problems) -> None:
    """Warn of tasks that a command agent may be given and whose values do not fill its command line."""
    without: dict[Placeholder, list[TaskEntry]] = {}
    comparisons = 0
    for i, words in draft.words.items():
        for one in parse(words)[0]:
            if one.source not in ("payload", "results"):
                continue
            if one not in without:
                comparisons += len(draft.tasks)
                without[one] = [task for task in draft.tasks.values() if not _fills(one, task)]
            comparisons += len(without[one])
            if comparisons > _MAX_COMPARISONS:
                return
            lacking = _possible(draft.agents[i], without[one])
            if lacking:
                has = "no such value in the payload" if one.source == "payload" else f"no {one.name!r} in `after`"
                what = f"{{{one.source}.{one.name}}}: {_some(lacking)} may come to this agent, but with {has}"
                warnings.add(*draft.at("agents", i, "run"), f"{what}, and would fail")


def _possible(entry: AgentEntry, tasks: Iterable[TaskEntry]) -> list[str]:
    """Return the ids of those tasks that may come to this agent."""
    ids = {None, *entry.ids()}
    return [task.id for task in tasks if task.agent in ids and _meets(entry.capabilities, task.capabilities)]


def _fills(one: Placeholder, task: TaskEntry) -> bool:
    return one.name in task.payload if one.source == "payload" else one.name in task.comes_after()


def _some(ids: list[str]) -> str:
    """Name a few tasks of possibly many."""
    more = f" and {len(ids) - 3} more" if len(ids) > 3 else ""
    return f"{'task' if len(ids) == 1 else 'tasks'} {', '.join(ids[:3])}{more}"


def _warn_of_shell_words(draft: Draft, i: int, words: tuple[str, ...], warnings: Problems) -> None:
    at = draft.at("agents", i, "run")
    for word in words:
        if word in _SHELL_SIGNS or word.startswith(("$", "~/")):
            warnings.add(
                *at, f"{word} goes to the program as it is: there is no shell; write sh -c '...' if you need one"
            )
    if words[0].rpartition("/")[2] in _SHELLS:
        scripts = [word for option, word in pairwise(words) if option.startswith("-") and option.endswith("c")]
        if parse(scripts)[0]:
            safe = "sh -c 'wc -l \"$1\"' sh {payload.path}"
            warnings.add(
                *at, f"the shell reads the filled-in text as part of its script; hand it over as a word: {safe}"
            )


# Who can do what


def _strategy_of(draft: Draft) -> str:
    """Return the strategy that the plan names, '' if it names none."""
    for node in (look(draft.root, "strategy", "name"), look(draft.root, "strategy")):
        if isinstance(node, ScalarNode):
            return node.text
    return ""


def _together(entries: Iterable[AgentEntry]) -> dict[str, float]:
    """Return the levels of all agents added up: what they can do in a coalition."""
    levels: dict[str, float] = {}
    for entry in entries:
        for name, level in entry.capabilities.items():
            levels[name] = levels.get(name, 0.0) + level
    return levels


def _warn_of_tasks_that_nobody_can_do(draft: Draft, warnings: Problems) -> None:
    kinds = _distinct(entry.capabilities for entry in draft.agents.values())
    by_id = {agent: entry for entry in draft.agents.values() for agent in entry.ids()}
    able = [_together(by_id.values())] if _strategy_of(draft) == COALITION else kinds
    possible: dict[str, bool] = {}
    for i, task in draft.tasks.items():
        if task.agent is not None:
            if not _meets(by_id[task.agent].capabilities, task.capabilities):
                what = f"agent {task.agent!r}, who must do it, lacks {_needs(task)}"
                warnings.add(*draft.at("tasks", i, "agent"), what)
            continue
        key = repr(sorted(task.capabilities.items()))
        if key not in possible:
            if (len(possible) + 1) * len(kinds) > _MAX_COMPARISONS:
                return
            possible[key] = any(_meets(capabilities, task.capabilities) for capabilities in able)
        if not possible[key]:
            what = f"no agent of this plan can do {task.id!r}: none has {_needs(task)}; it waits for one that joins"
            warnings.add(*draft.at("tasks", i, "capabilities"), what)


def _warn_of_terms_without_contracts(draft: Draft, warnings: Problems) -> None:
    """Note terms of contracts under a strategy that makes none."""
    strategy = _strategy_of(draft)
    if strategy in WITHOUT_CONTRACTS:
        for i in draft.tasks:
            for name in _TERMS:
                if draft.has("tasks", i, name):
                    what = f"strategy {strategy} makes no contracts, so this counts for nothing; contract_net does"
                    warnings.add(*draft.at("tasks", i, name), what)


def _distinct(every: Iterable[Mapping[str, float]]) -> list[Mapping[str, float]]:
    return list({repr(sorted(one.items())): one for one in every}.values())


def _meets(capabilities: Mapping[str, float], floor: Mapping[str, float]) -> bool:
    return all(capabilities.get(name, 0.0) >= level for name, level in floor.items())


def _needs(task: TaskEntry) -> str:
    return ", ".join(f"{name} >= {level:g}" for name, level in task.capabilities.items())
