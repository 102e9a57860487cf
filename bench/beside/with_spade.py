"""SPADE: all agents in one process, whose container hands messages over without XMPP; its server on loopback only."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import sys

import pyjabber.server
import spade
from measuring import AGENTS, ASKS, ROUNDS, WARM_UP, measured
from spade.agent import Agent
from spade.behaviour import CyclicBehaviour, OneShotBehaviour
from spade.message import Message

HOST = "localhost"


class Counter(Agent):
    """Answers each number with the next one."""

    class Answering(CyclicBehaviour):
        """Answers for ever."""

        async def run(self) -> None:
            """Answer one message."""
            message = await self.receive(timeout=5)
            if message:
                reply = message.make_reply()
                reply.body = str(int(message.body) + 1)
                await self.send(reply)

    async def setup(self) -> None:
        """Begin to answer."""
        self.add_behaviour(self.Answering())


class Asking(OneShotBehaviour):
    """Asks these agents `count` times, and measures it."""

    def __init__(self, what: str, agents: list[str], count: int) -> None:
        super().__init__()
        self.what, self.agents, self.count = what, agents, count

    async def run(self) -> None:
        """Measure."""
        for number in range(WARM_UP):
            await self.ask(number)
        with measured(self.what, self.count):
            for number in range(self.count):
                await self.ask(number)

    async def ask(self, number: int) -> None:
        """Ask all of the agents once."""
        for agent in self.agents:
            message = Message(to=agent)
            message.body = str(number)
            await self.send(message)
        for _ in self.agents:
            reply = await self.receive(timeout=60)
            assert reply is not None
            assert int(reply.body) == number + 1


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    asker = Agent(f"asker@{HOST}", "secret")
    await asker.start(auto_register=True)
    counters = [Counter(f"counter{number}@{HOST}", "secret") for number in range(AGENTS)]
    for counter in counters:
        await counter.start(auto_register=True)
    everybody = [str(counter.jid) for counter in counters]
    for what, agents, count in (("ask", everybody[:1], ASKS), ("gather", everybody, ROUNDS)):
        if what in wanted:
            asking = Asking(what, agents, count)
            asker.add_behaviour(asking)
            await asking.join(timeout=300)
    leave()


def keep_to_loopback() -> None:
    """Keep the embedded server, which would also bind the public address, and its log to themselves."""
    pyjabber.server.setup_query_local_ip = lambda: None
    logging.disable(logging.CRITICAL)
    with contextlib.suppress(ImportError):
        import loguru

        loguru.logger.remove()


def leave() -> None:
    """End here: the embedded server would leave a pool of processes behind, and take long to close."""
    sys.stdout.flush()
    for child in multiprocessing.active_children():
        child.kill()
    os._exit(0)


if __name__ == "__main__":
    keep_to_loopback()
    spade.run(main(sys.argv[1:]), embedded_xmpp_server=True)
