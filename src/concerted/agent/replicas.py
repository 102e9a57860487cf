"""The replicas that run beside an agent: small programs of their own, which judge nothing and end with the agent.

    prepared (it has an address, and may begin with no file) --hosted--> running
    running --it has died, and is hosted again--> running
    running --dismissed--> gone, its files with it

A replica that has once run has promised things, and its file is all that knows them: if that is lost, it never runs
again, and a replica with another id takes its place (`coordinator.replica_group(ID).replace`).

A replica's protocol goes on while its agent thinks for minutes; its log is a file of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent.addresses import SOCKET_PATH_BYTES, private_folder
from concerted.agent.work import Refused
from concerted.errors import ConcertedError, NotFound
from concerted.messages import DismissReplica, HostReplica, PrepareReplica
from concerted.replicas.keys import make_key
from concerted.replicas.spec import PREPARED

__all__ = ["HostedReplicas"]

ENDING_S = 2.0  # how long a replica may take to end before it is killed
REPLICAS_COUNT = 32  # beside one agent


class HostedReplicas:
    """The replicas beside one agent, by group and id.  Every request may come twice."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, int], subprocess.Popen[bytes]] = {}
        self._folders: dict[tuple[str, int], Path] = {}

    def prepare(self, request: PrepareReplica) -> dict[str, Any]:
        """Return where a replica of a group would listen, and the public half of its key if it is to sign.

        Raises:
            Refused: there are too many, or the folder cannot be had.
        """
        if len(self._running) >= REPLICAS_COUNT:
            raise Refused(f"{REPLICAS_COUNT} replicas run here already, the most that may")
        try:
            folder = _folder(request.folder, request.group)
            if not (folder / f"{request.node}.log").exists():
                (folder / f"{request.node}{PREPARED}").touch(mode=0o600)
            answer = {"address": _address(folder, request.node)}
            if request.signs:
                answer["key"] = make_key(folder / f"{request.node}.key")
            return answer
        except (ConcertedError, OSError) as error:
            raise Refused(f"it cannot have a folder for replicas: {error}") from error

    def host(self, request: HostReplica) -> dict[str, Any]:
        """See to it that a replica runs.

        Raises:
            Refused: it cannot be started, or has lost its file.
        """
        place = (request.group["id"], request.node)
        running = self._running.get(place)
        if running is None or running.poll() is not None:
            _end([] if running is None else [running])
            try:
                self._running[place] = running = _start(request)
                self._folders[place] = _place(request.folder, place[0])
            except (ConcertedError, OSError) as error:
                raise Refused(f"replica {request.node} of {place[0]} cannot be started: {error}") from error
        return {"pid": running.pid}

    def resume(self, folder: Path, agent: str) -> None:
        """Let those run again that this agent hosts, whether a coordinator is there to ask for it or not.

        folder: where the replicas of a store are.  What cannot be started is asked for when a coordinator is there.
        """
        for description in sorted(folder.glob("*/*.json")):
            try:
                group = msgspec.json.decode(description.read_bytes(), type=dict[str, Any])
                node = int(description.stem)
                if group["hosts"].get(str(node)) == agent:
                    self.host(HostReplica(group=group, node=node, folder=str(folder)))
            except (OSError, ValueError, KeyError, Refused):
                continue

    def dismiss(self, request: DismissReplica) -> dict[str, Any]:
        """End a replica whose group is over, and remove its files.  Idempotent."""
        running = self._running.pop((request.group, request.node), None)
        self._folders.pop((request.group, request.node), None)
        if running is not None:
            _end([running])
        folder = _place(request.folder, request.group)
        for end in (".log", ".log.lock", ".err", ".json", ".sock", ".key", PREPARED):
            (folder / f"{request.node}{end}").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others of the group are there still
            folder.rmdir()
        return {}

    def key_of(self, group: str) -> tuple[str, Path | None] | None:
        """Return under which name the host of a replica speaks to its group, and the file of its key; None: no host."""
        for (name, node), folder in self._folders.items():
            if name == group:
                key = folder / f"{node}.key"
                return f"replica-{node}", key if key.exists() else None
        return None

    def close(self) -> None:
        """End them all; their files stay.  Idempotent."""
        running, self._running = list(self._running.values()), {}
        _end(running)


def _start(request: HostReplica) -> subprocess.Popen[bytes]:
    folder = _folder(request.folder, request.group["id"])
    if not any((folder / f"{request.node}{end}").exists() for end in (".log", PREPARED)):
        raise NotFound(
            "its file is gone, and what it has promised with it; have another agent, or this one, replace it"
        )
    description = folder / f"{request.node}.json"
    description.write_bytes(msgspec.json.encode(request.group))
    program = [sys.executable, "-m", "concerted.replicas.process", str(description), str(request.node), str(folder)]
    with (folder / f"{request.node}.err").open("wb") as errors:
        return subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )


def _end(running: list[subprocess.Popen[bytes]]) -> None:
    """End replicas, all at once: each ends when its standard input does."""
    for each in running:
        if each.stdin is not None:
            each.stdin.close()
    for each in running:
        try:
            each.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            each.kill()
            each.wait()


def _place(folder: str, group: str) -> Path:
    return Path(folder) / urllib.parse.quote(group, safe=" ")


def _folder(folder: str, group: str) -> Path:
    place = _place(folder, group)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return private_folder(place)


def _address(folder: Path, node: int) -> str:
    """Return where a replica listens: beside its file, or at a short path if that is too long for a socket."""
    beside = folder.resolve() / f"{node}.sock"
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
        return str(beside)
    short = private_folder(Path(tempfile.gettempdir()) / f"concerted-{os.getuid()}")
    return str(short / f"{hashlib.blake2b(os.fsencode(beside), digest_size=12).hexdigest()}.sock")
