"""Redis, with redis-py: a script for each step, run by the server, and a channel on which it wakes who waits.

    with_redis.py HOW PORT PROCESS WHAT [WHAT ...]

HOW: `calls`, each worker's call travels by itself over a pool of connections, as redis-py does it; or
`pipeline`, all calls of one turn of the event loop travel together, which redis-py leaves to its user.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

from redis import asyncio as redis
from workers import PARTIES, Wakers, run

CONNECTIONS = 16  # more make it slower, on two cores
ARRIVE = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 60000)
if redis.call('SCARD', KEYS[1]) == tonumber(ARGV[2]) then redis.call('PUBLISH', 'woken', 'barrier ' .. KEYS[1]) end
"""
ACQUIRE = """
if not redis.call('HGET', KEYS[1], 'holder') then
  redis.call('HSET', KEYS[1], 'holder', ARGV[1])
  return redis.call('HINCRBY', KEYS[1], 'token', 1)
end
redis.call('RPUSH', KEYS[2], ARGV[1])
return 0
"""
RELEASE = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'token') ~= ARGV[2] then
  return 0
end
local next = redis.call('LPOP', KEYS[2])
if next then
  local token = redis.call('HINCRBY', KEYS[1], 'token', 1)
  redis.call('HSET', KEYS[1], 'holder', next)
  redis.call('PUBLISH', 'woken', KEYS[1] .. ' ' .. next .. ' ' .. token)
else
  redis.call('HDEL', KEYS[1], 'holder')
end
return 1
"""


class Redis:
    """A client with a pool of connections, and one more that listens."""

    def __init__(self, how: str, port: int, process: int) -> None:
        self.how = how
        self.port = port
        self.process = process
        self.wakers = Wakers()
        self.calls: list[tuple[str, list[str], asyncio.Future[Any]]] = []
        self.sending: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Connect, bring the scripts, and listen."""
        pool = redis.BlockingConnectionPool(
            host="127.0.0.1", port=self.port, max_connections=CONNECTIONS, timeout=60, decode_responses=True
        )
        self.client = redis.Redis(connection_pool=pool)
        await self.client.flushall()
        self.scripts = {script: await self.client.script_load(script) for script in (ARRIVE, ACQUIRE, RELEASE)}
        self.channel = self.client.pubsub()
        await self.channel.subscribe("woken")
        self.listening = asyncio.create_task(self.listen())

    async def close(self) -> None:
        """Hang up."""
        self.listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.listening
        await self.channel.aclose()
        await self.client.aclose()

    def processes(self) -> Sequence[int]:
        """Return the server's process."""
        return (self.process,)

    async def listen(self) -> None:
        """Wake who is meant."""
        async for message in self.channel.listen():
            if message["type"] == "message":
                name, _, token = message["data"].rpartition(" ")
                self.wakers.call(message["data"] if name == "barrier" else name, token)

    async def call(self, script: str, keys: list[str], *arguments: object) -> Any:
        """Have the server run a script."""
        given = [self.scripts[script], str(len(keys)), *keys, *map(str, arguments)]
        if self.how == "calls":
            return await self.client.execute_command("EVALSHA", *given)
        if not self.calls:
            asyncio.get_running_loop().call_soon(self.flush)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.calls.append(("EVALSHA", given, answer))
        return await answer

    def flush(self) -> None:
        """Send what was called in this turn of the loop."""
        calls, self.calls = self.calls, []
        task = asyncio.create_task(self.send(calls))
        self.sending.add(task)
        task.add_done_callback(self.sending.discard)

    async def send(self, calls: list[tuple[str, list[str], asyncio.Future[Any]]]) -> None:
        """Send calls in one pipeline, and hand out the answers."""
        pipeline = self.client.pipeline(transaction=False)
        for command, given, _ in calls:
            pipeline.execute_command(command, *given)
        for (_, _, answer), value in zip(calls, await pipeline.execute(), strict=True):
            answer.set_result(value)

    async def arrive(self, turn: int, worker: int) -> None:
        """Join the set of those who are there; the last one publishes that all are."""
        key = f"barrier-{turn}"
        released = self.wakers.wait(f"barrier {key}")
        await self.call(ARRIVE, [key], worker, PARTIES)
        await released

    async def acquire(self, name: str, worker: int) -> str:
        """Hold a hash, or queue in a list; whoever releases it hands it over."""
        mine = f"{name} {worker}"
        granted = self.wakers.wait(mine)
        token = await self.call(ACQUIRE, [name, f"queue of {name}"], worker)
        if token:
            self.wakers.forget(mine)
            return str(token)
        return str(await granted)

    async def release(self, name: str, worker: int, token: str) -> None:
        """Hand it to the next in the list, or to nobody."""
        released = await self.call(RELEASE, [name, f"queue of {name}"], worker, token)
        assert released, f"{name} was not held by {worker} under {token}"


if __name__ == "__main__":
    run(Redis(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])), sys.argv[4:])
