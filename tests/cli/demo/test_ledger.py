"""The demo's ledger, over logs written by hand."""

from typing import Any

import pytest

from concerted.cli.demo.ledger import Takeover, count
from concerted.ports.store import Entry
from concerted.values import encode


class Log:
    """Numbers rows, one every tenth of a second."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, kind: str, ref: str | None = None, *, stream: str = "run:audit", **data: Any) -> None:
        seq = len(self.entries) + 1
        self.entries.append(
            Entry(seq=seq, stream=stream, stream_seq=seq, at=seq / 10, kind=kind, ref=ref, data=encode(data))
        )


@pytest.fixture
def log() -> Log:
    log = Log()
    log.add("run.started", epoch=1)
    log.add("tasks.added", tasks=[{"id": "a"}, {"id": "b"}])
    for number, task in enumerate(("a", "b"), 1):
        log.add("task.claimed", task, epoch=1)
        log.add("command.sent", str(number), type="EXECUTE_TASK")
    return log


def test_all_is_clean_when_each_task_is_accepted_once(log: Log) -> None:
    log.add("task.done", "a", epoch=1)
    log.add("task.done", "b", epoch=1)

    ledger = count(log.entries, "audit")

    assert (ledger.tasks, ledger.accepted_once, ledger.accepted_twice, ledger.lost) == (2, 2, 0, 0)
    assert (ledger.claims, ledger.awarded_again, ledger.coordinator_epochs) == (2, 0, 1)
    assert ledger.entries == len(log.entries)
    assert ledger.is_clean


def test_a_task_that_was_accepted_twice_shows(log: Log) -> None:
    for task in ("a", "b", "b"):
        log.add("task.done", task, epoch=1)

    ledger = count(log.entries, "audit")

    assert (ledger.accepted_once, ledger.accepted_twice, ledger.lost) == (1, 1, 0)
    assert not ledger.is_clean


def test_a_task_that_was_lost_shows(log: Log) -> None:
    log.add("task.done", "a", epoch=1)

    ledger = count(log.entries, "audit")

    assert (ledger.accepted_once, ledger.lost) == (1, 1)
    assert not ledger.is_clean


def test_nothing_at_all_is_not_clean() -> None:
    assert not count([], "audit").is_clean


def test_repeats_and_late_answers_are_told_apart(log: Log) -> None:
    log.add("command.sent", "3", type="REQUEST_BID")
    log.add("task.released", "a", status="lost")
    log.add("task.claimed", "a", epoch=2)
    log.add("result.refused", "1", task="a", epoch=1)
    log.add("reply.late", "2", status="ok")
    log.add("reply.late", "3", status="ok")
    log.add("reply.received", "2", status="ok", cached=True)

    ledger = count(log.entries, "audit")

    assert (ledger.repeats_refused, ledger.late_answers, ledger.answered_from_inbox) == (2, 1, 1)
    assert (ledger.claims, ledger.awarded_again, ledger.released) == (3, 1, {"lost": 1})


def test_a_takeover_is_measured_from_the_last_row_before_it(log: Log) -> None:
    log.add("agent.suspect", stream="agent:ann")
    log.add("run.resumed", epoch=2)
    log.add("run.resumed", epoch=2)  # the same one says more
    log.add("agent.registered", stream="agent:ann")
    log.add("reply.received", "1", status="ok")
    log.add("run.resumed", epoch=3)

    ledger = count(log.entries, "audit")

    assert ledger.coordinator_epochs == 3
    assert ledger.takeovers == (
        Takeover(epoch=2, after_seq=7, pause_s=0.1, idle_s=0.4),
        Takeover(epoch=3, after_seq=11, pause_s=0.1, idle_s=0.1),
    )


def test_other_runs_do_not_count(log: Log) -> None:
    log.add("task.done", "a", stream="run:other", epoch=1)

    assert count(log.entries, "audit").accepted_once == 0
