"""The link port: how one agent is reached, and what it may report back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from concerted.messages import Beat, Envelope, Reply
from concerted.values import AgentId, Profile

__all__ = ["Link", "LinkEvents"]


class LinkEvents(Protocol):
    """The engine's side of a link.  Every call returns at once and may be made from inside `send`."""

    def replied(self, reply: Reply) -> None:
        """Take an answer; an answer to nothing is counted and dropped."""

    def beat(self, beat: Beat) -> None:
        """Take a heartbeat: the agent is alive, and at work on `beat.running`."""

    def suspected(self, agent: AgentId, reason: str) -> None:
        """Take note that the agent may be in trouble (its process has ended and is being restarted)."""

    def lost(self, agent: AgentId, reason: str) -> None:
        """Take note that the agent is gone: what it held is free again."""

    def left(self, agent: AgentId, reason: str) -> None:
        """Take note that the agent has said goodbye: it is gone, and nobody expects it back."""

    def returned(self, agent: AgentId) -> None:
        """Take note that the agent is reachable (again)."""

    def fault(self, agent: AgentId, fault: str, detail: str) -> None:
        """Record misbehaviour that is not an answer: `not_json`, `unknown_key`, `line_too_long`."""

    def changed(self, profile: Profile) -> None:
        """Take an agent's new profile; its cached capabilities are dropped."""


class Link(Protocol):
    """One agent's channel.

    pushes_beats: the link or its agent sends heartbeats by itself; otherwise the engine asks
    GET_STATUS every `health_check_interval`.  in_process: the agent lives and dies with the
    coordinator, so it needs neither.
    """

    agent: AgentId
    pushes_beats: bool
    in_process: bool

    async def open(self, events: LinkEvents) -> None:
        """Start whatever the agent needs; from now on `events` hears of it.

        Raises:
            Unreachable: it cannot be started; says what was tried.
        """

    def send(self, batch: Sequence[Envelope]) -> None:
        """Hand over the commands of one round, in order; never blocks, never raises for the agent's sake.

        A command whose key the agent has already done is answered from its inbox (`Reply.cached`); a
        command whose epoch is lower than one it has seen for the same coordination is refused.
        """

    def holds(self, key: str) -> bool:
        """Say whether the agent, as far as anybody can know here and now, is at work on this command."""

    async def close(self, reason: str) -> None:
        """Stop; kill what the link has started, whole process group included.  Idempotent."""
