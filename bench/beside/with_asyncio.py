"""The floor of request-reply: asyncio tasks with queues, and nothing else."""

from __future__ import annotations

import asyncio
import sys

from measuring import AGENTS, ASKS, ROUNDS, measured


class Counter:
    """An agent: a queue and a task that answers each number with the next one."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[int, asyncio.Future[int]]] = asyncio.Queue()

    async def serve(self) -> None:
        """Answer for ever."""
        while True:
            number, answer = await self.queue.get()
            answer.set_result(number + 1)

    def ask(self, number: int) -> asyncio.Future[int]:
        """Send a number; the future gets the answer."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait((number, answer))
        return answer


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    agents = [Counter() for _ in range(AGENTS)]
    serving = [asyncio.create_task(agent.serve()) for agent in agents]
    if "ask" in wanted:
        with measured("ask", ASKS):
            for number in range(ASKS):
                assert await agents[0].ask(number) == number + 1
    if "gather" in wanted:
        with measured("gather", ROUNDS):
            for number in range(ROUNDS):
                assert await asyncio.gather(*(agent.ask(number) for agent in agents)) == [number + 1] * AGENTS
    for task in serving:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
