"""What the coalitions of a run came to: each with its contract and payments, and what is remembered of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from concerted.board.task import TaskState
from concerted.groups.coalition import Coalition, compensations
from concerted.groups.history import History
from concerted.strategies.workshop.delegation import Delegation
from concerted.strategies.workshop.outcome import participants_of, why_not
from concerted.values import AgentId, Outcome, ParticipantResult, TaskId

__all__ = ["Chronicle", "CoalitionResult"]


class CoalitionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a run.

    coalitions: in the order in which they ended, those refused included.  payments: coalition -> agent -> what it
    is paid.  earned: agent -> all it is paid.  penalties: agent -> all it owes for having walked away; compensation:
    agent -> all that it is owed for that.  history: what is known of everybody by the end, of
    earlier runs too.
    """

    tasks_completed: int
    total_tasks: int
    coalitions: tuple[Coalition, ...]
    payments: dict[str, dict[AgentId, float]]
    earned: dict[AgentId, float]
    penalties: dict[AgentId, float] = {}
    compensation: dict[AgentId, float] = {}
    history: History = History()


class Chronicle:
    """The coalitions of one run, as they end."""

    def __init__(self) -> None:
        self._coalitions: list[Coalition] = []
        self._payments: dict[str, dict[AgentId, float]] = {}

    def ended(self, coalition: Coalition, paid: Mapping[AgentId, float]) -> None:
        """Take a coalition that is over, and what its members are paid."""
        self._coalitions.append(coalition)
        if paid:
            self._payments[coalition.id] = dict(paid)

    def outcome(
        self, book: Delegation | None, agents: Iterable[AgentId], history: History,
        states: Mapping[TaskId, TaskState], *, timed_out: bool,
    ) -> Outcome:  # fmt: skip
        """Return how it all ended; success means that there were tasks and every mandatory one is done.

        states: of all tasks and parts that anybody has begun.
        """
        results = () if book is None else book.task_results()
        tasks = {} if book is None else book.tasks
        missing = [one for one in results if one.status != "done" and tasks[one.id].mandatory]
        exits = [each for coalition in self._coalitions for each in coalition.exits]
        return Outcome(
            success=bool(results) and not missing and not timed_out,
            result=CoalitionResult(
                tasks_completed=0 if book is None else len(book.results),
                total_tasks=len(results),
                coalitions=tuple(self._coalitions),
                payments=self._payments,
                earned=_summed(self._payments.values()),
                penalties=_summed({each.agent: each.penalty} for each in exits),
                compensation=_summed(compensations(each) for each in self._coalitions),
                history=history,
            ),
            reason=why_not(len(results), missing, timed_out),
            tasks=results,
            participants=self._participants(agents, states.values()),
            timed_out=timed_out,
        )

    def _participants(
        self, agents: Iterable[AgentId], states: Iterable[TaskState]
    ) -> dict[AgentId, ParticipantResult]:  # fmt: skip
        worked = [each for each in self._coalitions if each.status != "refused"]
        roles = {agent: role for each in worked for agent, role in each.governance.roles.items()}
        return participants_of(states, agents, roles)


def _summed(amounts: Iterable[Mapping[AgentId, float]]) -> dict[AgentId, float]:
    """Return agent -> the sum of all its amounts, by id."""
    sums: dict[AgentId, float] = {}
    for each in amounts:
        for agent, amount in each.items():
            sums[agent] = sums.get(agent, 0.0) + amount
    return dict(sorted(sums.items()))
