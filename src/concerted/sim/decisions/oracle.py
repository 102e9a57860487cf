"""A slow and plain oracle: what a log of decisions comes to, from its first entry to any other.

It reads the bytes of the log and nothing else, and has nothing in common with the code that it judges but the form in
which they are written.  Whether a decision is settled it finds out by trying every completion of the missing ballots.

    standing(index)[id]     how a decision stands once that entry is carried out

Whoever is refused changes nothing, so a deadline that has passed closes a decision with the next entry that is about it
and not refused, or with the next that only says the time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from concerted.consensus.entries import Entry

__all__ = ["Oracle", "Standing", "judge"]

Json = dict[str, Any]
ANYBODY = "coordinator"  # the client who may speak for anybody


@dataclass(frozen=True, slots=True)
class Standing:
    """How a decision stands.  ballots: (voter, choice), in the order of the log."""

    status: str
    chosen: str | None
    cause: str | None
    closed_at: float | None
    ballots: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Opened:
    """One decision.  made: what it was opened with, and by whom.  first: voter -> (choice, reason) of what counts."""

    made: Json
    by: str
    first: dict[str, tuple[str, str]] = field(default_factory=dict)
    status: str = "voting"
    chosen: str | None = None
    cause: str | None = None
    closed_at: float | None = None

    def standing(self) -> Standing:
        """Return it as it is now."""
        ballots = tuple((voter, choice) for voter, (choice, _) in self.first.items())
        return Standing(self.status, self.chosen, self.cause, self.closed_at, ballots)


class Oracle:
    """All decisions of one log.

    honest: how many must have said a time; more than 1 where entries are requests that clients have signed.
    decisions: as they stand after the last entry that was read; now: the log's time.
    """

    def __init__(self, honest: int = 1) -> None:
        self.honest = honest
        self.decisions: dict[str, Opened] = {}
        self.now = 0.0
        self._standings: list[dict[str, Standing]] = [{}]
        self._sessions: dict[int, str] = {}  # by whom each was opened
        self._done: set[tuple[int, int]] = set()
        self._said: dict[int, float] = {}  # by each replica: the latest time

    @property
    def index(self) -> int:
        """Up to which entry it has read."""
        return len(self._standings) - 1

    def standing(self, index: int) -> Mapping[str, Standing]:
        """Return how all stood after an entry."""
        return self._standings[index]

    def read(self, entry: Entry) -> None:
        """Read the next entry."""
        assert entry.index == self.index + 1, f"the oracle reads {entry.index} after {self.index}"
        before = self._standings[-1]
        touched = [] if entry.command is None else self._carry_out(entry.index, entry.command)
        changed = {name: self.decisions[name].standing() for name in touched}
        self._standings.append({**before, **changed} if changed else before)

    def _carry_out(self, index: int, entered: bytes) -> list[str]:
        """Return whom it is about."""
        read = self._proposed(entered)
        if read is None:
            return []
        owner, (at, by, command) = read
        self._hear(at, by, owner, is_time=not command)
        if not command:
            due = [name for name, each in self.decisions.items() if self._is_due(each)]
            for name in due:
                self._pass_deadline(self.decisions[name])
            return due
        session, number, body = msgspec.msgpack.decode(command)[:3]
        if session == 0:
            self._sessions[index] = owner
            return []
        if self._sessions.get(session) != owner or (session, number) in self._done:
            return []
        self._done.add((session, number))
        given = _list_in(body)
        if given is None or (owner and (given[1] != owner or given[3])):
            return []
        asked: Json = msgspec.json.decode(given[0])
        self._ask(asked, given[1])
        return [asked["id"]] if asked["id"] in self.decisions else []

    def _proposed(self, entered: bytes) -> tuple[str, Sequence[Any]] | None:
        """Return whose it is (empty: of who may speak for all), and (at, by, command); None: it is nonsense."""
        if self.honest == 1:
            return "", msgspec.msgpack.decode(entered)[:3]
        client, _, body = msgspec.msgpack.decode(entered)[:3]
        found = _list_in(body)
        if found is None or not math.isfinite(found[0]) or (found[2] and _list_in(found[2]) is None):
            return None
        return "" if client == ANYBODY else client, found[:3]

    def _hear(self, at: float, by: int, owner: str, *, is_time: bool) -> None:
        """Where nobody lies, each entry says the time; else each replica does for itself; of f + 1 one is honest."""
        if self.honest == 1:
            self.now = max(self.now, at)
        elif is_time and owner == f"replica-{by}":
            self._said[by] = max(at, self._said.get(by, 0.0))
            if len(self._said) >= self.honest:
                self.now = sorted(self._said.values())[-self.honest]

    def _ask(self, asked: Json, agent: str) -> None:
        found = self.decisions.get(asked["id"])
        match asked["command"]:
            case "create_decision" if found is None:
                deadline_at = asked.get("deadline_at")
                if deadline_at is None or deadline_at > self.now:
                    self.decisions[asked["id"]] = Opened(asked, agent)
            case "create_decision" if found is not None and (asked, agent) == (found.made, found.by):
                self._pass_deadline(found)
            case "cast_ballot" if found is not None:
                self._vote(found, agent, (asked["choice"], asked.get("reason", "")))
            case "cancel_decision" if found is not None and agent == found.by:
                self._pass_deadline(found)
                if found.status == "voting":
                    self._close(found, "withdrawn", ("lapsed", None), self.now)

    def _vote(self, found: Opened, voter: str, ballot: tuple[str, str]) -> None:
        """Count the first ballot of each voter; a repeat of it changes nothing, and so does a later one."""
        made = found.made
        is_over = found.status != "voting" or self._is_due(found)
        if voter not in made["electorate"]:
            return
        if found.first.get(voter) == ballot:
            self._pass_deadline(found)
        elif not is_over and voter not in found.first and ballot[0] in choices_of(made):
            found.first[voter] = ballot
            outcomes = completions(made, {name: choice for name, (choice, _) in found.first.items()})
            if len(outcomes) == 1:
                is_whole = len(found.first) == len(made["electorate"])
                self._close(found, "complete" if is_whole else "settled", outcomes.pop(), self.now)

    def _is_due(self, found: Opened) -> bool:
        deadline_at = found.made.get("deadline_at")
        return found.status == "voting" and deadline_at is not None and self.now >= deadline_at

    def _pass_deadline(self, found: Opened) -> None:
        if self._is_due(found):
            cast = {name: choice for name, (choice, _) in found.first.items()}
            self._close(found, "deadline", judge(found.made, cast), found.made["deadline_at"])

    def _close(self, found: Opened, cause: str, outcome: tuple[str, str | None], at: float) -> None:
        found.status, found.chosen = outcome
        found.cause, found.closed_at = cause, at


def _list_in(data: bytes) -> list[Any] | None:
    """Read a list; None: there is none."""
    try:
        found = msgspec.msgpack.decode(data)
    except msgspec.MsgspecError:
        return None
    return found if isinstance(found, list) and len(found) > 1 else None


def choices_of(made: Json) -> list[str]:
    """Return what a ballot may say."""
    return [*options_of(made), "reject", "abstain"]


def options_of(made: Json) -> list[str]:
    """Return what a ballot may accept."""
    return list(made.get("options", ["accept"]))


def completions(made: Json, cast: Mapping[str, str]) -> set[tuple[str, str | None]]:
    """Return all that it can still come to, whatever the missing voters do, silence included."""
    missing = [voter for voter in made["electorate"] if voter not in cast]
    found = set()
    for ways in itertools.product((None, *choices_of(made)), repeat=len(missing)):
        more = {voter: way for voter, way in zip(missing, ways, strict=True) if way is not None}
        found.add(judge(made, {**cast, **more}))
    return found


def judge(made: Json, cast: Mapping[str, str]) -> tuple[str, str | None]:
    """Return what ballots come to if no further one comes, and the option that is accepted: the plain definition."""
    rule, weights = made["rule"], made["electorate"]
    total = sum(weights.values())
    if any(cast.get(voter) == "reject" for voter in rule["vetoes"]):
        return "rejected", None
    voted = sum(weights[voter] for voter in cast)
    if voted < Fraction(rule["quorum"]) * total:
        return "lapsed", None
    yes = {
        option: sum(weights[name] for name, choice in cast.items() if choice == option) for option in options_of(made)
    }
    no = sum(weights[voter] for voter, choice in cast.items() if choice == "reject")
    silent, silence = total - voted, rule["silence"]
    if silence == "accept":
        yes["accept"] += silent
    elif silence == "reject":
        no += silent
    base = total if rule["base"] == "electorate" else sum(yes.values()) + no
    for option, weight in yes.items():
        if _passes(rule, weight, base):
            return "accepted", option
    if rule["base"] == "cast":
        return ("rejected" if base else "lapsed"), None
    could = silence == "nothing" and silent and any(_passes(rule, weight + silent, base) for weight in yes.values())
    return ("lapsed" if could else "rejected"), None


def _passes(rule: Json, weight: int, base: int) -> bool:
    needed = Fraction(rule["threshold"]) * base
    return weight > 0 and (weight > needed if rule["comparison"] == ">" else weight >= needed)
