"""Lengths of time as people write them (`300s`, `24h`, `100ms`, `1h30m`) and as seconds, which we keep."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from msgspec import Meta

__all__ = ["LONGEST_S", "Duration", "NonNegative", "parse_duration", "show_duration"]

# A plain float of seconds in every value and on every wire; in a file it must be written with a unit.
Duration = Annotated[float, Meta(gt=0, extra={"duration": True})]
NonNegative = Annotated[float, Meta(ge=0, extra={"duration": True})]

LONGEST_S = 100 * 365 * 24 * 3600.0  # 100 years; whoever wants "for ever" leaves the key out

_SECONDS = {
    "ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"),
    "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86400),
}  # fmt: skip
_PART = r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)"
_PARTS = re.compile(_PART, re.ASCII)
_WHOLE = re.compile(f"(?:{_PART})+", re.ASCII)
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds that `text` stands for: numbers with units ns, us, ms, s, m, h, d, largest first or not.

    Raises:
        ValueError: it is no such text; the message says what is expected.
    """
    if not _WHOLE.fullmatch(text):
        expected = "expected a duration such as 300s, 24h or 100ms, got"
        number = _NUMBER.fullmatch(text)
        raise ValueError(f"{expected} {text}; add a unit: {text}s" if number else f"{expected} {text!r}")
    seconds = float(sum(Decimal(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text)))
    if seconds > LONGEST_S:
        raise ValueError(f"{text} is longer than 100 years")
    return seconds


def show_duration(seconds: float) -> str:
    """Write seconds exactly as `parse_duration` reads them: 24h for whole hours, 100ms below a second, else 300s."""
    exact = Decimal(repr(float(seconds)))
    if exact and exact % 3600 == 0:
        return f"{_plain(exact / 3600)}h"
    if 0 < exact < 1:
        return f"{_plain(exact * 1000)}ms"
    return f"{_plain(exact)}s"


def _plain(number: Decimal) -> str:
    """Write a number without an exponent and without needless zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
