"""`Agent`: the class with which agents are written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from concerted.agent.abilities import Abilities
from concerted.agent.defaults import default_answer
from concerted.agent.inbox import FileInbox
from concerted.agent.serve import Service, ServiceLimits
from concerted.errors import Invalid
from concerted.messages import Request
from concerted.values import AgentId, Profile

__all__ = ["Agent"]


class Agent(Abilities):
    """An agent: who it is, what it can do, and the functions that do it.

        agent = Agent("ann", capabilities={"writing": 0.9})

        @agent.task("draft")
        def draft(task):
            return task.payload["topic"].title()

    Whatever it has no function for (status, bids, votes, leading, following) is answered from its profile and
    load.  A function may raise `Refused` to say no; whatever else it raises makes the reply `failed`.
    """

    def __init__(
        self, id_or_profile: str | Profile, capabilities: Mapping[str, float] | None = None, **fields: Any
    ) -> None:
        """Take an id (and, as keywords, any other field of `Profile`) or a whole profile.

        Raises:
            Invalid: these make no profile; says why.
        """
        if isinstance(id_or_profile, Profile):
            super().__init__(id_or_profile)
            if capabilities is not None or fields:
                self.change(**fields, **({} if capabilities is None else {"capabilities": dict(capabilities)}))
            return
        try:
            profile = Profile(id=AgentId(id_or_profile), capabilities=dict(capabilities or {}), **fields)
        except (TypeError, ValueError) as error:
            raise Invalid(f"agent {id_or_profile}: {error}") from error
        super().__init__(profile)

    def default(self, request: Request) -> Any:
        """Return what the agent would answer without a function for this request; for functions that refine it.

        Raises:
            Refused: there is no default for this type.
        """
        return default_answer(self, request, 0.0)

    def like(self, profile: Profile) -> Agent:
        """Return another agent with the same functions and this profile.  Held tasks are counted separately."""
        other = Agent(profile)
        other.tasks.update(self.tasks)
        other.answers.update(self.answers)
        return other

    async def serve(
        self, url: str, *, inbox: str | os.PathLike[str] | None = None, limits: ServiceLimits | None = None
    ) -> None:
        """Join the owner of the store at `url`, or all nodes of this machine, and serve until cancelled.

        inbox: the agent's own file; by default one that follows from the URL, as `addresses` says.

        Raises:
            Invalid: the URL names no store.
            Conflict: the agent already runs in another process.
            NotAllowed: a folder is not this user's alone, or the agent was turned away.
            Unreachable: nobody was found within `limits.patience_s`.
        """
        await Service(self, url, None if inbox is None else FileInbox(inbox), limits).run()

    def run(
        self, url: str, *, inbox: str | os.PathLike[str] | None = None, limits: ServiceLimits | None = None
    ) -> None:
        """Serve as a whole program: as `serve`, and leave in order at SIGTERM or Ctrl-C."""

        async def main() -> None:
            service = Service(self, url, None if inbox is None else FileInbox(inbox), limits)
            service.stop_at_signals()
            await service.run()

        asyncio.run(main())
