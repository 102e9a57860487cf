"""The forming of one coalition: who may join, what each coalition is worth, who agrees to what.

agents --GET_STATUS--> applicants --eligible--> worths --ranked--> the best --bargain--> contract --> agreed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, Literal

import msgspec

from concerted.config.settings import Coalition as CoalitionSettings
from concerted.errors import Invalid
from concerted.groups.bargaining import (
    Answer,
    Bargain,
    Offers,
    ProfitSharing,
    agreed,
    answered,
    equilibrium_offer,
    fall_back,
    heard,
    open_bargain,
    open_offers,
    proposed,
)
from concerted.groups.coalition import Coalition, after_refusal, consent_of, establish, govern, propose
from concerted.groups.formation import (
    Applicant,
    CoalitionConstraints,
    Terms,
    ValuedCoalition,
    assess,
    choose,
    eligible,
    ranked,
    skills_of,
)
from concerted.groups.games import Array, Skills, as_table, mask_of, subgame, worth_table
from concerted.groups.history import PRIOR, History
from concerted.groups.leadership import Candidate
from concerted.messages import AgreeToContract, GetStatus, ProposeDivision, Reply, RequestDivision
from concerted.run import Run
from concerted.strategies.coalitions.worths import asked_worths, listed_worths
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.staff import Staff
from concerted.values import AgentId, AgentStatus, Task

__all__ = ["Formation", "Rules", "ask_applicants", "rules_of"]

MOST_ASKED = 10  # agents of whose coalitions somebody is asked the worth: 1,023 coalitions
MOST_COMPUTED = 16  # agents whose coalitions are computed: 65,536
MOST_RANKED = 24  # coalitions assessed in full, the most promising ones
MOST_PROPOSALS = 20  # coalitions proposed for one task, one after the other
RAPPORT = 0.1  # of the reward: the most that two add who have always done well together

Rules = CoalitionSettings


class _Said(msgspec.Struct, frozen=True):
    """An answer to an offer."""

    accepted: bool
    share: float | None = None


class _Agreed(msgspec.Struct, frozen=True):
    """An answer to a contract."""

    agreed: bool


def rules_of(run: Run) -> Rules:
    """Return the settings of coalitions with the options of the run over them.

    Raises:
        Invalid: an option does not fit.
    """
    return overlay(run.config.coalition, run.options)


class Formation:
    """One formation.  proposed: how many coalitions; refused: those not agreed to; why: why there is none.

    parts: agent -> the part of its capacity that it is to give; where there are any nobody else may join.
    """

    def __init__(
        self,
        run: Run,
        rules: Rules,
        history: History,
        staff: Staff,
        name: str,
        withdrawn: frozenset[AgentId] = frozenset(),
    ) -> None:
        self.run = run
        self.rules = rules
        self.history = history
        self.staff = staff
        self.name = name
        self.why = ""
        self.proposed = 0
        self.refused: list[Coalition] = []
        self.parts: Mapping[AgentId, float] = {}
        self.applicants: dict[AgentId, Applicant] = {}
        self.agents: tuple[AgentId, ...] = ()
        self._worths: Skills | list[float] = []
        self.terms = Terms(withdrawn=withdrawn)

    async def form(self, task: Task) -> Coalition | None:
        """Form the best coalition that is stable enough and that all its members agree to; None: there is none."""
        constraints = self._constraints(task)
        everybody, silent = await ask_applicants(self.run, self.rules, self.history, self.staff)
        self.applicants = _in_part(everybody, task, self.parts) if self.parts else everybody
        found = eligible(self.applicants.values(), task, constraints, self._most())
        self.agents = found.agents
        refused = {**found.refused, **dict.fromkeys(silent, "did not answer")}
        if not found.agents:
            told = [f"{agent} {why}" for agent, why in sorted(refused.items())]
            self.why = f"nobody may join a coalition: {'; '.join(told[:5]) or 'there is nobody'}"
            return None
        await self._value(task, constraints)
        for _ in range(MOST_PROPOSALS):
            candidates = await self.ranked()
            chosen = choose(candidates, constraints.min_stability)
            self.run.record(
                "coalition.valued", ref=task.id, agents=self.agents, refused=refused, feasible=len(candidates),
                chosen=None if chosen is None else chosen.agents,
            )  # fmt: skip
            if chosen is None:
                self.why = self._why_none(candidates, constraints)
                return None
            coalition = await self._agree(task, chosen)
            if coalition.status == "active":
                return coalition
            self.refused.append(coalition)
            self.why = f"coalition {', '.join(coalition.agents)}: {coalition.reason}"
        return None

    async def candidates(self, task: Task, applicants: Mapping[AgentId, Applicant]) -> list[ValuedCoalition]:
        """Return the coalitions of applicants that could be formed, those that promise most first; nobody is asked."""
        constraints = self._constraints(task)
        self.applicants = dict(applicants)
        self.agents = eligible(applicants.values(), task, constraints, self._most()).agents
        if not self.agents:
            return []
        await self._value(task, constraints)
        return [each for each in await self.ranked() if each.stability >= constraints.min_stability]

    # who may join

    def _constraints(self, task: Task) -> CoalitionConstraints:
        """Return what a coalition for a task must keep to: the task's own, the run's, the settings'."""
        given = {**_mapping(self.run.options.get("constraints"), "the option constraints of the run"),
                 **_mapping(task.payload.get("constraints"), f"task {task.id}: its constraints")}  # fmt: skip
        base = {"max_size": self.rules.max_coalition_size, "min_stability": self.rules.stability_threshold}
        base["min_size"] = min(1, self.rules.max_coalition_size)
        try:
            constraints = msgspec.convert({**base, **given}, CoalitionConstraints)
        except msgspec.ValidationError as error:
            raise Invalid(f"the constraints of the coalition for task {task.id} do not fit: {error}") from error
        if task.agent is not None and task.agent not in constraints.must_include:
            must = (*constraints.must_include, task.agent)
            return msgspec.structs.replace(constraints, must_include=must)
        return constraints

    def _most(self) -> int:
        return MOST_ASKED if self.rules.values == "agents" else MOST_COMPUTED

    # what coalitions are worth

    async def _value(self, task: Task, constraints: CoalitionConstraints) -> None:
        """Find the worth of every coalition of those who are eligible, as the setting `values` says."""
        members = [self.applicants[agent] for agent in self.agents]
        reliability = {each.profile.id: each.likely for each in members}
        skills: Skills | None = None
        if self.rules.values == "capabilities":
            reward = task.max_budget if task.max_budget is not None else sum(each.profile.cost for each in members)
            known = set(self.agents)
            pairs = self.history.rapports(RAPPORT * reward)
            skills = skills_of(members, task, {pair: worth for pair, worth in pairs.items() if known.issuperset(pair)})
            self._worths = skills
        elif self.rules.values == "table":
            self._worths = listed_worths(task, self.agents)
        else:
            self._worths = await asked_worths(self.run, task, members, self.rules, constraints.max_size)
        costs = {} if constraints.max_cost is None else {each.profile.id: each.profile.cost for each in members}
        gone = self.terms.withdrawn
        self.terms = Terms(constraints, reliability, costs, skills, withdrawn=gone, mode=self.rules.mode)

    async def ranked(self) -> list[ValuedCoalition]:
        """Return the coalitions that are feasible, best first."""
        found = await self.run.compute(computed_ranking, self._worths, self.agents, self.terms)
        return msgspec.convert(found, list[ValuedCoalition])

    async def assess(self, members: Sequence[AgentId]) -> ValuedCoalition:
        """Return what some of the agents are as a coalition of their own."""
        mask = mask_of(members, self.agents)
        found = await self.run.compute(computed_assessment, self._worths, self.agents, mask, self.terms)
        return msgspec.convert(found, ValuedCoalition)

    def _why_none(self, candidates: Sequence[ValuedCoalition], constraints: CoalitionConstraints) -> str:
        if self.refused:
            return f"no other coalition is left; {self.why}"
        if not candidates:
            return "no coalition keeps to the constraints and covers what the task requires"
        best = max(candidates, key=lambda each: each.stability)
        empty = f"; its core is empty, epsilon = {best.epsilon:g}" if best.epsilon > 1e-9 else ""
        return (
            f"no coalition is stable enough: {', '.join(best.agents)} at {best.stability:.2f}, "
            f"below {constraints.min_stability:.2f}{empty}"
        )

    # who agrees

    async def _agree(self, task: Task, chosen: ValuedCoalition) -> Coalition:
        """Bargain over the shares, propose the contract, and ask every member for its agreement."""
        self.proposed += 1
        stem, _, number = self.name.rpartition("/")
        name = f"{self.run.id}/{stem}/{int(number) + self.proposed - 1}"
        sharing = await self._share(name, task, chosen)
        governance = self.govern(task, chosen.agents, sharing)
        coalition = propose(name, chosen, task, sharing, governance, self.run.now())
        parts = {agent: self.parts[agent] for agent in coalition.agents if agent in self.parts}
        coalition = msgspec.structs.replace(coalition, parts=parts)
        self.run.record(
            "coalition.proposed", agent=governance.leader, ref=name, agents=coalition.agents, shares=sharing.shares,
            stability=chosen.stability, note=sharing.note,
        )  # fmt: skip
        request = AgreeToContract(
            coalition=name, task=task, members=coalition.agents, shares=sharing.shares, roles=governance.roles,
            leader=governance.leader, channel=coalition.communication_channels[0],
            valid_until=coalition.contract.valid_until, exit_penalty=coalition.contract.exit_penalty, parts=parts,
        )  # fmt: skip
        replies = await self.run.gather(coalition.agents, request, deadline=self.rules.answer_timeout)
        said = {reply.agent: _said_yes(reply) for reply in replies}
        consent = consent_of(coalition.contract, said)
        coalition = establish(coalition, consent, self.run.now())
        if coalition.status == "active":
            self.run.record("coalition.formed", agent=governance.leader, ref=name, agents=coalition.agents)
        else:
            terms = after_refusal(self.terms, self.agents, coalition)
            self.terms = replace(terms, withdrawn=terms.withdrawn | frozenset(consent.silent))
        return coalition

    def govern(self, task: Task, members: Sequence[AgentId], sharing: ProfitSharing) -> Any:
        """Return who of the members leads, who does what, and how they vote."""
        applicants = [self.applicants[agent] for agent in members]
        candidates = [
            Candidate(each.profile.id, each.profile.capabilities, each.load, each.health) for each in applicants
        ]
        return govern(candidates, task, sharing.shares, self.rules.voting_rule)

    async def _share(self, name: str, task: Task, chosen: ValuedCoalition) -> ProfitSharing:
        """Bargain over the shares; without agreement they are those of the nucleolus."""
        first = chosen.value.individual_contributions
        game = await self.run.compute(computed_game, self._worths, self.agents, mask_of(chosen.agents, self.agents))
        alone = {agent: game[1 << place] for place, agent in enumerate(chosen.agents)}
        if self.rules.bargaining == "offers":
            bargain: Bargain | Offers = await self._alternate(name, task, chosen, alone)
        else:
            bargain = await self._bisect(name, task, first, alone)
        if bargain.status == "agreed":
            return agreed(bargain, self.run.now())
        found = await self.run.compute(computed_fall_back, bargain, game, self.run.now())
        return msgspec.convert(found, ProfitSharing)

    async def _bisect(
        self, name: str, task: Task, first: dict[AgentId, float], alone: dict[AgentId, float]
    ) -> Bargain:  # fmt: skip
        mode: Literal["bisection", "specification"] = "bisection"
        if self.rules.bargaining == "specification":
            mode = "specification"
        bargain = open_bargain(first, alone, self.rules.profit_sharing_rounds, mode)
        while bargain.status == "open":
            bargain = heard(bargain, await self._hear(name, task, bargain.shares, alone, len(bargain.rounds) + 1))
        return bargain

    async def _alternate(
        self, name: str, task: Task, chosen: ValuedCoalition, alone: dict[AgentId, float]
    ) -> Offers:  # fmt: skip
        """Let the members propose in turn; who proposes nothing sound has the equilibrium proposed in its name."""
        discounts = dict.fromkeys(chosen.agents, self.rules.discount)
        rounds = self.rules.profit_sharing_rounds
        offers = open_offers(chosen.agents, chosen.value.total, discounts, alone, rounds)
        while offers.status == "open":
            best, number = equilibrium_offer(offers), len(offers.rounds) + 1
            question = RequestDivision(
                coalition=name, task=task, total=offers.total, suggestion=best, alone=alone, round=number
            )
            reply = await self.run.ask(offers.proposer, question, deadline=self.rules.answer_timeout)
            try:
                offers = proposed(offers, offers.proposer, msgspec.convert(reply.value, dict[AgentId, float]))
            except (msgspec.ValidationError, Invalid):
                offers = proposed(offers, offers.proposer, best)
            offers = answered(offers, await self._hear(name, task, offers.shares, alone, number))
        return offers

    async def _hear(
        self, name: str, task: Task, shares: dict[AgentId, float], alone: dict[AgentId, float], number: int
    ) -> list[Answer]:  # fmt: skip
        """Show an offer to all members; an answer of another form counts as none."""
        request = ProposeDivision(coalition=name, task=task, shares=shares, alone=alone, round=number)
        replies = await self.run.gather(sorted(shares), request, deadline=self.rules.answer_timeout)
        answers = []
        for reply in replies:
            said = _read(reply, _Said)
            if reply.status == "refused":
                said = _Said(accepted=False)
            if said is not None:
                share = said.share if said.share is not None and isfinite(said.share) else None
                answers.append(Answer(reply.agent, said.accepted, share))
        return answers


async def ask_applicants(
    run: Run, rules: Rules, history: History, staff: Staff
) -> tuple[dict[AgentId, Applicant], list[AgentId]]:  # fmt: skip
    """Ask everybody how they are; return who applies, and who does not because it has not answered."""
    agents = sorted(run.agents)
    replies = await run.gather(agents, GetStatus(), deadline=rules.answer_timeout)
    applicants = {}
    for reply in replies.ok:
        status, profile = _read(reply, AgentStatus), run.agents.get(reply.agent)
        if status is not None and profile is not None:
            likely = history.reliability(reply.agent, profile.capabilities.get("reliability", PRIOR))
            applicants[reply.agent] = Applicant(profile, staff.load(reply.agent), status.health, likely)
    return applicants, [agent for agent in agents if agent not in applicants]


def _in_part(
    applicants: Mapping[AgentId, Applicant], task: Task, parts: Mapping[AgentId, float]
) -> dict[AgentId, Applicant]:  # fmt: skip
    """Return those who give a part of themselves, as that part: of what the task requires, and of what they cost."""
    found = {}
    for agent, part in sorted(parts.items()):
        if agent in applicants:
            profile = applicants[agent].profile
            levels = {
                name: level * part if name in task.required_capabilities else level
                for name, level in profile.capabilities.items()
            }
            scaled = msgspec.structs.replace(profile, capabilities=levels, cost=profile.cost * part)
            found[agent] = replace(applicants[agent], profile=scaled, load=0.0)
    return found


def _said_yes(reply: Reply) -> bool | None:
    if reply.status == "refused":
        return False
    said = _read(reply, _Agreed)
    return None if said is None else said.agreed


def _read(reply: Reply, kind: type[Any]) -> Any:
    """Read an answer; None if there is none, or one of another form."""
    if not reply.ok:
        return None
    try:
        return msgspec.convert(reply.value, kind)
    except msgspec.ValidationError:
        return None


def _mapping(value: Any, whose: str) -> dict[str, Any]:
    try:
        return msgspec.convert(value or {}, dict[str, Any])
    except msgspec.ValidationError as error:
        raise Invalid(f"{whose} must be a table of keys and values: {error}") from error


# As `run.compute` calls them


def computed_ranking(worths: Skills | list[float], agents: Sequence[AgentId], terms: Terms) -> Any:
    """Return the ranked coalitions."""
    return msgspec.to_builtins(ranked(_table(worths, agents), agents, terms, MOST_RANKED))


def computed_assessment(worths: Skills | list[float], agents: Sequence[AgentId], mask: int, terms: Terms) -> Any:
    """Return one coalition assessed."""
    return msgspec.to_builtins(assess(_table(worths, agents), agents, mask, terms))


def computed_game(worths: Skills | list[float], agents: Sequence[AgentId], mask: int) -> list[float]:
    """Return the game among the members of one coalition."""
    return [float(worth) for worth in subgame(_table(worths, agents), mask)]


def _table(worths: Skills | list[float], agents: Sequence[AgentId]) -> Array:
    return worth_table(worths, agents) if isinstance(worths, Skills) else as_table(worths)[0]


def computed_fall_back(bargain: Bargain | Offers, game: list[float], now: float) -> Any:
    """Return the shares of the nucleolus."""
    return msgspec.to_builtins(fall_back(bargain, game, now))
