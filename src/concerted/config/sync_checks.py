"""What is wrong with the `sync:` of a plan: its entries, and the tasks that arrive at them or wait for them."""

from __future__ import annotations

from concerted.config.draft import Draft, SyncEntry, TaskEntry
from concerted.config.graph import find_cycles
from concerted.config.problems import Problems, suggest
from concerted.values import NAME_BYTES, is_name

__all__ = ["check_sync"]


def check_sync(draft: Draft, problems: Problems) -> None:
    """Note everything that keeps the meetings of this plan from being held."""
    ids = draft.sync_ids()
    seen: dict[str, int] = {}
    arriving: dict[str, list[str]] = {one: [] for one in ids}
    for i, task in draft.tasks.items():
        for key, named in (("arrives_at", task.meets_at()), ("waits_for", task.held_up_by())):
            for point in named:
                if point not in ids:
                    problems.add(
                        *draft.at("tasks", i, key), f"there is no sync point {point!r} in `sync`{suggest(point, ids)}"
                    )
        for point in task.meets_at():
            if point in arriving:
                arriving[point].append(task.id)
    for i, entry in draft.sync.items():
        if not is_name(entry.id) or "/" in entry.id:
            words = f"{entry.id!r} is no name: 1 to {NAME_BYTES} printable bytes, without /, no spaces at the ends"
            problems.add(*draft.at("sync", i, "id"), words)
        if entry.id in seen:
            line = draft.at("sync", seen[entry.id], "id")[0].line
            problems.add(*draft.at("sync", i, "id"), f"there is another sync point {entry.id!r}, in line {line}")
        seen.setdefault(entry.id, i)
        _check_participants(draft, i, entry, arriving.get(entry.id, []), problems)
    _check_circles(draft, arriving, problems)


def _check_participants(draft: Draft, i: int, entry: SyncEntry, arriving: list[str], problems: Problems) -> None:
    if len(set(entry.participants)) < len(entry.participants):
        problems.add(*draft.at("sync", i, "participants"), "somebody is named twice; each participant once")
    strangers = [task for task in arriving if entry.participants and task not in entry.participants]
    if strangers:
        problems.add(
            *draft.at("sync", i, "participants"), f"task {strangers[0]!r} arrives here and is no participant; add it"
        )
    if len(entry.participants or arriving) < 2:
        problems.add(
            *draft.at("sync", i),
            f"sync point {entry.id!r} needs at least two participants: name them, or let two tasks `arrives_at` it",
        )
    count = entry.count()
    if count is not None and not 1 <= count <= len(entry.participants or arriving):
        problems.add(*draft.at("sync", i, "condition"), f"{count} can never arrive; there are fewer")


def _check_circles(draft: Draft, arriving: dict[str, list[str]], problems: Problems) -> None:
    """Find tasks that wait for a point at which a task arrives that comes after them."""
    places = {task.id: i for i, task in draft.tasks.items()}
    everybody = {entry.id for entry in draft.sync.values() if entry.condition == "all"}

    def before(task: TaskEntry) -> list[str]:
        met = [other for point in task.held_up_by() if point in everybody for other in arriving.get(point, ())]
        return [*task.comes_after(), *met]

    waiting = {task.id: before(task) for task in draft.tasks.values()}
    plain = {task.id: list(task.comes_after()) for task in draft.tasks.values()}
    known = {frozenset(cycle) for cycle in find_cycles(plain)}
    for cycle in find_cycles(waiting):
        if frozenset(cycle) not in known:
            circle = " -> ".join([*cycle, cycle[0]])
            problems.add(
                *draft.at("tasks", places[cycle[0]]), f"tasks wait for each other at sync points in a circle: {circle}"
            )
