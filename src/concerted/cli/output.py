"""Results on standard output: one JSON object, or columns for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec

__all__ = ["ago", "clip", "clock", "columns", "write_json", "write_table"]

CLIPPED = 60  # characters of one value in a table; JSON has all of it


def write_json(value: Any) -> None:
    """Write one value as one line of JSON."""
    click.echo(msgspec.json.encode(value))


def write_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write aligned columns, or nothing if there are no rows."""
    for line in columns(head, rows):
        click.echo(line)


def columns(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """Align columns to the left; numbers to the right.  No rows give no lines."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not cells:
        return []
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    right = [all(row[i].isdigit() for row in cells) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [list(head), *cells]
    ]


def clip(value: Any, size: int = CLIPPED) -> str:
    """Show a value in one short line: a text as it is, anything else as JSON; nothing for nothing."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = " ".join(text.split())
    return text if len(text) <= size else text[: size - 3] + "..."


def ago(seconds: float) -> str:
    """Show a length of time in two units at most: 0.4s, 12s, 3m05s, 2h10m, 3d04h."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def clock(at: float) -> str:
    """Show an instant as local time, to the millisecond."""
    whole = time.strftime("%H:%M:%S", time.localtime(at))
    return f"{whole}.{int(at * 1000) % 1000:03d}"
