"""Planted bugs: each is put into the Raft core, and the stored seed must find it; the core itself must pass that seed.

`pytest tests/mutants --search` looks for another seed where the stored one finds its bug no more, at most SEARCH_S of
CPU for each, and stores it.  A mutant is a piece of source text and what stands there instead; its functions take the
place of the real ones while it is in.
"""

import contextlib
import importlib
import inspect
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import pytest

from concerted.sim.raft_walk import walk

SEEDS = Path(__file__).parent / "raft_seeds.json"
SEARCH_S = 120.0


@dataclass(frozen=True)
class Mutant:
    """name: what the bug is.  module: of concerted.consensus.  there: what stands there, once.  instead: the bug."""

    name: str
    module: str
    there: str
    instead: str


MUTANTS = [
    Mutant(
        "votes twice in a term",
        "raft.elections",
        "server.vote == message.source or (server.vote is None and server.leader is None)",
        "True",
    ),
    Mutant(
        "its vote is not persisted",
        "raft.node",
        "hard_changed = (server.term, server.vote) != (self._stored_term, self._stored_vote)",
        "hard_changed = server.term != self._stored_term",
    ),
    Mutant(
        "its term is not persisted",
        "raft.node",
        "hard_changed = (server.term, server.vote) != (self._stored_term, self._stored_vote)",
        "hard_changed = server.vote != self._stored_vote and server.vote is not None",
    ),
    Mutant(
        "logs are compared by length only",
        "raft.log",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_index >= self.last_index",
    ),
    Mutant(
        "logs are compared by their last terms only",
        "raft.log",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_term >= self.last_term",
    ),
    Mutant(
        "commits entries of earlier terms by counting",
        "raft.replication",
        "index > log.commit_index and log.term_at(index) == server.term",
        "index > log.commit_index",
    ),
    Mutant(
        "truncates matching entries",
        "raft.log",
        "            if term == entry.term:\n                continue\n",
        "            if term == entry.term and entry.index <= self.commit_index:\n                continue\n",
    ),
    Mutant(
        "commits past the match",
        "raft.replication",
        "log.commit_to(min(message.commit, last))",
        "log.commit_to(min(message.commit, log.last_index))",
    ),
    Mutant(
        "takes replies of an old term",
        "raft.node",
        "case _ if message.term < server.term and not (isinstance(message, Vote) and message.pre):",
        "case _ if message.term < 0:",
    ),
    Mutant(
        "counts a duplicate vote",
        "raft.elections",
        "server.votes.setdefault(message.source, message.granted)",
        "server.votes[message.source if message.source not in server.votes else "
        "min(set(server.log.configuration.voters) - set(server.votes), default=0)] = message.granted",
    ),
    Mutant(
        "counts votes of an earlier campaign",
        "raft.elections",
        "server.role == role and message.session == server.campaign",
        "server.role in ('candidate', 'pre-candidate')",
    ),
    Mutant(
        "stores entries without looking at the one before",
        "raft.replication",
        "elif log.term_at(message.prev_index) == message.prev_term:",
        "elif log.last_index >= message.prev_index:",
    ),
    Mutant(
        "says that it has stored all of its log",
        "raft.replication",
        "_answer(server, message, success=True, index=last)",
        "_answer(server, message, success=True, index=log.last_index)",
    ),
    Mutant(
        "counts itself before its disk has written",
        "raft.replication",
        "stored[server.id] = log.durable_index",
        "stored[server.id] = log.last_index",
    ),
    Mutant(
        "while joint, the new majority alone decides",
        "quorum",
        "[half for half in (configuration.voters, configuration.outgoing) if half]",
        "[configuration.voters]",
    ),
    Mutant(
        "changes members at once, without a joint configuration",
        "raft.membership",
        "    _append(server, joint)\n",
        "    _append(server, joint.final())\n",
    ),
    Mutant(
        "uses a configuration even after it was cut off",
        "raft.log",
        "        self._configurations = [(at, held) for at, held in self._configurations if at < index]\n",
        "",
    ),
    Mutant(
        "learners count",
        "quorum",
        "[half for half in (configuration.voters, configuration.outgoing) if half]",
        "[half for half in (configuration.members, configuration.outgoing) if half]",
    ),
    Mutant(
        "a majority is half",
        "quorum",
        "count // 2 + 1",
        "(count + 1) // 2",
    ),
    Mutant(
        "reads without asking anybody",
        "raft.reads",
        "rounds | {server.id: leading.round}",
        "dict.fromkeys(server.log.configuration.members, leading.round)",
    ),
    Mutant(
        "reads before anything of its term is committed",
        "raft.reads",
        "if server.log.term_at(server.log.commit_index) != server.term:",
        "if False:",
    ),
    Mutant(
        "a repeated command is carried out again",
        "sessions",
        "if command.number not in results:",
        "if True:",
    ),
    Mutant(
        "a session that has expired begins anew",
        "sessions",
        '            return Answer("expired", command.session, command.number)\n',
        "            results = {}\n            self._answered[command.session] = 0\n",
    ),
    Mutant(
        "the snapshot's configuration is the newest one",
        "raft.node",
        "log.configuration_at(index), data)",
        "log.configuration, data)",
    ),
    Mutant(
        "a leader's snapshot leaves the log as it is",
        "raft.log",
        "self.snapshot, self._entries = snapshot, []",
        "self.snapshot, self._entries = snapshot, self._entries[snapshot.index - self.snapshot.index :]",
    ),
    Mutant(
        "a server that leaves never stands",
        "raft.server",
        "any(each.is_voter(server.id) for each in server.log.configurations_in_force())",
        "server.log.configuration.is_voter(server.id)",
    ),
    Mutant(
        "a snapshot that was lost is never sent again",
        "raft.replication",
        "if server.now - progress.snapshot_at >= server.settings.election_timeout_s:",
        "if False:",
    ),
]


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run the block with the bug in the code."""
    module = importlib.import_module(f"concerted.consensus.{mutant.module}")
    source = inspect.getsource(module)
    assert source.count(mutant.there) == 1, f"{mutant.name}: its text stands {source.count(mutant.there)} times there"
    twin = ModuleType(module.__name__)
    exec(compile(source.replace(mutant.there, mutant.instead), module.__file__, "exec"), twin.__dict__)
    kept = []
    for real, changed in pairs(module, twin):
        if real.__code__ != changed.__code__:
            kept.append((real, real.__code__))
            real.__code__ = changed.__code__
    assert kept, f"{mutant.name}: nothing is changed by it"
    try:
        yield
    finally:
        for real, code in kept:
            real.__code__ = code


def pairs(module: ModuleType, twin: ModuleType) -> Iterator[tuple[FunctionType, FunctionType]]:
    """Yield each function and method of a module with its twin."""
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if isinstance(thing, FunctionType):
            yield thing, vars(twin)[name]
        elif isinstance(thing, type):
            for member, held in vars(thing).items():
                function, other = unwrapped(held), unwrapped(vars(vars(twin)[name]).get(member))
                if isinstance(getattr(function, "__code__", None), CodeType) and other is not None:
                    yield function, other


def unwrapped(member):
    return member.fget if isinstance(member, property) else getattr(member, "__func__", member)


def search(mutant: Mutant, stored: int | None) -> int | None:
    """Find a seed, the stored one first; None if there is none in the time there is."""
    until = time.process_time() + SEARCH_S
    with planted(mutant):
        for seed in itertools.chain(() if stored is None else (stored,), itertools.count()):
            if walk(seed).problems:
                return seed
            if time.process_time() > until:
                break
    return None


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_its_stored_seed_finds_the_bug(mutant: Mutant, request: pytest.FixtureRequest) -> None:
    seeds = json.loads(SEEDS.read_text()) if SEEDS.exists() else {}
    if request.config.getoption("--search", default=False):
        seeds[mutant.name] = search(mutant, seeds.get(mutant.name))
        SEEDS.write_text(json.dumps(seeds, indent=2, sort_keys=True) + "\n")
    seed = seeds.get(mutant.name)
    assert seed is not None, f"{mutant.name}: no seed is known; `pytest tests/mutants --search` looks for one"
    with planted(mutant):
        assert walk(seed).problems, f"{mutant.name}: seed {seed} finds it no more; search for another one"
    assert not walk(seed).problems
