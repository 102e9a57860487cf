"""The documents: every code block runs or is sound, and the reference has every name.

What happens to a block, by its language:

    python   is run, those of one document one after the other, in one process and one empty folder
    text     directly behind a python block: what that block prints, to the letter; elsewhere it is left alone
    yaml     must load, as a plan if it has `plan:`, else as a configuration
    sh       must be sound shell, and its `concerted` lines must name commands and options that exist

and by a comment on the line before it:

    <!-- file: NAME -->   the block is that file, there for the blocks below it
    <!-- run -->          the sh block is run, line by line, where the newest plan above is `plan.yaml`

Lines that install from the network are not run but compared with the Makefile and `.ci/run`.
"""

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
import yaml

import concerted
from concerted import agent, launch, stores, testing
from concerted.cli import cli
from concerted.client.calls import Calls
from concerted.config.listing import describe
from concerted.config.loader import load
from concerted.config.plan import load_plan
from concerted.config.settings import Settings
from concerted.errors import BY_CODE
from concerted.kinds import INPUTS
from concerted.launch import Session
from concerted.messages import Request
from concerted.ports.commands import Command, all_commands
from concerted.primitives.table import all_kinds
from concerted.run import Run
from concerted.strategies import choose

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").rglob("*.md"))]
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
LANGUAGES = {"", "json", "python", "sh", "text", "yaml"}
BIN = Path(sys.executable).parent


# The blocks of a document


@dataclass(frozen=True)
class Block:
    """One fenced block.  line: of its opening fence.  mark: the comment above it.  follows: directly behind one."""

    path: Path
    line: int
    language: str
    text: str
    mark: str = ""
    follows: bool = False

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        return self.mark.removeprefix("file: ") if self.mark.startswith("file: ") else None


FENCE = re.compile(r"(?:^<!-- (.+?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks_of(path: Path) -> list[Block]:
    text, found, end = path.read_text("utf-8"), [], -1
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start(2)) + 1
        follows = end >= 0 and not text[end : match.start()].strip()
        found.append(Block(path, line, match[2], match[3], match[1] or "", follows))
        end = match.end()
    return found


BLOCKS = [block for path in DOCUMENTS for block in blocks_of(path)]


def only(language: str) -> list[Any]:
    return [pytest.param(block, id=block.place) for block in BLOCKS if block.language == language]


def installs(block: Block) -> bool:
    return "pip install" in block.text


def test_every_fence_is_read_and_has_a_known_language() -> None:
    for path in DOCUMENTS:
        fences = len(re.findall(r"^\s*```", path.read_text("utf-8"), re.MULTILINE))
        assert fences == 2 * len(blocks_of(path)), f"{path.name}: a code block is not closed, or is indented"
    for block in BLOCKS:
        assert block.language in LANGUAGES, f"{block.place}: {block.language}: name one of {sorted(LANGUAGES)}"
        known = block.mark in {"", "run"} or block.file is not None
        assert known, f"{block.place}: <!-- {block.mark} --> means nothing to this test"


# python

RUN_BLOCKS = """
import contextlib, io, json, sys, traceback
for place, text in json.load(sys.stdin):
    printed, error = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(text, place, "exec"), {"__name__": "__main__"})
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps([place, printed.getvalue(), error]))
"""


@pytest.mark.e2e
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_run_and_print_what_stands_below_them(path: Path, tmp_path: Path) -> None:
    programs = [block for block in blocks_of(path) if block.language == "python" and not reads_lines(block)]
    if not programs:
        return
    write_files(path, tmp_path)
    given = msgspec.json.encode([(block.place, block.text) for block in programs])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUN_BLOCKS], cwd=tmp_path, input=given, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    printed = {}
    for line in done.stdout.splitlines():
        place, text, error = msgspec.json.decode(line)
        assert error is None, f"{place}: {error}"
        printed[place] = text
    for block, below in pairwise(blocks_of(path)):
        if below.follows and (block.language, below.language) == ("python", "text"):
            assert printed[block.place] == below.text, f"{below.place}: the block above prints {printed[block.place]!r}"


def reads_lines(block: Block) -> bool:
    """Say whether it is a program for the other end of a pipe, as tests/links/test_agents_page.py runs them."""
    return block.file is not None and "sys.stdin" in block.text


def write_files(path: Path, folder: Path) -> None:
    for block in blocks_of(path):
        if block.file is not None:
            (folder / block.file).write_text(block.text)
            (folder / block.file).chmod(0o700)


# yaml


@pytest.mark.parametrize("block", only("yaml"))
def test_yaml_blocks_are_plans_or_configurations(block: Block) -> None:
    if "plan" in yaml.safe_load(block.text):
        assert not load_plan(block.text, block.place, strategies=choose.names()).warnings
    else:
        load(block.text, block.place, Settings)


# sh


@pytest.mark.parametrize("block", only("sh"))
def test_sh_blocks_are_sound_and_name_what_exists(block: Block) -> None:
    checked = subprocess.run(["sh", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert checked.returncode == 0, f"{block.place}: {checked.stderr}"
    for words in concerted_lines(block):
        command, rest = command_of(words)
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in rest if word.startswith("-") and word.partition("=")[0] not in options]
        assert not unknown, f"{block.place}: concerted {command.name} has no {unknown}"


@pytest.mark.e2e
@pytest.mark.parametrize("block", [param for param in only("sh") if param.values[0].mark == "run"])
def test_sh_blocks_marked_run_work(block: Block, tmp_path: Path) -> None:
    write_files(block.path, tmp_path)
    above = [each for each in blocks_of(block.path) if each.line < block.line and each.language == "yaml"]
    if above:
        (tmp_path / "plan.yaml").write_text(above[-1].text)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONCERTED_")}
    environment["PATH"] = f"{BIN}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", block.text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.place}: {done.stdout}{done.stderr}"
    assert done.stdout.strip(), f"{block.place}: it prints nothing"


def concerted_lines(block: Block) -> Iterator[list[str]]:
    """Yield the words behind `concerted` of each line that begins with it; COMMAND in capitals stands for any."""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words.pop(0)
        if words[:1] == ["concerted"] and not words[1].isupper():
            own = words.index("--") if "--" in words else len(words)  # what follows is another program's
            yield words[1:own]


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    command, context = cli.get_command(click.Context(cli), words[0]), click.Context(cli)
    assert command is not None, f"there is no command concerted {words[0]}"
    rest = words[1:]
    if isinstance(command, click.Group):
        below = command.get_command(context, rest[0])
        assert below is not None, f"there is no command concerted {words[0]} {rest[0]}"
        command, rest = below, rest[1:]
    return command, rest


# The lines that install


def test_the_lines_that_install_do_what_make_and_ci_do() -> None:
    lines = [
        line
        for block in BLOCKS
        if block.path.name == "README.md" and installs(block)
        for line in block.text.splitlines()
    ]
    demo, tests = lines
    makefile, ci = (ROOT / "Makefile").read_text("utf-8"), (ROOT / ".ci" / "run").read_text("utf-8")
    steps = [
        line.strip() for line in re.findall(r"^\$\(PYTEST\).*:\n((?:\t.*\n)+)", makefile, re.MULTILINE)[-1].splitlines()
    ]
    as_make = " && ".join(step.replace("$(BIN)", ".venv/bin").replace("install -q", "install") for step in steps)
    assert tests == f"{as_make} && .venv/bin/pytest -n auto"
    pattern = re.search(r'grep -E "(.+?)" README.md', ci)
    assert pattern, ".ci/run must take the line that tests from the README"
    assert [line for line in lines if re.search(pattern[1].replace(r"\.", "[.]"), line)] == [tests]
    assert re.fullmatch(r"python3 -m venv \.venv && \.venv/bin/pip install \S+ && \.venv/bin/concerted demo", demo)


def test_nothing_else_installs_from_the_network() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for block in BLOCKS:
        for named in re.findall(r"concerted\[(\w+)\]", block.text):
            assert named in extras, f"{block.place}: there is no extra {named}"
        if installs(block):
            assert block.mark != "run", f"{block.place}: a line that installs is not run"


# The reference


KINDS = all_kinds()


def rows_of_kinds(kinds: list[str]) -> list[str]:
    return [row(f"`{kind}`", KINDS[kind]) for kind in kinds]


def rows_of_verbs() -> list[str]:
    rows = []
    for name, member in vars(Run).items():
        if not name.startswith("_"):
            shown = f"`run.{name}`" if isinstance(member, property) else f"`run.{name}{parameters(member)}`"
            rows.append(row(shown, paragraph(member)))
    return rows


def rows_of_session() -> list[str]:
    return [
        row(f"`{name}`" if isinstance(member, property) else f"`{name}{parameters(member)}`", paragraph(member))
        for name, member in {**vars(Session), **vars(Calls)}.items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]


def rows_of_commands() -> list[str]:
    return [
        row(f"`{name}`", fields(kind), answer(kind), kind.role, paragraph(kind))
        for name, kind in sorted(all_commands().items())
    ]


def rows_of_requests() -> list[str]:
    return [row(f"`{kind.__struct_config__.tag}`", fields(kind), paragraph(kind)) for kind in Request.__subclasses__()]


def rows_of_errors() -> list[str]:
    return [row(f"`{code}`", f"`{kind.__name__}`", paragraph(kind)) for code, kind in BY_CODE.items()]


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def paragraph(thing: Any) -> str:
    """Return the first paragraph of a docstring in one line."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


def parameters(function: Any) -> str:
    """Return a signature without types and without self."""
    signature = inspect.signature(function)
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values() if each.name != "self"]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))


def fields(kind: type[msgspec.Struct]) -> str:
    needed = [name for name in kind.__struct_fields__ if name in required(kind)]
    optional = [f"{name}?" for name in kind.__struct_fields__ if name not in required(kind)]
    return ", ".join(f"`{name}`" for name in (*needed, *optional)) or "none"


def required(kind: type[msgspec.Struct]) -> set[str]:
    return {each.name for each in msgspec.structs.fields(kind) if each.required}


def answer(kind: type[Command]) -> str:
    if kind.result is type(None):
        return "nothing"
    name = kind.result.__name__ if type(kind.result) is type(msgspec.Struct) else str(kind.result)
    return f"`{re.sub(r'[a-z.]+[.](?=[A-Z])', '', name)}`"


def named(module: Any) -> list[str]:
    return [name for name in module.__all__ if name != "__version__"]


def must_hold(rows: list[str]) -> None:
    missing = [each for each in rows if each not in REFERENCE.splitlines()]
    assert not missing, "docs/reference.md lacks these lines:\n" + "\n".join(missing)


def test_the_reference_has_every_kind_of_event_with_its_meaning() -> None:
    must_hold(rows_of_kinds(sorted(KINDS)))
    events = REFERENCE.partition("\n## Events")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", events, re.MULTILINE)
    assert sorted(listed) == sorted(KINDS), "docs/reference.md lists a kind twice, or one that is no more"
    inputs = REFERENCE.partition("### Inputs")[2].partition("\n### ")[0]
    assert set(re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", inputs, re.MULTILINE)) == INPUTS


def test_the_reference_has_every_verb_of_a_run() -> None:
    must_hold(rows_of_verbs())
    missing = [name for name in inspect.get_annotations(Run) if f"| `run.{name}` |" not in REFERENCE]
    assert not missing, f"docs/reference.md: describe run.{missing}"


def test_the_reference_has_every_method_of_a_session() -> None:
    must_hold(rows_of_session())


def test_the_reference_has_every_command() -> None:
    must_hold(rows_of_commands())


def test_the_reference_has_every_request() -> None:
    must_hold(rows_of_requests())


def test_the_reference_has_every_error_code() -> None:
    must_hold(rows_of_errors())


@pytest.mark.parametrize("module", [concerted, agent, launch, stores, testing], ids=lambda module: module.__name__)
def test_the_reference_has_every_public_name(module: Any) -> None:
    section = REFERENCE.partition("## Public names")[2].partition("\n## ")[0]
    missing = [name for name in named(module) if not re.search(rf"^\| .*`{name}`.* \|", section, re.MULTILINE)]
    assert not missing, f"docs/reference.md, Public names, {module.__name__}: describe {missing}"


def test_the_configuration_page_has_every_key_with_its_default() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    missing = [key.path for key in describe() if f"| `{key.path}` | " not in page]
    assert not missing, f"docs/configuration.md: describe {missing}"
    assert "(configuration.md#every-key)" in REFERENCE


# Links


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    text, broken = FENCE.sub("", path.read_text("utf-8")), []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        linked = (path.parent / file).resolve() if file else path
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken, f"{path.name}: there is no such file or heading: {broken}"


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
