"""autogen-core: routed agents with typed messages on its single-threaded runtime; whoever asks is an agent, too."""

from __future__ import annotations  # autogen reads the annotations of handlers with typing.get_type_hints

import asyncio
import logging
import sys
from dataclasses import dataclass

from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler
from measuring import AGENTS, ASKS, ROUNDS, WARM_UP, measured


@dataclass
class Question:
    """A number."""

    n: int


@dataclass
class Answer:
    """The next one."""

    n: int


@dataclass
class Measure:
    """To the asker: what to measure, how often."""

    what: str
    count: int


class Counter(RoutedAgent):
    """Answers each number with the next one."""

    @message_handler
    async def count(self, message: Question, ctx: MessageContext) -> Answer:  # noqa: ARG002
        """Answer."""
        return Answer(message.n + 1)


class Asker(RoutedAgent):
    """Asks, and measures it."""

    @message_handler
    async def measure(self, message: Measure, ctx: MessageContext) -> Answer:  # noqa: ARG002
        """Measure what is wanted."""
        asked = [AgentId("counter", str(number)) for number in range(AGENTS if message.what == "gather" else 1)]
        for number in range(WARM_UP):
            await self.ask(asked, number)
        with measured(message.what, message.count):
            for number in range(message.count):
                await self.ask(asked, number)
        return Answer(0)

    async def ask(self, agents: list[AgentId], number: int) -> None:
        """Ask all of these agents once."""
        answers = await asyncio.gather(*(self.send_message(Question(number), agent) for agent in agents))
        assert [answer.n for answer in answers] == [number + 1] * len(agents)


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    logging.disable(logging.CRITICAL)
    runtime = SingleThreadedAgentRuntime()
    await Counter.register(runtime, "counter", lambda: Counter("counter"))
    await Asker.register(runtime, "asker", lambda: Asker("asker"))
    runtime.start()
    for what, count in (("ask", ASKS), ("gather", ROUNDS)):
        if what in wanted:
            await runtime.send_message(Measure(what, count), AgentId("asker", "0"))
    await runtime.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
