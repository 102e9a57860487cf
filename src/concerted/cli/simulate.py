"""`concerted simulate`: a plan in virtual time, under many seeds, while everything breaks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from concerted.cli.exits import FAILED, OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json
from concerted.cli.plans import read_text
from concerted.config.plan import load_plan
from concerted.sim.faults import Faults
from concerted.sim.play import Report, parse_seeds, scenario_of
from concerted.sim.play import simulate as play_seeds
from concerted.sim.world import Played
from concerted.strategies import choose

__all__ = ["simulate"]


@click.command(short_help="Run a plan in virtual time while everything breaks.")
@click.argument("plan")
@click.option("--seeds", default="100", show_default=True, metavar="N|A..B", help="The seeds 0 to N-1, or A to B.")
@click.option(
    "--faults", default="", metavar="A=X,...", help="Such as drop=0.2,crash=3; swarm draws a mix for each seed."
)
@click.option("--strategy", metavar="NAME", help="In the place of the plan's.")
@click.option("--transcript", is_flag=True, help="Show the end of what happened under each seed that failed.")
@store_option
@json_option
def simulate(
    plan: str, seeds: str, faults: str, strategy: str | None, transcript: bool, **options: str | bool | None
) -> int:  # fmt: skip
    """Run a plan in virtual time while everything breaks.

    The coordinator and the strategy are the real ones; the agents are stand-ins with the profiles of the
    plan's, and no program is started and no store is touched.  A seed under which something is wrong is
    told with the one command that replays it.  Exit code 1 if there is any.
    """
    loaded = load_plan(read_text(plan), plan, strategies=choose.names(), env=os.environ)
    scenario = scenario_of(loaded, choose.load, path=plan, strategy=strategy)
    report = play_seeds(scenario, parse_seeds(seeds), Faults.parse(faults), watch=_show_failure)
    if options["as_json"]:
        write_json(report)
    else:
        _show(report, transcript=transcript)
    return OK if report.ok else FAILED


def _show_failure(seed: int, _: Played | None, problems: Sequence[str]) -> None:
    if problems:
        show_note(f"seed {seed}: {problems[0]}")
    elif sys.stderr.isatty():
        click.echo(f"\rseed {seed}: ok ", nl=False, err=True)


def _show(report: Report, *, transcript: bool) -> None:
    for failure in report.failures:
        click.echo(f"seed {failure.seed} ({failure.faults or 'no faults'}):")
        for problem in failure.problems:
            click.echo(f"  {problem}")
        for line in failure.transcript if transcript else ():
            click.echo(f"    {line}")
        click.echo(f"  to replay it: {failure.command}")
    ended = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in report.statuses.items())
    click.echo(
        f"{report.seeds} seeds, {len(report.failures)} wrong; runs: {ended or 'none'}; "
        f"{report.coordinators} coordinators, {report.commits} commits, {report.messages} messages, "
        f"{report.effects} effects in {ago(report.virtual_s)} of virtual time"
    )
