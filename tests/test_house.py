"""The rules of the house that a machine can check. Each failure says what to do about it.

The reasons are in CONTRIBUTING.md. Where a rule would make a piece of code worse, change the rule here and say why.
"""

import ast
import configparser
import gc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "concerted"
MODULES = sorted(PACKAGE.rglob("*.py"))

PURE_ROOMS = {"fleet", "sync", "board", "allocation", "groups", "consensus", "swarm"}
TESTED_BY_NAME = PURE_ROOMS | {"errors", "values", "kinds", "messages", "config", "machine", "persistent", "strategies"}
# Where other people's code is called: only here may `except Exception` stand, and the traceback is kept.
FENCED = {"engine", "runs", "primitives", "links", "server", "agent"}

MODULE_LINES = 500
FUNCTION_LINES = 60
CLASS_LINES = 250
PARAMETERS = 6
GENERATIONS = 2  # of our own classes: one, and one below it
GENERATIONS_OF_COMMANDS = 4  # Command, Ask, what is asked about, and each question; data without behaviour
GENERATIONS_OF_ERRORS = 3  # ConcertedError, its kinds, and the cases of a kind

NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "misc", "base", "types", "core"}
SUFFIXES_THAT_SAY_NOTHING = ("Manager", "Handler", "Helper", "Impl")
# Written in halves, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
PRIVATE_PATH = re.compile(r"(?<![\w.])/(wo" + r"rk|fa" + r"rm|ro" + r"ot|ho" + r"me|Us" + r"ers)/|bash_" + r"jobs")

# (module, what it imports inside a function): optional packages, and heavy ones that start-up should not pay for.
LATE_IMPORTS: set[tuple[str, str]] = {
    # numpy costs 60 ms, and most rules need none
    ("concerted.allocation.market.payments", "concerted.allocation.optimum.one_to_one"),
    ("concerted.allocation.market.rules", "concerted.allocation.optimum.conflicts"),
    ("concerted.allocation.market.rules", "concerted.allocation.optimum.generalised"),
    ("concerted.allocation.market.rules", "concerted.allocation.optimum.one_to_one"),
    ("concerted.allocation.market.rules", "concerted.allocation.optimum.packing"),
    ("concerted.allocation.market.rules", "concerted.allocation.optimum.ties"),
    ("concerted.cli.run", "concerted.cli.live"),  # rich costs 60 ms, and is of use on a terminal alone
    ("concerted.client.calls", "concerted.client.holding"),  # machines cost 30 ms, and most sessions use few of them
    ("concerted.client.calls", "concerted.client.agreeing"),
    ("concerted.client.calls", "concerted.client.channel"),
    ("concerted.client.calls", "concerted.client.deciding"),
    ("concerted.client.calls", "concerted.client.meeting"),
    ("concerted.client.calls", "concerted.client.sharing"),
    ("concerted.client.calls", "concerted.client.replicating"),
    ("concerted.replicas.clients.speaking", "concerted.replicas.clients.signed_client"),  # takes the extra [pbft]
    ("concerted.agent.ballots", "concerted.ports.decisions"),  # most agents never judge what replicas keep
    ("concerted.agent.ballots", "concerted.replicas.clients.speaking"),
    ("concerted.agent.ballots", "concerted.replicas.spec"),
    ("concerted.engine.replicas.groups", "concerted.engine.replicas.tended"),  # most coordinators have no replicas
    ("concerted.engine.primitives.primitives", "concerted.engine.primitives.memory_leases"),  # so do these
    ("concerted.engine.primitives.actions", "concerted.sync.barriers.barrier"),
    ("concerted.runs.verbs", "concerted.runs"),
    ("concerted.launch.owner", "concerted.stores.postgres.store"),  # takes the extra [postgres]
    ("concerted.consensus.decisions.signatures", "cryptography.exceptions"),  # takes the extra [pbft]
    ("concerted.consensus.decisions.signatures", "cryptography.hazmat.primitives.asymmetric"),
    ("concerted.sync.points.expression", "celpy"),  # takes the extra [cel], and 300 ms
    ("concerted.strategies.choose", "importlib.metadata"),  # 10 ms, and most processes never ask for plug-ins
}

# Packages of numbers: whoever computes with them in a pure room imports them on use.
HEAVY = {"highspy", "numpy", "scipy"}

FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def each(modules: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Hold these modules to a rule; all that break it are told at once."""

    def of(rule: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            broken = []
            for path in modules:
                try:
                    rule(path)
                except AssertionError as error:
                    broken.append(str(error).partition("\nassert ")[0])
            assert not broken, "\n".join(broken)

        return test

    return of


each_module = each(MODULES)


# Size


@each_module
def test_a_module_says_what_it_is_and_stays_small(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{short(path)}: begin with one sentence that says what this module is"
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MODULE_LINES, (
        f"{short(path)} has {lines} lines, at most {MODULE_LINES}: find the second concept in it and give it a file"
    )


@each_module
def test_functions_are_short_and_take_few_parameters(path: Path) -> None:
    for node in functions(path):
        where = f"{short(path)}:{node.lineno}: {node.name}"
        assert length(node) <= FUNCTION_LINES, (
            f"{where} has {length(node)} lines, at most {FUNCTION_LINES}: give its steps names and move them below it"
        )
        count = len(parameters(node))
        assert count <= PARAMETERS, f"{where} takes {count} parameters, at most {PARAMETERS}: make a dataclass of them"


@each_module
def test_a_class_is_one_thing(path: Path) -> None:
    for node in classes(path):
        assert length(node) <= CLASS_LINES, (
            f"{short(path)}:{node.lineno}: class {node.name} has {length(node)} lines, at most {CLASS_LINES}: "
            "it is more than one thing; move pure rules out as functions, or split it"
        )


@each_module
def test_inheritance_is_shallow(path: Path) -> None:
    limit = {"errors": GENERATIONS_OF_ERRORS, "ports": GENERATIONS_OF_COMMANDS}.get(room(path), GENERATIONS)
    for node in classes(path):
        assert generations(node) <= limit, (
            f"{short(path)}:{node.lineno}: class {node.name} is generation {generations(node)}, at most {limit}: "
            "hold the other object in a field, or share a function"
        )


# Names and words


@each_module
def test_names_say_what_a_thing_is(path: Path) -> None:
    for part in dotted(path).split("."):
        assert part not in NAMES_THAT_SAY_NOTHING, (
            f"{short(path)}: `{part}` says nothing; give each function in it to the concept it belongs to"
        )
    for node in classes(path):
        assert not node.name.endswith(SUFFIXES_THAT_SAY_NOTHING), (
            f"{short(path)}:{node.lineno}: class {node.name}: name the thing it is; its last word says nothing"
        )


def test_nothing_is_left_for_later() -> None:
    for path, number, line in every_line():
        assert not UNFINISHED.search(line), (
            f"{short(path)}:{number}: finish it, or open an issue and take the note out: {line.strip()}"
        )


def test_the_project_speaks_of_itself_alone() -> None:
    for path, number, line in every_line():
        assert not PRIVATE_PATH.search(line), (
            f"{short(path)}:{number}: a path of one machine; use a relative path or a temporary folder: {line.strip()}"
        )


# Errors and output


@each_module
def test_errors_are_not_swallowed(path: Path) -> None:
    if room(path) in FENCED:
        return
    for node in nodes(path):
        if isinstance(node, ast.ExceptHandler):
            swallows = catches_all(node.type) and not raises_again(node)
        elif isinstance(node, ast.Call) and called_name(node) == "suppress":
            swallows = any(catches_all(argument) for argument in node.args)
        else:
            continue
        assert not swallows, (
            f"{short(path)}:{node.lineno}: name the errors you can do something about, or end with a bare `raise`; "
            f"only {sorted(FENCED)}, where other people's code runs, may catch all"
        )


@each_module
def test_only_the_command_line_prints(path: Path) -> None:
    if room(path) == "cli":
        return
    for node in nodes(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            pytest.fail(f"{short(path)}:{node.lineno}: raise, return or write an event; only concerted.cli prints")


# Imports


@each_module
def test_imports_stand_at_the_top(path: Path) -> None:
    for name, line in late_imports(path):
        is_heavy = name.partition(".")[0] in HEAVY and room(path) in PURE_ROOMS
        assert is_heavy or (dotted(path), name) in LATE_IMPORTS, (
            f"{short(path)}:{line}: move this import to the top; if a circle forbids it, break the circle. "
            f"If it is there to save start-up time, add {(dotted(path), name)} to LATE_IMPORTS"
        )


def test_the_table_of_late_imports_is_current() -> None:
    found = {(dotted(path), name) for path in MODULES for name, _ in late_imports(path)}
    assert found >= LATE_IMPORTS, f"take these out of LATE_IMPORTS: {sorted(LATE_IMPORTS - found)}"


@each([path for path in MODULES if path.name == "__init__.py"])
def test_the_door_of_a_pure_room_holds_no_code(path: Path) -> None:
    """The contract `pure` of import-linter looks at the modules of a room; its `__init__` is looked at here."""
    if room(path) not in PURE_ROOMS | {"strategies"}:
        return
    for node in tree(path).body:
        ours = isinstance(node, ast.ImportFrom) and (node.level > 0 or (node.module or "").startswith("concerted."))
        text_or_all = isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign)
        assert ours or text_or_all, (
            f"{short(path)}:{node.lineno}: `__init__` says what the room is and names what it offers; "
            "move code into a module with a name"
        )


def test_the_contracts_name_every_pure_room() -> None:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    listed = contracts["importlinter:contract:pure"]["source_modules"].split()
    for name in sorted(PURE_ROOMS):
        assert f"concerted.{name}.**" in listed, f"add concerted.{name}.** to the contract `pure` in .importlinter"


def test_import_concerted_is_light() -> None:
    """Whoever only wants a name from the package does not wait for numpy or an event loop."""
    heavy = {"asyncio", "click", "msgspec", "numpy", "rich", "yaml"}
    program = "import sys, concerted; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"`import concerted` fails: {done.stderr}"
    loaded = heavy & set(done.stdout.split())
    assert not loaded, f"`import concerted` imports {sorted(loaded)}: offer the name lazily, in __getattr__"


# Tests and checks


@each([path for path in MODULES if room(path) in TESTED_BY_NAME])
def test_every_rule_has_a_test_of_its_name(path: Path) -> None:
    if path.name == "__init__.py":
        return
    folder = ROOT / "tests" / path.relative_to(PACKAGE).parent
    name = f"test_{path.stem.lstrip('_')}.py"
    places = [folder / name, ROOT / "tests" / path.stem / name]
    assert any(place.exists() for place in places), f"{short(path)}: write {short(folder / name)}"


def test_the_types_are_public() -> None:
    assert (PACKAGE / "py.typed").exists(), "keep src/concerted/py.typed: without it users get no types"


def test_ci_runs_all_of_make_check() -> None:
    """`.ci/run` takes the README's line in the place of `make test`; the rest it must take from the Makefile."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    check = re.search(r"^check:([^#\n]*)", makefile, re.MULTILINE)
    assert check, "give the Makefile a target `check`"
    called = re.findall(r"^make ([^|>&\n]*)", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    ran = {word for words in called for word in words.split()}
    missing = set(check[1].split()) - ran - {"test"}
    assert not missing, f".ci/run leaves out {sorted(missing)} of `make check`: add them"


# How the rules look at code; nothing is read before a rule asks for it


@cache
def read() -> dict[Path, tuple[ast.Module, list[ast.AST]]]:
    """Read all modules, without looking for garbage among what is read: that takes longer than reading."""
    gc.disable()
    try:
        trees = {path: ast.parse(path.read_text("utf-8"), str(path)) for path in MODULES}
        return {path: (tree, list(ast.walk(tree))) for path, tree in trees.items()}
    finally:
        gc.freeze()
        gc.enable()


def tree(path: Path) -> ast.Module:
    return read()[path][0]


def nodes(path: Path) -> list[ast.AST]:
    return read()[path][1]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in nodes(path) if isinstance(node, FUNCTION))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    every = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    return [argument.arg for argument in every if argument.arg not in {"self", "cls"}]


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in nodes(path) if isinstance(node, ast.ClassDef))


@cache
def ours() -> dict[str, ast.ClassDef]:
    return {node.name: node for path in MODULES for node in classes(path)}


def generations(node: ast.ClassDef) -> int:
    """Count the classes of ours in the longest line from this one upwards."""
    names = [name for base in node.bases if (name := last_name(base)) != node.name]
    return 1 + max((generations(ours()[name]) for name in names if name in ours()), default=0)


def last_name(node: ast.expr | None) -> str:
    if isinstance(node, ast.Subscript):
        return last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def called_name(node: ast.Call) -> str:
    return last_name(node.func)


def catches_all(caught: ast.expr | None) -> bool:
    if isinstance(caught, ast.Tuple):
        return any(catches_all(one) for one in caught.elts)
    return caught is None or last_name(caught) in {"Exception", "BaseException"}


def raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def late_imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (what is imported, line) of the imports that stand on the lines of a function."""
    lines = {line for node in functions(path) for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    for node in nodes(path):
        if isinstance(node, ast.Import) and node.lineno in lines:
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.lineno in lines:
            yield "." * node.level + (node.module or ""), node.lineno


def every_line() -> Iterator[tuple[Path, int, str]]:
    """Go through the lines of every text file of the project, also the hidden ones."""
    for path in sorted(project_files(ROOT)):
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        yield from ((path, number, line) for number, line in enumerate(text.splitlines(), 1))


def project_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_symlink() or path.name.startswith(".venv") or path.name in NOT_OURS:
            continue
        if path.is_dir():
            yield from project_files(path)
        elif path.suffix not in NOT_TEXT:
            yield path


NOT_OURS = {".git", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
NOT_OURS |= {"__pycache__", "build", "dist", "node_modules", "vendor"}
NOT_TEXT = {".db", ".db-shm", ".db-wal", ".gz", ".jpg", ".lock", ".log", ".png", ".pyc", ".whl", ".woff2", ".zip"}
