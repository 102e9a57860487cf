"""One who lies, as worlds and walks see him: he hears, goes on, and does what nobody has asked for."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Lying"]


class Lying(Protocol):
    """One liar."""

    def receive(self, message: Any) -> None:
        """Hear something."""

    def go_on(self, now: float) -> None:
        """Carry out what is due."""

    def scheme(self) -> None:
        """Do something that nobody has asked for."""
