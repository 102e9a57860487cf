"""Where the coordinators of a store listen on this machine, and where its agents keep what they have done.

    sqlite:///work.db          one owner, at work.db.sock; inboxes in work.db.agents/
    postgresql://host/work     the nodes of this machine and user, at RUNTIME/concerted/DATABASE/NODE.sock;
                               inboxes in STATE/concerted/DATABASE.agents/

RUNTIME is `$XDG_RUNTIME_DIR` (without it, `concerted-UID` in the folder for temporary files takes the place of
RUNTIME/concerted), STATE is `$XDG_STATE_HOME` or `~/.local/state`, DATABASE a digest of host, port, name and schema.
Source for the two folders: XDG Base Directory Specification 0.8.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from concerted.errors import Invalid, NotAllowed

__all__ = [
    "SOCKET_PATH_BYTES",
    "NodePlaces",
    "OwnerPlace",
    "Places",
    "database_id",
    "is_shared",
    "places_of",
    "private_folder",
    "replicas_folder",
    "shown_url",
    "socket_path",
    "store_path",
]

SOCKET_PATH_BYTES = 100  # the longest path of a socket that every system takes
POSTGRES_PORT = "5432"
DEFAULT_SCHEMA = "concerted"  # as the store has it


class Places(Protocol):
    """What an agent must know of a store's URL.  is_many: whether several coordinators may listen at once."""

    is_many: ClassVar[bool]

    def sockets(self) -> list[Path]:
        """Return where a coordinator may listen now, in a fixed order.

        Raises:
            NotAllowed: the folder is not this user's alone.
        """

    def inbox(self, agent: str) -> Path:
        """Return where an agent of this store keeps what it has done, and make the folder.

        Raises:
            NotAllowed: the folder cannot be made, or others can write it.
        """

    def nobody(self) -> str:
        """Say that nobody was found, and what to do."""


def is_shared(url: str) -> bool:
    """Say whether the URL names a database on which several processes coordinate at once."""
    return url.startswith(("postgresql://", "postgres://"))


def places_of(url: str) -> Places:
    """Return where the coordinators of this store listen.

    Raises:
        Invalid: the URL names no store that an agent can join.
    """
    return NodePlaces(url) if is_shared(url) else OwnerPlace(url, store_path(url))


@dataclass(frozen=True, slots=True)
class OwnerPlace:
    """A store in a file, which has one owner at a time."""

    url: str
    database: Path
    is_many: ClassVar[bool] = False

    def sockets(self) -> list[Path]:
        """Return the one place, whether somebody listens there or not."""
        return [socket_path(self.database)]

    def inbox(self, agent: str) -> Path:
        """Return `STORE.agents/ID.inbox`."""
        folder = Path(f"{self.database}.agents")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / _inbox_name(agent)

    def nobody(self) -> str:
        """Say that the store has no owner."""
        return f"nobody owns {self.url}: nothing answers at {self.sockets()[0]}; start a run on it"


@dataclass(frozen=True, slots=True)
class NodePlaces:
    """A store in a database, which has any number of nodes on any number of machines."""

    url: str
    is_many: ClassVar[bool] = True

    def sockets(self) -> list[Path]:
        """Return the sockets of this machine's nodes, of those also that have died and are not yet cleared away."""
        found: list[Path] = []
        for base in _bases():
            folder = base / database_id(self.url)
            if folder.is_dir():
                _check_private(base, _ELSEWHERE)
                found += sorted(folder.glob("*.sock"))
        return found

    def inbox(self, agent: str) -> Path:
        """Return `STATE/concerted/DATABASE.agents/ID.inbox`."""
        state = _state()
        folder = state / "concerted" / f"{database_id(self.url)}.agents"
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise NotAllowed(f"{state} cannot be made ({error.strerror}); {_OTHER_INBOX}") from error
        _make_private(folder.parent, _OTHER_INBOX)
        _make_private(folder, _OTHER_INBOX)
        return folder / _inbox_name(agent)

    def nobody(self) -> str:
        """Say that this machine has no node."""
        folders = " and ".join(str(base / database_id(self.url)) for base in _bases())
        return (
            f"no node of {shown_url(self.url)} runs on this machine under this user: nothing answers in {folders}; "
            "start a run on it here"
        )

    def own(self, node: str) -> Path:
        """Return where a node of this machine is to listen, and make the folder, for this user alone.

        Raises:
            NotAllowed: the folder cannot be made, or others can write it.
            Invalid: the path is too long for a socket.
        """
        paths = [base / database_id(self.url) / f"{node}.sock" for base in _bases()]
        for path in paths:
            if len(os.fsencode(path)) <= SOCKET_PATH_BYTES:
                _make_private(path.parent.parent, _ELSEWHERE)
                _make_private(path.parent, _ELSEWHERE)
                return path
        raise Invalid(
            f"agents could not reach this node at {paths[-1]}: the path has {len(os.fsencode(paths[-1]))} bytes, that "
            f"of a socket at most {SOCKET_PATH_BYTES}; name a folder with a shorter path in XDG_RUNTIME_DIR",
            path=str(paths[-1]),
        )


def shown_url(url: str) -> str:
    """Return the URL of a database without its password."""
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    query = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in _SECRETS]
    rest = f"?{'&'.join(query)}" if query else ""
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}{rest}"


def database_id(url: str) -> str:
    """Return what tells the store of a URL from all others: 24 hex digits, whoever logs in with whatever password."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    user, _, hosts = parts.netloc.rpartition("@")
    port = query.get("port", POSTGRES_PORT)
    named = [
        host if host.rpartition(":")[2].isdigit() else f"{host.removesuffix(':')}:{port}"
        for host in (hosts or query.get("host", "")).lower().split(",")
    ]
    login = urllib.parse.unquote(user.partition(":")[0]) or query.get("user", "")
    database = urllib.parse.unquote(parts.path.lstrip("/")) or query.get("dbname", "") or login
    whole = f"{','.join(named)}/{database}?schema={query.get('schema', DEFAULT_SCHEMA)}"
    return hashlib.blake2b(whole.encode(), digest_size=12).hexdigest()


def replicas_folder(url: str) -> Path:
    """Return the folder in which the replicas beside this store's agents keep their logs; it need not exist.

    Raises:
        Invalid: the URL names no store that an agent can join.
    """
    if is_shared(url):
        return _state() / "concerted" / f"{database_id(url)}.replicas"
    return Path(f"{store_path(url).resolve()}.replicas")


def store_path(url: str) -> Path:
    """Return the file that a store's URL names: `sqlite:///work.db` is relative, `sqlite:////var/work.db` is not.

    Raises:
        Invalid: it names no file.
    """
    scheme, separator, rest = url.partition(":///")
    path = rest.partition("?")[0]
    if scheme != "sqlite" or not separator or not path:
        raise Invalid(f"{url} names no store to join; write sqlite:///PATH or postgresql://HOST/DATABASE")
    return Path(path)


def socket_path(database: str | os.PathLike[str]) -> Path:
    """Return where the owner of a SQLite file listens: `FILE.sock`, or a short path if that is too long for a socket.

    Raises:
        NotAllowed: the private folder for short paths belongs to somebody else.
    """
    beside = Path(f"{Path(database).resolve()}.sock")
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
        return beside
    folder = _temporary()
    _make_private(folder, "or give the store a shorter path")
    return folder / f"{hashlib.blake2b(os.fsencode(beside), digest_size=12).hexdigest()}.sock"


def _state() -> Path:
    named = os.environ.get("XDG_STATE_HOME", "")
    return Path(named) if os.path.isabs(named) else Path(os.path.expanduser("~"), ".local", "state")


_SECRETS = ("password", "sslpassword")
_ELSEWHERE = "or name a folder of your own in XDG_RUNTIME_DIR"
_OTHER_INBOX = "or name the agent's inbox yourself: --inbox FILE"


def _bases() -> list[Path]:
    """Return the folders below which this user's nodes listen: they take the first that fits, agents look in all."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        is_ours = os.path.isabs(named) and os.stat(named).st_uid == os.getuid()
    except OSError:  # as it was in another session: it is gone, or another user's
        is_ours = False
    return [Path(named) / "concerted", _temporary()] if is_ours else [_temporary()]


def _temporary() -> Path:
    return Path(tempfile.gettempdir()) / f"concerted-{os.getuid()}"


def private_folder(folder: Path) -> Path:
    """Make a folder for this user alone, unless it is there; return it.

    Raises:
        NotAllowed: it cannot be made, or it is somebody else's as well.
    """
    _make_private(folder, "or name another folder")
    return folder


def _make_private(folder: Path, otherwise: str) -> None:
    """Make a folder for this user alone, unless it is there.

    Raises:
        NotAllowed: it cannot be made, or it is somebody else's as well.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise NotAllowed(
            f"{folder} cannot be made ({error.strerror}); make {folder.parent} writable for this user, {otherwise}"
        ) from error
    _check_private(folder, otherwise)


def _check_private(folder: Path, otherwise: str) -> None:
    """See whether nobody else can have put anything into a folder.

    Raises:
        NotAllowed: somebody can.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotAllowed(
            f"{folder} is not a private folder of this user; see whose it is and `chmod 700` it, {otherwise}"
        )


def _inbox_name(agent: str) -> str:
    return f"{urllib.parse.quote(agent, safe=' ')}.inbox"
