"""The live picture of a run on a terminal, redrawn in place four times a second."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from concerted.cli.progress import LINES, Picture

__all__ = ["LiveScreen"]

BAR_CHARS = 60


class LiveScreen:
    """`progress.Screen` on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveScreen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def line(self, text: str, *, trouble: bool) -> None:
        """Keep what went wrong above the picture; all else is in the picture."""
        if trouble:
            self._console.print(Text(text, "yellow"))

    def picture(self, picture: Picture) -> None:
        """Draw: a bar, then at most LINES - 1 lines."""
        head, *rest = [Text(line, no_wrap=True, overflow="ellipsis") for line in picture.lines(time.time(), LINES - 1)]
        total = max(1, len(picture.status))
        bar = ProgressBar(total, picture.count("done"), BAR_CHARS)
        self._live.update(Group(head, bar, *rest), refresh=True)
