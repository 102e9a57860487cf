"""From ballots to an outcome: the weights on each side, what they come to, and from when on nothing can change it.

    final(rule, tally)    what comes of it if no further ballot comes
    settled(rule, tally)  what comes of it whatever the missing voters still do; None while that is open

Both are exact and cost O(options).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from concerted.consensus.decisions.rule import ABSTAIN, REJECT, Rule, share
from concerted.values import AgentId

__all__ = ["Outcome", "Tally", "Verdict", "count", "final", "open_tally", "settled"]

Outcome = Literal["accepted", "rejected", "lapsed"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ballots come to.  chosen: the option that was accepted.  why: in words."""

    outcome: Outcome
    why: str
    chosen: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """The weight of the ballots on each side.

    total: the weight of the electorate.  approvals: option -> weight.  vetoes_out: how many of those with a veto
    have not voted.  vetoed_by: those who have used it, in the order of their ballots.
    """

    total: int
    approvals: dict[str, int]
    rejections: int = 0
    abstentions: int = 0
    vetoes_out: int = 0
    vetoed_by: tuple[AgentId, ...] = field(default=())

    @property
    def cast(self) -> int:
        """The weight of the votes for or against."""
        return sum(self.approvals.values()) + self.rejections

    @property
    def voted(self) -> int:
        """The weight of all ballots, abstentions included."""
        return self.cast + self.abstentions

    @property
    def missing(self) -> int:
        """The weight of those who have not voted."""
        return self.total - self.voted


def open_tally(electorate: Mapping[AgentId, int], options: Iterable[str], rule: Rule) -> Tally:
    """Return the tally before the first ballot.  O(n)."""
    vetoes = dict.fromkeys(rule.vetoes)
    return Tally(sum(electorate.values()), dict.fromkeys(options, 0), vetoes_out=len(vetoes))


def count(tally: Tally, rule: Rule, voter: AgentId, choice: str, weight: int) -> Tally:
    """Return the tally with one more ballot, of a voter who has not voted yet."""
    has_veto = voter in rule.vetoes
    approvals, rejections, abstentions, vetoed_by = (
        tally.approvals,
        tally.rejections,
        tally.abstentions,
        tally.vetoed_by,
    )
    if choice == ABSTAIN:
        abstentions += weight
    elif choice == REJECT:
        rejections += weight
        vetoed_by = (*vetoed_by, voter) if has_veto else vetoed_by
    else:
        approvals = {**approvals, choice: approvals[choice] + weight}
    return Tally(tally.total, approvals, rejections, abstentions, tally.vetoes_out - has_veto, vetoed_by)


def final(rule: Rule, tally: Tally) -> Verdict:
    """Return the outcome if no further ballot comes; a ballot that did not come counts as the rule says."""
    if tally.vetoed_by:
        return Verdict("rejected", f"vetoed by {', '.join(tally.vetoed_by)}")
    if not _is_quorate(rule, tally):
        return Verdict("lapsed", f"{tally.voted} of {tally.total} voted, at least {rule.quorum} must")
    approvals, rejections, silent = _with_silence(rule, tally)
    cast = sum(approvals.values()) + rejections
    for option, yes in approvals.items():
        if _passes(rule, yes, cast, tally.total):
            return Verdict("accepted", _score(rule, option, yes, cast, tally.total), option)
    if rule.base == "electorate":
        if silent and any(_passes(rule, yes + silent, cast + silent, tally.total) for yes in approvals.values()):
            return Verdict("lapsed", f"{_best(rule, approvals, cast, tally.total)}, and {silent} did not vote")
    elif cast == 0:
        return Verdict("lapsed", "nobody voted for or against")
    return Verdict("rejected", _best(rule, approvals, cast, tally.total))


def settled(rule: Rule, tally: Tally) -> Verdict | None:
    """Return the outcome if no completion of the missing ballots can change it.

    Acceptance grows with every ballot for an option and shrinks with every one against it, so the two extremes,
    all for one option and all against, stand for all completions.  Silence is one completion of many: a quorum
    that is not reached yet, or a veto that is not used yet, keeps the outcome open.
    """
    missing = tally.missing
    if tally.vetoed_by or not missing:
        return final(rule, tally)
    if not _is_quorate(rule, tally):
        return None
    cast, approvals = tally.cast + missing, tally.approvals.values()
    if any(_passes(rule, yes, cast, tally.total) for yes in approvals):
        return None if tally.vetoes_out else final(rule, tally)
    is_open = any(_passes(rule, yes + missing, cast, tally.total) for yes in approvals)
    return None if is_open else final(rule, tally)


def _is_quorate(rule: Rule, tally: Tally) -> bool:
    quorum = share(rule.quorum)
    return tally.voted * quorum.denominator >= quorum.numerator * tally.total


def _passes(rule: Rule, yes: int, cast: int, total: int) -> bool:
    threshold = share(rule.threshold)
    has = yes * threshold.denominator  # whole numbers: as exact as fractions, and no greatest divisors to be found
    needed = threshold.numerator * (total if rule.base == "electorate" else cast)
    return yes > 0 and (has > needed if rule.comparison == ">" else has >= needed)


def _with_silence(rule: Rule, tally: Tally) -> tuple[dict[str, int], int, int]:
    """Return approvals, rejections and what stays silent, once the missing ballots count as the rule says."""
    missing = tally.missing
    match rule.silence:
        case "accept":
            (option,) = tally.approvals
            return {option: tally.approvals[option] + missing}, tally.rejections, 0
        case "reject":
            return tally.approvals, tally.rejections + missing, 0
        case "abstain":
            return tally.approvals, tally.rejections, 0
        case "nothing":
            return tally.approvals, tally.rejections, missing


def _best(rule: Rule, approvals: Mapping[str, int], cast: int, total: int) -> str:
    """Say how far the option came that came furthest; of equals the one named first."""
    option = max(approvals, key=lambda one: approvals[one])
    return _score(rule, option, approvals[option], cast, total)


def _score(rule: Rule, option: str, yes: int, cast: int, total: int) -> str:
    of = total if rule.base == "electorate" else cast
    needed = share(rule.threshold) * of
    least = math.floor(needed) + 1 if rule.comparison == ">" else math.ceil(needed)  # weights are whole
    return f"{yes} of {of} for {option}, it takes {max(1, least)}"
