"""`concerted simulate`: a plan, or consensus, in virtual time, under many seeds, while everything breaks."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click

from concerted.cli.exits import FAILED, OK, show_note
from concerted.cli.options import json_option, store_option
from concerted.cli.output import ago, write_json
from concerted.cli.plans import read_text
from concerted.cli.primitives import span
from concerted.config.plan import load_plan
from concerted.errors import Invalid
from concerted.sim.cluster.clients import Asked
from concerted.sim.cluster.settings import Settings
from concerted.sim.decisions.play import DECIDE, DecisionsGame
from concerted.sim.faults import NOT_OF_CLUSTERS, NOT_OF_PLANS, Faults
from concerted.sim.pbft.cluster import Asked as AskedOfPbft
from concerted.sim.pbft.play import PBFT, PbftGame
from concerted.sim.play import Failure, Report, parse_seeds, scenario_of
from concerted.sim.play import simulate as play_seeds
from concerted.sim.protocols.algorithms import ALGORITHMS
from concerted.sim.scenarios.script import play_script
from concerted.sim.worlds.play import ClusterReport, Game, Playable, merged, simulate_cluster
from concerted.sim.worlds.processes import cores
from concerted.strategies import choose
from concerted.testing import History, Operation, check_linearizable, models
from concerted.testing.history import NEVER

__all__ = ["simulate"]

ALL = "consensus"  # every protocol that there is
MOST_JOBS = 64
FEW_SEEDS = 20  # fewer are played sooner than other processes have begun
SCENARIO = ".txt"


@click.command(short_help="Run a plan, or consensus, in virtual time while everything breaks.")
@click.argument("target", metavar="PLAN|consensus|raft|paxos|pbft|decide|FILE.txt")
@click.option("--seeds", default="100", show_default=True, metavar="N|A..B", help="The seeds 0 to N-1, or A to B.")
@click.option(
    "--faults", default="", metavar="A=X,...", help="Such as drop=0.2,crash=3; swarm draws a mix for each seed."
)
@click.option("--for", "for_s", type=span, metavar="SPAN", help="Of consensus: seed after seed, for so long.")
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    metavar="N",
    help="Of consensus: processes; by default one a core.",
)
@click.option("--settings", default="", metavar="A=X,...", help="Of consensus, such as servers=5,window=1.")
@click.option("--strategy", metavar="NAME", help="In the place of the plan's.")
@click.option("--transcript", is_flag=True, help="Show the end of what happened under each seed that failed.")
@click.option("--rewrite", is_flag=True, help="Of a scenario: write its transcript anew.")
@store_option
@json_option
def simulate(
    target: str,
    seeds: str,
    faults: str,
    settings: str,
    strategy: str | None,
    **options: str | bool | float | None,
) -> int:  # fmt: skip
    """Run a plan, or consensus, in virtual time while everything breaks.

    Of a plan, the coordinator and the strategy are the real ones; the agents are stand-ins with the profiles of the
    plan's, and no program is started and no store is touched.  Of `consensus`, or one of its protocols, the replicas
    are the real ones; without --faults each seed draws its own.  Of `decide`, decisions are kept by replicas of each
    protocol.  A seed under which something is wrong is told with
    the one command that replays it.  Of a file of a directed scenario, its steps are played and its transcript is
    compared.  Exit code 1 if anything is wrong.
    """
    report: Report | ClusterReport
    if target.endswith(SCENARIO):
        return _play_scenario(target, rewrite=bool(options["rewrite"]), as_json=bool(options["as_json"]))
    if target in {ALL, PBFT, DECIDE} or target in ALGORITHMS:
        if strategy is not None:
            raise Invalid(f"{target} is no plan and takes no --strategy; leave it out")
        report = _play_clusters(target, seeds, faults, settings, options)
    else:
        if settings:
            raise Invalid("a plan has its settings in its file and takes no --settings; change them there")
        for option in ("for_s", "jobs"):
            if options[option] is not None:
                raise Invalid(f"a plan takes no --{option.removesuffix('_s')}; say how many --seeds")
        loaded = load_plan(read_text(target), target, strategies=choose.names(), env=os.environ)
        scenario = scenario_of(loaded, choose.load, path=target, strategy=strategy)
        given = Faults.parse(faults).without(NOT_OF_PLANS, "a plan")
        report = play_seeds(scenario, parse_seeds(seeds), given, watch=lambda seed, _, found: _show_seed(seed, found))
    if options["as_json"]:
        write_json(report)
    else:
        _show_failures(report.failures, transcript=bool(options["transcript"]))
        click.echo(_sum_of_cluster(report) if isinstance(report, ClusterReport) else _sum(report))
    return OK if report.ok else FAILED


def _play_clusters(
    target: str, seeds: str, faults: str, settings: str, options: Mapping[str, str | bool | float | None]
) -> ClusterReport:
    given = Faults.parse(faults or "swarm").without(NOT_OF_CLUSTERS, "replicas")
    if target == DECIDE and settings:
        raise Invalid(f"a simulation of {target} draws its settings and takes no --settings; leave it out")
    own = Settings.parse(settings)
    chosen = [algorithm for name, algorithm in ALGORITHMS.items() if target in {ALL, name}]
    for algorithm in chosen:
        given.without(algorithm.without, algorithm.name)
    games: list[Playable] = [Game(algorithm.name, given, own, _judge) for algorithm in chosen]
    if target == PBFT or (target == ALL and not settings):
        games.append(PbftGame(given, own, _judge))
    if target == DECIDE:
        games.append(DecisionsGame(given))
    asked, for_s = parse_seeds(seeds), options["for_s"]
    is_short = for_s is None and len(asked) < FEW_SEEDS
    jobs = int(options["jobs"] or (1 if is_short else min(cores(), MOST_JOBS)))

    def turn() -> Iterable[int]:
        return asked if for_s is None else _endless(asked, float(for_s) / len(games))

    return merged([simulate_cluster(game, turn(), jobs=jobs, watch=_show_seed) for game in games])


def _endless(seeds: range, for_s: float) -> Iterator[int]:
    """Yield seed after seed, from the first on, until so much time has gone by; at least one."""
    until = time.monotonic() + for_s
    for seed in itertools.count(seeds.start):
        yield seed
        if time.monotonic() >= until:
            return


def _play_scenario(path: str, *, rewrite: bool, as_json: bool) -> int:
    """Play a directed scenario and compare its transcript with the stored one, or put it in the place of that."""
    stored = read_text(path)
    played = play_script(stored)
    differences = played.differences(stored)
    if rewrite and differences:
        Path(path).write_text(played.text, "utf-8")
    is_ok = not played.problems and (rewrite or not differences)
    if as_json:
        write_json({"ok": is_ok, "problems": played.problems, "differences": differences})
    else:
        for line in (*played.problems, *([] if rewrite else differences)):
            click.echo(line)
        told = "written anew" if rewrite and differences else "differs" if differences else "as it is stored"
        click.echo(f"{path}: {told}" + (f", {len(played.problems)} wrong" if played.problems else ""))
    return OK if is_ok else FAILED


def _judge(told: Sequence[Asked | AskedOfPbft]) -> list[str]:
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


def _sum_of_cluster(report: ClusterReport) -> str:
    return (
        f"{report.seeds} seeds, {len(report.failures)} wrong; {report.steps} steps, {report.elected} leaders, "
        f"{report.committed} entries committed, {report.answered} answers, {report.messages} messages "
        f"in {ago(report.virtual_s)} of virtual time"
    )
