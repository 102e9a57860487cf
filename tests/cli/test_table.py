"""The table of commands: light to start, true to the commands, and all of it in docs/cli.md."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from concerted.cli import TABLE, cli
from concerted.cli.exits import EXITS

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")


def commands() -> dict[str, click.Command]:
    """Return every command by its full name; those of a group as `store rebuild`."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in TABLE:
        command = cli.get_command(context, name)
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {below}": each for below, each in command.commands.items()}
    return found


def test_help_is_light() -> None:
    program = (
        "import sys; from concerted.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    listed, modules = done.stdout.rsplit("\n", 2)[0], set(done.stdout.rsplit("\n", 2)[1].split())

    assert all(f"  {name} " in listed for name in TABLE)
    assert not modules & {"asyncio", "msgspec", "numpy", "rich", "yaml", "sqlite3"}


def test_the_table_says_of_each_command_what_it_says_itself() -> None:
    for name, (_, words) in TABLE.items():
        command = commands()[name]
        assert command.name == name
        assert words in (command.short_help, command.get_short_help_str(200)), name


STORELESS = {"completion", "decision new-key", "decision verify", "demo", "replicas run", "replicas status"}


def test_every_command_takes_store_and_json() -> None:
    everywhere = {name: command for name, command in commands().items() if not isinstance(command, click.Group)}
    for name, command in everywhere.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert "--json" in options, name
        assert "--store" in options or name in STORELESS, name


@pytest.mark.parametrize("name", sorted(commands()))
def test_docs_have_every_command_and_option(name: str) -> None:
    command = commands()[name]
    section = DOCS.partition(f"\n## concerted {name.split(maxsplit=1)[0]}\n")[2].partition("\n## ")[0]
    assert section, f"write a section `## concerted {name.split(maxsplit=1)[0]}` in docs/cli.md"
    assert f"concerted {name}" in section
    missing = [
        option
        for parameter in command.params
        if not getattr(parameter, "hidden", False)
        for option in parameter.opts
        if option.startswith("--") and f"`{option}" not in section and option not in {"--json", "--store"}
    ]
    assert not missing, f"docs/cli.md, section `concerted {name}`: describe {missing}"


def test_docs_describe_no_option_twice_in_one_table() -> None:
    tables = re.findall(r"^\| option \|.*\n(?:\|.*\n)+", DOCS, re.MULTILINE)
    rows = [re.findall(r"^\| `(--[\w-]+)", table, re.MULTILINE) for table in tables]
    twice = [option for options in rows for option in sorted(set(options)) if options.count(option) > 1]

    assert len(tables) > 10
    assert not twice, f"docs/cli.md: one row for each of {twice}"


def test_docs_have_every_exit_code() -> None:
    for code, words in EXITS.items():
        assert f"| {code} | {words}" in DOCS, f"docs/cli.md: add `| {code} | {words}` to the table of exit codes"


def test_an_unknown_command_is_told_what_was_meant(concerted: Any) -> None:
    assert "did you mean status?" in concerted("stauts").err
    assert "`concerted --help` lists them" in concerted("zzz").err


def test_no_command_at_all_is_a_call_for_help(concerted: Any) -> None:
    ended = concerted()

    assert ended.code == 0
    assert ended.out == concerted("--help").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_this_program(concerted: Any, shell: str) -> None:
    assert f"_CONCERTED_COMPLETE={shell}_complete" in concerted("completion", shell).out
    assert concerted("completion", shell, "--json").json()["shell"] == shell


def test_what_a_shell_asks_is_answered(concerted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_CONCERTED_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "concerted sta")
    monkeypatch.setenv("COMP_CWORD", "1")

    assert concerted().out == "plain,status\n"
