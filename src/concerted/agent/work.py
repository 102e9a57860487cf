"""What a function of an agent is told about the command it serves, and the ways in which it may say no."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from concerted.messages import Envelope, ExecuteTask, Request

__all__ = ["Refused", "Unanswered", "Work"]


class Refused(Exception):
    """Raised by an agent's function: it will not do this.  The reply is `refused` with this reason."""


class Unanswered(Exception):
    """Raised by a link's function: no answer can be given; the command is forgotten and may come again."""


@dataclass(slots=True)
class Work:
    """One command in an agent's hands.

    key: its idempotency key.  epoch: the claim's for a task, else the coordinator's; hand it to whatever
    the work changes, if that can refuse an older one.  results: task -> result, of the tasks that this
    one comes after.  cancelled: set when nobody wants the result any more; an async function is
    cancelled besides, a plain one runs in a thread and has to look (`work.cancelled.wait(1)` is a sleep
    that ends early).
    """

    envelope: Envelope
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)
    report: Callable[[Work, float, float], None] | None = None

    @property
    def key(self) -> str:
        """The idempotency key of the command; equal keys are the same command."""
        return self.envelope.idempotency_key

    @property
    def epoch(self) -> int:
        """The fencing token: strictly greater for whoever does the same task later."""
        return self.request.epoch if isinstance(self.request, ExecuteTask) else self.envelope.epoch

    @property
    def results(self) -> Mapping[str, Any]:
        """Results of the tasks that this one comes after."""
        if not isinstance(self.request, ExecuteTask):
            return {}
        return {str(task): result for task, result in self.request.results.items()}

    def progress(self, step: float, of: float) -> Progress:
        """Say where the work stands, which also renews the lease; await it in an async function, else just call it.

        Reports closer together than `PROGRESS_S` are merged; the newest one always arrives.
        """
        if self.report is not None:
            self.report(self, step, of)
        return Progress()


class Progress:
    """What `Work.progress` returns: awaiting it lets everybody else run for a moment."""

    def __await__(self) -> Generator[None, None, None]:
        yield
