"""Consensus: a question is put to the agents, each judges it once, and a rule makes one outcome of their ballots.

    open --judge--> ballots --the rule--> accepted | rejected | lapsed

How the ballots are kept (`algorithm`) and how the agents judge (`rule`) are independent; that a ballot is stored
never means that anybody approves.  The run succeeds if the proposal is accepted.

Source: the room `consensus`; docs/decisions.md says what is promised.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from concerted.config.durations import parse_duration
from concerted.config.settings import Consensus
from concerted.consensus.decisions.ballots import electorate_of
from concerted.consensus.decisions.rule import ACCEPT, rule_of
from concerted.errors import Invalid, TimedOut
from concerted.run import Run
from concerted.values import AgentId, Outcome, ParticipantResult

if TYPE_CHECKING:
    from concerted.consensus.decisions.decision import DecisionResult

__all__ = ["ConsensusResult", "Question", "coordinate"]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """The options of the strategy.

    question: by default the description of the objective; proposal: by default its data.  options: what to choose
    from; by default the question is yes or no.  electorate: voters, or voter -> weight; by default the agents of the
    run.  rule: a text or its fields.  deadline: seconds, or as in `60s`; by default `manager.command_timeout`.
    algorithm: how the log is kept; where by replicas, group: by which ones, replicas: beside which agents.
    """

    question: str = ""
    proposal: Any = None
    options: tuple[str, ...] = ()
    electorate: tuple[AgentId, ...] | dict[AgentId, int] = ()
    rule: str | dict[str, Any] = "majority"
    deadline: float | str | None = None
    id: str | None = None
    algorithm: str | None = None
    group: str | None = None
    replicas: tuple[AgentId, ...] = ()


class ConsensusResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.

    stored_by: what keeps the log; entries_committed: how long that is, and rounds: how many terms, ballots or views
    that took; term, leader: of a group of replicas; warnings: what somebody who relies on that group should know.
    approved_by: who accepted.  certificate: for `verify`.
    """

    decision: str
    question: str
    outcome: str
    chosen: str | None
    why: str
    cause: str
    approved_by: tuple[AgentId, ...]
    rejected_by: tuple[AgentId, ...]
    abstained: tuple[AgentId, ...]
    missing: tuple[AgentId, ...]
    algorithm: str
    stored_by: tuple[str, ...]
    entries_committed: int
    rounds: int
    term: int | None
    leader: AgentId | None
    warnings: tuple[str, ...]
    certificate: dict[str, Any]


async def coordinate(run: Run) -> Outcome:
    """Put the question to the voters and return what they decide."""
    asked = _question(run)
    voters = electorate_of(asked.electorate or sorted(run.agents))
    terms = {
        "id": asked.id, "proposal": asked.proposal, "algorithm": _algorithm(run, asked), "group": asked.group,
        "replicas": asked.replicas,
    }  # fmt: skip
    run.progress(0, 1, voters=len(voters))
    try:
        async with run.deadline():
            told = await run.decide(
                asked.question,
                voters,
                rule=rule_of(asked.rule),
                within_s=_within_s(run, asked),
                options=asked.options or (ACCEPT,),
                **terms,
            )
    except TimedOut:
        return Outcome(success=False, timed_out=True, reason="the run's deadline passed before anything was decided")
    run.progress(1, 1, voters=len(voters), outcome=told.status)
    return Outcome(
        success=told.success,
        result=_result(told),
        reason="" if told.success else f"{told.status}: {told.why}",
        participants={
            agent: ParticipantResult(agent=agent, role="voter" if agent in voters else "")
            for agent in sorted(run.agents)
        },
    )


def _question(run: Run) -> Question:
    """Read the options.  One that nobody knows is refused: a misspelt rule must not become another rule.

    Raises:
        Invalid: they are none.
    """
    known = [*Question.__struct_fields__, *Consensus.__struct_fields__]
    strange = [name for name in run.options if name not in known]
    if strange:
        own = ", ".join(Question.__struct_fields__)
        raise Invalid(f"strategy consensus has no option {', '.join(strange)}; it has {own}")
    try:
        asked = msgspec.convert(dict(run.options), Question)
    except msgspec.ValidationError as error:
        raise Invalid(f"the options of strategy consensus do not fit: {error}") from error
    objective = run.objective
    proposal = asked.proposal if asked.proposal is not None else objective.data or None
    asked = msgspec.structs.replace(asked, question=asked.question or objective.description, proposal=proposal)
    if not asked.question:
        raise Invalid("what is to be decided? Give strategy consensus a `question`, or the objective a description")
    return asked


def _algorithm(run: Run, asked: Question) -> str | None:
    """Return how the log is to be kept; None: as the store keeps it.

    The default of the settings is the specification's, raft; only who asks for an algorithm is held to it.
    """
    configured = run.config.strategies.consensus.algorithm
    return asked.algorithm or (None if configured == Consensus().algorithm else configured)


def _within_s(run: Run, asked: Question) -> float:
    """Return how long the voters have, at most until the run's own deadline.

    Raises:
        Invalid: it is no length of time.
    """
    given = run.config.manager.command_timeout if asked.deadline is None else asked.deadline
    try:
        within_s = parse_duration(given) if isinstance(given, str) else float(given)
    except ValueError as error:
        raise Invalid(f"the deadline of strategy consensus: {error}") from error
    left_s = within_s if run.deadline_at is None else run.deadline_at - run.now()
    return min(within_s, left_s)


def _result(told: DecisionResult) -> ConsensusResult:
    certificate: Mapping[str, Any] = msgspec.to_builtins(told.certificate) or {}
    return ConsensusResult(
        decision=told.id,
        question=told.question,
        outcome=told.status,
        chosen=told.chosen,
        why=told.why,
        cause=told.cause or "",
        approved_by=told.approved_by,
        rejected_by=told.rejected_by,
        abstained=told.abstained,
        missing=told.missing,
        algorithm=told.algorithm,
        stored_by=told.stored_by,
        entries_committed=told.entries_committed,
        rounds=told.rounds,
        term=told.term,
        leader=told.leader,
        warnings=told.warnings,
        certificate=dict(certificate),
    )
