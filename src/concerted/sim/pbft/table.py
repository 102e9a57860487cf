"""A group of PBFT replicas on a table: nothing happens but what somebody says, and some of them may be told to lie.

Whoever lies runs the real core as well, but nothing that it says is held against it; besides what its core says, it
says what it is told to, signed with its own key.  One client asks; it believes what f + 1 replicas answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from concerted.consensus.pbft.clients import Replies, Reply, sealed_reply
from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import (
    Batch,
    Body,
    Message,
    Piece,
    Proposal,
    Relay,
    Request,
    Stable,
    Statement,
    Transfer,
)
from concerted.consensus.pbft.node import Pbft, PbftReady
from concerted.consensus.pbft.seal import Seal, sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored, Write
from concerted.consensus.quorum import Configuration, NodeId
from concerted.errors import Invalid
from concerted.sim.cluster.disk import Disk
from concerted.sim.cluster.replica import Replica
from concerted.sim.cluster.table import Table
from concerted.sim.pbft.algorithm import pbft
from concerted.sim.pbft.checks import PbftChecks
from concerted.sim.pbft.keys import SimSigner, SimVerifier
from concerted.sim.pbft.replica import PbftReplica
from concerted.sim.pbft.wording import Words

__all__ = ["CLIENT", "UNSIGNED", "PbftTable"]

CLIENT = "client"
UNSIGNED = "!"  # what begins with it was never signed by the client
GROUP = "simulated"


class PbftTable(Table[Pbft]):
    """The group and all that was said of it.

    liars: who says what it is told.  honest: the others.  answered: what the client believes: of each request, which
    entry it is.
    """

    def __init__(self, settings: Settings) -> None:
        self.group = Group(GROUP, (1, 2, 3, 4), SimVerifier((1, 2, 3, 4)))
        self.liars: frozenset[NodeId] = frozenset()
        self.honest: dict[NodeId, Replica[Pbft]] = {}
        self.answered: dict[str, int] = {}
        self.servers: dict[NodeId, PbftReplica] = {}
        plain = pbft(
            lambda: self.group, lambda _: PbftChecks(self.honest, self.group), lambda: self.liars,
            settings=lambda _: Settings(), state=_state,
        )  # fmt: skip
        super().__init__(plain, settings)
        self._names = Words(settings.piece_bytes)
        self._requests: dict[str, tuple[Request, Replies]] = {}

    def gather(self, nodes: Sequence[NodeId], liars: Sequence[NodeId]) -> None:
        """Put up the whole group; who is in it never changes.

        Raises:
            Invalid: it is there already, or more would lie than it survives.
        """
        if self.replicas:
            raise Invalid("the group is there already, and does not change")
        self.group = Group(GROUP, tuple(nodes), SimVerifier((*nodes, CLIENT)))
        if len(set(liars) & set(nodes)) != len(liars) or len(liars) > self.group.faulty:
            raise Invalid(f"of {len(nodes)} replicas at most {self.group.faulty} may lie")
        self.liars = frozenset(liars)
        self.checks = PbftChecks(self.honest, self.group)
        for node in nodes:
            self.add(node, Configuration())
        for node in nodes:
            self.start(node)

    def add(self, node: NodeId, configuration: Configuration) -> PbftReplica:  # noqa: ARG002
        """Put up a replica that has not begun."""
        replica = self.servers[node] = PbftReplica(
            id=node,
            begin=self.algorithm.start,
            settings=self.settings,
            disk=Disk(STORAGE, node, Stored()),
            watch=self,
            dice=lambda: 0.0,
            send=self.send,
            group=self.group,
            reply=self.replied,
        )
        self.replicas[node] = replica
        if node not in self.liars:
            self.honest[node] = replica
        return replica

    # The client

    def request(self, text: str) -> Request:
        """Return the client's request, the same one for the same text; one that begins with `!` it has not signed."""
        if text not in self._requests:
            body = msgspec.msgpack.encode(("x", text))
            request = Request(CLIENT, len(self._requests) + 1, body)
            if text.startswith(UNSIGNED):
                request = msgspec.structs.replace(request, signature=b"of somebody else")
            else:
                request = sealed_request(GROUP, SimSigner(CLIENT), request)
                self._checks.signed.add(request)
            self._requests[text] = request, Replies(self.group, request)
        return self._requests[text][0]

    def batch(self, texts: Sequence[str]) -> Batch:
        """Return the batch of these requests, to be known by its name from now on."""
        batch = tuple(self.request(text) for text in texts)
        self._names.batch(batch)
        return batch

    def propose(self, node: NodeId, texts: Sequence[str]) -> None:
        """Let the client ask a replica."""
        self.living(node)
        replica = self.servers[node]
        for text in texts:
            self.heed(replica, replica.ask(self.request(text)))

    def replied(self, reply: Reply) -> None:
        """Let a reply reach the client."""
        text = next(
            (text for text, (request, _) in self._requests.items() if request.key == (CLIENT, reply.number)), ""
        )
        self.say(f'{reply.source} answers: "{text}" is entry {reply.index}')
        request, replies = self._requests[text]
        told = replies.take(reply)
        if told is not None and text not in self.answered:
            self.answered[text] = told[0]
            self.say(f'the client believes: "{text}" is entry {told[0]}')
            self._checks.acknowledged(request, told[0])

    # Lies

    def tell(self, liar: NodeId, to: NodeId, body: Body) -> None:
        """Let a liar say something, whatever its core thinks of it."""
        self._require_liar(liar)
        if to != liar:
            self.send(Message(to, liar, body))

    def seal(self, liar: NodeId) -> Seal:
        """Return what a liar signs with."""
        self._require_liar(liar)
        return Seal(liar, self.group, SimSigner(liar))

    def answer(self, liar: NodeId, text: str, index: int) -> None:
        """Let a liar tell the client that something is another entry than it is."""
        self._require_liar(liar)
        request = self.request(text)
        reply = Reply(0, CLIENT, request.number, index, b"", liar)
        self.replied(sealed_reply(GROUP, SimSigner(liar), reply))

    def _require_liar(self, node: NodeId) -> None:
        if node not in self.liars:
            raise Invalid(
                f"replica {node} does not lie; name it at the beginning, as in `servers 1 2 3 4 liars {node}`"
            )

    # What is seen

    def stepped(self, replica: Replica[Pbft], ready: PbftReady) -> None:
        """See what a replica made of an input."""
        if replica.id not in self.liars:
            super().stepped(replica, ready)
        else:
            self._tell_state(replica)

    def sends(self, replica: Replica[Pbft], message: Message) -> None:
        """See a message that leaves a replica now."""
        if replica.id not in self.liars:
            super().sends(replica, message)

    def words(self, said: Any) -> str:
        """Return a message, a write or a refusal in words."""
        if isinstance(said, Write):
            return self._names.write(said)
        if not isinstance(said, Message):
            return super().words(said)
        return self._names.body(said.body) + self._signed(said)

    def _signed(self, message: Message) -> str:
        """Say who has signed it, if that is not who sends it, and whether the signature is good."""
        body = message.body
        if isinstance(body, Relay | Stable | Transfer | Piece):
            return ""
        said: Statement = body.pre_prepare if isinstance(body, Proposal) else body
        whose = "" if said.source == message.source else f", signed by {said.source}"
        seal = Seal(message.source, self.group, SimSigner(message.source))
        return whose + ("" if seal.is_valid(said) else " (a bad signature)")

    @property
    def accused(self) -> set[NodeId]:
        """Of whom there is evidence."""
        return self._checks.accused

    @property
    def _checks(self) -> PbftChecks:
        assert isinstance(self.checks, PbftChecks), f"{self.checks} are none of PBFT"
        return self.checks


def _state(core: Pbft) -> str:
    if core.leader is None:
        return f"in no view, and wants view {core.term}"
    return f"in view {core.term}, whose primary is {core.leader}"
