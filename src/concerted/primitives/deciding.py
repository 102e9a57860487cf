"""One primitive's part of a round: its machine decides the requests in turn, and the rows follow from the events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from concerted.consensus.keeping import is_elsewhere
from concerted.errors import ConcertedError, Invalid
from concerted.machine import UNWRITABLE, Copied, Event, Machine, Send
from concerted.ports.store import Row
from concerted.primitives.fold import FOLDED, folded_row
from concerted.primitives.held import Asked, Held
from concerted.primitives.holdings import Holdings, holdings_of
from concerted.values import Instant, encode

__all__ = ["Decided", "MailRoom", "decide"]

FOLD_ROWS = 1_000  # the least number of rows between two folded states
FOLD_SHARE = 100  # bytes of a folded state for which one row may come before the next


class MailRoom(Protocol):
    """What primitives need of the inboxes."""

    def rows(self, sends: Sequence[Send], cause: str, now: Instant) -> list[Row]:
        """Return the rows of these messages."""

    def written(self, rows: Sequence[Row]) -> None:
        """Take note that these rows are in the log."""


@dataclass(slots=True)
class Decided:
    """What a primitive decided in this round.

    state: what it will be when the rows are written.  rows: its own; mail: those of messages.
    """

    held: Held
    asked: list[Asked]
    state: Any
    events: list[Event]
    rows: list[Row]
    mail: list[Row]
    wake_at: Instant | None
    holdings: Holdings
    tries: int = 0

    def written(self) -> None:
        """Take over what is in the log now."""
        held, count = self.held, len(self.rows)
        held.state, held.length = self.state, held.length + count
        held.since_fold += count
        if count and self.rows[-1].kind == FOLDED:
            held.since_fold, held.fold_size = 0, len(self.rows[-1].data) // FOLD_SHARE


def decide(
    held: Held, requests: list[Asked], now: Instant, mail: MailRoom, report: Callable[[BaseException], None]
) -> Decided:
    """Let the machine decide each request on what the ones before came to; a refused one changes nothing.

    report: hears of what is our own fault.
    """
    state, wake_at = held.state, held.wake_at
    events: list[Event] = []
    rows: list[Row] = []
    sends: list[Send] = []
    machine = held.machine
    for asked in requests:
        asked.error = None
        try:
            step = _step(machine, state, asked.request, now)
            new = state
            own = []
            for event, at in step.events:
                new = machine.evolve(new, event, at)
                if not held.is_volatile:
                    own.append(_row(held.stream, event, event.data, at))
        except ConcertedError as error:
            asked.error = error
            continue
        except UNWRITABLE as error:
            asked.error = Invalid(f"{held.stream}: what was given has no JSON form and cannot be kept: {error}")
            continue
        except Exception as bug:  # ours: nothing of this request counts, and others go on
            asked.error = ConcertedError(f"{held.stream} failed at this request: {type(bug).__name__}: {bug}")
            report(bug)
            continue
        state, wake_at = new, step.wake_at
        events += [event for event, _ in step.events]
        rows += own
        sends += step.sends
    if rows:
        rows = _completed(held, rows, state, events, wake_at, now)
    letters = mail.rows(sends, held.stream, now) if sends else []
    return Decided(
        held, requests, state, events, rows, letters, wake_at, holdings_of(held.stream, machine, events, now)
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """As `machine.Step`, and when each event has happened."""

    events: Sequence[tuple[Event, Instant]] = ()
    sends: Sequence[Send] = ()
    wake_at: Instant | None = None


def _step(machine: Machine[Any], state: Any, request: Any, now: Instant) -> _Step:
    """Let the machine decide; of what is kept elsewhere nothing is decided here, and what has happened is copied.

    Raises:
        ConcertedError: it is refused.
    """
    if isinstance(request, Copied):
        known = 0 if state is None else state.length
        assert request.first <= known + 1, f"events {known + 1} to {request.first - 1} are missing"
        new = request.events[known + 1 - request.first :]
        return _Step([(event, at) for event, at, _ in new], [send for *_, sends in new for send in sends])
    if is_elsewhere(state):
        if getattr(state, "is_over", False):  # all of it is here: who comes too late is told so, and nothing happens
            step = machine.decide(state, request, now)
            assert not step.events, f"{step.events} of what is over elsewhere"
        return _Step()
    step = machine.decide(state, request, now)
    return _Step([(event, now) for event in step.events], step.sends, step.wake_at)


def _completed(
    held: Held, rows: list[Row], state: Any, events: Sequence[Event], wake_at: Instant | None, now: Instant
) -> list[Row]:
    """Let the last row say when the primitive is to be woken, if that has changed, and fold the state if it is time."""
    if wake_at != held.wake_at:
        rows[-1] = _row(held.stream, events[-1], {**events[-1].data, "wake_at": wake_at}, now)
    if held.since_fold + len(rows) >= max(FOLD_ROWS, held.fold_size):
        rows.append(folded_row(held.stream, state, held.length + len(rows) + 1, now))
    return rows


def _row(stream: str, event: Event, data: dict[str, Any], now: Instant) -> Row:
    return Row(stream=stream, at=now, kind=event.kind, agent=event.agent, ref=event.ref, data=encode(data))
