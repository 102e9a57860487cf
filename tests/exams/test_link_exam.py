"""Every link sits the same exam."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from concerted.agent import Agent, Service, ServiceLimits, Work
from concerted.agent.addresses import socket_path
from concerted.agent.wire import read_frame
from concerted.links.command import CommandLink
from concerted.links.local import LocalLink
from concerted.links.process import ProcessLink
from concerted.links.socket import SocketLink
from concerted.messages import Envelope
from concerted.ports.link import LinkEvents
from concerted.testing.link_exam import LINK_CHECKS, check_link, do_exam_task
from concerted.values import Profile, Task

each_check = pytest.mark.parametrize("check", LINK_CHECKS)

# The tasks of the exam once more, as a program would do them: one thread reads, one works.
PROGRAM = """
import json, os, queue, sys, threading
todo, cancelled = queue.SimpleQueue(), {}
def do(message):
    payload = message["payload"]["task"].get("payload", {})
    if "file" in payload:
        with open(payload["file"], "a") as file:
            file.write(f"{os.getpid()} {payload.get('value')}\\n")
    if "fail" in payload:
        return {"error": payload["fail"]}
    event = cancelled[message["payload"]["task"]["id"]]
    return {"status": "cancelled"} if event.wait(payload.get("wait_s", 0)) else {"value": payload.get("value")}
def work():
    while True:
        message = todo.get()
        print(json.dumps({"key": message["idempotency_key"], **do(message)}), flush=True)
threading.Thread(target=work, daemon=True).start()
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "EXECUTE_TASK":
        cancelled[message["payload"]["task"]["id"]] = threading.Event()
        todo.put(message)
    elif message["type"] == "CANCEL_TASK":
        cancelled[message["payload"]["task"]].set()
"""

COMMAND = """
import json, os, sys, time
payload = json.loads(os.environ["CONCERTED_PAYLOAD"])
if "file" in payload:
    with open(payload["file"], "a") as file:
        file.write(f"{os.getpid()} {payload.get('value')}\\n")
if "fail" in payload:
    sys.exit(payload["fail"])
time.sleep(payload.get("wait_s", 0))
print(json.dumps(payload.get("value")))
"""


@each_check
def test_the_local_link_passes(check: str) -> None:
    asyncio.run(check_link(lambda profile: LocalLink(plain_agent(profile)), check))


@each_check
def test_the_local_link_passes_with_an_async_function(check: str) -> None:
    asyncio.run(check_link(lambda profile: LocalLink(async_agent(profile)), check))


@each_check
def test_the_process_link_passes(check: str) -> None:
    asyncio.run(check_link(lambda profile: ProcessLink(profile, [sys.executable, "-ISc", PROGRAM]), check))


@each_check
def test_the_command_link_passes(check: str) -> None:
    asyncio.run(check_link(lambda profile: CommandLink(profile, [sys.executable, "-ISc", braced(COMMAND)]), check))


@each_check
def test_the_socket_link_passes(check: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with owner(tmp_path) as connected:
            await check_link(lambda profile: Served(tmp_path, profile, connected), check)

    asyncio.run(main())


def plain_agent(profile: Profile) -> Agent:
    agent = Agent(profile)

    @agent.task("exam")
    def exam(task: Task, work: Work) -> object:
        return do_exam_task(task.payload, work.cancelled)

    return agent


def async_agent(profile: Profile) -> Agent:
    agent = Agent(profile)

    @agent.task("exam")
    async def exam(task: Task, work: Work) -> object:
        value = do_exam_task({**task.payload, "wait_s": 0}, work.cancelled)
        await asyncio.sleep(task.payload.get("wait_s", 0))
        return value

    return agent


def braced(program: str) -> str:
    """Write a program's braces so that they are not placeholders."""
    return program.replace("{", "{{").replace("}", "}}")


@contextlib.asynccontextmanager
async def owner(folder: Path) -> AsyncIterator["asyncio.Queue[SocketLink]"]:
    """Listen as the owner of a store does."""
    connected: asyncio.Queue[SocketLink] = asyncio.Queue()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = read_frame(await reader.readline()).hello
        assert hello is not None
        connected.put_nowait(SocketLink(reader, writer, hello, beat_s=0.5))

    server = await asyncio.start_unix_server(accept, socket_path(folder / "work.db"))
    try:
        yield connected
    finally:
        server.close()


class Served:
    """A socket link together with the agent at its other end, which lives and ends with it."""

    pushes_beats = True
    in_process = False

    def __init__(self, folder: Path, profile: Profile, connected: "asyncio.Queue[SocketLink]") -> None:
        self.agent = profile.id
        self._service = Service(
            plain_agent(profile), f"sqlite:///{folder}/work.db", limits=ServiceLimits(stop_grace_s=0)
        )
        self._connected = connected
        self._link: SocketLink | None = None

    async def open(self, events: LinkEvents) -> None:
        self._running = asyncio.create_task(self._service.run())
        self._link = await self._connected.get()
        await self._link.open(events)

    def send(self, batch: Sequence[Envelope]) -> None:
        assert self._link is not None
        self._link.send(batch)

    def holds(self, key: str) -> bool:
        assert self._link is not None
        return self._link.holds(key)

    async def close(self, reason: str) -> None:
        assert self._link is not None
        await self._link.close(reason)
        self._service.stop()
        await asyncio.wait([self._running])
