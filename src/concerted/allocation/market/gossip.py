"""Sharing tasks out by talk: agents hear of their neighbours who wins what, and say what they think, until all agree.

    everybody's turn: hear, build, say --all think the same--> agreed
    everybody's turn --not yet--> everybody's turn --no more turns--> apart

An agent holds nothing between its turns: what it thinks comes with its request and goes with its answer, so that both
are in the log and any process of its may take the next turn.  `Talk` carries what is said along a graph of neighbours.
Whoever is not heard of in a round is as it was, and is told the same again; whoever is silent for too long, or gone, is
forgotten, and what it had won is free.  Nobody judges but the agents: see `cbba` for what comes of it.

Source: Choi, Brunet & How 2009, section IV; see `cbba`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from concerted.allocation.market.cbba import CbbaAgent, CbbaMessage, Worth
from concerted.messages import Claims, ShareOut
from concerted.values import AgentId, TaskId

__all__ = ["Stake", "Talk", "neighbours_of", "take_turn"]

SILENT_ROUNDS = 5  # after which an agent that has not answered in any of them is forgotten


@dataclass(frozen=True, slots=True)
class Stake:
    """What one agent has to win.  worth: task -> what it is worth, by its bid.  most: how many it may take."""

    worth: Mapping[TaskId, float]
    most: int


def take_turn(name: AgentId, request: ShareOut, worth: Worth | None = None) -> Claims:
    """Take one agent's turn: hear what it is told, take what it can win, say what it thinks.

    worth: what one more task is worth to it beside those that it has; by default what its bid is worth, whatever it
    has.  A task on which it has not bid is worth nothing.
    """
    own = request.own or Claims(agent=name)
    alone: Worth = worth or (lambda _bundle, task: request.worth[task])
    agent = CbbaAgent(name, request.tasks, lambda bundle, task: _of_bid(request, alone, bundle, task), request.most)
    agent.resume(own.bundle, _message(own))
    for gone in request.gone:
        agent.forget(gone)
    said = agent.step([_message(one) for one in request.told])
    return Claims(
        agent=name, step=said.step, claims=dict(sorted(said.claims.items())), heard=dict(sorted(said.heard.items())),
        bundle=tuple(agent.bundle),
    )  # fmt: skip


@dataclass(slots=True)
class Talk:
    """The newest that everybody has said, and what is still to be told to whom.

    stakes: of all who take part.  neighbours: agent -> of whom it hears.  patience: after how many rounds of silence an
    agent is forgotten.  gone: who was forgotten, and why.
    """

    auction: str
    tasks: tuple[TaskId, ...]
    stakes: Mapping[AgentId, Stake]
    neighbours: Mapping[AgentId, Sequence[AgentId]]
    patience: int = SILENT_ROUNDS
    rounds: int = 0
    gone: dict[AgentId, str] = field(default_factory=dict)
    _said: dict[AgentId, Claims] = field(default_factory=dict)
    _told: dict[AgentId, dict[AgentId, int]] = field(default_factory=dict)
    _silent: dict[AgentId, int] = field(default_factory=dict)

    @property
    def present(self) -> list[AgentId]:
        """Who takes part still, by name."""
        return [agent for agent in sorted(self.stakes) if agent not in self.gone]

    def request(self, agent: AgentId) -> ShareOut:
        """Return what an agent is told and asked at its turn."""
        stake, known = self.stakes[agent], self._told.get(agent, {})
        told = [self._said[other] for other in self._around(agent) if other in self._said]
        return ShareOut(
            auction=self.auction,
            round=self.rounds,
            tasks=self.tasks,
            worth=dict(stake.worth),
            most=stake.most,
            own=self._said.get(agent),
            told=tuple(msg for msg in told if msg.step > known.get(msg.agent, 0)),
            gone=tuple(sorted(self.gone)),
        )

    def hear(self, asked: ShareOut, agent: AgentId, claims: Claims) -> str:
        """Take up what an agent has answered; return why it is no answer, '' if it is one.  Then nothing changes."""
        wrong = self._problem(agent, claims)
        if not wrong:
            self._said[agent] = claims
            self._told.setdefault(agent, {}).update({one.agent: one.step for one in asked.told})
            self._silent[agent] = 0
        return wrong

    def miss(self, agent: AgentId, reason: str) -> None:
        """Take note that an agent has not answered: it is as it was, or forgotten if that happens too often."""
        self._silent[agent] = self._silent.get(agent, 0) + 1
        if self._silent[agent] >= self.patience:
            self.forget(agent, f"{reason}, {self.patience} times")

    def forget(self, agent: AgentId, reason: str) -> None:
        """Go on without an agent: what it had won is free."""
        self.gone[agent] = reason

    @property
    def is_agreed(self) -> bool:
        """Whether all think the same, and it is so: each task has been taken by whom they take for its winner."""
        present = self.present
        if any(agent not in self._said for agent in present):
            return False
        held = {task: agent for agent in present for task in self._said[agent].bundle}
        return all(
            {task: winner for task, (winner, _) in self._said[agent].claims.items()} == held
            and self._said[agent].claims == self._said[present[0]].claims
            for agent in present
        )

    def bundles(self) -> tuple[dict[AgentId, list[TaskId]], dict[TaskId, list[AgentId]]]:
        """Return agent -> the tasks that it alone has taken, and task -> who have, where that is several."""
        takers: dict[TaskId, list[AgentId]] = {}
        for agent in self.present:
            for task in self._said[agent].bundle if agent in self._said else ():
                takers.setdefault(task, []).append(agent)
        won: dict[AgentId, list[TaskId]] = {}
        for task, agents in takers.items():
            if len(agents) == 1:
                won.setdefault(agents[0], []).append(task)
        return won, {task: agents for task, agents in sorted(takers.items()) if len(agents) > 1}

    def _around(self, agent: AgentId) -> Iterable[AgentId]:
        """Return the neighbours that are present; of one that is gone, its neighbours in its place."""
        seen = {agent}
        front = list(self.neighbours[agent])
        found = []
        for other in front:  # grows while we go through it
            if other in seen:
                continue
            seen.add(other)
            if other in self.gone:
                front += self.neighbours[other]
            else:
                found.append(other)
        return sorted(found)

    def _problem(self, agent: AgentId, claims: Claims) -> str:
        stake, before = self.stakes[agent], self._said.get(agent)
        own = {task for task, (winner, _) in claims.claims.items() if winner == agent}
        if claims.agent != agent:
            return f"it speaks for {claims.agent}"
        if before is not None and claims.step <= before.step:
            return f"its step is {claims.step}, and was {before.step}"
        if own != set(claims.bundle) or len(own) < len(claims.bundle):
            return "its bundle is not what it claims for itself"
        if len(own) > stake.most:
            return f"it takes {len(own)} tasks and has room for {stake.most}"
        strange = sorted(own - set(stake.worth)) or sorted(set(claims.claims) - set(self.tasks))
        return f"it has not bid on {strange[0]}" if strange else ""


def neighbours_of(agents: Sequence[AgentId]) -> dict[AgentId, tuple[AgentId, ...]]:
    """Make everybody a neighbour of those 1, 2, 4, 8 ... places away in a ring.

    So what one says comes to all in about log2(n) / 2 rounds, and nobody hears more than 2 log2(n) others.
    """
    count = len(agents)
    steps = [step for step in (2**power for power in range(count.bit_length())) if 2 * step <= count]
    around: dict[AgentId, tuple[AgentId, ...]] = {}
    for place, agent in enumerate(agents):
        places = {(place + way) % count for step in steps for way in (step, -step)}
        around[agent] = tuple(agents[other] for other in sorted(places - {place}))
    return around


def _message(claims: Claims) -> CbbaMessage:
    return CbbaMessage(claims.agent, claims.step, claims.claims, claims.heard)


def _of_bid(request: ShareOut, worth: Worth, bundle: Sequence[TaskId], task: TaskId) -> float:
    return worth(bundle, task) if task in request.worth else 0.0
