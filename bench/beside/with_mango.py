"""mango-agents: agents of one container, which hands messages over without a socket; `gather` of one is the ask."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from mango import Agent, activate, create_tcp_container
from measuring import AGENTS, ASKS, ROUNDS, WARM_UP, measured


class Counter(Agent):
    """Answers each number with the next one."""

    def handle_message(self, content: Any, meta: dict[str, Any]) -> None:
        """Reply as mango's own documentation does."""
        self.schedule_instant_task(self.reply_to({"n": content["n"] + 1}, meta))


class Asker(Agent):
    """Only asks."""

    def handle_message(self, content: Any, meta: dict[str, Any]) -> None:
        """Nobody writes to it but in answer."""


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    logging.disable(logging.CRITICAL)
    container = create_tcp_container(("127.0.0.1", 0))
    agents = [container.register(Counter()) for _ in range(AGENTS)]
    asker = container.register(Asker())
    async with activate(container):
        everybody = [agent.addr for agent in agents]
        for what, addresses, count in (("ask", everybody[:1], ASKS), ("gather", everybody, ROUNDS)):
            if what in wanted:
                for number in range(WARM_UP):
                    await ask(asker, addresses, number)
                with measured(what, count):
                    for number in range(count):
                        await ask(asker, addresses, number)


async def ask(asker: Asker, addresses: list[Any], number: int) -> None:
    """Ask all of these agents once."""
    answers = await asker.gather({"n": number}, addresses, timeout=60)
    assert [answer["n"] for answer in answers.values()] == [number + 1] * len(addresses)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
