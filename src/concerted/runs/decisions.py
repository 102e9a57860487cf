"""How a run has something decided: it opens a decision, asks those voters who are its agents, and casts their ballots.

    open --JUDGE--> agents --answers--> ballots --settled, or the deadline--> closed

Voters who are no agents of the run vote by themselves, from wherever they are.  An agent that refuses, fails, is
late or gone has not voted; what that means is for the rule to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from concerted.consensus.decisions.ballots import electorate_of
from concerted.consensus.decisions.decision import DecisionResult
from concerted.consensus.decisions.rule import ACCEPT, Rule, rule_of
from concerted.errors import ConcertedError, Invalid
from concerted.messages import Judge, Judgement, Reply, Request
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision
from concerted.ports.primitive import Ask
from concerted.run import AgentChange
from concerted.runs.meetings import answered
from concerted.values import AgentId, Instant, Profile

__all__ = ["Asker", "Give", "command_of", "decide"]


class Give(Protocol):
    """Has a command given outside the run, and returns what was recorded of it."""

    def __call__(self, name: str, ask: Ask, *, waits: bool = True) -> Awaitable[dict[str, Any]]:
        """Give it under a name; waits: until its answer is no longer pending."""


class Asker(Protocol):
    """What of a run's verbs it takes."""

    @property
    def agents(self) -> Mapping[AgentId, Profile]:
        """The agents of the run."""

    def now(self) -> Instant:
        """Return the log's time."""

    def stream(
        self, agents: Sequence[AgentId], request: Request, *, deadline: float | None = None
    ) -> AsyncIterator[Reply]:
        """Ask many the same."""

    def watch(self, agents: Sequence[AgentId] | None = None) -> AsyncIterator[AgentChange]:
        """Yield what happens to these agents."""

    def record(self, kind: str, *, agent: AgentId | None = None, ref: str | None = None, **facts: Any) -> None:
        """Write a fact into the log."""


class _Terms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a run may say of a decision, besides its question, voters, rule and deadline."""

    id: str | None = None
    proposal: Any = None
    options: tuple[str, ...] = (ACCEPT,)
    keys: dict[AgentId, str] = {}
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()


def command_of(
    default_id: str, question: str, voters: Iterable[str] | Mapping[str, int], rule: str | Rule | Mapping[str, Any],
    terms: Mapping[str, Any],
) -> CreateDecision:  # fmt: skip
    """Return the command that opens a decision of a run.

    Raises:
        Invalid: these make no decision.
    """
    try:
        more = msgspec.convert(dict(terms), _Terms)
    except msgspec.ValidationError as error:
        raise Invalid(f"the decision {question!r} cannot be asked for: {error}") from error
    return CreateDecision(
        id=more.id or default_id,
        question=question,
        electorate=electorate_of(voters),
        proposal=more.proposal,
        options=more.options,
        keys=more.keys,
        rule=rule_of(rule),
        algorithm=more.algorithm,
        group=more.group,
        replicas=more.replicas,
    )


async def decide(run: Asker, give: Give, command: CreateDecision) -> DecisionResult:
    """Open a decision, have the run's agents among its voters judge, and wait until it is closed.

    Raises:
        ConcertedError: it cannot be opened.
    """
    opened = answered(await give(f"decision {command.id}", command), DecisionResult)
    poll = _Poll(run, give, command, opened)
    polling = asyncio.ensure_future(poll.ask()) if opened.outcome is None else None
    try:
        outcome = await give(f"outcome of decision {command.id}", AwaitDecision(id=command.id))
    finally:
        if polling is not None:
            polling.cancel()
        poll.stop()
    return answered(outcome, DecisionResult)


class _Poll:
    """The voters of one decision who are agents of the run, and the ballots that come of their answers."""

    def __init__(self, run: Asker, give: Give, command: CreateDecision, opened: DecisionResult) -> None:
        self._run = run
        self._give = give
        self._command = command
        self._opened = opened
        self._begun: list[asyncio.Future[None]] = []
        self._answered: set[AgentId] = set()

    async def ask(self) -> None:
        """Ask each to judge, also who joins later, or comes back without having answered."""
        voters, agents = list(self._command.electorate), self._run.agents
        self._begin(self._ask([voter for voter in voters if voter in agents]))
        async for change in self._run.watch(voters):
            if change.change == "joined" and change.agent not in self._answered:
                self._begin(self._ask([change.agent]))

    def stop(self) -> None:
        """Ask nobody any more, and cast nothing."""
        for begun in self._begun:
            begun.cancel()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._begun.append(asyncio.ensure_future(work))

    async def _ask(self, voters: Sequence[AgentId]) -> None:
        """Ask these, and cast the ballots as the answers come."""
        command, opened = self._command, self._opened
        request = Judge(
            decision=command.id,
            question=command.question,
            proposal=command.proposal,
            options=command.options,
            rule=opened.demands,
            opening_digest=opened.opening_digest,
            closes_at=command.deadline_at,
            group=opened.group,
        )
        left_s = None if command.deadline_at is None else max(0.0, command.deadline_at - self._run.now())
        async for reply in self._run.stream(voters, request, deadline=left_s):
            if reply.ok:
                self._answered.add(reply.agent)
                self._begin(self._cast(reply))

    async def _cast(self, reply: Reply) -> None:
        """Cast the ballot that an agent has answered with; what is none is written down, and the agent is silent."""
        id = self._command.id
        try:
            judgement = _judgement(reply.value)
            ballot = CastBallot(
                id=id,
                agent=reply.agent,
                choice=judgement.choice,
                reason=judgement.reason,
                signature=judgement.signature,
            )
            answered(await self._give(f"ballot of {reply.agent} in decision {id}", ballot, waits=False), DecisionResult)
        except ConcertedError as error:
            self._run.record("ballot.refused", agent=reply.agent, ref=id, reason=error.message)


def _judgement(value: Any) -> Judgement:
    """Read what an agent answered: a judgement, or its choice alone.

    Raises:
        Invalid: it is neither.
    """
    if isinstance(value, str):
        return Judgement(choice=value)
    try:
        return msgspec.convert(value, Judgement)
    except msgspec.ValidationError as error:
        raise Invalid(f"the answer is no judgement: {error}; answer {{'choice': 'accept', 'reason': '...'}}") from error
