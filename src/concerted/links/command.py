"""The command link: an agent that is one command line a task, run without a shell, ended with its whole group.

exit 0           ok: the value of the last line of its output, if that is JSON, else the tail of the output
another exit     failed: {"exit_code", "output"}, and the tail of what it wrote to standard error
time limit       timeout: TERM to the process group, KILL after `stop_grace_s`
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent.abilities import Abilities
from concerted.agent.desk import Desk
from concerted.agent.work import Work
from concerted.config.placeholders import fill
from concerted.links.program import ending
from concerted.links.spawn import READ_BYTES, Spawned, Tail, spawn
from concerted.messages import Envelope, ExecuteTask, Reply, ReplyStatus
from concerted.ports.link import LinkEvents
from concerted.values import AgentId, Profile, Task, encode

__all__ = ["OUTPUT_BYTES", "VARIABLE_BYTES", "CommandLink"]

OUTPUT_BYTES = 1 << 16  # the tail that is kept of each of a command's outputs
ERROR_BYTES = 4_000  # of the tail, what goes into the text of an error
VARIABLE_BYTES = 100_000  # the longest environment variable; the systems' own bound is 128 KiB


class CommandLink:
    """A command line for each task, at most `capacity` at once.

    words: the command line, split; `{task.id}`, `{payload.KEY}` and the like are replaced inside words as plain
    text.  env: added to this process's environment, beneath the CONCERTED_ variables.  stop_grace_s: between
    TERM and KILL.  Status, capabilities and bids are answered from the profile and the load.
    """

    pushes_beats = False
    in_process = True  # there is nothing to ask between tasks; whether a command runs is known here

    def __init__(
        self,
        profile: Profile,
        words: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stop_grace_s: float = 2.0,
    ) -> None:
        self.agent: AgentId = profile.id
        self._words = list(words)
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._stop_grace_s = stop_grace_s
        self._running: set[Spawned] = set()
        self._closed = False
        abilities = Abilities(profile)
        abilities.task()(self._do_task)
        self._desk = Desk(abilities)

    async def open(self, events: LinkEvents) -> None:
        """Begin to take commands; nothing is started before the first task."""
        self._desk.open(events.replied, events.beat)

    def send(self, batch: Sequence[Envelope]) -> None:
        """Take commands, in order."""
        for envelope in batch:
            self._desk.take(envelope)

    def holds(self, key: str) -> bool:
        """Say whether the command line of this command runs, or waits for its turn."""
        return self._desk.holds(key)

    async def close(self, reason: str) -> None:  # noqa: ARG002
        """Kill what runs, whole process groups."""
        self._closed = True
        self._desk.silence()  # that they were killed is no answer of theirs
        running = list(self._running)
        for spawned in running:
            await spawned.stop(0)
        await self._desk.close()

    async def _do_task(self, task: Task, work: Work) -> Reply:
        """Run the command line and turn its end into a reply.

        Raises:
            Invalid: a placeholder has no value.
            Unreachable: the program cannot be started.
        """
        words = fill(self._words, task, self.agent, work.results)
        with _variables(self.agent, task, work) as variables:
            spawned = await spawn(words, {**self._env, **variables}, self._cwd)
            if self._closed:
                await spawned.stop(0)
            spawned.stdin.write_eof()
            self._running.add(spawned)
            output, errors = Tail(OUTPUT_BYTES), Tail(OUTPUT_BYTES)
            loop = asyncio.get_running_loop()
            readers = [
                loop.create_task(_read(spawned.stdout, output)),
                loop.create_task(_read(spawned.stderr, errors)),
            ]
            try:
                code = await self._wait(spawned, _limit_s(task, work))
                await asyncio.wait(readers)  # the group is dead, so both pipes end
            finally:
                if not spawned.ended.done():
                    await spawned.stop(self._stop_grace_s)
                for reader in readers:
                    reader.cancel()
                spawned.close()
                self._running.discard(spawned)
        return self._reply(code, output.text(), errors.text())

    async def _wait(self, spawned: Spawned, limit_s: float | None) -> int | None:
        """Return the exit code; None if the time limit came first and it was killed."""
        await asyncio.wait([spawned.ended], timeout=limit_s)
        if spawned.ended.done():
            return spawned.ended.result()
        await spawned.stop(self._stop_grace_s)
        return None

    def _reply(self, code: int | None, output: str, errors: str) -> Reply:
        if code == 0:
            return Reply(agent=self.agent, status="ok", value=_value(output))
        said = (errors.strip() or output.strip())[-ERROR_BYTES:]
        status: ReplyStatus = "timeout" if code is None else "failed"
        how = "was killed at its time limit" if code is None else ending(code)
        error = f"{self._words[0]} {how}" + (f": {said}" if said else "")
        return Reply(agent=self.agent, status=status, value={"exit_code": code, "output": output}, error=error)


def _value(output: str) -> Any:
    """Return the JSON on the last line that is not empty; if that is no JSON, the output as text."""
    text = output.rstrip()
    try:
        return msgspec.json.decode(text[text.rfind("\n") + 1 :])
    except (msgspec.DecodeError, RecursionError):
        return text


def _limit_s(task: Task, work: Work) -> float | None:
    """Return the seconds left for one attempt: the task's own limit, or what is left of `reply_by`."""
    limits = [] if task.max_duration_s is None else [task.max_duration_s]
    if work.envelope.reply_by is not None:
        limits.append(max(0.0, work.envelope.reply_by - time.time()))
    return min(limits, default=None)


async def _read(reader: asyncio.StreamReader, tail: Tail) -> None:
    while data := await reader.read(READ_BYTES):
        tail.add(data)


@contextlib.contextmanager
def _variables(agent: AgentId, task: Task, work: Work) -> Iterator[dict[str, str]]:
    """Give the CONCERTED_ variables of one command.

    A value too long for a variable is left out; it stands in a file, named by the variable with `_FILE`
    behind its name, that is deleted afterwards.
    """
    assert isinstance(work.request, ExecuteTask)
    values = {
        "CONCERTED_AGENT_ID": agent,
        "CONCERTED_ATTEMPT": str(work.request.epoch),
        "CONCERTED_EPOCH": str(work.request.epoch),
        "CONCERTED_IDEMPOTENCY_KEY": work.key,
        "CONCERTED_PAYLOAD": encode(task.payload).decode(),
        "CONCERTED_RESULTS": encode(work.results).decode(),
        "CONCERTED_RUN_ID": work.envelope.coordination_id or "",
        "CONCERTED_TASK": encode(task).decode(),
        "CONCERTED_TASK_ID": task.id,
    }
    files: list[Path] = []
    try:
        for name, value in list(values.items()):
            if len(value.encode()) > VARIABLE_BYTES:
                descriptor, path = tempfile.mkstemp(prefix="concerted-", suffix=".json")
                files.append(Path(path))
                with open(descriptor, "w", encoding="utf-8") as file:
                    file.write(value)
                del values[name]
                values[f"{name}_FILE"] = path
        yield values
    finally:
        for file_path in files:
            file_path.unlink(missing_ok=True)
