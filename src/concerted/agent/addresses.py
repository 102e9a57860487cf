"""Where the owner of a store listens on this machine."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from concerted.errors import Invalid, NotAllowed

__all__ = ["SOCKET_PATH_BYTES", "socket_path", "store_path"]

SOCKET_PATH_BYTES = 100  # the longest path of a socket that every system takes


def store_path(url: str) -> Path:
    """Return the file that a store's URL names: `sqlite:///work.db` is relative, `sqlite:////var/work.db` is not.

    Raises:
        Invalid: it names no file.
    """
    scheme, separator, rest = url.partition(":///")
    path = rest.partition("?")[0]
    if scheme != "sqlite" or not separator or not path:
        raise Invalid(f"{url} names no file; an agent joins through sqlite:///PATH")
    return Path(path)


def socket_path(database: str | os.PathLike[str]) -> Path:
    """Return where the owner of a SQLite file listens: `FILE.sock`, or a short path if that is too long for a socket.

    Raises:
        NotAllowed: the private folder for short paths belongs to somebody else.
    """
    beside = Path(f"{Path(database).resolve()}.sock")
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
        return beside
    folder = Path(tempfile.gettempdir()) / f"concerted-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotAllowed(f"{folder} is not a private folder of this user; remove it, or give the store a shorter path")
    return folder / f"{hashlib.blake2b(os.fsencode(beside), digest_size=12).hexdigest()}.sock"
