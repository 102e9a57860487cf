"""Ours: a replica that counts commands, in the place of what groups keep; file, sockets, sessions and syncs as in use.

with_concerted_replica.py INDEX ADDRESS,ADDRESS,... FOLDER ELECTION_TIMEOUT_S
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec
from replicating import serve

from concerted.consensus.entries import Snapshot
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.replicas.kept import Kept
from concerted.replicas.server import Server
from concerted.replicas.spec import Group


class Counting(Kept):
    """What is replicated: a count."""

    count = 0

    def _carry_out(self, _body: bytes) -> bytes:
        self.count += 1
        return b""


class Counter(Server):
    """A server whose process proposes commands itself.  told: number -> who hears of it."""

    def __init__(self, index: int, addresses: list[str], folder: str, timeout_s: float) -> None:
        group = Group(
            id="bench", secret="bench", replicas=dict(enumerate(addresses, 1)), election_timeout_s=timeout_s,
            heartbeat_interval_s=timeout_s / 5,
        )  # fmt: skip
        super().__init__(group, index + 1, f"{folder}/{index}")
        self.told: dict[int, Callable[[bool], None]] = {}
        self.opening = secrets.randbits(60) + 1  # by which it knows its session
        self.session = 0
        self.number = 0

    async def open(self) -> None:
        """Begin, with a count."""
        await super().open()
        before, self.replica.kept = self.replica.kept, Counting()
        if before.index:  # there was a snapshot in its file
            self.replica.kept.restore(Snapshot(before.index, before.term, data=before.dump()))

    def answered(self, answer: Answer) -> None:
        """Tell who has proposed it."""
        if answer.status == "opened" and answer.number == self.opening and not self.session:
            self.session = answer.session
        told = self.told.pop(answer.number, None) if answer.session == self.session else None
        if told is None:
            super().answered(answer)
        else:
            told(answer.status == "done")

    def refused(self, commands: Sequence[bytes], _reason: str, _leader: int | None) -> None:
        """Tell that they are not done."""
        for each in commands:
            told = self.told.pop(msgspec.msgpack.decode(each, type=Command).number, None) if self.session else None
            if told is not None:
                told(False)

    def led_by(self, leader: int | None, term: int) -> None:
        """Tell that nobody here will hear of them."""
        super().led_by(leader, term)
        if leader != self.node:
            lost, self.told = self.told, {}
            for told in lost.values():
                told(False)


class Node:
    """One replica, whose loop runs in a thread of its own."""

    def __init__(self, *arguments: object) -> None:
        self.loop = asyncio.new_event_loop()
        self.counter: Counter
        opened = threading.Event()

        async def run() -> None:
            self.counter = Counter(*arguments)
            await self.counter.open()
            opened.set()
            await self.counter.stopped.wait()

        threading.Thread(target=self.loop.run_until_complete, args=(run(),), daemon=True).start()
        opened.wait()

    def leader(self) -> int | None:
        """Return who leads; a leader opens its session first."""
        counter = self.counter
        leader = counter.replica.core.leader
        if leader == counter.node and not counter.session:
            self.loop.call_soon_threadsafe(counter.replica.propose, Command(OPEN, counter.opening).encode())
            return None
        return None if leader is None else leader - 1

    def applied(self) -> int:
        """Return how many commands were counted here."""
        return self.counter.replica.kept.count

    def propose(self, command: bytes, told: Callable[[bool], None]) -> None:
        """Propose a command, as the next one of our session."""
        counter = self.counter
        counter.number += 1
        counter.told[counter.number] = told
        counter.replica.propose(
            Command(counter.session, counter.number, command, next(iter(counter.told)) - 1).encode()
        )


if __name__ == "__main__":
    node = Node(int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], float(sys.argv[4]))
    serve(node, node.loop.call_soon_threadsafe)
