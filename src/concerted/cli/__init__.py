"""The command line: `concerted COMMAND ...`; each command's module is imported when it is called."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from concerted import __version__
from concerted.cli.exits import show_error
from concerted.errors import ConcertedError, Invalid

__all__ = ["TABLE", "cli", "main"]

# name -> where it is, and what it does; the same words as the first line of its own help
TABLE: Mapping[str, tuple[str, str]] = {
    "run": ("concerted.cli.run:run", "Run a plan, or go on with it, and print the result."),
    "status": ("concerted.cli.looking:status", "Show runs, agents, and what is waited for."),
    "why": ("concerted.cli.looking:why", "Explain why a run, a task or an agent is where it is."),
    "events": ("concerted.cli.events:events", "Show the log."),
    "agents": ("concerted.cli.looking:agents", "Show the agents."),
    "cancel": ("concerted.cli.control:cancel", "Call a run off."),
    "resume": ("concerted.cli.control:resume", "Finish what is unfinished, or let a parked run go on."),
    "signal": ("concerted.cli.control:signal", "Send a signal into a run."),
    "agent": ("concerted.cli.agent:agent", "Serve as an agent of a store, until stopped."),
    "config": ("concerted.cli.configuration:config", "Show every setting and where it came from."),
    "replay": ("concerted.cli.replay:replay", "See whether this code would continue runs as they were recorded."),
    "simulate": (
        "concerted.cli.simulate:simulate",
        "Run a plan, or consensus, in virtual time while everything breaks.",
    ),
    "sync": ("concerted.cli.meeting.sync:sync", "Meet other scripts and agents at a sync point."),
    "barrier": ("concerted.cli.meeting.barrier:barrier", "Wait for each other, time after time."),
    "phaser": ("concerted.cli.meeting.phaser:phaser", "Wait for each other, while parties come and go."),
    "progress": ("concerted.cli.meeting.progress_tracker:progress", "Tell, and see, how far shared work is."),
    "decide": ("concerted.cli.meeting.decide:decide", "Put a question to voters, and wait for the outcome."),
    "vote": ("concerted.cli.meeting.decide:vote", "Vote in a decision."),
    "decision": (
        "concerted.cli.meeting.decide:decision",
        "Look at decisions: wait, withdraw, verify.",
    ),
    "replicas": ("concerted.cli.meeting.replicas:replicas", "Keep decisions by replicas beside the agents."),
    "agree": (
        "concerted.cli.meeting.agree:agree",
        "Propose a value under a key; the first one is it, for everybody.",
    ),
    "agreement": ("concerted.cli.meeting.agree:agreement", "Look at agreements: open, wait, show."),
    "log": ("concerted.cli.meeting.decision_log:log", "Put values into one order for everybody, and read them."),
    "latch": ("concerted.cli.meeting.latch:latch", "Wait until so many things are done."),
    "lease": ("concerted.cli.holding.lease:lease", "Hold anything by name, alone or shared."),
    "semaphore": ("concerted.cli.holding.semaphore:semaphore", "Let so many in at once, and no more."),
    "budget": ("concerted.cli.holding.budget:budget", "Spend tokens or money together, and never too much."),
    "election": ("concerted.cli.holding.election:election", "Have one leader at a time."),
    "group": ("concerted.cli.holding.group:group", "Know who else is here."),
    "register": ("concerted.cli.holding.register:register", "Share named values: set, compare and swap, count."),
    "inbox": ("concerted.cli.inbox:inbox", "Send messages, fetch them, and see what became of them."),
    "principal": ("concerted.cli.principal:principal", "Look after who may give commands."),
    "store": ("concerted.cli.store:store", "Look after the store itself."),
    "demo": ("concerted.cli.demo.command:demo", "Watch a fleet at work while parts of it are killed."),
    "completion": ("concerted.cli.completion:completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by the table and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Name the commands, in the order of the table."""
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in TABLE:
            return None
        module, _, name = TABLE[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called, or say what may have been meant."""
        if args and args[0] not in TABLE and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], TABLE, 1)
            hint = f"did you mean {near[0]}?" if near else "`concerted --help` lists them"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in TABLE.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="concerted")
def cli() -> None:
    """Durable coordination for fleets of agents.

    Any process may be killed at any instant; the same command again goes on where it was.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says and end the process with the exit code that docs/cli.md lists."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_main(given or ["--help"]))


def _main(given: list[str]) -> int:
    ours = given[: given.index("--")] if "--" in given else given
    as_json = "--json" in ours
    try:
        ended: Any = cli.main(args=given, prog_name="concerted", standalone_mode=False)
    except click.UsageError as error:
        return show_error(Invalid(_usage(error)), as_json=as_json)
    except click.ClickException as error:
        return show_error(Invalid(error.format_message()), as_json=as_json)
    except ConcertedError as error:
        return show_error(error, as_json=as_json)
    except UnicodeEncodeError as error:
        if error.encoding != "utf-8":  # what the terminal cannot show is no argument
            raise
        return show_error(Invalid(f"{error.object!r} is no text: its bytes are not UTF-8"), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    return ended if isinstance(ended, int) else 0


def _usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "concerted"
    message, where = error.format_message().rstrip("."), f"`{path} --help`"
    return message if where in message else f"{message}; see {where}"
