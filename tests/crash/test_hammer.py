"""Many processes ask one store at once and are killed again and again: nothing is lost, nothing counts twice.

Counted from outside: each process notes in a file of its own what it was told (hammer_worker.py), and this
test reads those files and the database, and asks no coordinator anything.  CONCERTED_HAMMER=full is thirty
processes with a thousand operations each.
"""

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from concerted.stores.ownership import owner_of
from concerted.stores.postgres.connection import Address

WORKER = Path(__file__).with_name("hammer_worker.py")
FULL = os.environ.get("CONCERTED_HAMMER") == "full"
PROCESSES, OPERATIONS, KILLS = (30, 1_000, 60) if FULL else (8, 120, 8)
POINT_EVERY, MEET_EVERY = 10, 50  # operations, as hammer_worker.py says
BETWEEN_KILLS = PROCESSES * OPERATIONS // (KILLS + 3)  # operations, on average
WITHIN_S = 3_000.0 if FULL else 240.0


def test_nothing_is_lost_or_doubled_in_one_sqlite_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    crew = Crew(url, tmp_path, lambda: owner_of(tmp_path / "x.db").get("pid"))
    crew.hammer()
    with closing(sqlite3.connect(f"file:{tmp_path}/x.db?mode=ro", uri=True)) as connection:
        count(crew, lambda question: connection.execute(question).fetchall())


def test_nothing_is_lost_or_doubled_in_one_postgresql(tmp_path: Path, postgres: Callable[[], str]) -> None:
    url = postgres()
    address = Address.parse(url)
    with psycopg.connect(address.conninfo, autocommit=True) as connection:
        connection.execute(f"set search_path = {address.schema}")
        [(most,)] = connection.execute("show max_connections").fetchall()
        if int(most) < 6 * PROCESSES:
            pytest.skip(f"{PROCESSES} nodes take a server with max_connections of {6 * PROCESSES}; this one has {most}")
        crew = Crew(url, tmp_path, lambda: None)
        crew.hammer()
        count(crew, lambda question: connection.execute(question).fetchall())


class Crew:
    """The processes.  owner: gives the pid of the one whose death concerns all others, if there is one."""

    def __init__(self, url: str, folder: Path, owner: Callable[[], Any]) -> None:
        self.names = [f"w{number}" for number in range(PROCESSES)]
        self.folder = folder
        self.kills = self.kills_of_owners = 0
        self._url = url
        self._owner = owner
        self._plan = json.dumps({"names": self.names, "operations": OPERATIONS, "seed": 1})
        self._dice = random.Random(7)
        self._lives = dict.fromkeys(self.names, 0)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._counted: dict[Path, tuple[int, int]] = {}  # how far each file of notes was read, what was done by then

    def hammer(self) -> None:
        """Let them do their shares, killing one of them now and then, until all have ended well."""
        until = time.monotonic() + WITHIN_S
        try:
            for name in self.names:
                self._start(name)
            self._kill_and_wait(until)
        finally:
            for process in self._processes.values():
                process.kill()
                process.wait()

    def _kill_and_wait(self, until: float) -> None:
        kill_at = self._dice.randint(1, 2 * BETWEEN_KILLS)
        while running := [name for name in self.names if self._processes[name].poll() is None]:
            assert time.monotonic() < until, f"{running} have not ended within {WITHIN_S:g} s"
            for name in self.names:
                assert self._processes[name].returncode in (None, 0), f"{name} has failed; see its words above"
            time.sleep(0.02)
            if self.kills < KILLS and self._done() > kill_at:
                self._kill(running)
                kill_at = self._done() + self._dice.randint(1, 2 * BETWEEN_KILLS)
        assert self.kills == KILLS, f"all was over after {self.kills} kills: the test must have something to kill"

    def _kill(self, running: list[str]) -> None:
        owner = self._owner()
        victim = next((name for name in running if self._processes[name].pid == owner), None)
        if victim is None or self._dice.random() < 0.5:
            victim = self._dice.choice(running)
        self._processes[victim].kill()
        if self._processes[victim].wait() == 0:
            return  # it had just ended by itself
        self.kills += 1
        self.kills_of_owners += self._processes[victim].pid == owner
        self._start(victim)

    def _done(self) -> int:
        """Count the operations that are done by now."""
        for path in self.folder.glob("*.notes"):
            at, count = self._counted.get(path, (0, 0))
            with path.open("rb") as file:
                file.seek(at)
                lines = file.read().rpartition(b"\n")[0]
            self._counted[path] = (at + len(lines), count + lines.count(b'"done"'))
        return sum(count for _, count in self._counted.values())

    def _start(self, name: str) -> None:
        self._lives[name] += 1
        command = [sys.executable, str(WORKER), self._url, str(self.folder), name, str(self._lives[name]), self._plan]
        self._processes[name] = subprocess.Popen(command)

    def notes(self, name: str) -> list[dict[str, Any]]:
        """Return what a process has noted in all its lives."""
        paths = sorted(self.folder.glob(f"{name}.*.notes"), key=lambda one: int(one.name.split(".")[1]))
        lines = [line for path in paths for line in path.read_bytes().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith(b"\n")]


Ask = Callable[[str], list[tuple[Any, ...]]]


def count(crew: Crew, ask: Ask) -> None:
    """Compare what the processes were told with what is in the store."""
    log = [
        (stream, kind, agent, ref, json.loads(data))
        for stream, kind, agent, ref, data in ask("select stream, kind, agent, ref, data from log order by seq")
        if data is not None
    ]
    told = {name: crew.notes(name) for name in crew.names}
    done = {name: [line for line in told[name] if line["what"] == "done"] for name in crew.names}
    for name in crew.names:
        assert [line["number"] for line in done[name]] == list(range(OPERATIONS)), f"{name}: each once, in order"
    by_op = {
        op: [(name, line) for name in crew.names for line in done[name] if line["op"] == op]
        for op in ("increment", "swap", "lease", "send", "point", "barrier")
    }
    count_registers(by_op["increment"] + by_op["swap"], log)
    count_leases(crew, by_op["lease"], log)
    count_meetings(crew, log)
    count_messages(crew, by_op["send"], told, log, ask)
    assert ask("select count(*), min(seq) from log") == ask("select max(seq), 1 from log"), "the log has a gap"
    which = f"{crew.kills} kills, {crew.kills_of_owners} of them of owners"
    print(f"{PROCESSES} x {OPERATIONS} operations, {which}, {len(log):,} rows: 0 lost, 0 doubled")


def count_registers(done: list[tuple[str, dict[str, Any]]], log: list[Any]) -> None:
    """Each change that was told is there once, under the version that was told; and there is no other."""
    told: dict[str, dict[int, str]] = {}
    for name, line in done:
        register, version = line["told"]
        ours = told.setdefault(register, {})
        assert version not in ours, f"{register}: version {version} was told to {ours.get(version)} and to {name}"
        ours[version] = name
    for register, versions in sorted(told.items()):
        changes = [one for one in log if one[0] == f"register:{register}" and one[1].startswith("register.")]
        assert {data["version"]: agent for _, _, agent, _, data in changes} == versions
        assert len(changes) == len(versions) == changes[-1][4]["value"], f"{register}: lost or counted twice"


def count_leases(crew: Crew, done: list[tuple[str, dict[str, Any]]], log: list[Any]) -> None:
    """No two hold a name at once, tokens only grow, and under each token only its holder has written."""
    grants = [(ref, agent, data["names"]) for _, kind, agent, ref, data in log if kind == "lease.granted"]
    tokens = [token for token, _, _ in grants]
    assert tokens == sorted(set(tokens)), "tokens must grow from grant to grant"
    holder = {token: agent for token, agent, _ in grants}
    held: dict[str, str] = {}
    for _, kind, _, ref, data in log:
        if kind == "lease.granted":
            for name in data["names"]:
                assert name not in held, f"{name} was granted under {ref} while it was held under {held[name]}"
                held[name] = ref
        elif kind in ("lease.released", "lease.expired", "lease.lapsed"):
            for name in data["names"]:
                assert held.pop(name) == ref
    assert held == {}, "everything was released"
    for name, line in done:
        assert holder[line["told"][1]] == name, f"{name} was told {line['told']}"
    for path in sorted(crew.folder.glob("guarded-*")):
        written = [line.split() for line in path.read_text().splitlines()]
        order = [token for token, _ in written]
        assert order == sorted(order), f"{path.name}: somebody wrote after a later holder had"
        assert all(holder[token] == ticket.split("/")[0] for token, ticket in written)


def count_meetings(crew: Crew, log: list[Any]) -> None:
    """Everybody has arrived everywhere once, and every point and generation was completed once, by all."""
    arrivals: dict[str, list[str]] = {}
    ends: Counter[str] = Counter()
    for stream, kind, agent, _, data in log:
        if kind == "sync_point.arrived":
            arrivals.setdefault(stream, []).append(agent)
        elif kind == "barrier.arrived":
            arrivals.setdefault(f"{stream} {data['generation']}", []).append(agent)
        elif kind == "sync_point.completed":
            ends[stream] += 1
        elif kind == "barrier.released":
            ends[f"{stream} {data['generation']}"] += 1
    assert len(arrivals) == OPERATIONS // POINT_EVERY + OPERATIONS // MEET_EVERY + 1, "and a last time at the end"
    for where, agents in arrivals.items():
        assert sorted(agents) == sorted(crew.names), where
        assert ends[where] == 1, where


def count_messages(
    crew: Crew, sent: list[tuple[str, dict[str, Any]]], told: dict[str, list[dict[str, Any]]], log: list[Any], ask: Ask
) -> None:
    """Each message is stored once, fetched in its sender's order, and acknowledged once."""
    stored = [data for _, kind, _, _, data in log if kind == "message.stored"]
    ours = {(name, line["number"]): (line["told"][0], line["told"][1]) for name, line in sent}
    found = [(tuple(data["content"]), (data["to"][0], data["id"])) for data in stored if data["sender"] != "system"]
    assert sorted(found) == sorted(ours.items()), "each message once, where its sender was told"
    notices = Counter(
        (data["content"]["about"], data["content"].get("generation"), data["type"], tuple(data["to"]))
        for data in stored if data["sender"] == "system"
    )  # fmt: skip
    assert set(notices.values()) == {1}, "a notice was stored twice"
    assert len({about for about, *_ in notices}) == OPERATIONS // POINT_EVERY + 1
    heard: set[str] = set()
    for name in crew.names:
        newest: dict[str, int] = {}
        fetched = [message for line in told[name] if line["what"] == "fetched" for message in line["messages"]]
        for id, sender, content in fetched:
            if id not in heard and sender != "system":
                assert content[1] > newest.get(sender, -1), f"{name} got {content} after {newest[sender]}"
                newest[sender] = content[1]
            heard.add(id)
    acknowledged = Counter(
        (agent, id) for _, kind, agent, _, data in log if kind == "messages.acknowledged" for id in data["ids"]
    )
    assert acknowledged == Counter(ask("select agent, id from messages")), "one was lost, or acknowledged twice"
    assert {id for _, id in acknowledged} == heard
