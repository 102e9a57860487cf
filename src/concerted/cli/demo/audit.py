"""The work of the demo: Python's own standard library, cut into tasks, measured file by file, merged into a report.

Complexity is McCabe's number: 1, and 1 more for each place where a function's path can part: `if`, `for`,
`while`, `except`, `case`, `assert`, a conditional expression, a comprehension and each of its conditions,
and each further operand of `and` and `or`.  A function inside another counts for itself.

Source: McCabe 1976, "A Complexity Measure", for what is counted.
"""

from __future__ import annotations

import ast
import heapq
import sysconfig
import threading
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent import Agent
from concerted.agent.work import Work
from concerted.values import Task, TaskId

__all__ = ["REPORT", "FileSize", "FunctionSize", "Report", "audit_files", "auditor", "find_tasks", "merge", "stdlib"]

REPORT = TaskId("report")
TOP = 10  # functions and files that are named; each task names as many, so that the merged list is exact
GROUP_BYTES = 150_000  # small modules are put together until a task has so many
TASK_RETRIES = 5
CAPACITY = 3  # tasks that one worker has in hand
NOT_THE_LIBRARY = {"site-packages", "dist-packages", "__pycache__"}


class FunctionSize(msgspec.Struct, frozen=True):
    """One function."""

    file: str
    name: str
    line: int
    lines: int
    complexity: int


class FileSize(msgspec.Struct, frozen=True):
    """One file."""

    file: str
    lines: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What some files come to; the TOP of each list, largest first, unparsed by name with the reason."""

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    complexity: int = 0
    most_complex: tuple[FunctionSize, ...] = ()
    longest_functions: tuple[FunctionSize, ...] = ()
    longest_files: tuple[FileSize, ...] = ()
    unparsed: dict[str, str] = {}


def stdlib() -> Path:
    """Return the folder of this Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def find_tasks(root: Path, most: int | None = None) -> list[Task]:
    """Cut a library into tasks, and add the one that comes after all of them.

    A package is a task, and so is a large module; small modules share one; the tests are cut one level
    deeper.  The largest tasks come first.  most: only so many, the smallest.
    """
    entries = [*_entries(root), *_entries(root / "test")]
    groups = sorted(_groups(root, entries), key=lambda group: (group[0], group[1]))[:most]
    tasks = [
        Task(
            id=TaskId(_name(root, paths)),
            kind="audit",
            payload={"paths": [path.relative_to(root).as_posix() for path in paths]},
            priority=size // 1000,
            retries=TASK_RETRIES,
        )
        for size, paths in reversed(groups)
    ]
    last = Task(id=REPORT, kind="report", retries=TASK_RETRIES, after=tuple(task.id for task in tasks))
    return [*tasks, last]


# the workers

auditor = Agent("auditor", capacity=CAPACITY)

# One thread at a time gets anywhere in an interpreter; one syntax tree at a time keeps it small.
_one_at_a_time = threading.Lock()


@auditor.task("audit")
def audit(task: Task) -> Any:
    """Measure the files that the task names."""
    with _one_at_a_time:
        root = stdlib()
        found = audit_files(root, [root / path for path in task.payload["paths"]])
        return msgspec.to_builtins(found)


@auditor.task("report")
def report(_task: Task, work: Work) -> Any:
    """Merge what the others have found."""
    return msgspec.to_builtins(merge(msgspec.convert(one, Report) for one in work.results.values()))


def audit_files(root: Path, paths: Iterable[Path]) -> Report:
    """Measure modules and whole packages; in a file that does not parse, only the lines are counted."""
    return merge(_measure(root, path) for given in paths for path in _modules(given))


def merge(reports: Iterable[Report]) -> Report:
    """Add reports up."""
    every = list(reports)
    return Report(
        files=sum(one.files for one in every),
        lines=sum(one.lines for one in every),
        functions=sum(one.functions for one in every),
        classes=sum(one.classes for one in every),
        complexity=sum(one.complexity for one in every),
        most_complex=_top(one for part in every for one in part.most_complex),
        longest_functions=_longest(one for part in every for one in part.longest_functions),
        longest_files=tuple(
            heapq.nsmallest(
                TOP, (one for part in every for one in part.longest_files), key=lambda one: (-one.lines, one.file)
            )
        ),
        unparsed={file: why for one in every for file, why in one.unparsed.items()},
    )


# one file


def _measure(root: Path, path: Path) -> Report:
    name = path.relative_to(root).as_posix()
    try:
        text = path.read_bytes()
    except OSError as error:
        return Report(files=1, unparsed={name: error.strerror or str(error)})
    size = FileSize(name, len(text.splitlines()))
    whole = Report(files=1, lines=size.lines, longest_files=(size,))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of old escapes is not asked
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        return msgspec.structs.replace(whole, unparsed={name: f"{type(error).__name__}: {error}"})
    functions, classes = _functions(name, tree)
    return msgspec.structs.replace(
        whole,
        functions=len(functions),
        classes=classes,
        complexity=sum(one.complexity for one in functions),
        most_complex=_top(functions),
        longest_functions=_longest(functions),
    )


def _functions(file: str, tree: ast.Module) -> tuple[list[FunctionSize], int]:
    """Return the functions of a file, and how many classes it has."""
    found: list[FunctionSize] = []
    classes = 0
    scopes: list[tuple[ast.AST, str]] = [(tree, "")]
    while scopes:
        scope, outer = scopes.pop()
        complexity, inner = _within(scope)
        classes += isinstance(scope, ast.ClassDef)
        name = f"{outer}{getattr(scope, 'name', '')}"
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (scope.end_lineno or scope.lineno) - scope.lineno + 1
            found.append(FunctionSize(file, name, scope.lineno, lines, complexity))
        scopes += [(one, f"{name}." if name else "") for one in inner]
    return found, classes


_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LEAVES = {ast.Name, ast.Constant, ast.Load, ast.Store, ast.Del}
_PARTINGS = (
    ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case, ast.Assert,
    ast.comprehension,
)  # fmt: skip


def _within(scope: ast.AST) -> tuple[int, list[ast.AST]]:
    """Return the complexity of a scope and the scopes that stand directly in it."""
    complexity = 1
    inner: list[ast.AST] = []
    stack = [scope]
    while stack:
        node = stack.pop()
        for child in _children(node):
            if isinstance(child, _SCOPES):
                inner.append(child)
                continue
            stack.append(child)
            if isinstance(child, ast.BoolOp):
                complexity += len(child.values) - 1
            elif isinstance(child, _PARTINGS):
                complexity += 1
                if isinstance(child, ast.comprehension):
                    complexity += len(child.ifs)
    return complexity, inner


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Go through what stands directly below a node, without names and constants; faster than `ast`'s own."""
    for field in node._fields:
        value = getattr(node, field, None)
        for child in value if type(value) is list else (value,):
            if isinstance(child, ast.AST) and type(child) not in _LEAVES:
                yield child


def _top(functions: Iterable[FunctionSize]) -> tuple[FunctionSize, ...]:
    return tuple(heapq.nsmallest(TOP, functions, key=lambda one: (-one.complexity, one.file, one.line)))


def _longest(functions: Iterable[FunctionSize]) -> tuple[FunctionSize, ...]:
    return tuple(heapq.nsmallest(TOP, functions, key=lambda one: (-one.lines, one.file, one.line)))


# the cutting


def _entries(folder: Path) -> list[Path]:
    """Return the modules and packages that stand in a folder, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if path.name not in NOT_THE_LIBRARY | {"test"})
    return [path for path in found if path.suffix == ".py" or path.is_dir()]


def _modules(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    inside = (one for one in path.rglob("*.py") if one.is_file())
    return sorted(one for one in inside if NOT_THE_LIBRARY.isdisjoint(one.relative_to(path).parts))


def _groups(root: Path, entries: list[Path]) -> Iterator[tuple[int, list[Path]]]:
    """Yield (bytes, entries): a package or a large module alone, its small neighbours together."""
    together: list[Path] = []
    size = 0
    for path in entries:
        sizes = [module.stat().st_size for module in _modules(path)]
        own = sum(sizes)
        if not sizes:
            continue
        small_module = path.is_file() and own < GROUP_BYTES
        if not small_module and not (path.parent != root and own < GROUP_BYTES):
            yield own, [path]
            continue
        if together and (size + own > GROUP_BYTES or together[0].parent != path.parent):
            yield size, together
            together, size = [], 0
        together.append(path)
        size += own
    if together:
        yield size, together


def _name(root: Path, paths: list[Path]) -> str:
    """Name a group by its first and last member: `argparse`, `abc..ast`, `test.test_abc..test_ast`."""
    first = ".".join(paths[0].relative_to(root).with_suffix("").parts)
    return first if len(paths) == 1 else f"{first}..{paths[-1].with_suffix('').name}"
