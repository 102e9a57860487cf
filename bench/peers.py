"""The systems measured beside us: which they are, and one environment for each, made by `--install`.

    python bench/peers.py             # say what is installed
    python bench/peers.py --install   # make the environments; what is there already stays as it is

They live in the folder named by CONCERTED_BENCH_PEERS, by default build/bench-peers.  A peer that cannot be
installed is no error: the tables say that it was not measured, and why.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = Path(os.environ.get("CONCERTED_BENCH_PEERS", ROOT / "build" / "bench-peers"))
INSTALL_S = 900  # how long one installation may take


@dataclass(frozen=True)
class Peer:
    """One system.  script: what measures it, in `beside/`.  also: what it needs and does not ask for itself."""

    package: str
    version: str
    script: str
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How the tables call it."""
        return f"{self.package} {self.version}"

    @property
    def folder(self) -> Path:
        """Its environment."""
        return FOLDER / self.package

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return self.folder / "bin" / "python"

    def missing(self) -> str:
        """Say why it cannot be measured; '' if it can."""
        if not self.python.exists():
            return "not installed; `python bench/peers.py --install`"
        asked = f"from importlib.metadata import version; print(version({self.package!r}))"
        answer = subprocess.run([self.python, "-c", asked], capture_output=True, text=True, check=False)
        found = answer.stdout.strip()
        return "" if found == self.version else f"its environment holds {found or 'nothing of it'}"

    def install(self) -> str:
        """Make its environment; returns why that failed, '' if it is there."""
        if not self.missing():
            return ""
        make = [sys.executable, "-m", "venv", "--clear", str(self.folder)]
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for step in (
            make,
            [*pip, f"{self.package}=={self.version}", *self.also],
        ):
            try:
                done = subprocess.run(step, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            except subprocess.TimeoutExpired:
                return f"not done after {INSTALL_S} s"
            if done.returncode != 0:
                return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return self.missing()


MANGO = Peer("mango-agents", "2.4.0", "with_mango.py")
AUTOGEN = Peer("autogen-core", "0.7.5", "with_autogen.py")
SPADE = Peer("spade", "4.1.4", "with_spade.py", ("greenlet",))
LANGGRAPH = Peer("langgraph", "1.2.22", "with_langgraph.py", ("langgraph-checkpoint-sqlite",))
PEERS = (MANGO, AUTOGEN, SPADE, LANGGRAPH)

REDIS = Peer("redis", "8.1.0", "with_redis.py", ("hiredis",))
ETCD = Peer("aetcd", "1.0.0", "with_etcd.py")
ZOOKEEPER = Peer("kazoo", "2.11.0", "with_zookeeper.py")
CLIENTS = (REDIS, ETCD, ZOOKEEPER)  # of servers, which `beside/servers.py` starts
PYSYNCOBJ = Peer("pysyncobj", "0.3.17", "with_pysyncobj.py")


def main(arguments: list[str]) -> None:
    """Install if told to, and say how each peer stands."""
    if arguments not in ([], ["--install"]):
        sys.exit("usage: python bench/peers.py [--install]")
    for peer in (*PEERS, *CLIENTS, PYSYNCOBJ):
        reason = peer.install() if arguments else peer.missing()
        print(f"{peer.name}: {reason or 'installed'}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
