"""A client of a group in which replicas may lie: it signs what it asks, asks all of them, and believes f + 1.

    a command --signed, to all replicas--> f + 1 say the same: that is the answer
    a look    --as a command, since no replica alone can be believed
    news      --from all: as far as f + 1 tell the same story

Source: Castro & Liskov 1999, section 4.1.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec

from concerted.consensus.replica_group import tolerates
from concerted.ports.primitive import Ask
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.kept import KeptEvent, Outcome
from concerted.replicas.protocols.entering import Proposed
from concerted.replicas.protocols.pbft import sealed
from concerted.replicas.spec import Group
from concerted.replicas.wire import Told, Verb

__all__ = ["SignedGroupClient", "same_body"]

AGAIN_S = 2.0  # after so long without enough equal answers all are asked again
PAUSE_S = 0.02  # before who has not answered is asked again


class SignedGroupClient(GroupClient):
    """A group's client, with a key.  name: `coordinator`, or `replica-N` for the host of replica N."""

    def __init__(self, group: Group, name: str, private: str) -> None:
        super().__init__(group, name)
        self._private = private
        self._enough = tolerates("pbft", len(group.replicas)) + 1

    async def read(self, command: Ask, *, agent: str | None = None, timeout_s: float) -> Any:
        """Look at what the group keeps, by an entry of its log."""
        return await self.do(command, agent=agent, timeout_s=timeout_s)

    async def wait(self, command: Ask, *, agent: str | None = None, timeout_s: float) -> Any:
        """Wait until what a command asks about is not pending any more, as enough replicas say."""
        began = time.monotonic()
        result = await self.read(command, agent=agent, timeout_s=timeout_s)
        if not result.pending:
            return result
        try:
            async with asyncio.timeout(timeout_s - (time.monotonic() - began)):
                told = await self._ask_anybody("wait", self._given(command, agent, False))
        except TimeoutError:
            raise self._too_late(timeout_s) from None
        return self._result(command, _outcome.decode(told.body))

    async def _ask_leader(self, verb: Verb, body: bytes, after: int = 0) -> Told:
        """Ask all, until enough say the same."""
        while True:
            given = body
            if verb == "propose":  # anew each time: what was carried out already is answered by its session
                given = sealed(self.group, self.name, self._private, Proposed(time.time(), 0, body))
            agree = _same_events if verb == "history" else same_body
            try:
                async with asyncio.timeout(AGAIN_S):
                    return Told(0, "ok", await self._ask_all(verb, given, after, agree))
            except TimeoutError:
                continue

    async def _ask_anybody(self, verb: Verb, body: bytes, after: int = 0) -> Told:
        """Ask all, until enough tell the same story, or the first part of one."""
        agree = _same_events if verb == "events" else _same_outcome
        return Told(0, "ok", await self._ask_all(verb, body, after, agree))

    async def _ask_all(self, verb: Verb, body: bytes, after: int, agree: Callable[[list[bytes], int], Any]) -> bytes:
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        asking = [asyncio.create_task(self._ask_one(node, verb, body, after, answers)) for node in self._order]
        said: list[bytes] = []
        try:
            while True:
                said.append(await answers.get())
                agreed: bytes | None = agree(said, self._enough)
                if agreed is not None:
                    return agreed
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask_one(
        self, node: int, verb: Verb, body: bytes, after: int, answers: asyncio.Queue[bytes]
    ) -> None:  # fmt: skip
        while True:
            told = await self._ask(node, verb, body, after)
            if told is not None and told.status == "ok":
                answers.put_nowait(told.body)
                return
            await asyncio.sleep(PAUSE_S)


def same_body(said: list[bytes], enough: int) -> bytes | None:
    """Return what enough have said; None: not enough yet."""
    return said[-1] if said.count(said[-1]) >= enough else None


def _same_outcome(said: list[bytes], enough: int) -> bytes | None:
    """Return what enough have seen, at whatever entry each of them was."""
    seen = [(bytes(outcome.ok), outcome.error) for outcome in map(_outcome.decode, said)]
    return said[-1] if seen.count(seen[-1]) >= enough else None


def _same_events(said: list[bytes], enough: int) -> bytes | None:
    """Return the events that enough tell alike, one after the other; None: too few have answered."""
    if len(said) < enough:
        return None
    stories = [_events.decode(each) for each in said]
    agreed: list[KeptEvent] = []
    while True:
        number = len(agreed)
        told = [story[number] for story in stories if len(story) > number and story[:number] == agreed]
        common = next((each for each in told if told.count(each) >= enough), None)
        if common is None:
            is_settled = bool(agreed) or len(said) >= 2 * enough - 1
            return _pack(agreed) if is_settled else None
        agreed.append(common)


_pack = msgspec.msgpack.Encoder().encode
_outcome = msgspec.json.Decoder(Outcome)
_events = msgspec.msgpack.Decoder(list[KeptEvent])
