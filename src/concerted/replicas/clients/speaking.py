"""How to speak with a group: by the client that its protocol needs."""

from __future__ import annotations

from pathlib import Path

from concerted.errors import Invalid
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.keys import read_key
from concerted.replicas.spec import Group

__all__ = ["client_for"]


def client_for(group: Group, name: str, key: Path | None = None) -> GroupClient:
    """Return a client of a group.

    name: who gives commands that name nobody; of a group whose clients sign, `coordinator`, or `replica-N` for the host
    of replica N.  key: the file with its private key.

    Raises:
        Invalid: the group's clients must sign, and there is no key.
    """
    if group.algorithm != "pbft":
        return GroupClient(group, name)
    if key is None:
        raise Invalid(
            f"group {group.id} carries out only what its coordinator or a host of one of its replicas has signed; "
            "ask the coordinator"
        )
    from concerted.replicas.clients.signed_client import SignedGroupClient

    return SignedGroupClient(group, name, read_key(key))
