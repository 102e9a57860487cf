"""What the demo shows: its progress as lines of text, and at the end the report and the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterable

import click
import msgspec

from concerted.cli.demo.audit import Report
from concerted.cli.demo.ledger import Ledger, Messages
from concerted.cli.exits import show_note
from concerted.cli.output import clip, write_table
from concerted.cli.progress import Picture

__all__ = ["Ending", "PlainScreen", "show_ending"]

EVERY_S = 2.0  # between two lines on progress
SHOWN = 10


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """All that the demo has found; the object of `--json`.

    status: how the run ended.  report: None if it did not come to one.  store: the url, if it was kept.
    """

    strategy: str
    status: str
    reason: str
    wall_s: float
    workers: int
    workers_killed: tuple[str, ...]
    coordinators_killed: int
    ledger: Ledger
    messages: Messages
    report: Report | None
    store: str | None


class PlainScreen:
    """`progress.Screen` for a log file: what went wrong, and every two seconds how far it is."""

    def __init__(self) -> None:
        self._next_at = 0.0

    def line(self, text: str, *, trouble: bool) -> None:
        """Write what went wrong."""
        if trouble:
            show_note(text)

    def picture(self, picture: Picture) -> None:
        """Write how far it is, now and then."""
        if picture.status and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + EVERY_S
            show_note(picture.headline(time.time()))


def show_ending(ending: Ending) -> None:
    """Write the report and the ledger to standard output."""
    if ending.report is not None:
        _show_report(ending.report)
    else:
        click.echo(f"no report: the run is {ending.status.replace('_', ' ')}: {ending.reason}\n")
    _show_ledger(ending)


def _show_report(report: Report) -> None:
    click.echo("The most complex functions of Python's standard library\n")
    write_table(
        ("complexity", "lines", "function", "file"),
        [(one.complexity, one.lines, clip(one.name), f"{one.file}:{one.line}") for one in report.most_complex[:SHOWN]],
    )
    click.echo("\nIts longest functions\n")
    write_table(
        ("lines", "complexity", "function", "file"),
        [
            (one.lines, one.complexity, clip(one.name), f"{one.file}:{one.line}")
            for one in report.longest_functions[: SHOWN // 2]
        ],
    )
    click.echo("\nIts longest files\n")
    write_table(("lines", "file"), [(one.lines, one.file) for one in report.longest_files[:SHOWN]])
    mean = report.complexity / report.functions if report.functions else 0.0
    click.echo(
        f"\n{report.files:,} files, {report.lines:,} lines, {report.classes:,} classes, {report.functions:,} functions "
        f"of mean complexity {mean:.2f}; {len(report.unparsed)} files do not parse\n"
    )


def _show_ledger(ending: Ending) -> None:
    ledger, messages = ending.ledger, ending.messages
    share = messages.dropped / messages.sent if messages.sent else 0.0
    click.echo(f"The ledger, counted from the log ({ledger.entries:,} entries)\n")
    write_table(
        ("", "count", ""),
        [
            ("tasks", ledger.tasks, f"by {ending.strategy}, {ending.status} in {ending.wall_s:.1f} s"),
            ("accepted once", ledger.accepted_once, ""),
            ("lost", ledger.lost, ""),
            ("accepted twice", ledger.accepted_twice, ""),
            ("claims", ledger.claims, _claims(ledger)),
            ("repeats not done", ledger.answered_from_inbox, "commands that came again, answered from the inbox"),
            ("repeats refused", ledger.repeats_refused, "results of a task that was accepted, or taken away, before"),
            ("late answers", ledger.late_answers, "bids and the like, when bidding was over; kept, not applied"),
            ("takeovers", len(ledger.takeovers), _takeovers(ledger)),
            ("workers noticed lost", ledger.workers_lost, _lost(ledger)),
        ],
    )
    click.echo("\nWhat was done to it, counted where it was done\n")
    write_table(
        ("", "count", ""),
        [
            ("workers killed", len(ending.workers_killed), f"of {ending.workers}: {', '.join(ending.workers_killed)}"),
            ("coordinators killed", ending.coordinators_killed, ""),
            ("messages dropped", messages.dropped, f"of {messages.sent:,}, {share:.1%}"),
            ("commands sent again", messages.delivered_again, "under the same key"),
        ],
    )


def _claims(ledger: Ledger) -> str:
    why = ", ".join(f"{count} {status}" for status, count in sorted(ledger.released.items()))
    return f"{ledger.awarded_again} awarded again" + (f"; released: {why}" if why else "")


def _takeovers(ledger: Ledger) -> str:
    return f"epoch {ledger.coordinator_epochs} at the end" + "".join(_each(ledger))


def _each(ledger: Ledger) -> Iterable[str]:
    for one in ledger.takeovers:
        yield f"; epoch {one.epoch}: resumed after {one.pause_s:.2f} s, next answer after {one.idle_s:.2f} s"


def _lost(ledger: Ledger) -> str:
    if not ledger.workers_back:
        return ""
    return f"{ledger.workers_back} came back: only their heartbeats had been dropped"
