"""The invariants of decisions over a replicated log, looked at after every entry that any replica carries out.

- the outcome is a pure function of the log: each replica shows what the oracle makes of the prefix that it has applied;
- once closed, never changed: whoever shows a decision as closed shows the same certificate, and that verifies;
- one ballot for each voter, and none that its voter has not cast;
- nothing is accepted on silence, unless its rule says so;
- whoever is told something of a decision is told what is so at the entry by which he is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import msgspec

from concerted.consensus.decisions.answers import DecisionResult
from concerted.consensus.decisions.certificate import Certificate, verify
from concerted.consensus.entries import Entry
from concerted.errors import NotFound
from concerted.ports.decisions import GetDecision
from concerted.replicas.given import Given
from concerted.replicas.kept import Kept, Outcome
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.keeper import Keeper
from concerted.sim.decisions.oracle import Oracle, Standing

__all__ = ["Court"]


class Court:
    """Judges what replicas show.  chosen: the log, as far as it is committed.  honest: as the oracle is told.

    cast: (decision, voter) -> all choices that this voter has really sent.  closed: the certificate of each.
    """

    def __init__(self, chosen: Sequence[Entry], honest: int = 1) -> None:
        self.oracle = Oracle(honest)
        self.cast: dict[tuple[str, str], set[str]] = {}
        self.closed: dict[str, Certificate] = {}
        self.judged_count = 0
        self._chosen = chosen

    def judged(self, keeper: Keeper[Any]) -> None:
        """Look at what a replica shows of all that has changed by the entry that it has just applied."""
        kept = keeper.kept
        now, before = self.standing(kept.index), self.standing(max(kept.index - 1, 0))
        changed = {name for name in now if now[name] is not before.get(name)}
        changed.update(stream.partition(":")[2] for stream in kept.touched)
        for name in sorted(changed):
            self._judge(keeper.id, kept, name, now.get(name))

    def judged_whole(self, keeper: Keeper[Any]) -> None:
        """Look at all that a replica shows."""
        now = self.standing(keeper.kept.index)
        for name in sorted({*now, *(stream.partition(":")[2] for stream in keeper.kept.streams())}):
            self._judge(keeper.id, keeper.kept, name, now.get(name))

    def told(self, outcome: Outcome) -> None:
        """Look at what somebody is told of a decision."""
        if outcome.error is not None or not self._chosen:
            return
        said = msgspec.json.decode(outcome.ok)
        standing = self.standing(outcome.index).get(said["id"])
        if standing is None or standing.status != said["status"]:
            raise Broken(
                f"told: entry {outcome.index} says that {said['id']} is {said['status']}, and it is {standing}"
            )

    def standing(self, index: int) -> Any:
        """Return what the oracle makes of the log up to an index."""
        while self.oracle.index < index:
            self.oracle.read(self._chosen[self.oracle.index])
        return self.oracle.standing(index)

    # One decision

    def _judge(self, node: int, kept: Kept, name: str, standing: Standing | None) -> None:
        self.judged_count += 1
        shown = _look(kept, name)
        found = None if shown is None else _standing_of(shown)
        if found != _unordered(standing):
            raise Broken(
                f"pure function of the log: at entry {kept.index} server {node} shows {found} of {name}, "
                f"and the log comes to {_unordered(standing)}"
            )
        if shown is None or shown.certificate is None:
            return
        certificate = shown.certificate
        first = self.closed.get(name)
        if first is None:
            self._examine(certificate)
            self.closed[name] = certificate
        elif first != certificate:
            raise Broken(f"once closed, never changed: of {name} there are {first} and {certificate} (server {node})")

    def _examine(self, certificate: Certificate) -> None:
        """Look at the certificate of a decision that is closed for the first time."""
        opening = certificate.opening
        verified = verify(msgspec.json.encode(certificate))
        if not verified.valid:
            raise Broken(f"certificate: that of {opening.id} does not verify: {verified.problems}")
        voters = [ballot.voter for ballot in certificate.ballots]
        if len(set(voters)) != len(voters):
            raise Broken(f"one ballot for each voter: {voters} are counted in {opening.id}")
        for ballot in certificate.ballots:
            if ballot.choice not in self.cast.get((opening.id, ballot.voter), ()):
                raise Broken(f"nobody votes for another: {ballot} is counted in {opening.id}, and was never cast")
        if certificate.outcome == "accepted" and opening.rule.silence != "accept":
            self._approved_by_ballots(certificate)

    def _approved_by_ballots(self, certificate: Certificate) -> None:
        rule, weights = certificate.opening.rule, certificate.opening.electorate
        cast = {ballot.voter: ballot.choice for ballot in certificate.ballots}
        yes = sum(weights[voter] for voter, choice in cast.items() if choice == certificate.chosen)
        base = sum(weights[voter] for voter, choice in cast.items() if choice != "abstain")
        needed = Fraction(rule.threshold) * (sum(weights.values()) if rule.base == "electorate" else base)
        if yes < needed or not yes:
            raise Broken(f"nothing is accepted on silence: {certificate.opening.id} with {yes} of {needed}: {cast}")


def _look(kept: Kept, name: str) -> DecisionResult | None:
    try:
        shown, _ = kept.look(msgspec.msgpack.encode(Given(msgspec.json.encode(GetDecision(id=name)), "court")))
    except NotFound:
        return None
    assert isinstance(shown, DecisionResult), f"{name} shows {shown}"
    return shown


def _standing_of(shown: DecisionResult) -> Standing:
    """Return what is shown as the oracle puts it; by which option somebody approves is in the certificate alone."""
    choices = {"reject": shown.rejected_by, "abstain": shown.abstained}
    ballots = [(voter, choice) for choice, voters in choices.items() for voter in voters]
    ballots += [(voter, "approve") for voter in shown.approved_by]
    return Standing(shown.status, shown.chosen, shown.cause, shown.closed_at, tuple(sorted(ballots)))


def _unordered(standing: Standing | None) -> Standing | None:
    if standing is None:
        return None
    ballots = [(voter, choice if choice in {"reject", "abstain"} else "approve") for voter, choice in standing.ballots]
    return Standing(standing.status, standing.chosen, standing.cause, standing.closed_at, tuple(sorted(ballots)))
