"""The steps of a scenario that only Raft has: logs as the paper draws them, members, transfers, followers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.storage import Write
from concerted.consensus.sessions import Command
from concerted.errors import Invalid
from concerted.sim.cluster.table import Table, expect

__all__ = ["STEPS"]

RaftTable = Table[Raft]


def _boxes(table: RaftTable, words: list[str]) -> None:
    """boxes 1 term 3: 1 1 2: a server with a log as the paper draws it, a box with a term for each entry."""
    said, _, terms = " ".join(words).partition(":")
    node, _, term = said.split()
    log = [int(word) for word in terms.split()]
    replica = table[int(node)]
    entries = tuple(
        Entry(index, each, Command(0, 100 * index + each, f"{index}.{each}".encode()).encode())
        for index, each in enumerate(log, 1)
    )
    replica.die()
    write = Write(0, int(term), None, entries=entries)
    replica.disk.write(write)
    table.wrote(replica, write)
    table.start(replica.id)


def _members(table: RaftTable, words: list[str]) -> None:
    """members 1: 1 2 4 [learners 3]: a leader is asked to change to these."""
    leader, _, wanted = " ".join(words).partition(":")
    voters, _, learners = wanted.partition("learners")
    replica = table.living(int(leader))
    table.give(replica.id, Raft.change_members, _ids(voters), _ids(learners), replica.now)


def _transfer(table: RaftTable, words: list[str]) -> None:
    """transfer 1 2: a leader is asked to hand over."""
    replica = table.living(int(words[0]))
    table.give(replica.id, Raft.transfer, int(words[1]), replica.now)


def _followers(table: RaftTable, words: list[str]) -> None:
    """followers 1: what a leader knows of each follower."""
    for node, progress in table.living(int(words[0])).core.followers.items():
        under_way = f", {len(progress.under_way)} under way" if progress.under_way else ""
        table.say(f"{node}: {progress.state}, match {progress.match}, next {progress.next}{under_way}")


def _expect_log(table: RaftTable, words: list[str]) -> None:
    """expect log 1: 1 1 2: the terms of the entries that a server has, behind its snapshot."""
    node, _, terms = " ".join(words).partition(":")
    log = table.living(int(node)).core.log
    found = [entry.term for entry in log.between(log.snapshot.index, log.last_index)]
    expect(found == [int(word) for word in terms.split()], f"the log of {node} is {found}")


def _expect_members(table: RaftTable, words: list[str]) -> None:
    """expect members 1: 1 2 4 [learners 3]: the newest configuration that a server knows."""
    node, _, wanted = " ".join(words).partition(":")
    voters, _, learners = wanted.partition("learners")
    configuration: Configuration = table.living(int(node)).core.log.configuration
    found = (list(configuration.voters), list(configuration.learners), configuration.is_joint)
    expect(found == (_ids(voters), _ids(learners), False), f"server {node} knows {configuration}")


def _expect_state(table: RaftTable, words: list[str]) -> None:
    """expect state 1 2 probe: how a leader sends to a follower."""
    leader, node, state = words
    found = table.living(int(leader)).core.followers[int(node)].state
    expect(found == state, f"the state of {node} is {found}")


def _ids(text: str) -> list[NodeId]:
    try:
        return [int(word) for word in text.split()]
    except ValueError:
        raise Invalid(f"{text!r} are no servers; servers have numbers") from None


STEPS: Mapping[str, Callable[[RaftTable, list[str]], None]] = {
    "boxes": _boxes,
    "members": _members,
    "transfer": _transfer,
    "followers": _followers,
    "expect log": _expect_log,
    "expect members": _expect_members,
    "expect state": _expect_state,
}
