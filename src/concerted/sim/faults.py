"""What goes wrong, how often: typed, readable from the command line, and drawn anew for each seed in a swarm.

    drop=0.2,duplicate=0.1,crash=3        as in `concerted simulate PLAN --faults ...`
    swarm                                 each seed draws its own mix

Source of swarm testing: Groce et al., Swarm Testing, ISSTA 2012.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any

from concerted.errors import Invalid

__all__ = ["NOT_OF_CLUSTERS", "NOT_OF_PLANS", "Faults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What befalls messages (shares of them, 0..1), and how often what befalls the rest.

    drop, duplicate, reorder: of messages, in either direction.  delay: the longest way of a message, in
    seconds.  crash: deaths of the coordinator, before or after a commit or a send.  pause: times that a
    coordinator is taken for dead, and goes on after its successor has begun.  disk: commits that fail with
    an unknown outcome.  agent_crash: deaths of agents, which come back with their inboxes.  amnesia: the
    share of these deaths in which the inbox is lost.  silence: times that an agent cannot be reached for a
    while.  skew: by how many seconds the wall clocks of coordinators differ at most.

    Of clusters alone: replay: the share of messages that come once more, much later.  slow: times that a server takes
    long for everything.  jump: jumps of clocks.  reset: times that what is under way is lost.  full: disks without
    room.  flip: bits that flip on disks.
    """

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.02
    crash: int = 0
    pause: int = 0
    disk: int = 0
    agent_crash: int = 0
    amnesia: float = 0.0
    silence: int = 0
    skew: float = 0.0
    replay: float = 0.0
    slow: int = 0
    jump: int = 0
    reset: int = 0
    full: int = 0
    flip: int = 0
    swarm: bool = False

    def __post_init__(self) -> None:
        for name in ("drop", "duplicate", "reorder", "amnesia", "replay"):
            share = getattr(self, name)
            if not 0.0 <= share <= 1.0:
                raise Invalid(f"fault {name} is {share}; it is a share, 0..1")
        if self.drop > MOST_DROPPED:
            raise Invalid(f"fault drop is {self.drop}; over {MOST_DROPPED} nothing is sure to arrive ever")
        for name in ("delay", "skew", *_COUNTS):
            if getattr(self, name) < 0:
                raise Invalid(f"fault {name} is {getattr(self, name)}; it must be at least 0")

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read `drop=0.2,crash=3`, `swarm`, or nothing.

        Raises:
            Invalid: an unknown fault (with a suggestion), or a value that does not fit.
        """
        given: dict[str, Any] = {}
        for word in (word.strip() for word in text.split(",")):
            if not word:
                continue
            name, _, value = word.partition("=")
            name = name.strip().replace("-", "_")
            if name not in _KINDS:
                near = difflib.get_close_matches(name, _KINDS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the faults are {', '.join(_KINDS)}"
                raise Invalid(f"there is no fault {name!r}; {hint}", fault=name)
            if name in given:
                raise Invalid(f"fault {name} is given twice", fault=name)
            given[name] = _read(name, value.strip())
        return cls(**given)

    def words(self) -> str:
        """Write these faults as `parse` reads them; empty if they are the default."""
        words = []
        for name, kind in _KINDS.items():
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                words.append(name if kind is bool else f"{name}={value:g}")
        return ",".join(words)

    def without(self, names: Collection[str], where: str) -> Faults:
        """Return these faults, of which none of these kinds was asked for.

        Raises:
            Invalid: one was.
        """
        for name in names:
            if getattr(self, name):
                raise Invalid(f"fault {name}: there is none in a simulation of {where}; leave it out", fault=name)
        return self

    def draw(self, rng: random.Random, without: Collection[str] = ()) -> Faults:
        """Return the faults of one seed: these, or in a swarm a mix in which each kind is there half of the time.

        without: kinds that there are not.
        """
        if not self.swarm:
            return self
        mix: dict[str, Any] = {}
        for name, (low, high) in _SWARM.items():
            chosen = rng.random() < 0.5
            value = rng.randint(low, high) if isinstance(low, int) else round(rng.uniform(low, high), 3)
            if chosen and name not in without:
                mix[name] = value
        return replace(self, swarm=False, **mix)


MOST_DROPPED = 0.9
NOT_OF_PLANS = ("replay", "slow", "jump", "reset", "full", "flip")  # faults of servers and their disks
NOT_OF_CLUSTERS = ("agent_crash", "amnesia")  # faults of agents
_COUNTS = ("crash", "pause", "disk", "agent_crash", "silence", "slow", "jump", "reset", "full", "flip")
_KINDS: dict[str, type] = {
    field.name: {"float": float, "int": int, "bool": bool}[str(field.type)] for field in fields(Faults)
}
_DEFAULTS = {field.name: field.default for field in fields(Faults)}
_SWARM: dict[str, tuple[Any, Any]] = {
    "drop": (0.01, 0.4),
    "duplicate": (0.01, 0.4),
    "reorder": (0.01, 0.5),
    "delay": (0.1, 3.0),
    "crash": (1, 5),
    "pause": (1, 2),
    "disk": (1, 2),
    "agent_crash": (1, 5),
    "silence": (1, 3),
    "skew": (0.1, 5.0),
    "replay": (0.01, 0.1),
    "slow": (1, 2),
    "jump": (1, 3),
    "reset": (1, 5),
    "full": (1, 2),
    "flip": (1, 2),
}


def _read(name: str, value: str) -> float | int | bool:
    kind = _KINDS[name]
    if kind is bool:
        if value not in {"", "1", "true"}:
            raise Invalid(f"fault {name} takes no value", fault=name)
        return True
    try:
        number: float | int = kind(value)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise Invalid(f"fault {name}={value}: expected {what}, as in {name}={_EXAMPLES[kind]}", fault=name) from None
    if not math.isfinite(number):
        raise Invalid(f"fault {name}={value}: expected a finite number", fault=name)
    return number


_EXAMPLES = {int: "3", float: "0.2"}
