"""Planted bugs of Paxos: the stored seed of each must find it on a walk; the core itself must pass that seed."""

import pytest

from concerted.sim.cluster.walk import walk
from concerted.sim.protocols.paxos import PAXOS

MUTANTS = [
    (
        "its promise is not persisted",
        "paxos.node",
        "is_new = server.promised != self._stored_promise or snapshot is not None",
        "is_new = snapshot is not None",
    ),
    (
        "what it accepts is not persisted",
        "paxos.log",
        "        self._unwritten.append(proposal)\n",
        "",
    ),
    (
        "how far all is chosen is not persisted",
        "paxos.node",
        "self._number, server.promised, log.commit_index, snapshot,",
        "self._number, server.promised, log.snapshot.index, snapshot,",
    ),
    (
        "accepts below its promise",
        "paxos.accept",
        "    if message.ballot < server.promised:\n",
        "    if message.ballot < server.promised and server.role == 'leader':\n",
    ),
    (
        "promises below its promise",
        "paxos.prepare",
        "message.ballot <= server.promised or",
        "message.ballot % 1000 == server.promised % 1000 or",
    ),
    (
        "proposes no-ops in the place of what others have accepted",
        "paxos.prepare",
        "(server.log.proposal_at(index), held.found.get(index))",
        "(server.log.proposal_at(index),)",
    ),
    (
        "proposes what others have accepted in the place of what it has",
        "paxos.prepare",
        "(server.log.proposal_at(index), held.found.get(index))",
        "(held.found.get(index),)",
    ),
    (
        "proposes the lowest-numbered proposal reported",
        "paxos.prepare",
        "return max(reported, key=lambda each: each.ballot).entry",
        "return min(reported, key=lambda each: each.ballot).entry",
    ),
    (
        "keeps the last proposal reported, not the highest-numbered",
        "paxos.prepare",
        "if known is None or known.ballot < proposal.ballot:",
        "if True:",
    ),
    (
        "counts the first part of a promise for the whole",
        "paxos.prepare",
        "if not message.is_last:",
        "if False:",
    ),
    (
        "counts who has only said that it would promise",
        "paxos.prepare",
        'if message.pre != (server.role == "asking"):',
        "if False:",
    ),
    (
        "counts promises of another ballot",
        "paxos.prepare",
        "(message.ballot, message.session) != (held.ballot, held.session):\n        return\n    if message.pre",
        "message.source not in held.after:\n        return\n    if message.pre",
    ),
    (
        "counts a repeated promise again",
        "paxos.prepare",
        "    held.answered.setdefault(message.source, True)\n    _count",
        (
            "    held.answered[message.source if message.source not in held.answered else "
            "min(set(server.peers) - set(held.answered), default=server.id)] = True\n    _count"
        ),
    ),
    (
        "a majority is half",
        "quorum",
        "return count // 2 + 1",
        "return max(count // 2, 1)",
    ),
    (
        "counts answers about an earlier ballot",
        "paxos.accept",
        "    if (message.ballot, message.session) != (server.promised, leading.session):\n        return None\n",
        "",
    ),
    (
        "counts itself before its disk has written",
        "paxos.accept",
        "accepted[server.id] = leading.durable_index",
        "accepted[server.id] = server.log.last_index",
    ),
    (
        "what one acceptor has accepted is chosen",
        "paxos.accept",
        "server.log.commit_to(agreed(server.configuration, accepted))",
        "server.log.commit_to(max(accepted.values()))",
    ),
    (
        "learns what it has accepted in lower ballots",
        "paxos.log",
        "is not None and proposal.ballot == ballot:",
        "is not None:",
    ),
    (
        "learns that slots are chosen which it has not",
        "paxos.accept",
        "log.commit_to(min(message.commit, index))",
        "log.commit_to(min(message.commit, log.last_index))",
    ),
    (
        "learns what is reported, chosen or not",
        "paxos.prepare",
        "if log.commit_index + 1 == proposal.entry.index <= message.commit:",
        "if log.commit_index + 1 == proposal.entry.index:",
    ),
    (
        "gaps are not filled",
        "paxos.prepare",
        "    for index in range(first, max(log.last_index, *held.found, 0) + 1):\n",
        "    for index in sorted(held.found):\n",
    ),
    (
        "a snapshot of others drops what was accepted behind it",
        "paxos.storage",
        "{at: each for at, each in self.proposals.items() if at > write.snapshot.index}",
        "{at: each for at, each in self.proposals.items() if write.snapshot.index < at <= write.commit}",
    ),
    (
        "a lease does not allow for drifting clocks",
        "paxos.settings",
        "self.election_timeout_s * (1 - self.drift) / (1 + self.drift)",
        "self.election_timeout_s * (self.drift < 1)",
    ),
    (
        "a lease counts from its answer",
        "paxos.reads",
        "leading.lease_until = leading.begun.popleft()[1] + server.settings.lease_s",
        "leading.lease_until = server.now + server.settings.lease_s * (leading.begun.popleft()[1] >= 0)",
    ),
    (
        "forgets in a restart that it may have granted a lease",
        "paxos.node",
        "if stored.promised and settings.lease_s:",
        "if False:",
    ),
    (
        "promises to others while it hears a leader",
        "paxos.prepare",
        "(message.ballot <= server.promised or is_bound(server, owner_of(message.ballot)))",
        "message.ballot <= server.promised",
    ),
    (
        "reads before what it has found is chosen",
        "paxos.reads",
        "    if server.log.commit_index < leading.recovered_index:\n",
        "    if False:\n",
    ),
    (
        "reads without asking anybody",
        "paxos.reads",
        "    elif has_lease(server):\n",
        "    elif True:\n",
    ),
    (
        "reads by a round that was begun before",
        "paxos.reads",
        "        leading.reads.append((leading.round, reads))\n",
        "        leading.reads.append((leading.round - 1, reads))\n",
    ),
    (
        "a snapshot that was lost is never sent again",
        "paxos.accept",
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
    (
        "promises something to who lacks what is compacted away",
        "paxos.prepare",
        "lacks = message.after < server.log.snapshot.index",
        "lacks = False",
    ),
    # Single values
    (
        "of a value: its promise is not persisted",
        "paxos.synod",
        "        self._remember(msgspec.structs.replace(instance, promised=message.ballot))\n",
        "        self._instances[message.key] = msgspec.structs.replace(instance, promised=message.ballot)\n",
    ),
    (
        "of a value: what it accepts is not persisted",
        "paxos.synod",
        "        self._remember(Instance(key, ballot, ballot, value))\n",
        "        self._instances[key] = Instance(key, ballot, ballot, value)\n",
    ),
    (
        "of a value: accepts below its promise",
        "paxos.synod",
        (
            "        instance = self._instance(message.key)\n        if message.ballot < instance.promised:\n"
            "            self._refuse(message, instance)\n            return\n        self._accept("
        ),
        "        self._accept(",
    ),
    (
        "of a value: proposes its own in the place of the highest-numbered",
        "paxos.synod",
        "attempt.proposed = value if accepted else attempt.wish",
        "attempt.proposed = attempt.wish",
    ),
    (
        "of a value: proposes the lowest-numbered",
        "paxos.synod",
        "accepted, value = max(attempt.promises.values(), key=lambda each: each[0])",
        "accepted, value = min(attempt.promises.values(), key=lambda each: (each[0] == 0, each[0]))",
    ),
    (
        "of a value: counts answers about another attempt",
        "paxos.synod",
        "if attempt is None or (message.ballot, message.session) != (attempt.ballot, attempt.session):",
        "if attempt is None or (attempt.proposed is None and isinstance(message, AcceptedValue)):",
    ),
    (
        "of a value: counts a repeated answer again",
        "paxos.synod",
        "                attempt.accepted[message.source] = True\n",
        (
            "                attempt.accepted[message.source if message.source not in attempt.accepted else "
            "min(set(self._configuration.voters) - set(attempt.accepted), default=message.source)] = True\n"
        ),
    ),
    (
        "of a value: one acceptor is enough",
        "paxos.synod",
        "        if is_quorum(self._configuration, attempt.accepted):\n",
        "        if attempt.accepted:\n",
    ),
    (
        "of a value: its own acceptor accepts whatever it has promised",
        "paxos.synod",
        "        if self._instance(key).promised == attempt.ballot:",
        "        if True:",
    ),
    (
        "of a value: uses a number again after a restart",
        "paxos.synod",
        "        self._remember(msgspec.structs.replace(instance, promised=attempt.ballot))\n",
        "        self._instances[key] = msgspec.structs.replace(instance, promised=attempt.ballot)\n",
    ),
    (
        "of a value: never tries again",
        "paxos.synod",
        "        heapq.heappush(self._alarms, (attempt.retry_at, key))\n",
        "",
    ),
    (
        "of a value: accepts what is not valid",
        "paxos.synod",
        "if len(value) > self._settings.value_bytes or not self._valid(key, value):",
        "if len(value) > self._settings.value_bytes:",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant[0])
def test_its_stored_seed_finds_the_bug(mutant, exam) -> None:
    exam("paxos", mutant, lambda seed: walk(PAXOS, seed).problems)
