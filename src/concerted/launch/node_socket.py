"""The socket of a node: one of many in a folder of this user's, where the agents of this machine look for it.

bound and listening under another name --rename--> seen by agents --close--> gone
seen --the node is killed--> dead --the next node opens--> gone
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from concerted.agent.addresses import NodePlaces
from concerted.errors import Unreachable

__all__ = ["leave_folder", "listen", "node_socket", "remove_dead"]

BACKLOG = 100  # agents that may wait to be let in
TRIES = 3  # the folder goes when a node leaves it empty, perhaps while another is about to use it


def node_socket(url: str, node: str) -> Path:
    """Return where a node is to listen; the folder is made, and the sockets of dead nodes in it are removed.

    Raises:
        NotAllowed: the folder is not this user's alone, or cannot be made.
        Invalid: the path is too long for a socket.
    """
    path = NodePlaces(url).own(node)
    remove_dead(path.parent)
    return path


def listen(url: str, path: Path) -> socket.socket:
    """Return a socket that listens at a path from `node_socket`; whoever sees it there can connect.

    Raises:
        Unreachable: the system refuses; says why.
    """
    for left in reversed(range(TRIES)):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _listen_at(sock, path)
        except OSError as error:
            sock.close()
            if left and isinstance(error, FileNotFoundError):
                node_socket(url, path.stem)
                continue
            raise Unreachable(
                f"this node cannot listen for agents at {path} ({error.strerror}); see to its folder, or name another "
                "one in XDG_RUNTIME_DIR",
                path=str(path),
            ) from error
        return sock
    raise AssertionError("the last try returns or raises")


def _listen_at(sock: socket.socket, path: Path) -> None:
    # Under its own name only when it listens: `remove_dead` of another node takes a silent socket for a dead one.
    unseen = path.with_suffix(".new")
    sock.bind(str(unseen))
    try:
        unseen.chmod(0o600)
        sock.listen(BACKLOG)
        sock.setblocking(False)
        unseen.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            unseen.unlink()
        raise


def remove_dead(folder: Path) -> list[Path]:
    """Remove the sockets at which nobody listens, and return their paths."""
    dead = [path for path in sorted(folder.glob("*.sock")) if _is_dead(path)]
    for path in dead:
        with contextlib.suppress(OSError):  # another node was faster
            path.unlink()
    return dead


def _is_dead(path: Path) -> bool:
    """Say whether nobody can ever answer there again: a node that is merely busy, or paused, is not dead."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return True
        except OSError:  # its queue is full, or it has just left
            return False
    return False


def leave_folder(path: Path) -> None:
    """Remove the folder of a socket that is gone, if no other node uses it."""
    with contextlib.suppress(OSError):
        path.parent.rmdir()
