"""The ledger of the demo: what became of every task, counted from the log alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from concerted.cli.demo.network import Traffic
from concerted.kinds import run_stream
from concerted.ports.store import Entry

__all__ = ["Ledger", "Messages", "Takeover", "count"]

WORK = {"reply.received", "task.done"}  # rows that show that the run goes on


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """One change of coordinator.  after_seq: the last row of the one before.

    pause_s: from that row until the run was resumed.  idle_s: from that row until the next answer of a worker
    was taken.
    """

    epoch: int
    after_seq: int
    pause_s: float
    idle_s: float


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """What the log of one run says.

    lost: tasks that were not accepted.  awarded_again: claims beyond the first of each task.  released: why claims
    ended without a result -> how many.  answered_from_inbox: commands that came once more and were not done once
    more.  repeats_refused: results of a task that was accepted or taken away before.  late_answers: to anything
    else, when nobody waited for them any more.  workers_lost: notices that a worker was gone; one whose heartbeats
    were dropped may come back.  entries: rows of the whole log.
    """

    tasks: int
    accepted_once: int
    accepted_twice: int
    lost: int
    claims: int
    awarded_again: int
    released: dict[str, int]
    answered_from_inbox: int
    repeats_refused: int
    late_answers: int
    workers_lost: int
    workers_back: int
    coordinator_epochs: int
    takeovers: tuple[Takeover, ...]
    entries: int

    @property
    def is_clean(self) -> bool:
        """Whether every task was accepted, and none twice."""
        return self.tasks > 0 and self.accepted_once == self.tasks and self.accepted_twice == 0


class Messages(msgspec.Struct, frozen=True, kw_only=True):
    """What the network counted; see `demo_network.Traffic`."""

    sent: int
    dropped: int
    dropped_to_workers: int
    dropped_from_workers: int
    delivered_again: int

    @classmethod
    def of(cls, traffic: Traffic) -> Messages:
        """Take the counts."""
        return cls(**{name: getattr(traffic, name) for name in cls.__struct_fields__})


def count(entries: Iterable[Entry], run: str) -> Ledger:
    """Count a whole log, in its order, for one run.  entries: all rows, those of agents included."""
    log = list(entries)
    own = [entry for entry in log if entry.stream == run_stream(run)]
    kinds = Counter(entry.kind for entry in own)
    tasks = [task["id"] for entry in own if entry.kind == "tasks.added" for task in entry.value()["tasks"]]
    done = Counter(entry.ref for entry in own if entry.kind == "task.done")
    claims = Counter(entry.ref for entry in own if entry.kind == "task.claimed")
    work = {entry.ref for entry in own if entry.kind == "command.sent" and entry.value()["type"] == "EXECUTE_TASK"}
    late_answers = sum(entry.kind == "reply.late" and entry.ref not in work for entry in own)
    return Ledger(
        tasks=len(tasks),
        accepted_once=sum(done[task] == 1 for task in tasks),
        accepted_twice=sum(times > 1 for times in done.values()),
        lost=sum(done[task] == 0 for task in tasks),
        claims=sum(claims.values()),
        awarded_again=sum(claims.values()) - len(claims),
        released=dict(Counter(str(entry.value()["status"]) for entry in own if entry.kind == "task.released")),
        answered_from_inbox=sum(entry.kind == "reply.received" and bool(entry.value().get("cached")) for entry in own),
        repeats_refused=kinds["result.refused"] + kinds["reply.late"] - late_answers,
        late_answers=late_answers,
        workers_lost=kinds["participant.lost"],
        workers_back=kinds["participant.joined"],
        coordinator_epochs=len({int(entry.value()["epoch"]) for entry in own if entry.kind in _BEGINNINGS}),
        takeovers=_takeovers(log, run_stream(run)),
        entries=len(log),
    )


_BEGINNINGS = {"run.started", "run.resumed"}


def _takeovers(log: list[Entry], stream: str) -> tuple[Takeover, ...]:
    """Find where a new epoch begins, and measure from the row before it."""
    found: list[Takeover] = []
    epoch = 1
    for place, entry in enumerate(log):
        if entry.kind != "run.resumed" or entry.stream != stream or int(entry.value()["epoch"]) == epoch:
            continue
        epoch = int(entry.value()["epoch"])
        before = log[place - 1]
        work = next((each.at for each in log[place:] if each.stream == stream and each.kind in WORK), entry.at)
        found.append(
            Takeover(
                epoch=epoch,
                after_seq=before.seq,
                pause_s=round(entry.at - before.at, 3),
                idle_s=round(work - before.at, 3),
            )
        )
    return tuple(found)
