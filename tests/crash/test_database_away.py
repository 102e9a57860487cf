"""The database goes away for a while: waits go on, commands say what to do, and work goes on when it is back."""

import asyncio
import contextlib
from urllib.parse import urlsplit, urlunsplit

import pytest

from concerted.agent import Agent
from concerted.config.settings import Coordination, ManagerSettings
from concerted.errors import Unreachable
from concerted.launch import open_coordinator
from concerted.values import Task, TaskId

QUICK = Coordination(manager=ManagerSettings(heartbeat_interval=0.3, health_check_interval=0.3))


class Cable:
    """What lies between a session and its database; it can be pulled and plugged in again."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._there = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._parts = parts
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def plug(self) -> str:
        """Let connections through; return the URL of the database at this end."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        user = f"{self._parts.username}@" if self._parts.username else ""
        return urlunsplit(self._parts._replace(netloc=f"{user}127.0.0.1:{self._port}"))

    async def pull(self) -> None:
        """Cut all connections and take no new ones."""
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        for carrying in list(self._carrying):
            carrying.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        await asyncio.sleep(0.05)  # until their sockets are closed

    def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        carrying = asyncio.get_running_loop().create_task(self._connect(reader, writer))
        self._carrying.add(carrying)
        carrying.add_done_callback(self._carrying.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._there)
        self._writers |= {writer, there_writer}
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)


def test_a_wait_goes_on_over_an_outage_and_commands_say_what_to_do(postgres):
    async def main():
        direct = postgres()
        cable = Cable(direct)
        async with (
            open_coordinator(await cable.plug(), coordination=QUICK) as here,
            open_coordinator(direct, coordination=QUICK) as there,
        ):
            await here.sync_point("p").create(["ann", "bob"])
            waiting = asyncio.ensure_future(here.sync_point("p").arrive("ann", timeout_s=180))
            await asyncio.sleep(0.5)
            await cable.pull()
            refused = 0
            for _ in range(100):
                await asyncio.sleep(0.1)
                with contextlib.suppress(Unreachable):
                    await here.register_value("k").put(1)
                    continue
                refused += 1
                if refused > 10:
                    break
            assert refused > 10, "commands went through a cable that was pulled"
            assert not waiting.done(), "a wait was given up"
            assert (await there.sync_point("p").arrive("bob", timeout_s=180)).status == "completed"
            await cable.plug()
            assert (await asyncio.wait_for(waiting, 30)).status == "completed"
            for _ in range(100):  # the wait may be told before whoever writes has a connection again
                with contextlib.suppress(Unreachable):
                    await here.register_value("k").put(2)
                    break
                await asyncio.sleep(0.1)
            assert (await here.register_value("k").get()).value == 2
        await cable.pull()

    asyncio.run(main())


def test_a_run_goes_on_by_itself_when_the_database_is_back_and_nothing_is_accepted_twice(postgres):
    done: list[str] = []

    async def main():
        cable = Cable(postgres())
        agent = Agent("ann", capacity=2)

        @agent.task("work")
        async def work(task):
            await asyncio.sleep(0.2)
            done.append(task.id)
            return task.id

        async with open_coordinator(await cable.plug(), coordination=QUICK) as coordinator:
            await coordinator.register(agent)
            tasks = [Task(id=TaskId(f"t{i}"), kind="work") for i in range(20)]
            await coordinator.submit("auction", tasks, id="r")
            while len(done) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await cable.pull()
            with pytest.raises(Unreachable, match=r"database|store"):  # noqa: PT012
                for _ in range(200):
                    await coordinator.submit("auction", tasks, id="other")
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1)
            await cable.plug()
            while True:
                with contextlib.suppress(Unreachable):
                    view = await coordinator.result("r", within_s=60)
                    break
                await asyncio.sleep(0.2)
        await cable.pull()
        assert view.success
        assert sorted(task.id for task in view.tasks if task.status == "done") == sorted(f"t{i}" for i in range(20))

    asyncio.run(main())
    assert set(done) == {f"t{i}" for i in range(20)}
    assert len(done) == len(set(done)), "an agent that lives on did a task twice"
