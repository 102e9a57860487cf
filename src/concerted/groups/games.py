"""A cooperative game: what each coalition of some agents is worth, as a table indexed by bit mask.

Bit k of a mask stands for agent k, so the coalition of agents 0 and 3 is mask 9, and `table[9]` is its worth.
The worth of nobody is 0.  A table comes from a function that is asked in batches (`tabulate`), from
capabilities with thresholds and synergies (`Skills`), or ready made (`as_table`).

Source: Chalkiadakis, Elkind & Wooldridge, "Computational Aspects of Cooperative Game Theory", 2011, chapter 2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from concerted.errors import Invalid, Overloaded
from concerted.values import AgentId

if TYPE_CHECKING:
    from numpy import float64, int64
    from numpy.typing import NDArray

__all__ = [
    "ASK_AT_ONCE",
    "FORBIDDEN",
    "MOST_AGENTS",
    "Array",
    "Coverage",
    "Skills",
    "Table",
    "as_table",
    "check_convex",
    "check_finite",
    "check_monotone",
    "check_superadditive",
    "coalition_sizes",
    "coverage_table",
    "levels_of",
    "mask_of",
    "members",
    "named",
    "parts_of",
    "shortfalls",
    "subgame",
    "sums",
    "table_of",
    "tabulate",
    "worth",
    "worth_table",
]

MOST_AGENTS = 25  # in a table: 2**25 numbers are 256 MB
MOST_FOR_PAIRS = 15  # agents, where all pairs of a coalition and a part of it are looked at
ASK_AT_ONCE = 4096  # coalitions in one question to a value function
FORBIDDEN = float("-inf")  # the worth of a coalition that may not form
ENOUGH = 1e-9  # by how much sums of levels may miss a threshold: 0.7 + 0.2 + 0.1 is enough for 1

Array: TypeAlias = "NDArray[float64]"
Table: TypeAlias = "Sequence[float] | NDArray[float64]"
Coverage = Literal["all", "least", "mean"]
Member = TypeVar("Member")


# Masks


def members(mask: int, agents: Sequence[Member]) -> tuple[Member, ...]:
    """Return those agents whose bits are in the mask, in their order."""
    return tuple(agent for place, agent in enumerate(agents) if mask >> place & 1)


def mask_of(chosen: Iterable[Member], agents: Sequence[Member]) -> int:
    """Return the mask of the chosen among the agents.

    Raises:
        Invalid: one of the chosen is not among the agents.
    """
    place = {agent: number for number, agent in enumerate(agents)}
    mask = 0
    for agent in chosen:
        if agent not in place:
            raise Invalid(f"{agent} is not an agent of this game; it has {', '.join(map(str, agents))}")
        mask |= 1 << place[agent]
    return mask


def named(mask: int) -> str:
    """Name a coalition in a message: `the coalition of agents 0, 3 (mask 9)`."""
    places = [str(place) for place in range(mask.bit_length()) if mask >> place & 1]
    return f"the coalition of agents {', '.join(places)} (mask {mask})" if places else "the empty coalition"


# Tables


def as_table(values: Table) -> tuple[Array, int]:
    """Return the values as float64[2**n] and n; what is such an array already is not copied.  O(1) or O(2^n).

    Raises:
        Invalid: their number is no power of 2 above 1, or the empty coalition is not worth 0.
        Overloaded: there are more than MOST_AGENTS agents.
    """
    import numpy as np

    given = np.asarray(values, dtype=np.float64)
    n = given.size.bit_length() - 1
    if given.ndim != 1 or n < 1 or given.size != 1 << n:
        raise Invalid(f"{given.size} values are no game: one value for each of the 2**n coalitions of n agents is")
    if n > MOST_AGENTS:
        raise Overloaded(
            f"a table of {n} agents has 2**{n} values; at most {MOST_AGENTS} agents. Sample instead", most=MOST_AGENTS
        )
    table = np.ascontiguousarray(given)
    if table[0] != 0:
        raise Invalid(f"the empty coalition is worth {table[0]:g}; it must be worth 0: subtract that from all values")
    return table, n


def check_finite(table: Array) -> None:
    """Refuse a table in which some coalition is worth NaN or infinity.  O(2^n).

    Raises:
        Invalid: it names the first such coalition.
    """
    import numpy as np

    wrong = ~np.isfinite(table)
    if wrong.any():
        mask = int(wrong.argmax())
        raise Invalid(f"{named(mask)} is worth {table[mask]:g}; every coalition needs a finite worth", mask=mask)


def tabulate(
    n: int, known: dict[int, float] | None = None, batch: int = ASK_AT_ONCE, max_size: int | None = None
) -> Generator[tuple[int, ...], Sequence[float], Array]:
    """Ask for the worth of every coalition, in batches of masks; returns the table.

    A generator: it yields the masks of a batch, smaller coalitions first, and is sent their worths in the same
    order, so that whoever drives it may ask agents, and write down what they said.  known: mask -> worth, what
    is asked no more; it is added to.  max_size: larger coalitions are not asked for, and FORBIDDEN.

    Raises:
        Invalid: an answer is NaN or infinite, or there are more or fewer answers than questions.
        Overloaded: there are more than MOST_AGENTS agents.
    """
    import numpy as np

    if not 1 <= n <= MOST_AGENTS:
        raise Overloaded(f"{n} agents: a table has 1 to {MOST_AGENTS}; sample instead", most=MOST_AGENTS)
    cache = {} if known is None else known
    cache[0] = 0.0
    size = coalition_sizes(n)
    order = np.argsort(size, kind="stable")
    wanted = order if max_size is None else order[size[order] <= max_size]
    missing = [int(mask) for mask in wanted if int(mask) not in cache]
    for start in range(0, len(missing), batch):
        masks = tuple(missing[start : start + batch])
        _learn(cache, masks, (yield masks))
    table = np.full(1 << n, FORBIDDEN)
    table[wanted] = [cache[int(mask)] for mask in wanted]
    return table


def table_of(n: int, value: Callable[[Sequence[int]], Sequence[float]], batch: int = ASK_AT_ONCE) -> Array:
    """Return the table of a function that takes masks and returns their worths; see `tabulate`."""
    asking = tabulate(n, None, batch)
    try:
        masks = next(asking)
        while True:
            masks = asking.send(value(masks))
    except StopIteration as done:
        table: Array = done.value
        return table


def _learn(cache: dict[int, float], masks: Sequence[int], worths: Sequence[float]) -> None:
    if len(worths) != len(masks):
        raise Invalid(f"{len(masks)} coalitions were asked for and {len(worths)} values came; send one for each")
    for mask, worth in zip(masks, worths, strict=True):
        if not FORBIDDEN < worth < float("inf"):
            raise Invalid(f"{named(mask)} is worth {worth}; every coalition needs a finite worth", mask=mask)
        cache[mask] = float(worth)


def sums(weights: Table) -> Array:
    """Return for each coalition the sum of its members' weights: the additive game.  O(2^n)."""
    import numpy as np

    table = np.zeros(1 << len(weights))
    for place, weight in enumerate(weights):
        np.add(table[: 1 << place], weight, out=table[1 << place : 2 << place])
    return table


def coalition_sizes(n: int) -> NDArray[int64]:
    """Return for each coalition how many members it has.  O(2^n)."""
    import numpy as np

    sizes = np.zeros(1 << n, dtype=np.int64)
    for place in range(n):
        np.add(sizes[: 1 << place], 1, out=sizes[1 << place : 2 << place])
    return sizes


def subgame(table: Array, mask: int) -> Array:
    """Return the game among the members of a coalition; bit k is its k-th member.  O(2^members)."""
    return table[parts_of(mask)]


def parts_of(mask: int) -> NDArray[int64]:
    """Return all parts of a coalition, nobody and the whole included, ascending.  O(2^members)."""
    import numpy as np

    parts = np.zeros(1, dtype=np.int64)
    for place in range(mask.bit_length()):
        if mask >> place & 1:
            parts = np.concatenate([parts, parts + (1 << place)])
    return parts


# What some methods need of a game


def check_monotone(table: Array, tolerance: float = 1e-9) -> None:
    """Refuse a game in which somebody's joining lowers the worth.  O(n 2^n).

    Raises:
        Invalid: it names the coalition and who joins.
    """
    for place in range(_count(table)):
        pairs = table.reshape(-1, 2, 1 << place)
        loss = (pairs[:, 0] - pairs[:, 1]).reshape(-1)
        worst = int(loss.argmax())
        if loss[worst] > tolerance:
            mask = _without(worst, place)
            raise Invalid(
                f"the game is not monotone: agent {place} joins {named(mask)}, and its worth falls "
                f"from {table[mask]:g} to {table[mask | 1 << place]:g}",
                mask=mask,
            )


def check_superadditive(table: Array, tolerance: float = 1e-9) -> None:
    """Refuse a game in which two coalitions are worth less together than apart.  O(3^n), n <= MOST_FOR_PAIRS.

    Raises:
        Invalid: it names the coalition and the part that would leave it.
    """
    n = _count(table)
    if n > MOST_FOR_PAIRS:
        raise Overloaded(
            f"{n} agents have 3**{n} pairs of coalitions to look at; at most {MOST_FOR_PAIRS} agents",
            most=MOST_FOR_PAIRS,
        )
    for mask in range(1, 1 << n):
        inside = parts_of(mask)
        gain = table[inside] + table[mask ^ inside] - table[mask]
        worst = int(gain.argmax())
        if gain[worst] > tolerance:
            raise Invalid(
                f"the game is not superadditive: {named(mask)} is worth {table[mask]:g}, "
                f"and {gain[worst]:g} more if mask {int(inside[worst])} leaves it",
                mask=mask,
            )


def check_convex(table: Array, tolerance: float = 1e-9) -> None:
    """Refuse a game in which somebody adds less to a larger coalition.  O(n^2 2^n).

    Raises:
        Invalid: it names the coalition and the two who add less together than apart.
    """
    n = _count(table)
    for high in range(n):
        for low in range(high):
            quads = table.reshape(-1, 2, 1 << (high - low - 1), 2, 1 << low)
            loss = quads[:, 0, :, 1] + quads[:, 1, :, 0] - quads[:, 0, :, 0] - quads[:, 1, :, 1]
            worst = int(loss.reshape(-1).argmax())
            if loss.reshape(-1)[worst] > tolerance:
                mask = _without(_without(worst, low), high)
                raise Invalid(
                    f"the game is not convex: agents {low} and {high} add less to {named(mask)} together than apart",
                    mask=mask,
                )


def _count(table: Array) -> int:
    return int(table.size).bit_length() - 1


def _without(rank: int, place: int) -> int:
    """Return the rank-th mask, from 0, of those that have no bit at `place`."""
    low = rank & ((1 << place) - 1)
    return (rank >> place << (place + 1)) | low


# Games of capabilities


@dataclass(frozen=True, slots=True)
class Skills:
    """A game of capabilities: reward x coverage, plus the synergies within, less what the members cost.

    levels: agent -> capability -> level.  thresholds: capability -> what the work needs of it, above 0.
    coverage: how the parts of what is needed count, each at most 1: `all` or nothing, the `least`, the `mean`.
    combine: a coalition's level is the `sum` of its members' or the `max`.  synergy: what two agents add when
    both are in; may be below 0, and (a, b) is (b, a).  overhead: what each member beyond the first costs.
    may_idle: a coalition may do nothing, so that none is worth less than 0.
    """

    levels: Mapping[AgentId, Mapping[str, float]]
    thresholds: Mapping[str, float]
    reward: float = 1.0
    coverage: Coverage = "least"
    combine: Literal["sum", "max"] = "sum"
    costs: Mapping[AgentId, float] = field(default_factory=dict)
    synergy: Mapping[tuple[AgentId, AgentId], float] = field(default_factory=dict)
    overhead: float = 0.0
    may_idle: bool = False

    def __post_init__(self) -> None:
        for capability, threshold in sorted(self.thresholds.items()):
            if not 0 < threshold < float("inf"):
                raise Invalid(f"the threshold of {capability} is {threshold}; it must be above 0 and finite")
        for a, b in sorted(self.synergy):
            if a == b:
                raise Invalid(f"a synergy of {a} with itself is none; put it into the reward or the cost")
        numbers = [("the reward", self.reward), ("the overhead", self.overhead)]
        numbers += [(f"the cost of {agent}", cost) for agent, cost in sorted(self.costs.items())]
        numbers += [(f"the synergy of {a} and {b}", worth) for (a, b), worth in sorted(self.synergy.items())]
        for agent, levels in sorted(self.levels.items()):
            numbers += [(f"{capability} of {agent}", level) for capability, level in sorted(levels.items())]
        for what, number in numbers:
            if not FORBIDDEN < number < float("inf"):
                raise Invalid(f"{what} is {number}; it must be a finite number")


def worth(skills: Skills, coalition: Sequence[AgentId]) -> float:
    """Return what one coalition is worth; nobody is worth 0.  O(members^2 + members x thresholds)."""
    if not coalition:
        return 0.0
    parts = [_part(level, skills.thresholds[name]) for name, level in levels_of(skills, coalition).items()]
    covered = {"all": float(min(parts, default=1.0) >= 1.0), "least": min(parts, default=1.0)}
    covered["mean"] = sum(parts) / len(parts) if parts else 1.0
    inside = frozenset(coalition)
    together = sum(skills.synergy[pair] for pair in sorted(skills.synergy) if inside.issuperset(pair))
    cost = sum(skills.costs.get(agent, 0.0) for agent in coalition) + skills.overhead * (len(coalition) - 1)
    found = skills.reward * covered[skills.coverage] + together - cost
    return max(0.0, found) if skills.may_idle else found


def levels_of(skills: Skills, coalition: Sequence[AgentId]) -> dict[str, float]:
    """Return what a coalition has of each capability that has a threshold."""
    have = {}
    for capability in sorted(skills.thresholds):
        levels = [skills.levels.get(agent, {}).get(capability, 0.0) for agent in coalition]
        have[capability] = sum(levels) if skills.combine == "sum" else max(levels, default=0.0)
    return have


def shortfalls(skills: Skills, coalition: Sequence[AgentId]) -> tuple[str, ...]:
    """Say of which capabilities a coalition has too little: `french is 0.4 of 0.8`."""
    have = levels_of(skills, coalition)
    return tuple(
        f"{name} is {level:g} of {skills.thresholds[name]:g}"
        for name, level in have.items()
        if _part(level, skills.thresholds[name]) < 1.0
    )


def _part(have: float, threshold: float) -> float:
    """Return which part of a threshold is reached, 0 to 1."""
    return max(0.0, have / threshold) if have < threshold - ENOUGH else 1.0


def worth_table(skills: Skills, agents: Sequence[AgentId]) -> Array:
    """Return what every coalition of the agents is worth, as `worth` would say it.  O((n + thresholds) 2^n).

    Raises:
        Overloaded: there are more than MOST_AGENTS agents.
    """
    import numpy as np

    table = skills.reward * coverage_table(skills, agents, skills.coverage)
    table -= sums([skills.costs.get(agent, 0.0) + skills.overhead for agent in agents]) - skills.overhead
    place = {agent: number for number, agent in enumerate(agents)}
    linked = np.zeros((len(agents), len(agents)))
    for a, b in sorted(skills.synergy):
        if a in place and b in place:
            low, high = sorted((place[a], place[b]))
            linked[high, low] += skills.synergy[a, b]
    pairs = np.zeros(len(table))
    for high in range(len(agents)):
        np.add(pairs[: 1 << high], sums(linked[high, :high]), out=pairs[1 << high : 2 << high])
    table += pairs
    table[0] = 0.0
    return np.maximum(table, 0.0) if skills.may_idle else table


def coverage_table(skills: Skills, agents: Sequence[AgentId], coverage: Coverage) -> Array:
    """Return for every coalition which part of what is needed it covers, 0 to 1.  O(thresholds 2^n).

    Raises:
        Overloaded: there are more than MOST_AGENTS agents.
    """
    import numpy as np

    n = len(agents)
    if not 1 <= n <= MOST_AGENTS:
        raise Overloaded(f"{n} agents: a table has 1 to {MOST_AGENTS}; sample instead", most=MOST_AGENTS)
    least, total = np.ones(1 << n), np.zeros(1 << n)
    for capability, threshold in sorted(skills.thresholds.items()):
        levels = [skills.levels.get(agent, {}).get(capability, 0.0) for agent in agents]
        have = sums(levels) if skills.combine == "sum" else _maxima(levels)
        part = np.where(have < threshold - ENOUGH, np.maximum(have / threshold, 0.0), 1.0)
        np.minimum(least, part, out=least)
        total += part
    if coverage == "all":
        return np.asarray(least >= 1.0, dtype=np.float64)
    if coverage == "least" or not skills.thresholds:
        return least
    return np.asarray(total / len(skills.thresholds), dtype=np.float64)


def _maxima(levels: Sequence[float]) -> Array:
    import numpy as np

    table = np.full(1 << len(levels), FORBIDDEN)
    for place, level in enumerate(levels):
        np.maximum(table[: 1 << place], level, out=table[1 << place : 2 << place])
    return table
