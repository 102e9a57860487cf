"""What a client wants of a group, as it stands in an entry of the log: a command about something that groups keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Union

import msgspec

from concerted.errors import Invalid
from concerted.ports import agreements, decisions
from concerted.ports.commands import decode_command
from concerted.ports.primitive import Ask

__all__ = ["COMMANDS", "MACHINES", "Given", "read_given", "stream_of"]

MACHINES: Mapping[str, str] = {
    "agreement": "concerted.consensus.agreement",
    "decision": "concerted.consensus.decisions.decision",
    "decision_log": "concerted.consensus.decision_log",
}

COMMANDS: tuple[type[Ask], ...] = (
    decisions.CreateDecision,
    decisions.CastBallot,
    decisions.AwaitDecision,
    decisions.CancelDecision,
    decisions.GetDecision,
    agreements.CreateAgreement,
    agreements.ProposeValue,
    agreements.AwaitAgreement,
    agreements.GetAgreement,
    agreements.CreateDecisionLog,
    agreements.AppendToDecisionLog,
    agreements.ReadDecisionLog,
    agreements.GetDecisionLog,
)  # those about what groups keep

DEPTH = 100  # of lists and objects within each other, in a command


class Given(msgspec.Struct, frozen=True, array_like=True):
    """What a client wants done: a command as JSON, and for whom.

    copied: the coordinator says that it has so many events of the object in its own log.
    """

    command: bytes
    agent: str
    is_admin: bool = False
    copied: int = 0


def read_given(body: bytes) -> tuple[Given, Ask]:
    """Read what a client wants.

    Raises:
        Invalid: it is no command, or of something that groups do not keep; or no snapshot could hold what is in it.
    """
    try:
        given = _given.decode(body)
    except msgspec.MsgspecError as error:
        raise Invalid(f"this is no command: {error}") from error
    if given.command.count(b"[") + given.command.count(b"{") > DEPTH:
        _require_shallow(given.command)
    if _LONG in given.command.translate(_DIGITS):
        _require_short_numbers(given.command)
    try:
        return given, _command.decode(given.command)
    except msgspec.MsgspecError:
        command = decode_command(given.command)  # which says what it is, or what is wrong with it
    if not isinstance(command, Ask) or command.kind not in MACHINES:
        raise Invalid(
            f"groups of replicas keep {', '.join(MACHINES)}; {type(command).__name__} is about something else"
        )
    return given, command


def stream_of(command: Ask) -> str:
    """Return the name under which the object of a command is kept."""
    return f"{command.kind}:{command.id}"


def _require_shallow(command: bytes) -> None:
    """Refuse what is nested too deeply by a bound of our own: that of the interpreter is not the same everywhere.

    Raises:
        Invalid: it is.
    """
    depth = 0
    for found in _BRACKETS.finditer(command):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > DEPTH:
            raise Invalid(f"the command is nested more than {DEPTH} deep")


def _require_short_numbers(command: bytes) -> None:
    """Make sure that a snapshot and a history, which are msgpack, can hold the numbers of a command.

    Raises:
        Invalid: they cannot, or it is no JSON.
    """
    try:
        msgspec.msgpack.encode(msgspec.json.decode(command))
    except OverflowError:
        raise Invalid("replicas keep whole numbers of at most 64 bits; write longer ones as texts") from None
    except msgspec.MsgspecError as error:
        raise Invalid(f"this is no command: {error}") from error


_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_LONG = b"0" * 19  # digits in a row, each of them a 0; a pattern takes a tenth of all that is done for a command
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_given = msgspec.msgpack.Decoder(Given)
_command: msgspec.json.Decoder[Ask] = msgspec.json.Decoder(Union[COMMANDS])  # noqa: UP007 -- of as many as there are
