"""What every protocol that keeps a log looks like from outside: a core that is fed inputs and gives back what is to do.

A core has no clock, dice, disk or network of its own.  Each input returns one `Ready`, to be carried out as said there.

Source: etcd-io/raft for the shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import ReadId, Ready

__all__ = ["Message", "ReplicatedLog"]


class Message(Protocol):
    """What replicas say to each other."""

    @property
    def to(self) -> NodeId:
        """Whom it is for."""

    @property
    def source(self) -> NodeId:
        """Who says it."""


M = TypeVar("M", bound=Message)
W = TypeVar("W")  # what it writes


class ReplicatedLog(Protocol[M, W]):
    """One replica of a log.  now: an instant of its own monotonic clock, in seconds."""

    @property
    def id(self) -> NodeId:
        """Its id, which no other replica ever has."""

    @property
    def term(self) -> int:
        """The newest term, ballot round or view that it has seen."""

    @property
    def leader(self) -> NodeId | None:
        """Whom to ask, as far as it knows."""

    @property
    def next_deadline(self) -> float:
        """When to call `wake`, if no input comes before that changes it."""

    def receive(self, message: M, now: float) -> Ready[M, W]:
        """Take a message from the network."""

    def propose(self, commands: Sequence[bytes], now: float) -> Ready[M, W]:
        """Have commands put into the log, all or the first of them, or refuse."""

    def read(self, asked: Sequence[ReadId], now: float) -> Ready[M, W]:
        """Ask for reads: each id comes back in `reads`, or in `lost_reads`.

        When it does, the state that was applied so far has all that anybody was told before it was asked.
        """

    def compact(self, index: int, data: bytes, now: float) -> Ready[M, W]:
        """Put a snapshot of the state machine, after the entry at `index`, in the place of the log up to there."""

    def wake(self, now: float) -> Ready[M, W]:
        """Do what is due.  Waking too early does nothing."""

    def written(self, number: int, now: float) -> Ready[M, W]:
        """Take note that the write of this number, and all before it, are durable."""
