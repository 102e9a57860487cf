"""The forming of one coalition: who may join, what each coalition is worth, who agrees to what.

agents --GET_STATUS--> applicants --eligible--> worths --ranked--> the best --bargain--> contract --> agreed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from concerted.config.settings import Coalition as CoalitionSettings
from concerted.errors import Invalid
from concerted.groups.bargaining import (
    Bargain,
    Offers,
    ProfitSharing,
    agreed,
    rounds_of,
    stand_by,
)
from concerted.groups.coalition import Coalition, after_refusal, consent_of, establish, govern, propose
from concerted.groups.crowd import (
    MOST_MEMBERS,
    Draw,
    Search,
    coalition_count,
)
from concerted.groups.formation import (
    Applicant,
    CoalitionConstraints,
    Terms,
    ValuedCoalition,
    choose,
    eligible,
    skills_of,
)
from concerted.groups.games import Skills, mask_of
from concerted.groups.history import PRIOR, History
from concerted.groups.leadership import Candidate
from concerted.groups.sharing import Relations, fair_shares
from concerted.messages import AgreeToContract, GetStatus, Reply
from concerted.run import Run
from concerted.strategies.coalitions.computing import (
    computed_alone,
    computed_assessment,
    computed_fall_back,
    computed_game,
    computed_ranking,
    computed_search,
)
from concerted.strategies.coalitions.talks import Talks, read_reply
from concerted.strategies.coalitions.worths import MOST_TABLED, asked_worths, listed_worths
from concerted.strategies.workshop.options import overlay
from concerted.strategies.workshop.staff import Staff
from concerted.values import AgentId, AgentStatus, Task

__all__ = ["Formation", "Rules", "ask_applicants", "relations_of", "rules_of"]

MOST_PROPOSALS = 20  # coalitions proposed for one task, one after the other
RAPPORT = 0.1  # of the reward: the most that two add who have always done well together

Rules = CoalitionSettings


class _Agreed(msgspec.Struct, frozen=True):
    """An answer to a contract."""

    agreed: bool


def rules_of(run: Run) -> Rules:
    """Return the settings of coalitions with the options of the run over them.

    Raises:
        Invalid: an option does not fit.
    """
    return overlay(run.config.coalition, run.options)


def relations_of(run: Run, rules: Rules) -> Relations:
    """Return who belongs together and who is linked, by the options `unions` and `links` of the run.

    Raises:
        Invalid: they do not fit, or the shares asked for need them and they are not there.
    """
    given = {name: run.options[name] for name in ("unions", "links") if name in run.options}
    try:
        relations = msgspec.convert(given, Relations)
    except msgspec.ValidationError as error:
        raise Invalid(f"the options {' and '.join(given)} of the run do not fit: {error}") from error
    if rules.sharing == "owen" and not relations.unions:
        raise Invalid("sharing owen needs the option unions: lists of the agents that belong together")
    if rules.sharing == "myerson" and not relations.links:
        raise Invalid("sharing myerson needs the option links: pairs of the agents that can talk to each other")
    return relations


class Formation:
    """One formation.  proposed: how many coalitions; refused: those not agreed to; why: why there is none.

    search: how the coalitions that were ranked last were found.
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
        self.search = Search()
        self._worths: Skills | list[float] | dict[int, float] = []
        self.terms = Terms(withdrawn=withdrawn)
        self.relations = relations_of(run, rules)

    async def form(self, task: Task) -> Coalition | None:
        """Form the best coalition that is stable enough and that all its members agree to; None: there is none."""
        constraints = self._constraints(task)
        everybody, silent = await ask_applicants(self.run, self.rules, self.history, self.staff)
        self.applicants = _in_part(everybody, task, self.parts) if self.parts else everybody
        found = eligible(self.applicants.values(), task, constraints, self._most(constraints))
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
                chosen=None if chosen is None else chosen.agents, status=self.search.status, bound=self.search.bound,
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
        self.agents = eligible(applicants.values(), task, constraints, self._most(constraints)).agents
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

    def _most(self, constraints: CoalitionConstraints) -> int:
        """Return how many agents are chosen among: where one is asked, so many that it can be asked for all worths."""
        most = self.rules.max_candidates
        if self.rules.values == "agents":
            while most > 1 and coalition_count(most, constraints.max_size) > self.rules.max_asked:
                most -= 1
        return most

    # what coalitions are worth

    async def _value(self, task: Task, constraints: CoalitionConstraints) -> None:
        """Find the worth of every coalition of those who are eligible, as the setting `values` says."""
        everybody = [self.applicants[agent] for agent in self.agents]
        reliability = {each.profile.id: each.likely for each in everybody}
        skills: Skills | None = None
        if self.rules.values == "capabilities":
            reward = task.max_budget if task.max_budget is not None else sum(each.profile.cost for each in everybody)
            known = set(self.agents)
            pairs = self.history.rapports(RAPPORT * reward)
            skills = skills_of(
                everybody, task, {pair: worth for pair, worth in pairs.items() if known.issuperset(pair)}
            )
            self._worths = skills
        elif self.rules.values == "table":
            self._worths = listed_worths(task, self.agents, self.rules.max_valued)
        else:
            self._worths = await asked_worths(self.run, task, everybody, self.rules, constraints.max_size)
        if self.rules.sharing != "shapley" and min(constraints.max_size, len(self.agents)) > MOST_MEMBERS:
            raise Invalid(
                f"task {task.id}: shares by {self.rules.sharing} take the worth of every part of a coalition, and more "
                f"than {MOST_MEMBERS} members have too many; set max_coalition_size to {MOST_MEMBERS}, or sharing to "
                "shapley"
            )
        costs = {} if constraints.max_cost is None else {each.profile.id: each.profile.cost for each in everybody}
        gone = self.terms.withdrawn
        self.terms = Terms(constraints, reliability, costs, skills, withdrawn=gone, mode=self.rules.mode)

    async def ranked(self) -> list[ValuedCoalition]:
        """Return the coalitions that are feasible, best first."""
        if len(self.agents) > MOST_TABLED:
            draw = self._draw(self.terms.constraints.max_size)
            found = await self.run.compute(
                computed_search, self._worths, self.agents, self.terms, self.rules.max_valued, draw
            )
            self.search = msgspec.convert(found, Search)
            return list(self.search.candidates)
        found = await self.run.compute(computed_ranking, self._worths, self.agents, self.terms)
        return msgspec.convert(found, list[ValuedCoalition])

    async def assess(self, together: Sequence[AgentId]) -> ValuedCoalition:
        """Return what some of the agents are as a coalition of their own."""
        mask, draw = mask_of(together, self.agents), self._draw(len(together))
        found = await self.run.compute(computed_assessment, self._worths, self.agents, mask, self.terms, draw)
        valued = msgspec.convert(found, ValuedCoalition)
        if self.rules.sharing == "shapley":
            return valued
        return await self._divided(valued, await self._game(together))

    def _draw(self, size: int) -> Draw:
        """Return by which seed, and how many worths, coalitions are estimated; the dice fall only if one may be."""
        large = min(size, len(self.agents)) > MOST_MEMBERS
        return Draw(self.run.random.getrandbits(63) if large else 0, self.rules.max_sampled)

    def _why_none(self, candidates: Sequence[ValuedCoalition], constraints: CoalitionConstraints) -> str:
        if self.refused:
            return f"no other coalition is left; {self.why}"
        if not candidates:
            if self.search.status == "feasible":
                return (
                    f"none of the {self.search.valued} coalitions that were looked at keeps to the constraints and "
                    "covers what the task requires; raise coalition.max_valued to look at more"
                )
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
        coalition = msgspec.structs.replace(
            coalition, parts=parts, selection=self.search.status, bound=self.search.bound
        )
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

    def govern(self, task: Task, together: Sequence[AgentId], sharing: ProfitSharing) -> Any:
        """Return who of the members leads, who does what, and how they vote."""
        applicants = [self.applicants[agent] for agent in together]
        candidates = [
            Candidate(each.profile.id, each.profile.capabilities, each.load, each.health) for each in applicants
        ]
        return govern(candidates, task, sharing.shares, self.rules.voting_rule)

    async def _share(self, name: str, task: Task, chosen: ValuedCoalition) -> ProfitSharing:
        """Bargain over the shares; without agreement they are those of the nucleolus."""
        is_large = len(chosen.agents) > MOST_MEMBERS
        game = [] if is_large else await self._game(chosen.agents)
        first = (await self._divided(chosen, game)).first_shares
        alone = {agent: game[1 << place] for place, agent in enumerate(chosen.agents) if not is_large}
        if is_large:
            found = await self.run.compute(computed_alone, self._worths, self.agents, chosen.agents)
            alone = msgspec.convert(found, dict[AgentId, float])
        talks = Talks(self.run, self.rules, name, task, alone)
        if self.rules.bargaining == "offers":
            bargain: Bargain | Offers = await talks.alternate(chosen.value.total)
        else:
            bargain = await talks.bisect(first)
        if bargain.status == "agreed":
            sharing = agreed(bargain, self.run.now())
        elif is_large:
            sharing = stand_by(bargain, first, self.run.now())
        else:
            found = await self.run.compute(computed_fall_back, bargain, game, self.run.now())
            sharing = msgspec.convert(found, ProfitSharing)
        return msgspec.structs.replace(sharing, sharing=self.rules.sharing, first=first, rounds=rounds_of(bargain))

    async def _divided(self, valued: ValuedCoalition, game: list[float]) -> ValuedCoalition:
        """Return a coalition with the shares at which its members begin to bargain, as the setting `sharing` says."""
        if self.rules.sharing == "shapley":
            return valued
        found = await self.run.compute(fair_shares, game, valued.agents, self.rules.sharing, self.relations)
        return msgspec.structs.replace(valued, divided=msgspec.convert(found, dict[AgentId, float]))

    async def _game(self, together: Sequence[AgentId]) -> list[float]:
        """Return the game among some of the agents."""
        found: list[float] = await self.run.compute(
            computed_game, self._worths, self.agents, mask_of(together, self.agents)
        )
        return found


async def ask_applicants(
    run: Run, rules: Rules, history: History, staff: Staff
) -> tuple[dict[AgentId, Applicant], list[AgentId]]:  # fmt: skip
    """Ask everybody how they are; return who applies, and who does not because it has not answered."""
    agents = sorted(run.agents)
    replies = await run.gather(agents, GetStatus(), deadline=rules.answer_timeout)
    applicants = {}
    for reply in replies.ok:
        status, profile = read_reply(reply, AgentStatus), run.agents.get(reply.agent)
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
    said = read_reply(reply, _Agreed)
    return None if said is None else said.agreed


def _mapping(value: Any, whose: str) -> dict[str, Any]:
    try:
        return msgspec.convert(value or {}, dict[str, Any])
    except msgspec.ValidationError as error:
        raise Invalid(f"{whose} must be a table of keys and values: {error}") from error
