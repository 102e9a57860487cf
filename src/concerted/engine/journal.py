"""The rows of one run: those it writes as it goes on, and, in a replay, those it must write again.

A round is one transaction: the inputs and everything that follows from them.  So the log never has an
input without its consequences, and a replay can hold each act (a command, a child, an effect) against
the one recorded: who, what, and the digest of the payload.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from concerted.errors import Diverged
from concerted.kinds import INPUTS, run_stream
from concerted.ports.store import Entry, Row
from concerted.values import Instant, RunId, encode

__all__ = ["ACTS", "Journal"]

ACTS = frozenset({"command.sent", "child.started", "effect.started"})  # what a replay must do again, to the letter


class Journal:
    """Collects a run's rows.  In a replay it compares acts instead, and keeps nothing."""

    def __init__(self, run: RunId) -> None:
        self.run = run
        self.stream = run_stream(run)
        self.rows: list[Row] = []
        self.extra: list[Row] = []  # rows of other streams, written in the same transaction
        self.replaying = False
        self.versions: dict[str, int] = {}
        self.divergence: Diverged | None = None  # kept, because a strategy might catch it
        self._expected: deque[Entry] = deque()
        self._left = 0

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
            self._compare(kind, ref, encode(data))

    def take(self) -> list[Row]:
        """Return the rows of the round and begin the next."""
        rows, self.rows = self.rows, []
        if self.extra:
            rows += self.extra
            self.extra = []
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
        self._left = len(inputs)
        return inputs

    def fed(self) -> None:
        """Count one input as fed."""
        self._left -= 1

    @property
    def passed(self) -> bool:
        """Whether the place where the code now is was passed by an earlier life of this run."""
        return self.replaying and (self._left > 0 or bool(self._expected))

    def end_replay(self) -> None:
        """Go over to writing.

        Raises:
            Diverged: the log has acts that the code has not done again.
        """
        if self._expected:
            missing = self._expected[0]
            raise self._diverged(_say(missing.kind, missing.ref, missing.value()), "nothing more")
        self.replaying = False

    def _compare(self, kind: str, ref: str | None, data: bytes) -> None:
        if not self._expected:
            raise self._diverged("nothing more", _say(kind, ref, _decode(data)))
        recorded = self._expected.popleft()
        if (recorded.kind, recorded.ref, recorded.data) != (kind, ref, data) and (
            (recorded.kind, recorded.ref) != (kind, ref) or _essence(recorded.value()) != _essence(_decode(data))
        ):
            raise self._diverged(_say(recorded.kind, recorded.ref, recorded.value()), _say(kind, ref, _decode(data)))

    def _diverged(self, recorded: str, now: str) -> Diverged:
        self.divergence = self.divergence or Diverged(
            f"run {self.run}: the log has {recorded}; the code now does {now}. Give the change a name with "
            "run.version(name, n) and keep both branches, or let the run finish on the older code",
            run=self.run,
            recorded=recorded,
            now=now,
        )
        return self.divergence


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
