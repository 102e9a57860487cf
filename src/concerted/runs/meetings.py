"""How a run meets others: the commands that a verb comes to, and how their answers are read back from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from concerted.consensus.agreement import AgreementResult
from concerted.consensus.validity import Validity, validity_of
from concerted.errors import from_wire
from concerted.machine import Result
from concerted.ports import agreements, meeting
from concerted.ports.primitive import Ask
from concerted.sync.barriers.barrier import BarrierResult
from concerted.sync.points.predicate import Condition, condition_of
from concerted.sync.points.sync_point import SyncResult
from concerted.values import AgentId, Instant

__all__ = ["agreed", "answered", "at_barrier", "at_sync_point", "met", "passed", "proposal"]

R = TypeVar("R", bound=Result)


def at_sync_point(
    id: str, participants: Sequence[AgentId] | None, condition: str | int | Condition, deadline_at: Instant | None,
    arrival: tuple[AgentId, Any] | None,
) -> tuple[Ask, ...]:  # fmt: skip
    """Return the commands: make it if its participants are given, then arrive or only wait."""
    asks: list[Ask] = []
    if participants is not None:
        asks.append(
            meeting.CreateSyncPoint(
                id=id,
                participants=tuple(participants),
                condition=condition_of(condition),
                deadline_at=deadline_at,
                attach=True,
            )
        )
    if arrival is None:
        asks.append(meeting.AwaitSyncPoint(id=id))
    else:
        asks.append(meeting.ArriveAtSyncPoint(id=id, agent=arrival[0], data=arrival[1]))
    return tuple(asks)


def at_barrier(
    id: str, parties: int | Sequence[AgentId] | None, arrival: tuple[AgentId, Any], request_id: str
) -> tuple[Ask, ...]:
    """Return the commands: make it if its parties are given, then arrive."""
    asks: list[Ask] = []
    if isinstance(parties, int):
        asks.append(meeting.CreateBarrier(id=id, participant_count=parties, attach=True))
    elif parties is not None:
        asks.append(meeting.CreateBarrier(id=id, participants=tuple(parties), attach=True))
    asks.append(meeting.ArriveAtBarrier(id=id, agent=arrival[0], data=arrival[1], request_id=request_id))
    return tuple(asks)


def proposal(
    key: str, value: Any, valid: str | Validity | Mapping[str, Any] | None, proposer: AgentId, request_id: str,
    algorithm: str | None = None,
) -> agreements.ProposeValue:  # fmt: skip
    """Return the command that proposes a value.

    Raises:
        Invalid: `valid` says of no value whether it is valid.
    """
    return agreements.ProposeValue(
        id=key,
        agent=proposer,
        value=value,
        request_id=request_id,
        validity=None if valid is None else validity_of(valid),
        algorithm=algorithm,
    )


def met(value: dict[str, Any]) -> SyncResult:
    """Return what came of a sync point.

    Raises:
        ConcertedError: what the command raised.
    """
    return answered(value, SyncResult)


def passed(value: dict[str, Any]) -> BarrierResult:
    """Return what came of a barrier.

    Raises:
        ConcertedError: what the command raised.
    """
    return answered(value, BarrierResult)


def agreed(value: dict[str, Any]) -> AgreementResult:
    """Return what is agreed.

    Raises:
        ConcertedError: what the command raised.
    """
    return answered(value, AgreementResult)


def answered(value: dict[str, Any], kind: type[R]) -> R:
    """Return what came of a command.

    Raises:
        ConcertedError: what it raised.
    """
    if value.get("refused") is not None:
        raise from_wire(value["refused"])
    return msgspec.convert(value["value"], kind)
