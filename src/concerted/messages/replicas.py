"""The requests about replicas beside an agent."""

from __future__ import annotations

from typing import Any

from concerted.messages.requests import Request

__all__ = ["DismissReplica", "HostReplica", "PrepareReplica"]


class PrepareReplica(Request, frozen=True):
    """Where would a replica of this group listen beside you?  Answer: {address}, and {key} if it is to sign.

    folder: in which its files would be, a folder of its own for each group.  signs: it has a private key of its own,
    whose public half is wanted.
    """

    group: str
    node: int
    folder: str
    signs: bool = False


class HostReplica(Request, frozen=True):
    """Let this replica of a group run beside you from now on, until you end or it is dismissed.  Answer: {pid}.

    group: its description, as `concerted.replicas.spec.Group`.  Asked again, you start it if it has died.
    """

    group: dict[str, Any]
    node: int
    folder: str


class DismissReplica(Request, frozen=True):
    """End this replica and remove its files: its group is over.  Answer: anything."""

    group: str
    node: int
    folder: str
