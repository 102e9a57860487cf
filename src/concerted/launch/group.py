"""A session with a group of replicas itself: no coordinator is asked, and none need be there.

    async with open_group("group.json") as group:
        await group.decision("ship").vote("accept", agent="ann")

It knows what groups keep: decisions, agreements and logs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from concerted.client.calls import Calls
from concerted.errors import Invalid, NotFound, TimedOut
from concerted.ports.commands import Command
from concerted.ports.primitive import Ask
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.clients.speaking import client_for
from concerted.replicas.given import MACHINES
from concerted.replicas.spec import Group, check_group, read_group

__all__ = ["GroupSession", "open_group"]

ANSWER_S = 60.0  # how long a command may take that names no time
LAST_LOOK_S = 5.0  # how long who has waited in vain may take to see how it stands


def open_group(group: Group | str | os.PathLike[str], *, name: str = "local") -> GroupSession:
    """Return a session with a group: `async with open_group("group.json") as group:`.

    group: its description, or the file that holds it as JSON (`concerted replicas show ID --json` writes one).  name:
    who gives the commands that name nobody.

    Raises:
        NotFound: there is no such file.  Invalid: it describes no group.
    """
    if isinstance(group, Group):
        return GroupSession(check_group(group), name)
    try:
        return GroupSession(read_group(Path(group).read_bytes()), name)
    except OSError as error:
        raise NotFound(f"{os.fspath(group)} cannot be read: {error.strerror}") from error


class GroupSession(Calls):
    """What can be asked of a group.  default_timeout_s: how long a waiting call waits that names no time."""

    default_timeout_s = ANSWER_S

    def __init__(self, group: Group, name: str) -> None:
        self._group = group
        self._name = name
        self._client: GroupClient | None = None

    async def __aenter__(self) -> GroupSession:
        self._client = client_for(self._group, self._name)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._client is not None, "a session that was never opened"
        await self._client.close()

    async def give(self, command: Command) -> Any:
        """Give a command to the group; one that waits is answered when it is settled, or its time is over.

        Raises:
            Invalid: groups do not keep what it is about.  TimedOut: no majority answers.  Others as the machine says.
        """
        assert self._client is not None, "use it as `async with open_group(...) as group`"
        if not isinstance(command, Ask) or command.kind not in MACHINES:
            kept = ", ".join(MACHINES)
            raise Invalid(f"a group of replicas keeps {kept}; {type(command).__name__} is for a coordinator")
        agent = command.agent
        if not command.looks:
            result = await self._client.do(command, agent=agent, timeout_s=ANSWER_S)
        elif command.wait_s <= 0:
            return await self._client.read(command, agent=agent, timeout_s=ANSWER_S)
        if command.looks or (result.pending and command.wait_s > 0):
            try:
                return await self._client.wait(command, agent=agent, timeout_s=command.wait_s)
            except TimedOut:
                return await self._client.read(command, agent=agent, timeout_s=LAST_LOOK_S)
        return result
