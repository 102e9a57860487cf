"""The best of several options, found by judges who are noisy and of whom some are wrong.

`Halving`: round after round each option left is judged by several, and the better half by the median of its
scores goes on; liars below one half cannot move a median beyond what honest judges say.  An option counts
only with a quorum of scores.

`Bees` is how honeybees choose a nest: who has found something good dances for it for longer, others follow
dancers and look for themselves, and stop signals keep two from going on for ever.  It needs no list of
scores, only what each bee has seen last.

Sources: Karnin, Koren & Somekh 2013, "Almost optimal exploration in multi-armed bandits" (sequential
halving); Seeley et al. 2012, "Stop signals provide cross inhibition in collective decision-making by honeybee
swarms"; Reina et al. 2015, "A design pattern for decentralised decision making".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from concerted.errors import Invalid
from concerted.swarm.dice import Dice

__all__ = ["MOST_OPTIONS", "Bees", "Halving", "median"]

MOST_OPTIONS = 1_000


def median(scores: Sequence[float]) -> float:
    """Return the middle score; of an even number, the mean of the two in the middle."""
    ordered = sorted(scores)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2.0


@dataclass
class Halving:
    """Sequential halving.  left: the options still in, in their order.  scores: option -> judge -> its scores.

    each: how many judgements an option gets in the first round; twice as many by the next, as half the options
    are left.  quorum: from how many judges an option needs scores to go on before those that have fewer.
    repeats: how often one judge looks at one option, at most.
    """

    left: list[str]
    judges: list[str]
    each: int
    quorum: int
    repeats: int = 3
    round: int = 1
    scores: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    standing: list[str] = field(default_factory=list)  # those that are out, the best first

    @classmethod
    def of(
        cls, options: Sequence[str], judges: Sequence[str], *, each: int | None = None, quorum: int | None = None,
        repeats: int = 3,
    ) -> Halving:  # fmt: skip
        """Begin.  each: by default as many as there are judges.  quorum: by default more than half of the judges.

        Raises:
            Invalid: there are no options or judges, or the same twice, or the numbers do not fit.
        """
        if not 1 <= len(options) <= MOST_OPTIONS or len(set(options)) != len(options):
            raise Invalid(f"there are {len(options)} options; give 1 to {MOST_OPTIONS}, each once")
        if not judges or len(set(judges)) != len(judges):
            raise Invalid(f"there are {len(judges)} judges; give at least one, each once")
        each = len(judges) if each is None else each
        quorum = min(each, len(judges)) // 2 + 1 if quorum is None else quorum
        if not 1 <= quorum <= min(each, len(judges)) or repeats < 1:
            raise Invalid(
                f"a quorum of {quorum} with {each} judgements by {len(judges)} judges, {repeats} times; "
                "at least 1, and not more than there are"
            )
        return cls(list(options), list(judges), each, quorum, repeats)

    def wanted(self) -> list[tuple[str, str]]:
        """Return who should judge what now: (option, judge), perhaps twice; everybody about equally often."""
        pairs = []
        count = len(self.judges)
        goal = min(self.each * 2 ** (self.round - 1), self.repeats * count)
        for place, option in enumerate(self.left):
            seen = self.scores.get(option, {})
            asked = [len(seen.get(judge, ())) for judge in self.judges]
            turn = [(judge + place * self.each + self.round) % count for judge in range(count)]
            for _ in range(goal - sum(asked)):
                judge = min(range(count), key=lambda one: (asked[one], turn[one]))
                asked[judge] += 1
                pairs.append((option, self.judges[judge]))
        return pairs

    def tell(self, option: str, judge: str, score: float) -> None:
        """Take note of a score, the more the better.

        Raises:
            Invalid: it is not a number.
        """
        if not math.isfinite(score):
            raise Invalid(f"{judge} gives option {option} {score}; a score is a finite number")
        self.scores.setdefault(option, {}).setdefault(judge, []).append(score)

    def close(self) -> list[str]:
        """End the round: keep the better half, at least one; return those that are out now.

        Without a quorum an option is behind all that have one.  Ties go by the order of the options.
        """
        ranked = self.ranking()
        keep = (len(ranked) + 1) // 2
        out = ranked[keep:]
        self.left = [option for option in self.left if option not in out]
        self.standing = out + self.standing
        self.round += 1
        return out

    def ranking(self) -> list[str]:
        """Return the options left, best first."""
        place = {option: at for at, option in enumerate(self.left)}
        return sorted(self.left, key=lambda option: (not self.has_quorum(option), -self.score(option), place[option]))

    def has_quorum(self, option: str) -> bool:
        """Say whether enough have judged it."""
        return len(self.scores.get(option, {})) >= self.quorum

    def score(self, option: str) -> float:
        """Return the median over its judges of the mean of each one's scores; minus infinity without any."""
        scores = self.scores.get(option)
        return median([math.fsum(each) / len(each) for each in scores.values()]) if scores else -math.inf

    @property
    def winner(self) -> str | None:
        """The one option that is left, if it has a quorum."""
        return self.left[0] if len(self.left) == 1 and self.has_quorum(self.left[0]) else None


@dataclass
class Bees:
    """Bees.  committed: bee -> the option it is for, None if it is for none."""

    options: list[str]
    committed: dict[str, str | None]
    dice: Dice
    round: int = 0

    @classmethod
    def of(cls, options: Sequence[str], bees: Sequence[str], seed: int) -> Bees:
        """Begin with bees that are for nothing.

        Raises:
            Invalid: there are no options or bees, or the same twice.
        """
        checked = Halving.of(options, bees)
        return cls(checked.left, dict.fromkeys(checked.judges), Dice(seed))

    def wanted(self) -> list[tuple[str, str]]:
        """Return who should look at what now: (option, bee); its own, or, for one that is for none, any by chance."""
        draws = self.dice.below(len(self.options), len(self.committed)).tolist()
        return [
            (self.options[draw] if option is None else option, bee)
            for (bee, option), draw in zip(self.committed.items(), draws, strict=True)
        ]

    def tell(self, seen: Mapping[str, tuple[str, float]]) -> None:
        """End a round.  seen: bee -> the option it has looked at and what it is worth, 0 to 1; who is missing rests.

        Who was for none is for what it has seen, with a chance of its worth squared, or follows a dancer; who meets
        a dancer for something else is stopped, with a chance of what that one has seen.

        Raises:
            Invalid: a worth is not 0 to 1.
        """
        for bee, (option, worth) in seen.items():
            if not 0.0 <= worth <= 1.0:
                raise Invalid(f"{bee} says that option {option} is worth {worth}; say 0 to 1")
        bees = list(self.committed)
        draws = iter(self.dice.uniform(3 * len(bees)).tolist())
        dancers = [(option, worth) for bee, (option, worth) in seen.items() if self.committed.get(bee) == option]
        loudness = sum(worth * worth for _, worth in dancers)
        after = dict(self.committed)
        for bee in bees:
            choice, chance, second = next(draws), next(draws), next(draws)
            met = _met(dancers, choice * loudness)
            now = self.committed[bee]
            if now is None:
                found, worth = seen.get(bee, ("", 0.0))
                if chance < worth * worth:
                    after[bee] = found
                elif met is not None and second < met[1]:
                    after[bee] = met[0]
            elif met is not None and met[0] != now and chance < met[1]:
                after[bee] = None  # the stop signal
            elif bee in seen and second < (1.0 - seen[bee][1]) ** 2:
                after[bee] = None  # not good enough to go on dancing for
        self.committed = after
        self.round += 1

    def support(self) -> dict[str, int]:
        """Return how many are for each option."""
        bees = list(self.committed.values())
        return {option: bees.count(option) for option in self.options}

    def winner(self, quorum: int) -> str | None:
        """Return the option for which at least so many are."""
        best, count = max(self.support().items(), key=lambda one: one[1])
        return best if count >= quorum else None


def _met(dancers: Sequence[tuple[str, float]], at: float) -> tuple[str, float] | None:
    """Return the dancer whom one meets, the louder the more often."""
    for option, worth in dancers:
        at -= worth * worth
        if at < 0.0:
            return option, worth
    return None
