"""Rules of judgement: how much acceptance is enough, of whom, who may veto, and what silence means.

A rule is data with one JSON form.  All its shares are fractions and are compared as such: two thirds of three
voters are two of them, whatever a float thinks of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import msgspec

from concerted.errors import Invalid
from concerted.values import AgentId

__all__ = [
    "ABSTAIN",
    "ACCEPT",
    "REJECT",
    "Base",
    "Comparison",
    "Rule",
    "Silence",
    "check",
    "in_words",
    "rule_of",
    "share",
]

ACCEPT, REJECT, ABSTAIN = "accept", "reject", "abstain"

Comparison = Literal[">", ">="]
Base = Literal["electorate", "cast"]
Silence = Literal["nothing", "abstain", "reject", "accept"]

SHARE_CHARACTERS = 40  # the longest share that is read
HALF = Fraction(1, 2)

_SHARE = re.compile(r"(\d+)/(\d+)|(\d+(?:\.\d+)?)(%?)", re.ASCII)
_NAMED: Mapping[str, tuple[Comparison, str]] = {"majority": (">", "1/2"), "all": (">=", "1"), "unanimous": (">=", "1")}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How ballots become an outcome.

    threshold: the share of the base that must accept: more than it (`>`) or at least it (`>=`).  base: the weight
    of the whole electorate, or that of the votes cast for or against.  quorum: the least share of the electorate's
    weight that must have voted, abstentions included.  vetoes: voters whose rejection alone rejects.  silence:
    what a ballot that never came counts as; it never counts as participation, and never as a veto.
    """

    threshold: str = "1/2"
    comparison: Comparison = ">"
    base: Base = "electorate"
    quorum: str = "0"
    vetoes: tuple[AgentId, ...] = ()
    silence: Silence = "nothing"


def share(text: Any) -> Fraction:
    """Read a share from 0 to 1: `2/3`, `0.75`, `75%`, `1`.

    Raises:
        Invalid: it is none.
    """
    if not isinstance(text, str):
        raise Invalid(f"{text!r} is no share; write a fraction as text, such as '2/3', '0.75' or '75%'")
    return _share(text)


@lru_cache(maxsize=256)
def _share(text: str) -> Fraction:
    found = _SHARE.fullmatch(text) if len(text) <= SHARE_CHARACTERS else None
    if found is None or (found[2] is not None and int(found[2]) == 0):
        raise Invalid(f"{text!r} is no share; write a fraction as text, such as '2/3', '0.75' or '75%'")
    value = Fraction(int(found[1]), int(found[2])) if found[1] else Fraction(found[3]) / (100 if found[4] else 1)
    if value > 1:
        raise Invalid(f"{text!r} is more than everything; a share is from 0 to 1")
    return value


def rule_of(given: str | Rule | Mapping[str, Any], **more: Any) -> Rule:
    """Return the rule that is meant: a `Rule`, its fields, or a text.

    The texts: `majority` (more than half), `all`, `2/3` (at least that), `>=2/3`, `>2/3`.  more: fields that are
    put over it.

    Raises:
        Invalid: it is none; or it is a bare half, of which nobody can tell whether a tie is enough.
    """
    fields = msgspec.to_builtins(given) if isinstance(given, Rule) else given
    if isinstance(fields, str):
        comparison, threshold = _threshold(fields.strip())
        fields = {"threshold": threshold, "comparison": comparison}
    if not isinstance(fields, Mapping):
        raise Invalid(f"{given!r} is no rule; write 'majority', '2/3', '>1/2', 'all', or its fields")
    strange = [str(name) for name in (*fields, *more) if name not in Rule.__struct_fields__]
    if strange:  # one that is misspelt must not become another rule
        raise Invalid(f"a rule has no part {', '.join(strange)}; the parts are {', '.join(Rule.__struct_fields__)}")
    try:
        return msgspec.convert({**fields, **more}, Rule)
    except msgspec.ValidationError as error:
        raise Invalid(f"{given!r} is no rule: {error}") from error


def check(rule: Rule, electorate: Collection[AgentId], options: tuple[str, ...] = (ACCEPT,)) -> list[str]:
    """Return what is wrong with a rule for these voters and options, in sentences; nothing is well."""
    problems = []
    try:
        threshold = share(rule.threshold)
    except Invalid as error:
        problems.append(f"threshold: {error.message}")
    else:
        if threshold == 1 and rule.comparison == ">":
            problems.append("nobody can accept more than everything; write 'all'")
        if threshold == 0 and rule.comparison == ">=":
            problems.append("with at least 0 it would pass without anybody; write '>0' if one acceptance is enough")
        if len(options) > 1 and (threshold < HALF or (threshold == HALF and rule.comparison == ">=")):
            problems.append("two options could both pass; with several options it takes more than half")
    try:
        share(rule.quorum)
    except Invalid as error:
        problems.append(f"quorum: {error.message}")
    problems += [f"{name} has a veto and no vote" for name in rule.vetoes if name not in electorate][:10]
    if rule.silence == ACCEPT and options != (ACCEPT,):
        problems.append("silence cannot accept where there are several options to accept")
    return problems


def in_words(rule: Rule) -> str:
    """Say what the rule demands."""
    many = "more than" if rule.comparison == ">" else "at least"
    of = "of the electorate" if rule.base == "electorate" else "of the votes cast for or against"
    share_of = "all" if rule.comparison == ">=" and share(rule.threshold) == 1 else f"{many} {rule.threshold}"
    words = [f"{share_of} {of} must accept"]
    if share(rule.quorum):
        words.append(f"at least {rule.quorum} must vote")
    if rule.vetoes:
        words.append(f"{', '.join(rule.vetoes)} may veto")
    if rule.silence != "nothing":
        words.append(f"silence counts as {rule.silence}")
    return "; ".join(words)


def _threshold(text: str) -> tuple[Comparison, str]:
    if text in _NAMED:
        return _NAMED[text]
    comparison: Comparison
    if text.startswith(">="):
        comparison, bare = ">=", text[2:].strip()
    elif text.startswith(">"):
        comparison, bare = ">", text[1:].strip()
    else:
        comparison, bare = ">=", text
        if share(bare) == HALF:
            raise Invalid(f"{text!r}: is a tie enough? Write '>1/2' (or 'majority') if not, '>=1/2' if it is")
    share(bare)
    return comparison, bare
