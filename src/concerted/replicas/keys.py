"""Private keys in files: made once, for this user alone."""

from __future__ import annotations

import os
from pathlib import Path

from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.errors import Invalid, Unreachable

__all__ = ["make_key", "read_key"]

KEY_BYTES = 32


def make_key(file: Path) -> str:
    """Return the public half of the key in a file, which is made if it is not there.

    Raises:
        Invalid: what is there is no key, or the package for keys is missing.
        Unreachable: the file cannot be written.
    """
    try:
        with open(file, "x", opener=_private, encoding="ascii") as opened:
            opened.write(f"{new_key(os.urandom(KEY_BYTES))}\n")
    except FileExistsError:
        pass
    except OSError as error:
        raise Unreachable(f"the key {file} cannot be written: {error.strerror}", path=str(file)) from error
    return public_key(read_key(file))


def read_key(file: Path) -> str:
    """Return the private key in a file.

    Raises:
        Invalid: it cannot be read.
    """
    try:
        return file.read_text("ascii").strip()
    except (OSError, UnicodeError) as error:
        raise Invalid(f"the private key {file} cannot be read ({error}); without it nobody would believe us") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
