"""The handles on agreements and on logs of decisions, and the call that proposes a value."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from concerted.client.handle import WAIT_S, Giver, Handle, as_agent, as_agents, from_now
from concerted.consensus.agreement import AgreementResult
from concerted.consensus.decision_log import PAGE, DecisionLogResult, LogEntry
from concerted.consensus.validity import Validity, validity_of
from concerted.ports import agreements

__all__ = ["Agreement", "DecisionLog", "agree"]


class Agreement(Handle):
    """One value under a key, for ever."""

    async def create(
        self, *, valid: str | Validity | Mapping[str, Any] | None = None, proposers: Iterable[str] = (),
        deadline_s: float | None = None, agent: str | None = None, **facts: Any,
    ) -> AgreementResult:  # fmt: skip
        """Open it without a proposal, on terms that are frozen.

        valid: which values may be chosen, as `concerted.consensus.validity.validity_of` reads it.  proposers: who may
        propose; by default everybody.  deadline_s: from now; then it lapses if nobody has proposed.  facts:
        deadline_at, algorithm, group, replicas, attach.

        Raises:
            Invalid: as the message says.  Conflict: there is one of this key on other terms.
        """
        if deadline_s is not None:
            facts["deadline_at"] = from_now(deadline_s)
        command = agreements.CreateAgreement(
            id=self.id, agent=as_agent(agent), validity=validity_of(valid), proposers=as_agents(proposers), **facts
        )
        return await self._open(command, deadline_s, agreements.GetAgreement(id=self.id))  # type: ignore[no-any-return]

    async def propose(
        self, value: Any, *, valid: str | Validity | Mapping[str, Any] | None = None,
        deadline_s: float | None = None, agent: str | None = None, request_id: str | None = None, **terms: Any,
    ) -> AgreementResult:  # fmt: skip
        """Propose a value and return the one that is chosen; `yours` says whether it is this proposal.

        It opens the agreement if there is none, on these terms.  valid: where there is one, it must be on this rule;
        None takes it as it is.  deadline_s: of one that is opened.  request_id: the same one is the same proposal.
        terms: proposers, deadline_at, algorithm, group, replicas.

        Raises:
            Invalid: the value is not valid.  Conflict: it was opened on other terms.  NotAllowed: proposing is
            restricted to others.  WrongPhase: it has lapsed.
        """
        if deadline_s is not None:
            terms["deadline_at"] = from_now(deadline_s)
        if terms.get("proposers") is not None:
            terms["proposers"] = as_agents(terms["proposers"])
        command = agreements.ProposeValue(
            id=self.id,
            agent=as_agent(agent),
            value=value,
            request_id=request_id or uuid.uuid4().hex,
            validity=None if valid is None else validity_of(valid),
            **terms,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def wait(self, *, timeout_s: float | None = None) -> AgreementResult:
        """Wait until there is a value, or never will be, without proposing one."""
        return await self._wait(agreements.AwaitAgreement(id=self.id), timeout_s)  # type: ignore[no-any-return]

    async def get(self) -> AgreementResult:
        """Return how it stands."""
        return await self._ask(agreements.GetAgreement(id=self.id))  # type: ignore[no-any-return]


class DecisionLog(Handle):
    """Values in one order for everybody.  `async for` goes through all of them, and on as it grows."""

    async def create(self, *, writers: Iterable[str] = (), agent: str | None = None, **facts: Any) -> DecisionLogResult:
        """Make it, or take it as it is if it is there on these terms.

        writers: who may append; by default everybody.  facts: algorithm, group, replicas; attach: take it also if it
        is there on other terms.
        """
        command = agreements.CreateDecisionLog(
            id=self.id, agent=as_agent(agent), writers=as_agents(writers), **facts
        )  # fmt: skip
        return await self._ask(command)  # type: ignore[no-any-return]

    async def append(
        self, value: Any, *, agent: str | None = None, request_id: str | None = None, **facts: Any
    ) -> DecisionLogResult:
        """Append a value; `position` of the answer is its place for ever.  It makes the log if there is none.

        request_id: the same one appends once.  facts: algorithm, group, replicas; of a log that is made.

        Raises:
            NotAllowed: appending is restricted to others.  Overloaded: the log is full.
        """
        command = agreements.AppendToDecisionLog(
            id=self.id,
            agent=as_agent(agent),
            value=value,
            request_id=request_id or uuid.uuid4().hex,
            **facts,
        )
        return await self._ask(command)  # type: ignore[no-any-return]

    async def read(self, after: int = 0, limit: int = PAGE) -> list[LogEntry]:
        """Return what comes after a position, at most so many entries, without waiting."""
        entries: list[LogEntry] = []
        while len(entries) < limit:
            command = agreements.ReadDecisionLog(id=self.id, after=after, limit=min(PAGE, limit - len(entries)))
            page: DecisionLogResult = await self._ask(command)
            entries += page.entries
            after = page.next_after
            if after >= page.last:
                break
        return entries

    async def follow(self, after: int = 0, *, timeout_s: float | None = None) -> AsyncIterator[LogEntry]:
        """Yield what comes after a position, without gap or repeat, across changes of owner.

        timeout_s: ends when nothing has come for so long; by default never.
        """
        while True:
            command = agreements.ReadDecisionLog(id=self.id, after=after)
            page: DecisionLogResult = await self._wait(command, WAIT_S if timeout_s is None else timeout_s)
            if page.pending and timeout_s is not None:
                return
            for entry in page.entries:
                after = entry.position
                yield entry

    def __aiter__(self) -> AsyncIterator[LogEntry]:
        return self.follow()

    async def get(self) -> DecisionLogResult:
        """Return how long it is, who made it, and who may append."""
        return await self._ask(agreements.GetDecisionLog(id=self.id))  # type: ignore[no-any-return]


async def agree(giver: Giver, key: str, value: Any, **terms: Any) -> AgreementResult:
    """Propose a value under a key and return the one that is chosen; see `Calls.agree`."""
    return await Agreement(giver, key).propose(value, **terms)
