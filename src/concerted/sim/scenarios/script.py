"""One file of a scenario: its steps, and the transcript that stands behind each.

    played = play_script(text)        played.text has the transcript as it is now

A line at the margin is a step, or a comment after `#`; what is indented is the transcript of the step before it, and
is written by the machine.  The first steps say which protocol it is and how it is set.
"""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from concerted.errors import Invalid
from concerted.sim.cluster.checks import Broken
from concerted.sim.cluster.settings import Settings
from concerted.sim.cluster.table import Table, Unexpected
from concerted.sim.scenarios.kinds import KINDS

__all__ = ["PlayedScript", "play_script"]

INDENT = "    "


@dataclass(frozen=True, slots=True)
class PlayedScript:
    """What came of a file.  text: the file with its transcript as it is now.  problems: what was not as expected."""

    text: str
    problems: tuple[str, ...]

    def differences(self, stored: str) -> list[str]:
        """Return the lines in which a stored file differs."""
        before, now = stored.splitlines(), self.text.splitlines()
        return list(difflib.unified_diff(before, now, "stored", "now", lineterm="", n=2))


def play_script(text: str) -> PlayedScript:
    """Play a file, step by step, until its end or the first problem.

    Raises:
        Invalid: there is no such step, or it cannot be done; says in which line.
    """
    stage = _Stage()
    lines: list[str] = []
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(" "):
            continue
        lines.append(line.rstrip())
        words = shlex.split(line, comments=True)
        if not words or problems:
            continue
        try:
            stage.take(words)
        except Unexpected as error:
            problems.append(f"line {number}: {line}: {error}")
        except (Broken, AssertionError) as error:
            problems += stage.broke(f"line {number}: {line}: {error}", str(error))
        except Invalid as error:
            raise Invalid(f"line {number}: {line}: {error.message}") from None
        lines += [INDENT + said for said in stage.said()]
    problems += stage.left()
    return PlayedScript("\n".join(lines) + "\n", tuple(problems))


class _Stage:
    """The table of one file, once it is known which protocol it is, and what is expected to break."""

    def __init__(self) -> None:
        self._kind = KINDS["raft"]
        self._settings: Settings = Settings()
        self._table: Table[Any] | None = None
        self._to_break: str | None = None

    def take(self, words: list[str]) -> None:
        """Do one step."""
        match words:
            case ["protocol", name] if name in KINDS:
                self._kind = KINDS[name]
            case ["protocol", *_]:
                raise Invalid(f"the protocols are {', '.join(KINDS)}")
            case ["set", *given]:
                self._settings = Settings.parse(",".join(given))
            case ["expect", "broken", *what]:
                self._to_break = " ".join(what)
            case ["briefly", *rest]:
                table = self._open()
                before, table.said = table.said, []
                self.take(rest)
                table.said = before + [text for text in table.said if not _is_talk(text)]
            case _:
                step, rest = self._find(words)
                step(self._open(), rest)

    def broke(self, problem: str, text: str) -> list[str]:
        """Take note that an invariant does not hold; return that as a problem if nobody has expected it."""
        self._open().say(f"BROKEN: {text}")
        if self._to_break is not None and self._to_break in text:
            self._to_break = None
            return []
        return [problem]

    def said(self) -> list[str]:
        """Return what was said since this was asked last."""
        if self._table is None:
            return []
        said, self._table.said = self._table.said, []
        return said

    def left(self) -> list[str]:
        """Return what was expected and has not come."""
        return [] if self._to_break is None else [f"expected to break, and does not: {self._to_break}"]

    def _open(self) -> Table[Any]:
        if self._table is None:
            self._table = self._kind.table(self._settings.over(self._kind.settings()))
        return self._table

    def _find(self, words: list[str]) -> tuple[Callable[[Table[Any], list[str]], None], list[str]]:
        steps = self._kind.steps
        for count in (2, 1):
            name = " ".join(words[:count])
            if name in steps and len(words) >= count:
                return steps[name], words[count:]
        near = difflib.get_close_matches(words[0], steps, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the steps are {', '.join(sorted(steps))}"
        raise Invalid(f"there is no step {words[0]!r}; {hint}")


def _is_talk(text: str) -> bool:
    """Say whether a line tells of a message or of a disk, and not of what has come of it."""
    first, second, *_ = text.split()
    return "->" in first + second or second in {"hears", "writes"}
