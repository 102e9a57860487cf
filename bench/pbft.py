"""PBFT with real Ed25519 signatures: decisions in a second of CPU, for all four replicas together.

The four replicas are in one process, on one core, over a network in memory: so a figure is for the work of all of them,
and what four machines do at once is up to four times as much.  It has in it everything that replicas compute (signing,
verifying, encoding messages and writes, carrying out, signed replies), and neither sockets nor disks.  Requests of 100
bytes are signed by their client beforehand.  Run: `python bench/pbft.py [turns]`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import deque

import msgspec
from beside.comparing import machine

from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.consensus.pbft.clients import Answers, Reply, sealed_reply
from concerted.consensus.pbft.group import Ed25519Signer, Ed25519Verifier, Group
from concerted.consensus.pbft.messages import Message, Request
from concerted.consensus.pbft.node import Pbft, PbftReady
from concerted.consensus.pbft.seal import sealed_request
from concerted.consensus.pbft.settings import Settings
from concerted.consensus.pbft.storage import STORAGE, Stored

NODES = (1, 2, 3, 4)
UNBATCHED, BATCHED = 200, 2_000  # requests in one turn
BODY = b"x" * 100

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Bench:
    """A group in memory.  decided: requests that all four have carried out."""

    def __init__(self, settings: Settings) -> None:
        private = {who: new_key(bytes([place]) * 32) for place, who in enumerate((*NODES, "ann"), 1)}
        public = {who: public_key(key) for who, key in private.items()}
        verifier = Ed25519Verifier({node: public[node] for node in NODES}, {"ann": public["ann"]})
        self.group = Group("bench", NODES, verifier)
        self.client = Ed25519Signer(private["ann"])
        self.signers = {node: Ed25519Signer(private[node]) for node in NODES}
        self.replicas = {
            node: Pbft(node, settings, Stored(), group=self.group, signer=self.signers[node], now=0.0) for node in NODES
        }
        self.answers = {node: Answers() for node in NODES}
        self.network: deque[bytes] = deque()
        self.carried_out = 0
        self.numbers = 0

    def requests(self, count: int) -> list[bytes]:
        """Sign requests, as a client."""
        self.numbers += count
        first = self.numbers - count + 1
        return [
            sealed_request("bench", self.client, Request("ann", number, BODY)).encode()
            for number in range(first, first + count)
        ]

    def decide(self, commands: list[bytes]) -> None:
        """Have the primary asked, and let everything arrive."""
        self._carry_out(1, self.replicas[1].propose(commands, 0.0))
        while self.network:
            message = _decode(self.network.popleft())
            self._carry_out(message.to, self.replicas[message.to].receive(message, 0.0))

    def _carry_out(self, node: int, ready: PbftReady) -> None:
        if ready.write is not None:
            STORAGE.frame(ready.write, 0)
        self.network.extend(_encode(message) for message in ready.messages)
        for entry in ready.committed:
            request, result = self.answers[node].apply(entry, lambda body: body[:8])
            reply = Reply(0, request.client, request.number, entry.index, result, node)
            sealed_reply("bench", self.signers[node], reply)
            self.carried_out += 1
        if ready.compact_at is not None:
            data = self.answers[node].dump()
            self._carry_out(node, self.replicas[node].compact(ready.compact_at, data, 0.0))


def turn(count: int, together: int) -> float:
    """Decide so many requests, some of them at once; return how many in a second of CPU."""
    bench = Bench(Settings(batch_count=together))
    commands = bench.requests(count)
    began_at = time.process_time()
    for first in range(0, count, together):
        bench.decide(commands[first : first + together])
    cpu_s = time.process_time() - began_at
    assert bench.carried_out == len(NODES) * count, "some were not decided"
    return count / cpu_s


def main(turns: int) -> None:
    """Print one table."""
    print(f"Measured {machine(turns)}, one thread, all four replicas in it.\n")
    print("| what | a second of CPU | lowest to highest |")
    print("|---|---:|---:|")
    for what, count, together in (
        ("decisions of one request each", UNBATCHED, 1),
        ("requests, 100 in a decision", BATCHED, 100),
    ):
        rates = sorted(turn(count, together) for _ in range(turns))
        print(f"| {what} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
