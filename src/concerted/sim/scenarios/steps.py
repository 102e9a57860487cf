"""The steps of a scenario that are the same for all protocols: who says what when, what breaks, what must have come.

Each is a function of the table and the words behind the step's name.  A protocol adds its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from concerted.consensus.quorum import Configuration, NodeId
from concerted.errors import Invalid
from concerted.sim.cluster.algorithm import ELECTION_TIMEOUT_S
from concerted.sim.cluster.partitions import Way
from concerted.sim.cluster.table import Table, expect

__all__ = ["STEPS", "node_of", "nodes_of", "ways_of"]

AnyTable = Table[Any]
Step = Callable[[AnyTable, list[str]], None]


def node_of(word: str) -> NodeId:
    """Read one id."""
    if not word.isdecimal():
        raise Invalid(f"{word!r} is no server; servers have numbers")
    return int(word)


def nodes_of(words: list[str]) -> list[NodeId]:
    """Read ids."""
    return [node_of(word) for word in words]


# Servers


def _servers(table: AnyTable, words: list[str]) -> None:
    """servers 1 2 3 [learners 4]: these are the members, and they live."""
    names, _, learners = " ".join(words).partition("learners")
    configuration = Configuration.of(nodes_of(names.split()), nodes_of(learners.split()))
    for node in configuration.members:
        table.add(node, configuration)
    for node in configuration.members:
        table.start(node)


def _join(table: AnyTable, words: list[str]) -> None:
    """join 4: a server that knows of no members yet."""
    for node in nodes_of(words):
        table.add(node, Configuration())
        table.start(node)


def _timeout(table: AnyTable, words: list[str]) -> None:
    """timeout 1: time goes by for this server alone until something is due: an election, a heartbeat."""
    for node in nodes_of(words):
        table.wake(node)


def _elect(table: AnyTable, words: list[str]) -> None:
    """elect 1: nobody hears a leader any more, and this server stands; of all that follows only the outcome is told."""
    for replica in table.replicas.values():
        replica.now += ELECTION_TIMEOUT_S
    before, table.said = table.said, []
    table.wake(node_of(words[0]))
    table.settle()
    table.said = before + [text for text in table.said if text.split()[1] == "is"]


def _pass(table: AnyTable, words: list[str]) -> None:
    """pass 20: so many seconds go by for all, and nobody is woken."""
    for replica in table.replicas.values():
        replica.now += float(words[0])


def _run(table: AnyTable, words: list[str]) -> None:
    """run 20: so many seconds go by; who is due is woken, and all that is sent arrives."""
    left = float(words[0])
    while table.alive():
        table.settle()
        due = max(min(replica.core.next_deadline - replica.now for replica in table.alive()), 0.0)
        for replica in table.replicas.values():
            replica.now += min(due, left)
        left -= due
        if left < 0:
            return
        for replica in table.alive():
            if replica.core.next_deadline <= replica.now:
                table.wake(replica.id)


def _crash(table: AnyTable, words: list[str]) -> None:
    """crash 1 [behind write|send|apply] | [writing 50%]: it dies; a held disk says where."""
    table.die(node_of(words[0]), words[2] if len(words) > 2 else None)


def _start(table: AnyTable, words: list[str]) -> None:
    """start 1: it begins again with what its disk holds."""
    for node in nodes_of(words):
        table.start(node)


def _hold(table: AnyTable, words: list[str]) -> None:
    """hold 1: its disk waits until `release`."""
    table.held.update(nodes_of(words))


def _release(table: AnyTable, words: list[str]) -> None:
    """release 1: its disk goes on with what waits."""
    for node in nodes_of(words):
        table.held.discard(node)
        table.go_on(table.living(node))


def _flip(table: AnyTable, words: list[str]) -> None:
    """flip 1: a bit of what is durable flips on its disk, and it starts again."""
    for node in nodes_of(words):
        table[node].die()
        table[node].disk.flip(random.Random(node))
        table.start(node)


def _backup(table: AnyTable, words: list[str]) -> None:
    """backup 1: somebody copies its disk."""
    for node in nodes_of(words):
        table[node].disk.back_up()


def _restore(table: AnyTable, words: list[str]) -> None:
    """restore 1: it is put back from that copy, which nobody ought to do."""
    for node in nodes_of(words):
        table[node].disk.restore()


# Messages


def ways_of(table: AnyTable, words: list[str]) -> tuple[list[Way], int | None]:
    """Read `1->2 1->* *->3 [count]`, or nothing for all ways."""
    count = int(words.pop()) if words and words[-1].isdecimal() else None
    nodes = list(table.replicas)
    ways: list[Way] = []
    for word in words or ["*->*"]:
        source, arrow, to = word.partition("->")
        if not arrow:
            raise Invalid(f"{word!r} is no way; ways look like 1->2, 1->* or *->3")
        sources = nodes if source == "*" else [node_of(source)]
        targets = nodes if to == "*" else [node_of(to)]
        ways += [(a, b) for a in sources for b in targets]
    return ways, count


def _deliver(table: AnyTable, words: list[str]) -> None:
    """deliver [1->2 ...] [count]: the oldest messages on these ways arrive, not what follows from them."""
    for message in table.take(*ways_of(table, words)):
        table.deliver(message)


def _drop(table: AnyTable, words: list[str]) -> None:
    """drop [1->2 ...] [count]: the oldest messages on these ways are lost."""
    count = len(table.take(*ways_of(table, words)))
    table.say(f"{count} lost")


def _double(table: AnyTable, words: list[str]) -> None:
    """double 1->2 [count]: the oldest messages on this way come once more, behind all others."""
    ways, count = ways_of(table, words)
    found = [message for message in table.network if (message.source, message.to) in ways][:count]
    table.network += found
    table.say(f"{len(found)} doubled")


def _later(table: AnyTable, words: list[str]) -> None:
    """later 1->2 [count]: the oldest messages on this way are overtaken by all others."""
    found = table.take(*ways_of(table, words))
    table.network += found


def _settle(table: AnyTable, words: list[str]) -> None:  # noqa: ARG001
    """settle: everything arrives, and all that follows from it."""
    table.settle()


def _partition(table: AnyTable, words: list[str]) -> None:
    """partition 1 | 2 3: nothing arrives between these groups; who stands in several is a bridge."""
    groups = [set(nodes_of(group.split())) for group in " ".join(words).split("|")]
    nodes = list(table.replicas)
    table.cut = {
        (a, b) for a in nodes for b in nodes if a != b and not any(a in group and b in group for group in groups)
    }


def _cut(table: AnyTable, words: list[str]) -> None:
    """cut 1->2 ...: nothing arrives on these ways."""
    table.cut.update(ways_of(table, words)[0])


def _heal(table: AnyTable, words: list[str]) -> None:  # noqa: ARG001
    """heal: all ways are free."""
    table.cut.clear()


# Clients


def _propose(table: AnyTable, words: list[str]) -> None:
    """propose 1 a b: a client proposes commands."""
    table.propose(node_of(words[0]), words[1:])


def _read(table: AnyTable, words: list[str]) -> None:
    """read 1: a client asks for a read."""
    table.read(node_of(words[0]))


def _compact(table: AnyTable, words: list[str]) -> None:
    """compact 1: a snapshot takes the place of its log."""
    for node in nodes_of(words):
        table.compact(node)


# What must have come


def _expect_leader(table: AnyTable, words: list[str]) -> None:
    """expect leader 1 | none: who leads the newest term."""
    wanted = None if words == ["none"] else node_of(words[0])
    expect(table.leader() == wanted, f"the leader is {table.leader()}")


def _expect_term(table: AnyTable, words: list[str]) -> None:
    """expect term 1 3: the term of a server."""
    node, term = nodes_of(words)
    expect(table.living(node).core.term == term, f"server {node} is in term {table.living(node).core.term}")


def _expect_applied(table: AnyTable, words: list[str]) -> None:
    """expect applied 1 5: up to which entry a server has applied its log."""
    node, index = nodes_of(words)
    expect(table[node].machine.index == index, f"server {node} has applied {table[node].machine.index}")


def _expect_refused(table: AnyTable, words: list[str]) -> None:
    """expect refused not_leader: the last input was."""
    expect(table.refused == words[0], f"the last input was refused: {table.refused}")


def _expect_read(table: AnyTable, words: list[str]) -> None:
    """expect read 3 sees 5 | lost | waits: what became of a read."""
    read = int(words[0])
    found = "waits" if read not in table.reads else "lost" if table.reads[read] is None else f"sees {table.reads[read]}"
    expect(found == " ".join(words[1:]), f"read {read} {found}")


def _expect_quiet(table: AnyTable, words: list[str]) -> None:  # noqa: ARG001
    """expect quiet: nothing is under way."""
    expect(not table.network, f"{len(table.network)} messages are under way")


def _expect_dead(table: AnyTable, words: list[str]) -> None:
    """expect dead 1: it does not live."""
    expect(table[node_of(words[0])].running is None, "it lives")


STEPS: Mapping[str, Step] = {
    "servers": _servers, "join": _join, "elect": _elect, "timeout": _timeout, "heartbeat": _timeout, "pass": _pass,
    "run": _run, "crash": _crash, "start": _start, "hold": _hold, "release": _release, "flip": _flip,
    "backup": _backup, "restore": _restore, "deliver": _deliver, "drop": _drop, "double": _double, "later": _later,
    "settle": _settle, "partition": _partition, "cut": _cut, "heal": _heal, "propose": _propose, "read": _read,
    "compact": _compact, "expect leader": _expect_leader, "expect term": _expect_term,
    "expect applied": _expect_applied, "expect refused": _expect_refused, "expect read": _expect_read,
    "expect quiet": _expect_quiet, "expect dead": _expect_dead,
}  # fmt: skip
