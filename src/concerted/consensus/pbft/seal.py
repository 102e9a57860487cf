"""One replica's seal: it signs what the replica says, and looks at the signatures of others, each once."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import msgspec

from concerted.consensus.pbft.group import Group, Signer
from concerted.consensus.pbft.messages import Request, Statement, unsigned
from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid

__all__ = ["Seal", "sealed_request"]

REMEMBERED = 20_000  # signatures that were found good; certificates show them again and again

S = TypeVar("S", bound=Statement)


class Seal:
    """Signs for one replica of a group.

    Raises:
        Invalid: the replica is not in the group, or the key is not the one by which the others know it.
    """

    def __init__(self, node: NodeId, group: Group, signer: Signer) -> None:
        if node not in group.ids:
            raise Invalid(f"replica {node} is not in group {group.name}, which has {list(group.ids)}")
        if not group.verifier.is_signed(node, group.name.encode(), signer.sign(group.name.encode())):
            raise Invalid(
                f"the private key of replica {node} does not belong to its public key in group {group.name}; "
                "give it the right one"
            )
        self._group = group
        self._signer = signer
        self._context = group.name.encode()
        self._good: dict[bytes, None] = {}  # the newest last

    def sign(self, statement: S) -> S:
        """Return the statement with this replica's signature."""
        signature = self._signer.sign(unsigned(self._context, statement))
        return msgspec.structs.replace(statement, signature=signature)

    def is_valid(self, said: Statement | Request) -> bool:
        """Say whether it was signed by whom it names, who is a replica of the group, or a client with a key."""
        who = said.client if isinstance(said, Request) else said.source
        if not isinstance(who, str) and who not in self._group.ids:
            return False
        data = unsigned(self._context, said)
        seen = hashlib.sha256(hashlib.sha256(data).digest() + said.signature).digest()  # says where one ends
        if seen in self._good:
            return True
        if not self._group.verifier.is_signed(who, data, said.signature):
            return False
        self._good[seen] = None
        if len(self._good) > REMEMBERED:
            del self._good[next(iter(self._good))]
        return True


def sealed_request(group: str, signer: Signer, request: Request) -> Request:
    """Return a request with its client's signature.  group: the name of the one that it is for."""
    return msgspec.structs.replace(request, signature=signer.sign(unsigned(group.encode(), request)))
