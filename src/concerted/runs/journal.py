"""The rows of one run: those it writes as it goes on, and, in a replay, those it must write again.

A round is one transaction: the inputs and everything that follows from them.  So the log never has an
input without its consequences, and a replay can hold each act (a command, a child, an effect) against
the one recorded: who, what, and the digest of the payload.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import msgspec

from concerted.errors import Diverged
from concerted.kinds import ENDINGS, INPUTS, run_stream
from concerted.ports.store import Entry, Row
from concerted.values import Instant, RunId, encode

__all__ = ["ACTS", "Journal"]

ACTS = frozenset({"command.sent", "child.started", "effect.started"})  # what a replay must do again, to the letter
_TURNS = frozenset(ENDINGS) | {"run.restarted"}  # what may come only where the log has it
_QUIET = frozenset({"run.unparked", "run.resumed"})  # inputs from which nothing follows


class Journal:
    """Collects a run's rows.  In a replay it compares acts instead, and keeps nothing."""

    def __init__(self, run: RunId) -> None:
        self.run = run
        self.stream = run_stream(run)
        self.rows: list[Row] = []
        self.replaying = False
        self.versions: dict[str, int] = {}
        self.divergence: Diverged | None = None  # kept, because a strategy might catch it
        self._expected: deque[Entry] = deque()
        self._left = 0
        self._quiet = 0  # inputs at the end of a recorded stream from which nothing follows
        self._ending: Entry | None = None
        self._ended = False

    def input(self, kind: str, at: Instant, agent: str | None, ref: str | None, data: bytes) -> None:
        """Write an input, before it is applied."""
        if not self.replaying:
            self.rows.append(Row(stream=self.stream, at=at, kind=kind, agent=agent, ref=ref, data=data))

    def follow(self, kind: str, at: Instant, *, agent: str | None = None, ref: str | None = None, data: Any) -> None:
        """Write what follows from the input that is being applied; in a replay, hold it against the log.

        Raises:
            Diverged: the log has another act in this place.
        """
        if not self.replaying:
            self.rows.append(Row(stream=self.stream, at=at, kind=kind, agent=agent, ref=ref, data=encode(data)))
        elif kind in ACTS:
            if self._expected or not self._may_go_beyond:
                self._compare(kind, ref, encode(data))
            else:
                self._go_beyond(Row(stream=self.stream, at=at, kind=kind, agent=agent, ref=ref, data=encode(data)))
        elif kind in _TURNS:
            self._compare_turn(Row(stream=self.stream, at=at, kind=kind, agent=agent, ref=ref, data=encode(data)))

    def take(self) -> list[Row]:
        """Return the rows of the round and begin the next."""
        rows, self.rows = self.rows, []
        return rows

    # replay

    def begin_replay(self, entries: Iterable[Entry]) -> list[Entry]:
        """Take the recorded stream; return its inputs, in order, for the run to be fed with."""
        self.replaying = True
        inputs = []
        for entry in entries:
            if entry.kind in INPUTS:
                inputs.append(entry)
            elif entry.kind in ACTS:
                self._expected.append(entry)
            elif entry.kind == "version.chosen" and entry.ref is not None:
                self.versions[entry.ref] = int(entry.value()["version"])
            elif entry.kind in ENDINGS:
                self._ending = entry
        self._left = len(inputs)
        after = takewhile(lambda entry: entry.kind in _QUIET, reversed(inputs))
        self._quiet = sum(1 for _ in after)
        return inputs

    def fed(self) -> None:
        """Count one input as fed."""
        self._left -= 1

    @property
    def passed(self) -> bool:
        """Whether the place where the code now is was passed by an earlier life of this run."""
        return self.replaying  # a replay lives through what was lived through, and nothing else

    def end_replay(self) -> None:
        """Go over to writing.

        Raises:
            Diverged: the log has acts that the code has not done again.
        """
        if self._expected:
            missing = self._expected[0]
            raise self._diverged(_say(missing.kind, missing.ref, missing.value()), "nothing more")
        if self.replaying and self._ending is not None and self._ending.kind != "run.parked" and not self._ended:
            raise self._diverged(f"its end, {self._ending.kind}", "nothing that ends it")
        self.replaying = False

    def _compare(self, kind: str, ref: str | None, data: bytes) -> None:
        if not self._expected:
            raise self._diverged("nothing more", _say(kind, ref, _decode(data)))
        recorded = self._expected.popleft()
        if (recorded.kind, recorded.ref, recorded.data) != (kind, ref, data) and (
            (recorded.kind, recorded.ref) != (kind, ref) or _essence(recorded.value()) != _essence(_decode(data))
        ):
            raise self._diverged(_say(recorded.kind, recorded.ref, recorded.value()), _say(kind, ref, _decode(data)))

    @property
    def _may_go_beyond(self) -> bool:
        """Whether the code is where it was parked: mended code may go on from there."""
        return self._ending is not None and self._ending.kind == "run.parked" and self._left <= self._quiet

    def _go_beyond(self, row: Row) -> None:
        self.replaying = False
        self.rows.append(row)

    def _compare_turn(self, row: Row) -> None:
        """Hold an end, or a restart, against the log."""
        if not self._expected and self._may_go_beyond:
            self._go_beyond(row)
            return
        now, recorded = _decode(row.data), self._ending
        said = f"its end, {row.kind}: {now.get('error') or _outcome(now)}" if row.kind in ENDINGS else "a restart"
        if recorded is None or recorded.kind == "run.parked" or self._left > self._quiet:
            raise self._diverged("nothing of the kind here", said)
        then = recorded.value()
        if recorded.kind != row.kind or _outcome(then) != _outcome(now):
            raise self._diverged(f"its end, {recorded.kind}: {then.get('error') or _outcome(then)}", said)
        self._ended = True

    def _diverged(self, recorded: str, now: str) -> Diverged:
        self.divergence = self.divergence or Diverged(
            f"run {self.run}: the log has {recorded}; the code now does {now}. Give the change a name with "
            "run.version(name, n) and keep both branches, or let the run finish on the older code",
            run=self.run,
            recorded=recorded,
            now=now,
        )
        return self.divergence


def _outcome(ended: dict[str, Any]) -> str:
    return encode(ended.get("outcome")).decode()[:2000]


def _decode(data: bytes) -> Any:
    return msgspec.json.decode(data)


def _essence(value: Any) -> Any:
    """What must be equal: everything but the instants, which a changed timeout may move."""
    return {name: part for name, part in value.items() if not name.endswith(("_at", "_by"))}


def _say(kind: str, ref: str | None, value: Any) -> str:
    """Put an act into words: `command 7: REQUEST_BID to ann, bob (payload 1f00...)`."""
    match kind:
        case "command.sent":
            agents = value["agents"]
            named = ", ".join(agents[:5]) + (f" and {len(agents) - 5} more" if len(agents) > 5 else "")
            return f"command {ref}: {value['type']} to {named} (payload {value['digest']})"
        case "child.started":
            return (
                f"command {ref}: child run {value['run']} of strategy {value['strategy']} (objective {value['digest']})"
            )
        case _:
            return f"command {ref}: local effect {value.get('name')}"
