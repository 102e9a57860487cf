"""`concerted simulate`: a plan, or Raft, in virtual time, under many seeds, while everything breaks."""

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
from concerted.errors import Invalid
from concerted.sim.faults import Faults
from concerted.sim.play import Failure, Report, parse_seeds, scenario_of
from concerted.sim.play import simulate as play_seeds
from concerted.sim.raft_clients import Asked
from concerted.sim.raft_play import NOT_OF_RAFT, RaftReport, simulate_raft
from concerted.strategies import choose
from concerted.testing import History, Operation, check_linearizable, models
from concerted.testing.history import NEVER

__all__ = ["simulate"]

RAFT = "raft"


@click.command(short_help="Run a plan, or Raft, in virtual time while everything breaks.")
@click.argument("target", metavar="PLAN|raft")
@click.option("--seeds", default="100", show_default=True, metavar="N|A..B", help="The seeds 0 to N-1, or A to B.")
@click.option(
    "--faults", default="", metavar="A=X,...", help="Such as drop=0.2,crash=3; swarm draws a mix for each seed."
)
@click.option("--strategy", metavar="NAME", help="In the place of the plan's.")
@click.option("--transcript", is_flag=True, help="Show the end of what happened under each seed that failed.")
@store_option
@json_option
def simulate(
    target: str, seeds: str, faults: str, strategy: str | None, transcript: bool, **options: str | bool | None
) -> int:  # fmt: skip
    """Run a plan, or Raft, in virtual time while everything breaks.

    Of a plan, the coordinator and the strategy are the real ones; the agents are stand-ins with the profiles of the
    plan's, and no program is started and no store is touched.  Of `raft`, the servers are the real ones; without
    --faults each seed draws its own.  A seed under which something is wrong is told with the one command that replays
    it.  Exit code 1 if there is any.
    """
    report: Report | RaftReport
    if target == RAFT:
        report = _play_raft(seeds, faults, strategy)
    else:
        loaded = load_plan(read_text(target), target, strategies=choose.names(), env=os.environ)
        scenario = scenario_of(loaded, choose.load, path=target, strategy=strategy)
        report = play_seeds(
            scenario, parse_seeds(seeds), Faults.parse(faults), watch=lambda seed, _, found: _show_seed(seed, found)
        )
    if options["as_json"]:
        write_json(report)
    else:
        _show_failures(report.failures, transcript=transcript)
        click.echo(_sum_of_raft(report) if isinstance(report, RaftReport) else _sum(report))
    return OK if report.ok else FAILED


def _play_raft(seeds: str, faults: str, strategy: str | None) -> RaftReport:
    given = Faults.parse(faults or "swarm")
    if strategy is not None:
        raise Invalid("raft is no plan and takes no --strategy; leave it out")
    for name in NOT_OF_RAFT:
        if getattr(given, name):
            raise Invalid(f"fault {name}: there are no agents in a simulation of raft; leave it out", fault=name)
    return simulate_raft(parse_seeds(seeds), given, judge=_judge, watch=_show_seed)


def _judge(told: Sequence[Asked]) -> list[str]:
    """Look for one order that explains what clients were told (`concerted.testing.check_linearizable`)."""
    operations = [
        Operation(
            each.register,
            each.op,
            each.value,
            each.result,
            each.began,
            NEVER if each.ended is None else each.ended,
            "info" if each.ended is None else "ok",
            f"client {each.client}",
        )
        for each in told
        if each.op == "write" or each.ended is not None
    ]
    verdict = check_linearizable(History.of(operations), models.Register())
    return [str(violation) for violation in verdict.violations]


def _show_seed(seed: int, problems: Sequence[str]) -> None:
    if problems:
        show_note(f"seed {seed}: {problems[0]}")
    elif sys.stderr.isatty():
        click.echo(f"\rseed {seed}: ok ", nl=False, err=True)


def _show_failures(failures: Sequence[Failure], *, transcript: bool) -> None:
    for failure in failures:
        click.echo(f"seed {failure.seed} ({failure.faults or 'no faults'}):")
        for problem in failure.problems:
            click.echo(f"  {problem}")
        for line in failure.transcript if transcript else ():
            click.echo(f"    {line}")
        click.echo(f"  to replay it: {failure.command}")


def _sum(report: Report) -> str:
    ended = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in report.statuses.items())
    return (
        f"{report.seeds} seeds, {len(report.failures)} wrong; runs: {ended or 'none'}; "
        f"{report.coordinators} coordinators, {report.commits} commits, {report.messages} messages, "
        f"{report.effects} effects in {ago(report.virtual_s)} of virtual time"
    )


def _sum_of_raft(report: RaftReport) -> str:
    return (
        f"{report.seeds} seeds, {len(report.failures)} wrong; {report.steps} steps, {report.elected} leaders, "
        f"{report.committed} entries committed, {report.answered} answers, {report.messages} messages "
        f"in {ago(report.virtual_s)} of virtual time"
    )
