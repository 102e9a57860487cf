"""Planted bugs of Raft: the stored seed of each must find it on a walk; the core itself must pass that seed."""

import pytest

from concerted.sim.cluster.walk import walk
from concerted.sim.protocols.raft import RAFT

MUTANTS = [
    (
        "votes twice in a term",
        "raft.elections",
        "server.vote == message.source or (server.vote is None and server.leader is None)",
        "True",
    ),
    (
        "its vote is not persisted",
        "raft.node",
        "hard_changed = server.term != self._stored_term or server.vote != self._stored_vote",
        "hard_changed = server.term != self._stored_term",
    ),
    (
        "its term is not persisted",
        "raft.node",
        "hard_changed = server.term != self._stored_term or server.vote != self._stored_vote",
        "hard_changed = server.vote != self._stored_vote and server.vote is not None",
    ),
    (
        "logs are compared by length only",
        "raft.log",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_index >= self.last_index",
    ),
    (
        "logs are compared by their last terms only",
        "raft.log",
        "(last_term, last_index) >= (self.last_term, self.last_index)",
        "last_term >= self.last_term",
    ),
    (
        "commits entries of earlier terms by counting",
        "raft.replication",
        "index > log.commit_index and log.term_at(index) == server.term",
        "index > log.commit_index",
    ),
    (
        "truncates matching entries",
        "raft.log",
        "            if term == entry.term:\n                continue\n",
        "            if term == entry.term and entry.index <= self.commit_index:\n                continue\n",
    ),
    (
        "commits past the match",
        "raft.replication",
        "log.commit_to(min(message.commit, last))",
        "log.commit_to(min(message.commit, log.last_index))",
    ),
    (
        "takes replies of an old term",
        "raft.node",
        "message.term < server.term and not isinstance(message, RequestVote):",
        "message.term < server.term and isinstance(message, Append | InstallSnapshot):",
    ),
    (
        "counts a duplicate vote",
        "raft.elections",
        "server.votes.setdefault(message.source, message.granted)",
        (
            "server.votes[message.source if message.source not in server.votes else "
            "min(set(server.log.configuration.voters) - set(server.votes), default=0)] = message.granted"
        ),
    ),
    (
        "counts votes of an earlier campaign",
        "raft.elections",
        "server.role == role and message.session == server.campaign",
        "server.role in ('candidate', 'pre-candidate')",
    ),
    (
        "stores entries without looking at the one before",
        "raft.replication",
        "elif log.term_at(message.prev_index) == message.prev_term:",
        "elif log.last_index >= message.prev_index:",
    ),
    (
        "says that it has stored all of its log",
        "raft.replication",
        "_answer(server, message, success=True, index=last)",
        "_answer(server, message, success=True, index=log.last_index)",
    ),
    (
        "counts itself before its disk has written",
        "raft.replication",
        "stored[server.id] = log.durable_index",
        "stored[server.id] = log.last_index",
    ),
    (
        "while joint, the new majority alone decides",
        "quorum",
        "[half for half in (self.voters, self.outgoing) if half]",
        "[self.voters]",
    ),
    (
        "changes members at once, without a joint configuration",
        "raft.membership",
        "    _append(server, joint)\n",
        "    _append(server, joint.final())\n",
    ),
    (
        "uses a configuration even after it was cut off",
        "raft.log",
        "        self._configurations = [(at, held) for at, held in self._configurations if at < index]\n",
        "",
    ),
    (
        "learners count",
        "quorum",
        "[half for half in (self.voters, self.outgoing) if half]",
        "[half for half in (self.members, self.outgoing) if half]",
    ),
    (
        "a majority is half",
        "quorum",
        "count // 2 + 1",
        "(count + 1) // 2",
    ),
    (
        "reads without asking anybody",
        "raft.reads",
        "agreed(server.log.configuration, rounds)",
        "leading.round",
    ),
    (
        "reads before anything of its term is committed",
        "raft.reads",
        "if server.log.term_at(server.log.commit_index) != server.term:",
        "if False:",
    ),
    (
        "a repeated command is carried out again",
        "sessions",
        "if command.number not in results:",
        "if True:",
    ),
    (
        "a session that has expired begins anew",
        "sessions",
        '            return Answer("expired", command.session, command.number, owner=owner)\n',
        "            results = {}\n            self._answered[command.session] = 0\n",
    ),
    (
        "the snapshot's configuration is the newest one",
        "raft.node",
        "log.configuration_at(index), data)",
        "log.configuration, data)",
    ),
    (
        "a leader's snapshot leaves the log as it is",
        "raft.log",
        "self.snapshot, self._entries = snapshot, []",
        "self.snapshot, self._entries = snapshot, self._entries[snapshot.index - self.snapshot.index :]",
    ),
    (
        "a server that leaves never stands",
        "raft.server",
        "any(each.is_voter(server.id) for each in server.log.configurations_in_force())",
        "server.log.configuration.is_voter(server.id)",
    ),
    (
        "a snapshot that was lost is never sent again",
        "raft.replication",
        "if server.now - progress.snapshot_at >= server.settings.heartbeat_interval_s:",
        "if False:",
    ),
    (
        "pieces of two snapshots are mixed",
        "pieces",
        (
            "        if (by, piece.index) != (self._by, self.index):\n            self.forget()\n"
            "            self.index, self._by = piece.index, by\n        if piece.offset != self.size_bytes:\n"
            "            return None\n        crc = zlib.crc32(piece.data, self._crc)\n"
        ),
        (
            "        self.index, self._by = piece.index, by\n        if piece.offset != self.size_bytes:\n"
            "            return None\n        crc = piece.crc\n"
        ),
    ),
    (
        "a snapshot is taken before all of it is there",
        "pieces",
        "        if self.size_bytes < piece.size_bytes:\n            return None\n",
        "",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant[0])
def test_its_stored_seed_finds_the_bug(mutant, exam) -> None:
    exam("raft", mutant, lambda seed: walk(RAFT, seed).problems)
