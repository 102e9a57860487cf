"""How the members of a coalition come to divide its worth, in a bounded number of rounds.

    open --all accept--> agreed
    open --no offer is left that nobody has refused, or offers stop moving--> stable
    open --the last round is over--> exhausted

*Bisection* (`Bargain`).  All are shown an offer and say yes or no; a no may name the share that would do.  What
an agent has refused is below what it wants, what it has accepted or named is enough; the next offer lies
between the two for everybody, at the same ratio, so that all of it is handed out.  Nobody is ever offered
again what it has refused.

*Alternating offers* (`Offers`).  The members propose in turn, and a round's delay costs each its discount.  The
offer that nobody has a reason to refuse, or to improve on by waiting, is computed backwards from the last
round; without a last round it is Rubinstein's.

What is not agreed falls back to the nucleolus, and says how empty the core is.

Sources: Rubinstein 1982, "Perfect equilibrium in a bargaining model"; Binmore 1987, "Perfect equilibria in
bargaining models"; the specification, `negotiateProfitSharing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum, isfinite
from typing import Literal

import msgspec

from concerted.errors import Invalid, NotAllowed, WrongPhase
from concerted.groups.games import Table
from concerted.groups.stability import least_core, nucleolus, say_core
from concerted.values import AgentId, Instant

__all__ = [
    "Answer",
    "Bargain",
    "NegotiationRound",
    "Offers",
    "ProfitSharing",
    "Round",
    "agreed",
    "answered",
    "equilibrium_offer",
    "fall_back",
    "heard",
    "open_bargain",
    "open_offers",
    "proposed",
    "rounds_of",
    "rubinstein",
    "stand_by",
]

MOST_ROUNDS = 10
STILL = 1e-3  # of the total: offers that move less have stopped
RAISE = 0.1  # of the total, over the members: what `specification` adds to the share of who refuses
ROUNDING = 1e-9  # of the total
STOPPED = "the offers have stopped moving"

Mode = Literal["bisection", "specification"]
Status = Literal["open", "agreed", "stable", "exhausted"]


class NegotiationRound(msgspec.Struct, frozen=True):
    """One round: what was proposed, and who accepted it; None: no answer came."""

    proposal: dict[AgentId, float]
    accepted: dict[AgentId, bool | None]


class ProfitSharing(msgspec.Struct, frozen=True, kw_only=True):
    """How the worth of a coalition is divided, and how that came about.

    acceptance_rate: of the last offer.  is_fallback: not agreed, but the nucleolus.  epsilon: of the least
    core, where it was computed.  sharing: by which idea of fairness the first shares were found, before anybody
    was asked; first: those shares.  rounds: what was proposed in each, and who accepted it.
    """

    shares: dict[AgentId, float]
    acceptance_rate: float
    negotiation_rounds: int
    finalized_at: Instant
    is_fallback: bool = False
    epsilon: float | None = None
    note: str = ""
    sharing: str = "shapley"
    first: dict[AgentId, float] = {}
    rounds: tuple[NegotiationRound, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member says to an offer.  share: the least that it would take, if it says so."""

    agent: AgentId
    accepted: bool
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One offer and who accepted it; None: no answer came."""

    shares: tuple[float, ...]
    accepted: tuple[bool | None, ...]


# Bisection


@dataclass(frozen=True, slots=True)
class Bargain:
    """A bargain as far as it has come.  offer: what is on the table now, in the order of the agents.

    refused: the most that each has refused, or what it has anyway.  enough: the least that each has accepted
    or named, or all that could be left for it.
    """

    agents: tuple[AgentId, ...]
    total: float
    offer: tuple[float, ...]
    refused: tuple[float, ...]
    enough: tuple[float, ...]
    floors: tuple[float, ...]
    rounds: tuple[Round, ...] = ()
    max_rounds: int = MOST_ROUNDS
    mode: Mode = "bisection"
    status: Status = "open"
    reason: str = ""

    @property
    def shares(self) -> dict[AgentId, float]:
        """The offer by agent."""
        return dict(zip(self.agents, self.offer, strict=True))


def open_bargain(
    first: Mapping[AgentId, float],
    floors: Mapping[AgentId, float] | None = None,
    max_rounds: int = MOST_ROUNDS,
    mode: Mode = "bisection",
) -> Bargain:
    """Open a bargain over the sum of a first offer, such as the Shapley value.

    floors: what each has if there is no coalition; 0 for who is not named.  mode `specification`: who refuses
    is offered more by a fixed step at the cost of all, so that what was refused may come again.

    Raises:
        Invalid: there is nobody, or a share is no finite number.
    """
    agents = tuple(sorted(first))
    if not agents or not all(isfinite(share) for share in first.values()):
        raise Invalid(f"the first offer is {dict(first)}; it must name one finite share for each member")
    total = fsum(first.values())
    low = tuple((floors or {}).get(agent, 0.0) for agent in agents)
    most = tuple(max(total - (fsum(low) - floor), floor) for floor in low)
    offer = tuple(first[agent] for agent in agents)
    bargain = Bargain(agents, total, offer, low, most, low, max_rounds=max_rounds, mode=mode)
    if fsum(low) > total + _rounding(bargain):
        return replace(bargain, status="stable", reason="the members have more without each other than together")
    return bargain if max_rounds > 0 else replace(bargain, status="exhausted", reason="no round is allowed")


def heard(bargain: Bargain, answers: Sequence[Answer]) -> Bargain:
    """Return the bargain after the answers to its offer; who has not answered has not accepted.

    Raises:
        WrongPhase: it is over.
        NotAllowed: somebody answers who is not a member.
        Invalid: a member names a share that is no finite number.
    """
    if bargain.status != "open":
        raise WrongPhase(f"this bargain is over: {bargain.status}. Open another one")
    said = _by_agent(bargain.agents, answers)
    accepted = tuple(said[agent].accepted if agent in said else None for agent in bargain.agents)
    rounds = (*bargain.rounds, Round(bargain.offer, accepted))
    if all(accepted):
        return replace(bargain, rounds=rounds, status="agreed")
    learned = _learned(replace(bargain, rounds=rounds), said)
    if len(rounds) >= bargain.max_rounds:
        return replace(learned, status="exhausted", reason=f"not agreed after {len(rounds)} rounds")
    return _bisected(learned) if bargain.mode == "bisection" else _raised(learned)


def _learned(bargain: Bargain, said: Mapping[AgentId, Answer]) -> Bargain:
    refused, enough = list(bargain.refused), list(bargain.enough)
    for place, agent in enumerate(bargain.agents):
        answer, offered = said.get(agent), bargain.offer[place]
        if answer is None:
            continue
        if answer.accepted:
            enough[place] = min(enough[place], offered)
        else:
            refused[place] = max(refused[place], offered)
        if answer.share is not None:
            enough[place] = min(enough[place], answer.share) if answer.accepted else answer.share
        if enough[place] <= refused[place]:  # it wants more than it once accepted: what it refuses now counts
            enough[place] = max(bargain.total - fsum(bargain.floors) + bargain.floors[place], refused[place])
    return replace(bargain, refused=tuple(refused), enough=tuple(enough))


def _bisected(bargain: Bargain) -> Bargain:
    """Make the next offer, between what was refused and what is enough, the same part of the way for all.

    When offers have all but stopped moving, who still refuses is given enough, if there is as much.
    """
    if bargain.total - fsum(bargain.refused) <= _rounding(bargain):
        return replace(bargain, status="stable", reason="what the members have refused sums to all there is")
    last = bargain.rounds[-1].accepted
    offer = _between(bargain, bargain.refused)
    if fsum(bargain.enough) > bargain.total and not _moves(bargain, offer):
        pairs = zip(last, bargain.refused, bargain.enough, strict=True)
        lows = [most if yes is False else low for yes, low, most in pairs]
        if False not in last or fsum(lows) > bargain.total:
            return replace(bargain, status="stable", reason=STOPPED)
        offer = _between(bargain, lows)
    for place, (share, low) in enumerate(zip(offer, bargain.refused, strict=True)):
        if share <= low and any(each.accepted[place] is False for each in bargain.rounds):
            reason = f"{bargain.agents[place]} has refused all that could be left for it"
            return replace(bargain, status="stable", reason=reason)
    return replace(bargain, offer=offer)


def _between(bargain: Bargain, lows: Sequence[float]) -> tuple[float, ...]:
    """Hand out all, the same part of the way from these shares to what is enough for each, or beyond it."""
    total, enough = bargain.total, bargain.enough
    spare = total - fsum(enough)
    if spare >= 0:
        return _exact([share + spare / len(enough) for share in enough], total)
    room = total - fsum(lows)
    part = room / (room - spare)
    return _exact([low + part * (high - low) for low, high in zip(lows, enough, strict=True)], total)


def _raised(bargain: Bargain) -> Bargain:
    """Make the next offer as the specification does: more for who refused, and all scaled to the total."""
    accepted = bargain.rounds[-1].accepted
    step = RAISE * bargain.total / len(bargain.agents)
    wanted = [share if yes else share + step for share, yes in zip(bargain.offer, accepted, strict=True)]
    scale = bargain.total / fsum(wanted) if fsum(wanted) else 0.0
    offer = _exact([share * scale for share in wanted], bargain.total)
    moved = _moves(bargain, offer)
    return replace(bargain, offer=offer) if moved else replace(bargain, status="stable", reason=STOPPED)


def _moves(bargain: Bargain, offer: Sequence[float]) -> bool:
    step = max(abs(new - old) for new, old in zip(offer, bargain.offer, strict=True))
    return step > STILL * abs(bargain.total)


def _exact(shares: list[float], total: float) -> tuple[float, ...]:
    """Let the largest share carry what rounding has left over."""
    largest = max(range(len(shares)), key=lambda place: shares[place])
    shares[largest] += total - fsum(shares)
    return tuple(shares)


def _rounding(bargain: Bargain) -> float:
    return ROUNDING * max(abs(bargain.total), fsum(abs(floor) for floor in bargain.floors))


# Alternating offers


@dataclass(frozen=True, slots=True)
class Offers:
    """Offers made in turn.  discounts: what a share is worth to each a round later, 0..1.

    on_table: the shares proposed in this round, in the order of the agents; empty until somebody has.
    """

    agents: tuple[AgentId, ...]
    total: float
    discounts: tuple[float, ...]
    floors: tuple[float, ...]
    rounds: tuple[Round, ...] = ()
    on_table: tuple[float, ...] = ()
    max_rounds: int = MOST_ROUNDS
    status: Status = "open"
    reason: str = ""

    @property
    def proposer(self) -> AgentId:
        """Whose turn it is to propose."""
        return self.agents[len(self.rounds) % len(self.agents)]

    @property
    def shares(self) -> dict[AgentId, float]:
        """The offer on the table by agent."""
        return dict(zip(self.agents, self.on_table, strict=False))


def open_offers(
    agents: Sequence[AgentId],
    total: float,
    discounts: Mapping[AgentId, float],
    floors: Mapping[AgentId, float] | None = None,
    max_rounds: int = MOST_ROUNDS,
) -> Offers:
    """Open alternating offers over `total`; the agents propose in this order.

    Raises:
        Invalid: there is nobody, or a discount is not between 0 and 1.
    """
    if not agents or not isfinite(total):
        raise Invalid(f"{total} among {len(agents)} agents cannot be divided; it takes a finite total and an agent")
    delays = tuple(discounts.get(agent, 1.0) for agent in agents)
    _check_discounts(delays)
    low = tuple((floors or {}).get(agent, 0.0) for agent in agents)
    offers = Offers(tuple(agents), total, delays, low, max_rounds=max_rounds)
    if fsum(low) > total + ROUNDING * abs(total):
        return replace(offers, status="stable", reason="the members have more without each other than together")
    return offers if max_rounds > 0 else replace(offers, status="exhausted", reason="no round is allowed")


def equilibrium_offer(offers: Offers) -> dict[AgentId, float]:
    """Return what the proposer of this round should offer: each other as much as it could have by waiting.

    Computed backwards from the last round, after which each has its floor.  O(rounds x agents).
    """
    count, left = len(offers.agents), offers.max_rounds - len(offers.rounds)
    have = list(offers.floors)
    for ahead in reversed(range(left)):
        proposer = (len(offers.rounds) + ahead) % count
        last = ahead == left - 1
        wait = have if last else [share * delay for share, delay in zip(have, offers.discounts, strict=True)]
        give = [max(low, share) for low, share in zip(offers.floors, wait, strict=True)]
        rest = offers.total - (fsum(give) - give[proposer])
        give[proposer] = max(give[proposer], rest)
        have = give
    return dict(zip(offers.agents, have, strict=True))


def proposed(offers: Offers, agent: AgentId, shares: Mapping[AgentId, float]) -> Offers:
    """Put the proposer's offer on the table.

    Raises:
        WrongPhase: the bargain is over, or an offer is on the table already.
        NotAllowed: it is not this agent's turn.
        Invalid: the shares do not name each member once, or do not sum to the total.
    """
    if offers.status != "open" or offers.on_table:
        state = "waits for answers" if offers.on_table else f"is over: {offers.status}"
        raise WrongPhase(f"{agent} may not propose now: the bargain {state}")
    if agent != offers.proposer:
        raise NotAllowed(f"it is not the turn of {agent} to propose; {offers.proposer} does in this round")
    if sorted(shares) != sorted(offers.agents) or not all(isfinite(share) for share in shares.values()):
        raise Invalid(f"{agent} proposes {dict(shares)}; it must name one share for each of {', '.join(offers.agents)}")
    total = fsum(shares.values())
    if abs(total - offers.total) > ROUNDING * max(1.0, abs(offers.total)):
        raise Invalid(f"the shares that {agent} proposes sum to {total:g}; they must sum to {offers.total:g}")
    return replace(offers, on_table=tuple(shares[each] for each in offers.agents))


def answered(offers: Offers, answers: Sequence[Answer]) -> Offers:
    """Return the bargain after the answers to the offer on the table; the proposer accepts its own.

    Raises:
        WrongPhase: there is no offer on the table.
        NotAllowed: somebody answers who is not a member.
    """
    if not offers.on_table or offers.status != "open":
        raise WrongPhase(f"there is no offer to answer; {offers.proposer} is to propose first")
    said = _by_agent(offers.agents, answers)
    accepted = tuple(
        True if agent == offers.proposer else said[agent].accepted if agent in said else None for agent in offers.agents
    )
    rounds = (*offers.rounds, Round(offers.on_table, accepted))
    if all(accepted):
        return replace(offers, rounds=rounds, status="agreed")
    if len(rounds) >= offers.max_rounds:
        return replace(offers, rounds=rounds, status="exhausted", reason=f"not agreed after {len(rounds)} rounds")
    return replace(offers, rounds=rounds, on_table=())


def rubinstein(total: float, discounts: Sequence[float]) -> list[float]:
    """Return what each gets where the agents propose in turn without end, the first one first.

    Whoever proposes offers each other its own share as proposer, discounted once for each round until its
    turn.  Of two with the discounts d1 and d2 the first gets (1 - d2) / (1 - d1 d2).  O(agents^3).

    Raises:
        Invalid: a discount is not between 0 and 1, or nobody loses by waiting.
    """
    import numpy as np

    _check_discounts(discounts)
    count = len(discounts)
    if count == 1:
        return [float(total)]
    if min(discounts) >= 1.0:
        raise Invalid("nobody loses by waiting, so no offer is better than another; give one a discount below 1")
    waits = (np.arange(count)[None, :] - np.arange(count)[:, None]) % count
    shares = np.asarray(discounts)[None, :] ** waits
    own = np.linalg.solve(shares, np.full(count, float(total)))
    return [float(share) for share in shares[0] * own]


def _check_discounts(discounts: Sequence[float]) -> None:
    for discount in discounts:
        if not 0.0 <= discount <= 1.0:
            raise Invalid(f"the discount {discount} is not between 0 and 1: it is what a share is worth a round later")


def _by_agent(agents: Sequence[AgentId], answers: Sequence[Answer]) -> dict[AgentId, Answer]:
    """Return the last answer of each."""
    for answer in answers:
        if answer.agent not in agents:
            raise NotAllowed(f"{answer.agent} is not a member of this bargain; its members are {', '.join(agents)}")
        if answer.share is not None and not isfinite(answer.share):
            raise Invalid(f"{answer.agent} asks for a share of {answer.share}; it must be a finite number")
    return {answer.agent: answer for answer in answers}


# The end of it


def rounds_of(bargain: Bargain | Offers) -> tuple[NegotiationRound, ...]:
    """Return what was proposed in each round, and who accepted it."""
    agents = bargain.agents
    return tuple(
        NegotiationRound(dict(zip(agents, each.shares, strict=True)), dict(zip(agents, each.accepted, strict=True)))
        for each in bargain.rounds
    )


def agreed(bargain: Bargain | Offers, now: Instant) -> ProfitSharing:
    """Return what was agreed.

    Raises:
        WrongPhase: it was not; see `fall_back`.
    """
    if bargain.status != "agreed":
        raise WrongPhase(f"the members have not agreed: {bargain.status}, {bargain.reason or 'go on'}. Fall back")
    shares = dict(zip(bargain.agents, bargain.rounds[-1].shares, strict=True))
    return ProfitSharing(
        shares=shares, acceptance_rate=1.0, negotiation_rounds=len(bargain.rounds), finalized_at=now, note="agreed"
    )


def fall_back(bargain: Bargain | Offers, game: Table, now: Instant) -> ProfitSharing:
    """Return the nucleolus of the members' own game, where they did not agree; the note says how the core is.

    game: what each part of the coalition is worth; bit k is the k-th of the bargain's agents.

    Raises:
        Invalid: the game is not one of as many agents.
    """
    if len(game) != 1 << len(bargain.agents):
        raise Invalid(f"a game of {len(game)} values is not one of the {len(bargain.agents)} members of this bargain")
    epsilon = least_core(game).epsilon
    alone = fsum(float(game[1 << place]) for place in range(len(bargain.agents)))
    shares = nucleolus(game, "imputations" if alone <= float(game[len(game) - 1]) else "preimputations")
    accepted = bargain.rounds[-1].accepted if bargain.rounds else (None,)
    return ProfitSharing(
        shares={agent: float(share) for agent, share in zip(bargain.agents, shares, strict=True)},
        acceptance_rate=sum(bool(yes) for yes in accepted) / len(accepted),
        negotiation_rounds=len(bargain.rounds),
        finalized_at=now,
        is_fallback=True,
        epsilon=epsilon,
        note=f"{bargain.reason or bargain.status}; the nucleolus instead: {say_core(epsilon)}",
    )


def stand_by(bargain: Bargain | Offers, first: Mapping[AgentId, float], now: Instant) -> ProfitSharing:
    """Return the shares with which they began, where they did not agree and are too many for the nucleolus."""
    accepted = bargain.rounds[-1].accepted if bargain.rounds else (None,)
    return ProfitSharing(
        shares=dict(first),
        acceptance_rate=sum(bool(yes) for yes in accepted) / len(accepted),
        negotiation_rounds=len(bargain.rounds),
        finalized_at=now,
        is_fallback=True,
        note=f"{bargain.reason or bargain.status}; the first shares instead: {len(first)} members are too many for "
        "the nucleolus",
    )
