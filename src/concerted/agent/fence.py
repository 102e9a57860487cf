"""The fence: an agent that has met a newer coordinator or leader does nothing more for an older one."""

from __future__ import annotations

import logging

from concerted.agent.inbox import Inbox
from concerted.errors import Unreachable
from concerted.messages import Envelope, Request, RequestVote
from concerted.values import RunId

__all__ = ["Fence"]

log = logging.getLogger("concerted.agent")


class Fence:
    """The highest epoch and term met in each coordination; the inbox keeps them."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def stale_epoch(self, envelope: Envelope) -> str | None:
        """Say why a command comes from a coordinator that has been superseded; None if it does not.

        What belongs to no coordination (a question about status) is never stale.
        """
        coordination = envelope.coordination_id
        if coordination is None:
            return None
        seen = self._inbox.epochs.get(coordination, 0)
        if envelope.epoch < seen:
            return f"stale coordinator epoch {envelope.epoch}, have seen {seen}"
        if envelope.epoch > seen:
            self._raise(coordination, envelope.epoch)
        return None

    def stale_term(self, coordination: RunId | None, request: Request) -> str | None:
        """Say why a request speaks for a leader that has been superseded; None if it does not, or names no term."""
        term: int | None = getattr(request, "term", None)
        if term is None or isinstance(request, RequestVote):
            return None
        name = f"{coordination}#term"
        seen = self._inbox.epochs.get(name, 0)
        if term < seen:
            return f"term {term} is over, have seen {seen}"
        if term > seen:
            self._raise(name, term)
        return None

    def _raise(self, name: str, epoch: int) -> None:
        try:
            self._inbox.raise_epoch(name, epoch)
        except Unreachable:  # it stands in memory; only a restart could forget it
            log.exception("epoch %s of %s could not be written", epoch, name)
