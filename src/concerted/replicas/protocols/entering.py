"""How what is proposed goes into the log, and who may have said it.

    a client's command --its replica says when--> Proposed(at, by, command, term) --encoded--> an entry's command

Where nobody lies, the replica that takes a command says by its clock when that was.  Where replicas may lie, clients
sign what is to go into the log, and the group's time is what enough replicas have signed (`pbft`).
"""

from __future__ import annotations

import time

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.values import AgentId, Instant

__all__ = ["Entered", "Entering", "Proposed"]


class Proposed(msgspec.Struct, frozen=True, array_like=True):
    """One entry's command.  at: when `by` has proposed it, by its clock.  command: a session's; none: time passes.

    term: the newest term, round of ballots or view that it has seen.
    """

    at: Instant
    by: NodeId
    command: bytes = b""
    term: int = 0


class Entered(msgspec.Struct, frozen=True):
    """What an entry says.

    says_time: its instant and its term count.  only_for: the one agent for whom it may speak; None: any.
    """

    proposed: Proposed
    says_time: bool = True
    only_for: AgentId | None = None


class Entering:
    """Of one replica, where nobody lies."""

    def __init__(self, node: NodeId) -> None:
        self._node = node

    def wrap(self, commands: list[bytes], term: int) -> list[bytes]:
        """Return what goes into the log for commands that clients have given; for an empty one, the time."""
        at = time.time()
        return [_encode(Proposed(at, self._node, each, term)) for each in commands]

    def unwrap(self, command: bytes) -> Entered:
        """Read an entry's command."""
        return Entered(_proposed(command))

    def command_in(self, given: bytes) -> tuple[str, bytes]:
        """Return the session's command in what a client has given, and whose it is; empty: it may be anybody's."""
        return "", given


_encode = msgspec.msgpack.Encoder().encode
_proposed = msgspec.msgpack.Decoder(Proposed).decode
