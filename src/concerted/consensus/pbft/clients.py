"""Clients (4.1): who signs requests, asks until enough replicas say the same, and believes no replica alone.

    request --to the primary--> (no answer in time) --to all--> f + 1 equal replies, of different replicas: the result

f + 1 equal replies are enough, since one of them is from an honest replica, which has carried the request out after all
that comes before it.  Reads are requests, too: the paper's shortcut for them (5.1.3: every replica answers at once from
its own state, and 2f + 1 equal replies are taken) is linearizable only if writes wait for 2f + 1 replies as well, and a
single replica that lies or lags makes such a read start over (Berger, Reiser & Bessani 2021).

`Answers` is the replica's half: a part of the state machine, which answers a repeat as the first time.

Source: Castro & Liskov 1999, section 4.1.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from concerted.consensus.entries import Entry
from concerted.consensus.pbft.group import Group, Signer
from concerted.consensus.pbft.messages import Request, read_request
from concerted.consensus.quorum import NodeId

__all__ = ["Answers", "Replies", "Reply", "sealed_reply"]

KEPT = 100  # answers of each client, the newest


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """<REPLY, v, t, c, i, r> (4.1).  index: where the request stands in the log."""

    view: int
    client: str
    number: int
    index: int
    result: bytes
    source: NodeId
    signature: bytes = b""


def sealed_reply(group: str, signer: Signer, reply: Reply) -> Reply:
    """Return a reply with its replica's signature."""
    return msgspec.structs.replace(reply, signature=signer.sign(_unsigned(group, reply)))


class Replies:
    """The replies to one request.  result: what it came to, as soon as f + 1 replicas say so."""

    def __init__(self, group: Group, request: Request) -> None:
        self._group = group
        self._request = request
        self._said: dict[NodeId, tuple[int, bytes]] = {}
        self.result: tuple[int, bytes] | None = None

    def take(self, reply: Reply) -> tuple[int, bytes] | None:
        """Count a reply, each replica's newest; return (index, result) when f + 1 are equal."""
        group = self._group
        if (
            (reply.client, reply.number) != self._request.key
            or reply.source not in group.ids
            or not group.verifier.is_signed(reply.source, _unsigned(group.name, reply), reply.signature)
        ):
            return self.result
        said = (reply.index, reply.result)
        self._said[reply.source] = said
        if self.result is None and list(self._said.values()).count(said) >= group.weak:
            self.result = said
        return self.result


class Answers:
    """What requests came to, by client; a part of the state machine, and of its snapshots."""

    def __init__(self) -> None:
        self._answers: dict[str, dict[int, tuple[int, bytes]]] = {}

    def apply(self, entry: Entry, carry_out: Callable[[bytes], bytes]) -> tuple[Request, bytes]:
        """Carry out the request of a committed entry, and keep what it came to."""
        assert entry.command is not None, f"entry {entry.index} has no request"
        request = read_request(entry.command)
        result = carry_out(request.body)
        kept = self._answers.setdefault(request.client, {})
        kept[request.number] = (entry.index, result)
        if len(kept) > KEPT:
            del kept[min(kept)]
        return request, result

    def of(self, request: Request) -> tuple[int, bytes] | None:
        """Return (index, result) of a request that was carried out, if that is still known."""
        return self._answers.get(request.client, {}).get(request.number)

    def dump(self) -> bytes:
        """Return all there is, in one form only."""
        return msgspec.msgpack.encode(
            [(client, sorted(self._answers[client].items())) for client in sorted(self._answers)]
        )

    @classmethod
    def load(cls, data: bytes) -> Answers:
        """Read what `dump` has written."""
        answers = cls()
        answers._answers = {client: dict(kept) for client, kept in _table.decode(data)}
        return answers


def _unsigned(group: str, reply: Reply) -> bytes:
    return msgspec.msgpack.encode((group, "Reply", msgspec.structs.replace(reply, signature=b"")))


_table = msgspec.msgpack.Decoder(list[tuple[str, list[tuple[int, tuple[int, bytes]]]]])
