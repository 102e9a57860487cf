"""What a replicated log costs: commits per second, latency, CPU and failover of three replicas on one machine.

Every replica is a process of its own on loopback.  Ours writes to its file and calls fdatasync before it says a word;
PySyncObj is measured with its log in memory, and with its journal, which it never syncs.  Commands are 100 bytes.
Proposed "in the leader's process" is how PySyncObj is used; ours is also measured with clients in another process,
each with a socket and a session of its own.  Failover is the time from `kill -9` of the leader to the next commit.

Run: `python bench/consensus.py [turns]`; `--ours` leaves PySyncObj out.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from beside.comparing import BUILD, HERE, REPEATS, machine
from peers import PYSYNCOBJ

OUTSTANDING = (1, 64, 1_000)
LOAD_S = 2.0
TIMEOUT_S = 1.0  # the least election timeout; the most is twice that
FAILOVERS = 3  # in one turn
PATIENCE_S = 60.0
VOTERS, DECISIONS = 100, 20
TICKS = os.sysconf("SC_CLK_TCK")

Line = dict[str, Any]
OURS, THEIRS, JOURNAL = "**concerted**, synced before anything is sent", "in memory", "journal, never synced"


class Nodes:
    """Three replicas that are told over their standard input what to do."""

    def __init__(self, python: str, script: str, folder: str, *words: str) -> None:
        self.addresses = ",".join(f"127.0.0.1:{free_port()}" for _ in range(3))
        self.command = [python, str(HERE / script)]
        self.rest = [self.addresses, folder, str(TIMEOUT_S), *words]
        self.processes = [self.spawn(index) for index in range(3)]

    def spawn(self, index: int) -> subprocess.Popen[str]:
        """Start one."""
        command = [*self.command, str(index), *self.rest]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, index: int, **words: Any) -> Line:
        """Tell one what to do."""
        stream, answers = self.processes[index].stdin, self.processes[index].stdout
        assert stream is not None
        assert answers is not None
        stream.write(json.dumps(words) + "\n")
        stream.flush()
        found: Line = json.loads(answers.readline())
        return found

    def leader(self, living: tuple[int, ...] = (0, 1, 2)) -> int:
        """Wait until all that live name one of them."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            named = {self.ask(index, do="status")["leader"] for index in living}
            if len(named) == 1 and (leader := named.pop()) in living:
                return int(leader)
            time.sleep(0.005)
        raise TimeoutError(f"{self.command[1]}: nobody leads after {PATIENCE_S:g} s")

    def load(self, outstanding: int) -> Line:
        """Measure a load at the leader."""
        leader, before = self.leader(), cpu_of(self.processes)
        found = self.ask(leader, do="load", for_s=LOAD_S, outstanding=outstanding)
        return found | {"cpu_s": cpu_of(self.processes) - before}

    def failover(self) -> float:
        """Kill the leader; return the seconds until the next commit."""
        leader = self.leader()
        living = tuple(index for index in range(3) if index != leader)
        os.kill(self.processes[leader].pid, signal.SIGKILL)
        began_at = time.perf_counter()
        self.processes[leader].wait()
        while not self.ask(self.leader(living), do="load", for_s=0.0, outstanding=1)["done"]:
            pass  # who led has lost that again
        took_s = time.perf_counter() - began_at
        self.processes[leader] = self.spawn(leader)
        self.leader()
        return took_s

    def close(self) -> None:
        """End them all."""
        for process in self.processes:
            process.kill()
            process.wait()


@contextlib.contextmanager
def group(count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Run replicas as users do; yields the group's description, and their processes."""
    with tempfile.TemporaryDirectory(dir=BUILD) as folder, tempfile.TemporaryDirectory(prefix="cc") as sockets:
        described = Path(folder, "group.json")
        replicas = {node: f"{sockets}/{node}" for node in range(1, count + 1)}
        timing = {"election_timeout_s": TIMEOUT_S, "heartbeat_interval_s": TIMEOUT_S / 5}
        described.write_text(json.dumps({"id": "bench", "secret": "s", "replicas": replicas, **timing}))
        command = [sys.executable, "-m", "concerted.replicas.process", str(described)]
        processes = [
            subprocess.Popen([*command, str(node), folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for node in replicas
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                process.stdout.readline()
            yield str(described), processes
        finally:
            for process in processes:
                process.kill()
                process.communicate()


def clients(described: str, *words: str) -> Line:
    """Let clients work in a process of their own."""
    command = [sys.executable, str(HERE / "with_concerted_clients.py"), described, *words]
    found: Line = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def turn(found: dict[tuple[str, str], list[Line]], *, with_peer: bool) -> None:
    """Measure everything once."""
    contestants = [(OURS, sys.executable, "with_concerted_replica.py", ())]
    if with_peer:
        contestants += [
            (f"{PYSYNCOBJ.name}, {THEIRS}", str(PYSYNCOBJ.python), "with_pysyncobj.py", ()),
            (f"{PYSYNCOBJ.name}, {JOURNAL}", str(PYSYNCOBJ.python), "with_pysyncobj.py", ("journal",)),
        ]
    for name, python, script, words in contestants:
        with tempfile.TemporaryDirectory(dir=BUILD) as folder:
            nodes = Nodes(python, script, folder, *words)
            try:
                for _ in range(FAILOVERS):
                    found.setdefault((name, "failover"), []).append({"took_s": nodes.failover()})
                for outstanding in OUTSTANDING:
                    found.setdefault((name, f"{outstanding}"), []).append(nodes.load(outstanding))
            finally:
                nodes.close()
    with group(3) as (described, processes):
        for count in OUTSTANDING:
            before = cpu_of(processes)
            told = clients(described, str(count), str(LOAD_S))
            told["cpu_s"] += cpu_of(processes) - before
            found.setdefault(("clients", f"{count}"), []).append(told)
    with group(5) as (described, _):
        found.setdefault(("decide", ""), []).append(clients(described, "decide", str(VOTERS), str(DECISIONS)))


def main(turns: int, *, with_peer: bool) -> None:
    """Print the tables."""
    BUILD.mkdir(exist_ok=True)
    print(f"Measured {machine(turns)}; a write of 200 bytes and fdatasync take {sync_us():.0f} us on this disk.\n")
    if with_peer and PYSYNCOBJ.missing():
        print(f"{PYSYNCOBJ.name} was not measured: {PYSYNCOBJ.missing()}.\n")
        with_peer = False
    found: dict[tuple[str, str], list[Line]] = {}
    for _ in range(turns):
        turn(found, with_peer=with_peer)
    names = list(dict.fromkeys(name for name, what in found if what == "failover"))
    print("Three replicas, proposed in the leader's process:\n")
    print_loads({name: name for name in names}, found)
    print("\nOurs, with clients in another process; CPU is that of all replicas and the clients:\n")
    print_loads({"clients": "**concerted**, a ballot, a socket for each client"}, found)
    print(f"\nFrom `kill -9` of the leader to the next commit, in election timeouts ({TIMEOUT_S:g} s to twice that):\n")
    print("| | median | lowest to highest | kills |\n|---|---:|---:|---:|")
    for name in names:
        times = sorted(line["took_s"] / TIMEOUT_S for line in found[name, "failover"])
        print(f"| {name} | {statistics.median(times):.2f} | {times[0]:.2f} to {times[-1]:.2f} | {len(times)} |")
    told = found["decide", ""]
    print(f"\nA decision of {VOTERS} voters over 5 replicas, each voter a client with a socket, all at once: ", end="")
    worst_ms = max(line["worst_ms"] for line in told)
    print(f"{middle(told, 'median_ms'):.0f} ms, the slowest of {DECISIONS * turns} {worst_ms:.0f} ms.")


def print_loads(names: dict[str, str], found: dict[tuple[str, str], list[Line]]) -> None:
    """Print a table of loads."""
    print("| | outstanding | commits/s | lowest to highest | p50 | p99 | CPU of all, per commit |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, shown in names.items():
        for outstanding in OUTSTANDING:
            lines = found[name, f"{outstanding}"]
            rates = sorted(line["done"] / line["wall_s"] for line in lines)
            cpu_us = statistics.median(1e6 * line["cpu_s"] / max(1, line["done"]) for line in lines)
            print(
                f"| {shown} | {outstanding:,} | {statistics.median(rates):,.0f} | {rates[0]:,.0f} to {rates[-1]:,.0f} "
                f"| {middle(lines, 'p50_ms'):.1f} ms | {middle(lines, 'p99_ms'):.1f} ms | {cpu_us:,.0f} us |"
            )


def middle(lines: list[Line], fact: str) -> float:
    """Return the median of a fact."""
    return float(statistics.median(line[fact] for line in lines))


def cpu_of(processes: list[Any]) -> float:
    """Return the seconds of CPU that these have used."""
    fields = [Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split() for process in processes]
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS


def sync_us() -> float:
    """Return what one small write and its sync take, in microseconds."""
    times = []
    with tempfile.NamedTemporaryFile(dir=BUILD) as stream:
        for _ in range(200):
            began_at = time.perf_counter()
            os.write(stream.fileno(), b"x" * 200)
            os.fdatasync(stream.fileno())
            times.append(time.perf_counter() - began_at)
    return 1e6 * statistics.median(times)


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:] if each.isdigit()]
    main(numbers[0] if numbers else REPEATS, with_peer="--ours" not in sys.argv)
