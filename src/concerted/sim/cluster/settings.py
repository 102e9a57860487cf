"""What is set for all seeds in the place of what each would draw, as `--settings` names it.

servers=5,seconds=30,window=1         servers and seconds of a world, and any setting of the protocol's replicas
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from concerted.errors import Invalid

__all__ = ["DRAWN", "Settings"]

MOST_SERVERS = 201

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Settings:
    """servers: how many there are at first.  seconds: how long things go wrong.  replica: name -> value.  0: drawn."""

    servers: int = 0
    seconds: float = 0.0
    replica: dict[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Settings:
        """Read `servers=5,window=1`, or nothing.

        Raises:
            Invalid: a value is no number, or there cannot be so many servers.
        """
        given: dict[str, float] = {}
        for word in (word.strip() for word in text.split(",") if word.strip()):
            name, _, value = word.partition("=")
            try:
                given[name.strip().replace("-", "_")] = float(value)
            except ValueError:
                raise Invalid(f"setting {word}: expected a number, as in servers=5") from None
        servers, seconds = given.pop("servers", None), given.pop("seconds", None)
        if servers is not None and not (1 <= servers <= MOST_SERVERS and servers.is_integer()):
            raise Invalid(f"setting servers={servers:g}: expected 1..{MOST_SERVERS}")
        if seconds is not None and not 0 < seconds < float("inf"):
            raise Invalid(f"setting seconds={seconds:g}: expected how long things go wrong, as in seconds=30")
        return cls(int(servers or 0), seconds or 0.0, given)

    def words(self) -> str:
        """Write these settings as `parse` reads them; empty if nothing is set."""
        words = [f"servers={self.servers}"] if self.servers else []
        words += [f"seconds={self.seconds:g}"] if self.seconds else []
        return ",".join(words + [f"{name}={value:g}" for name, value in self.replica.items()])

    def over(self, drawn: S) -> S:
        """Return the settings of a protocol with what is set here in the place of what was drawn.

        Raises:
            Invalid: there is no such setting, or it cannot have this value.
        """
        known: Any = drawn
        kinds = {each.name: type(getattr(known, each.name)) for each in fields(known)}
        for name, value in self.replica.items():
            if name not in kinds:
                raise Invalid(f"there is no setting {name!r}; there are servers, seconds, {', '.join(kinds)}")
            if kinds[name] is int and not value.is_integer():
                raise Invalid(f"setting {name}={value:g}: expected a whole number")
        try:
            changed: S = replace(known, **{name: kinds[name](value) for name, value in self.replica.items()})
        except AssertionError as error:
            raise Invalid(f"settings {self.words()}: {error}") from None
        return changed


DRAWN = Settings()
