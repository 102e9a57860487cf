"""The servers measured beside us: each is started on a port of its own, on loopback, with its data in our folder.

They are Debian's packages redis-server, etcd-server and zookeeper.  One that is not installed, or does not start, is
no error: `missing` says why, and the tables say so too.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

START_S = 30.0  # how long one may take until it listens
STOP_S = 10.0
ZOOKEEPER_JAR = Path("/usr/share/java/zookeeper.jar")

ZOOKEEPER = """tickTime=2000
dataDir={folder}
clientPort={port}
clientPortAddress=127.0.0.1
maxClientCnxns=0
admin.enableServer=false
"""


class Server:
    """A server that runs as long as the block.  command: what starts it, from its folder and its port."""

    def __init__(self, name: str, folder: Path, command: Callable[[Path, int], Sequence[str]]) -> None:
        self.name = name
        self.missing = ""
        self.port = free_port()
        self._folder = folder / name.replace(" ", "-")
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> int:
        """Its process id."""
        return self._process.pid if self._process is not None else 0

    def __enter__(self) -> Server:
        self._folder.mkdir()
        try:
            command = self._command(self._folder, self.port)
            with (self._folder / "log").open("wb") as log:
                self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        except OSError as error:
            self.missing = f"it is not installed ({error.strerror}: {error.filename})"
            return self
        until = time.monotonic() + START_S
        while not listens(self.port):
            if self._process.poll() is not None or time.monotonic() > until:
                self.missing = "it does not start: " + (self._folder / "log").read_text()[-200:].strip()
                break
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def redis(folder: Path, port: int, *, fsync: str) -> Sequence[str]:
    """Return the command of a Redis that appends to its file; fsync: `everysec`, as is usual, or `always`."""
    return [
        "redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", "",
        "--appendonly", "yes", "--appendfsync", fsync,
    ]  # fmt: skip


def etcd(folder: Path, port: int) -> Sequence[str]:
    """Return the command of an etcd of one member: every commit is synced before it is answered."""
    url, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    return [
        "etcd", "--data-dir", str(folder / "data"), "--listen-client-urls", url, "--advertise-client-urls", url,
        "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}",
    ]  # fmt: skip


def zookeeper(folder: Path, port: int) -> Sequence[str]:
    """Return the command of a ZooKeeper of one server: every transaction is synced before it is answered."""
    if not ZOOKEEPER_JAR.exists():
        raise FileNotFoundError(2, "No such file", str(ZOOKEEPER_JAR))
    configuration = folder / "zoo.cfg"
    configuration.write_text(ZOOKEEPER.format(folder=folder, port=port))
    main = "org.apache.zookeeper.server.ZooKeeperServerMain"
    return [shutil.which("java") or "java", "-cp", str(ZOOKEEPER_JAR), main, str(configuration)]


def listens(port: int) -> bool:
    """Say whether somebody listens there."""
    with socket.socket() as one:
        one.settimeout(1)
        return one.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
