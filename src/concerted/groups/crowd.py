"""The best coalitions among many agents: of all that may form where these are few enough, else what a search finds.

    agents, size limit --at most `budget` coalitions--> each is valued --> the best: optimal
    more than that --from each agent, one change after the other--> the best of what was valued: feasible, a bound

The search begins with each agent in turn, adds members until what is needed is covered, and then adds, drops or
exchanges one as long as the coalition promises more.  It never says that there is nothing better: beside what it
found stands the bound that no coalition can pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, isfinite
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from concerted.errors import Invalid, Overloaded
from concerted.groups.formation import (
    RELIABLE,
    CoalitionValue,
    Terms,
    ValuedCoalition,
    assess_game,
    why_not_feasible,
)
from concerted.groups.games import ENOUGH, FORBIDDEN, Array, Skills, members, parts_of
from concerted.groups.sampling import sampled_shapley
from concerted.values import AgentId

if TYPE_CHECKING:
    from numpy import bool_, int64
    from numpy.typing import NDArray

    Masks: TypeAlias = "NDArray[int64]"

__all__ = [
    "MOST_IN_A_CROWD",
    "Search",
    "assess_among",
    "coalition_count",
    "masks_up_to",
    "member_game",
    "search",
    "worths_of",
]

MOST_IN_A_CROWD = 62  # agents: their coalitions are numbers of 64 bits
MOST_MEMBERS = 16  # of a coalition that is looked at in full: 65,536 parts
AT_ONCE = 1 << 14  # coalitions valued at once
ASSESSED = 24  # coalitions assessed in full
SAMPLED = 4_096  # worths by which a coalition of more members is estimated
SHORT = 1e3  # of all that could be earned: what a coalition loses that covers nothing

Worths: TypeAlias = Skills | Mapping[int, float]


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The best coalitions that were found, best first.

    status: `optimal` if every coalition that may form was valued, else `feasible`.  bound: what can be expected of
    none more than; None: that is not known.  valued: how many coalitions were.
    """

    candidates: tuple[ValuedCoalition, ...] = ()
    status: Literal["optimal", "feasible"] = "optimal"
    bound: float | None = None
    valued: int = 0


@dataclass(frozen=True, slots=True)
class Draw:
    """By which seed, and by how many worths, a coalition of more than 16 members is estimated."""

    seed: int = 0
    calls: int = SAMPLED


def coalition_count(agents: int, max_size: int) -> int:
    """Return how many coalitions of at most so many members there are among so many agents."""
    return sum(comb(agents, size) for size in range(1, min(agents, max_size) + 1))


def masks_up_to(agents: int, max_size: int) -> Iterator[int]:
    """Return the masks of all coalitions of at most so many members, smaller ones first."""
    for size in range(1, min(agents, max_size) + 1):
        for chosen in combinations(range(agents), size):
            yield sum(1 << place for place in chosen)


def search(
    worths: Worths, agents: Sequence[AgentId], terms: Terms, budget: int, most: int = ASSESSED, draw: Draw | None = None
) -> Search:  # fmt: skip
    """Return the most promising coalitions, as `ranked` would of a table.  worths: skills, or mask -> worth.

    Of listed worths only coalitions that are listed are valued, and what is not listed is worth 0.  draw: by
    which coalitions of more than 16 members are estimated.

    Raises:
        Overloaded: there are more than 62 agents, or more coalitions are listed than the budget has.
    """
    if not 1 <= len(agents) <= MOST_IN_A_CROWD:
        raise Overloaded(f"{len(agents)} agents to choose from; 1 to {MOST_IN_A_CROWD}", most=MOST_IN_A_CROWD)
    limit = min(terms.constraints.max_size, len(agents))
    draw = draw or Draw()
    if not isinstance(worths, Skills):
        if len(worths) > budget:
            raise Overloaded(f"{len(worths)} coalitions are listed; at most {budget} are valued", most=budget)
        return _of_all(worths, agents, terms, sorted(worths), most, draw)
    if limit <= MOST_MEMBERS and coalition_count(len(agents), limit) <= budget:
        return _of_all(worths, agents, terms, list(masks_up_to(len(agents), limit)), most, draw)
    hunt = _Hunt(worths, agents, terms, budget)
    found = _assessed(worths, agents, terms, hunt.best(most), draw)
    return Search(candidates=found, status="feasible", bound=_bound(worths, agents, terms), valued=hunt.valued)


def assess_among(
    worths: Worths, agents: Sequence[AgentId], mask: int, terms: Terms, draw: Draw
) -> ValuedCoalition:  # fmt: skip
    """Return all that is to be known of one coalition; of more than 16 members as far as samples tell.

    Then the Shapley values, and what can be expected, are estimates; stability is 1 less the largest gain from leaving
    among the parts that were drawn, over the worth: there may be a larger one.
    """
    if mask.bit_count() <= MOST_MEMBERS:
        return assess_game(member_game(worths, agents, mask), members(mask, agents), mask, terms)
    return _estimated(worths, agents, mask, terms, draw)


def member_game(worths: Worths, agents: Sequence[AgentId], mask: int) -> Array:
    """Return the game among the members of a coalition; bit k is its k-th member.

    Raises:
        Overloaded: it has more than 16 members.
    """
    if mask.bit_count() > MOST_MEMBERS:
        raise Overloaded(f"a coalition of {mask.bit_count()} members; at most {MOST_MEMBERS} are looked at in full")
    return worths_of(worths, agents, parts_of(mask))


def worths_of(worths: Worths, agents: Sequence[AgentId], masks: Masks) -> Array:
    """Return what each of these coalitions is worth; nobody is worth 0.  O(agents x capabilities) each."""
    import numpy as np

    if not isinstance(worths, Skills):
        return np.array([worths.get(mask, 0.0) if mask else 0.0 for mask in masks.tolist()], dtype=np.float64)
    found = np.empty(len(masks))
    for start in range(0, len(masks), AT_ONCE):
        part = masks[start : start + AT_ONCE]
        found[start : start + AT_ONCE] = _of_rows(worths, agents, _rows(part, len(agents)))
    found[masks == 0] = 0.0
    return found


def _of_rows(skills: Skills, agents: Sequence[AgentId], rows: NDArray[bool_]) -> Array:
    """Return what coalitions are worth.  rows: bool[coalitions, agents]."""
    import numpy as np

    parts = 1.0 - _shortfalls(skills, agents, rows)
    if skills.coverage == "all":
        covered = (parts >= 1.0).all(axis=1).astype(np.float64)
    elif skills.coverage == "least":
        covered = parts.min(axis=1, initial=1.0)
    else:
        covered = parts.mean(axis=1) if parts.shape[1] else np.ones(len(rows))
    costs = np.array([skills.costs.get(agent, 0.0) + skills.overhead for agent in agents])
    inside = rows.astype(np.float64)
    found: Array = skills.reward * covered - (inside @ costs - skills.overhead)
    place = {agent: number for number, agent in enumerate(agents)}
    for (first, second), worth in sorted(skills.synergy.items()):
        if first in place and second in place:
            found += worth * (inside[:, place[first]] * inside[:, place[second]])
    return np.maximum(found, 0.0) if skills.may_idle else found


def _shortfalls(skills: Skills, agents: Sequence[AgentId], rows: NDArray[bool_]) -> Array:
    """Return which part of each threshold is missing, 0..1: float64[coalitions, thresholds]."""
    import numpy as np

    missing = np.zeros((len(rows), len(skills.thresholds)))
    for column, (capability, threshold) in enumerate(sorted(skills.thresholds.items())):
        levels = np.array([skills.levels.get(agent, {}).get(capability, 0.0) for agent in agents])
        have = rows @ levels if skills.combine == "sum" else np.where(rows, levels, 0.0).max(axis=1, initial=0.0)
        missing[:, column] = np.where(have < threshold - ENOUGH, 1.0 - np.clip(have / threshold, 0.0, 1.0), 0.0)
    return missing


def _rows(masks: Masks, n: int) -> NDArray[bool_]:
    import numpy as np

    return np.asarray((masks[:, None] >> np.arange(n)) & 1, dtype=np.bool_)


def _may_form(masks: Masks, agents: Sequence[AgentId], terms: Terms) -> NDArray[bool_]:
    """Say of each coalition whether the constraints allow it, whatever it covers."""
    import numpy as np

    constraints, place = terms.constraints, {agent: number for number, agent in enumerate(agents)}
    rows = _rows(masks, len(agents))
    size = rows.sum(axis=1)
    allowed: NDArray[bool_] = (size >= constraints.min_size) & (size <= constraints.max_size)
    for agent in constraints.must_include:
        allowed &= rows[:, place[agent]] if agent in place else False
    for agent in sorted({*constraints.must_exclude, *terms.withdrawn}):
        if agent in place:
            allowed &= ~rows[:, place[agent]]
    for first, second in constraints.incompatible:
        if first in place and second in place:
            allowed &= ~(rows[:, place[first]] & rows[:, place[second]])
    if constraints.max_cost is not None:
        allowed &= rows @ _extra(agents, terms) <= constraints.max_cost + 1e-9
    if terms.refused:
        allowed &= ~np.isin(masks, np.array(sorted(terms.refused), dtype=np.int64))
    return allowed


def _extra(agents: Sequence[AgentId], terms: Terms) -> Array:
    import numpy as np

    return np.array([terms.costs.get(agent, 0.0) for agent in agents])


def _odds(agents: Sequence[AgentId], terms: Terms) -> Array:
    import numpy as np

    return np.array([terms.reliability.get(agent, RELIABLE) for agent in agents])


# Every coalition that may form


def _of_all(
    worths: Worths, agents: Sequence[AgentId], terms: Terms, listed: Sequence[int], most: int, draw: Draw
) -> Search:  # fmt: skip
    """Value all of these coalitions; return the best."""
    import numpy as np

    masks = np.array([mask for mask in listed if mask], dtype=np.int64)
    values = worths_of(worths, agents, masks)
    if not np.isfinite(values).all():
        mask = int(masks[~np.isfinite(values)][0])
        raise Invalid(f"coalition {', '.join(members(mask, agents))} has no finite worth; give every one of them one")
    fine = _may_form(masks, agents, terms)
    if terms.skills is not None:
        for start in range(0, len(masks), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            fine[part] &= ~_shortfalls(terms.skills, agents, _rows(masks[part], len(agents))).any(axis=1)
    order = np.argsort(masks, kind="stable")
    promise = _promises(masks[fine], (masks[order], values[order]), agents, terms)
    found = _foremost(masks[fine], promise, most)
    return Search(candidates=_assessed(worths, agents, terms, found, draw), valued=len(masks))


def _promises(masks: Masks, known: tuple[Masks, Array], agents: Sequence[AgentId], terms: Terms) -> Array:
    """Return what each coalition promises: what can be expected of it, or at most so much in `specification`.

    known: masks in order, and their worths; others are worth 0.  O(2^members) each.
    """
    import numpy as np

    odds = _odds(agents, terms)
    rows = _rows(masks, len(agents))
    size = rows.sum(axis=1)
    promise = np.zeros(len(masks))
    if terms.mode != "sound":
        return np.asarray(_worth(masks, known) * (rows @ odds) / np.maximum(size, 1))
    for count in sorted(set(size.tolist())):
        these = np.flatnonzero(size == count)
        if count > MOST_MEMBERS:  # too many parts: no more than can be expected if the parts are worth something
            promise[these] = _worth(masks[these], known) * np.where(rows[these], odds, 1.0).prod(axis=1)
            continue
        places = np.nonzero(rows[these])[1].reshape(-1, count)
        bits, likely = np.left_shift(np.int64(1), places), odds[places]
        for part in range(1, 1 << count):
            there = np.array([part >> number & 1 for number in range(count)], dtype=np.bool_)
            chance = np.where(there, likely, 1.0 - likely).prod(axis=1)
            promise[these] += chance * _worth(bits[:, there].sum(axis=1), known)
    return promise - rows @ _extra(agents, terms)


def _worth(masks: Masks, known: tuple[Masks, Array]) -> Array:
    import numpy as np

    at = np.minimum(np.searchsorted(known[0], masks), len(known[0]) - 1)
    return np.where(known[0][at] == masks, known[1][at], 0.0)


def _foremost(masks: Masks, promise: Array, most: int) -> list[int]:
    """Return the masks that promise most; of equals those of fewer members, then the lower ones."""
    import numpy as np

    size = np.array([mask.bit_count() for mask in masks.tolist()], dtype=np.int64)
    order = np.lexsort((masks, size, -np.round(promise, 9)))
    return [int(mask) for mask in masks[order][:most]]


def _assessed(
    worths: Worths, agents: Sequence[AgentId], terms: Terms, masks: Sequence[int], draw: Draw
) -> tuple[ValuedCoalition, ...]:  # fmt: skip
    found = [(assess_among(worths, agents, mask, terms, draw), mask) for mask in masks]
    found.sort(key=lambda each: (-round(each[0].expected_utility, 9), len(each[0].agents), each[1]))
    return tuple(valued for valued, _ in found)


# Coalitions of many members


def _estimated(
    worths: Worths, agents: Sequence[AgentId], mask: int, terms: Terms, draw: Draw
) -> ValuedCoalition:  # fmt: skip
    """Return what samples tell of a coalition."""
    import numpy as np

    inside = members(mask, agents)
    bits = np.array([1 << place for place in range(len(agents)) if mask >> place & 1], dtype=np.int64)
    drawn: list[NDArray[bool_]] = []

    def ask(rows: NDArray[bool_]) -> Array:
        drawn.append(rows)
        return worths_of(worths, agents, rows @ bits)

    fair = sampled_shapley(len(inside), ask, draw.calls, draw.seed)
    low, high = fair.interval()
    rows = np.concatenate([np.eye(len(inside), dtype=np.bool_), *drawn])
    some = rows.any(axis=1) & ~rows.all(axis=1)
    gain = float((worths_of(worths, agents, rows[some] @ bits) - rows[some] @ fair.values).max())
    total, alone = worths_of(worths, agents, np.array([mask], dtype=np.int64))[0], worths_of(worths, agents, bits)
    odds = _odds(inside, terms)
    if terms.mode == "sound":
        there = np.random.Generator(np.random.PCG64(draw.seed)).random((draw.calls, len(inside))) < odds
        risk_adjusted = float(worths_of(worths, agents, there @ bits).mean())
        steady = max(0.0, min(1.0, 1.0 - max(0.0, gain) / total)) if total > 0 else float(gain <= ENOUGH)
        utility = risk_adjusted - float(_extra(inside, terms).sum())
    else:
        risk_adjusted = float(total * odds.mean())
        steady = float((fair.values >= alone - ENOUGH).mean())
        utility = risk_adjusted * steady
    reasons = why_not_feasible(inside, mask, terms)
    value = CoalitionValue(
        total=float(total),
        individual_contributions=dict(zip(inside, fair.values.tolist(), strict=True)),
        synergy=float(total - alone.sum()),
        risk_adjusted=risk_adjusted,
        intervals=dict(zip(inside, zip(low.tolist(), high.tolist(), strict=True), strict=True)),
    )
    return ValuedCoalition(
        agents=inside, value=value, stability=steady, feasible=not reasons, expected_utility=utility,
        epsilon=max(0.0, gain), reasons=reasons,
    )  # fmt: skip


# A search


class _Hunt:
    """A search for coalitions that cover what is needed and promise much.  valued: how many it has looked at.

    A coalition promises what it is worth if all its members deliver, times the probability of that: no more than can
    be expected of it where a part of it may also do nothing.
    """

    def __init__(self, skills: Skills, agents: Sequence[AgentId], terms: Terms, budget: int) -> None:
        self._skills, self._agents, self._terms, self._budget = skills, agents, terms, budget
        constraints = terms.constraints
        barred = {*constraints.must_exclude, *terms.withdrawn}
        self._free = [number for number, agent in enumerate(agents) if agent not in barred]
        self._must = sum(1 << number for number, agent in enumerate(agents) if agent in constraints.must_include)
        self._odds, self._extra = _odds(agents, terms), _extra(agents, terms)
        self._loss = SHORT * (1.0 + abs(skills.reward) + sum(abs(cost) for cost in skills.costs.values()))
        self.valued = 0
        self._seen: dict[int, float] = {}

    def best(self, most: int) -> list[int]:
        """Return the masks of the coalitions that promise most, of those that were looked at and may form."""
        import numpy as np

        for start in (self._must, *(self._must | 1 << number for number in self._free)):
            if self.valued >= self._budget:
                break
            self._climb(start)
        masks = np.array(sorted(self._seen), dtype=np.int64)
        return _foremost(masks, np.array([self._seen[mask] for mask in masks.tolist()]), most) if len(masks) else []

    def _climb(self, mask: int) -> None:
        """Change a coalition member by member as long as that makes it better and there is budget left."""
        import numpy as np

        score = self._scores(np.array([mask], dtype=np.int64))[0] if mask else FORBIDDEN
        while self.valued < self._budget:
            near = self._near(mask, covers=score > -self._loss * ENOUGH)
            if not near:
                return
            near = near[: self._budget - self.valued]
            scores = self._scores(np.array(near, dtype=np.int64))
            best = int(scores.argmax())
            if not scores[best] > score + ENOUGH * (1.0 + abs(score) if isfinite(score) else 1.0):
                return
            mask, score = near[best], float(scores[best])

    def _near(self, mask: int, *, covers: bool) -> list[int]:
        """Return the coalitions that differ by one member more, and once all is covered, one less or another."""
        inside = [number for number in self._free if mask >> number & 1 and not self._must >> number & 1]
        outside = [number for number in self._free if not mask >> number & 1]
        room = mask.bit_count() < self._terms.constraints.max_size
        near = [mask | 1 << number for number in outside] if room else []
        if covers or not room:
            near += [mask ^ 1 << number for number in inside if mask ^ 1 << number]
            near += [mask ^ 1 << gone | 1 << come for gone in inside for come in outside]
        return near

    def _scores(self, masks: Masks) -> Array:
        """Return how good coalitions are: what they promise, less a loss for what is missing; note what may form."""
        import numpy as np

        self.valued += len(masks)
        rows = _rows(masks, len(self._agents))
        worth = _of_rows(self._skills, self._agents, rows)
        if self._terms.mode == "sound":
            promise = worth * np.where(rows, self._odds, 1.0).prod(axis=1) - rows @ self._extra
        else:
            promise = worth * (rows @ self._odds) / np.maximum(rows.sum(axis=1), 1)
        short = np.zeros(len(masks))
        if self._terms.skills is not None:
            short = _shortfalls(self._terms.skills, self._agents, rows).sum(axis=1)
        may_form = _may_form(masks, self._agents, self._terms)
        few = np.maximum(self._terms.constraints.min_size - rows.sum(axis=1), 0)
        for mask, value in zip(masks[may_form & (short <= 0)].tolist(), promise[may_form & (short <= 0)], strict=True):
            self._seen[mask] = float(value)
        short += np.where(may_form, 0.0, np.where(few, 10.0 * ENOUGH * few, 1.0 + len(self._agents)))
        return np.where(short > 0, -self._loss * short, promise)


def _bound(skills: Skills, agents: Sequence[AgentId], terms: Terms) -> float:
    """Return what no coalition can be expected to be worth more than.

    The reward and the best synergies that so many can have, less the least that covering any one threshold costs if
    members could be taken in part.  What can be expected is a mean over parts of a coalition, none worth more.
    """
    size = terms.constraints.max_size
    pairs = sorted((worth for worth in skills.synergy.values() if worth > 0), reverse=True)[: size * (size - 1) // 2]
    refunds = sum(-cost for cost in (*skills.costs.values(), *terms.costs.values()) if cost < 0)
    refunds += max(0.0, -skills.overhead) * size
    least = 0.0
    if skills.coverage == "all" and skills.combine == "sum":
        least = max((_least_cost(skills, agents, name) for name in skills.thresholds), default=0.0)
    return max(0.0, skills.reward - least) + sum(pairs) + refunds


def _least_cost(skills: Skills, agents: Sequence[AgentId], capability: str) -> float:
    """Return the least that covering one threshold costs, if members could be taken in part."""
    need, total = skills.thresholds[capability] - ENOUGH, 0.0
    offers = []
    for agent in agents:
        level = skills.levels.get(agent, {}).get(capability, 0.0)
        if level > 0:
            offers.append((max(0.0, skills.costs.get(agent, 0.0)) / level, level))
    for price, level in sorted(offers):
        if need <= 0:
            break
        total += price * min(level, need)
        need -= level
    return total
