"""What a group of replicas is: who they are, where they listen, by which protocol they keep their log.

Source: Ongaro & Ousterhout 2014, section 5.6, for the timing; Castro & Liskov 1999, section 2, for n >= 3f + 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import msgspec

from concerted.consensus.keeping import SIZES, Bounds, Replicated, warnings_for
from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid
from concerted.values import AgentId, is_name

__all__ = ["COORDINATOR", "PREPARED", "Address", "Group", "check_group", "is_address", "read_group", "warnings_of"]

COORDINATOR = "coordinator"  # the client that may speak for anybody
Address = str  # HOST:PORT of this machine's loopback, or the path of a unix socket

PREPARED = ".begin"  # ends the name of the mark beside which a replica may begin with no file
LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TIMEOUT_S = 0.05


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as each of its replicas and clients must know it.

    replicas: id -> where it listens.  hosts: id -> the agent beside which it runs, if it does.  secret: who does not
    know it is not listened to.  keys: of a group that must survive lies, id -> public key; clients: name -> public
    key.  founders: the replicas that it began with, if they were others; joining: those that are no members yet.
    bounds: of what it keeps.  The durations and the size of a batch are the specification's.
    """

    id: str
    algorithm: Replicated = "raft"
    replicas: dict[NodeId, Address]
    hosts: dict[NodeId, AgentId] = {}
    secret: str = ""
    keys: dict[NodeId, str] = {}
    clients: dict[str, str] = {}
    founders: tuple[NodeId, ...] = ()
    joining: tuple[NodeId, ...] = ()
    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    batch_count: int = 100
    bounds: Bounds = Bounds()

    def address(self, node: NodeId) -> Address:
        """Return where a replica listens.

        Raises:
            Invalid: it is none of this group.
        """
        if node not in self.replicas:
            raise Invalid(f"group {self.id} has no replica {node}; it has {', '.join(map(str, sorted(self.replicas)))}")
        return self.replicas[node]

    @property
    def members_count(self) -> int:
        """How many replicas it has, without those that are no members yet."""
        return len(self.replicas) - len(self.joining)

    def begins_with(self, node: NodeId) -> tuple[NodeId, ...]:
        """Return the members that a replica knows of when its file is new: none, if it has joined later."""
        founders = self.founders or tuple(sorted(self.replicas))
        return founders if node in founders else ()

    def with_joining(self, node: NodeId, address: Address, host: AgentId) -> Group:
        """Return the group while a replica joins it."""
        return msgspec.structs.replace(
            self,
            replicas={**self.replicas, node: address},
            hosts={**self.hosts, node: host},
            founders=self.founders or tuple(sorted(self.replicas)),
            joining=(*self.joining, node),
        )

    def with_members(self, nodes: Collection[NodeId]) -> Group:
        """Return the group when these replicas are its members, and nobody else is."""
        return msgspec.structs.replace(
            self,
            replicas={node: address for node, address in self.replicas.items() if node in nodes},
            hosts={node: host for node, host in self.hosts.items() if node in nodes},
            joining=(),
        )


def warnings_of(group: Group) -> list[str]:
    """Return what somebody who relies on this group should know, in sentences."""
    found = list(warnings_for(group.id, group.members_count))
    open_to_all = [str(node) for node, address in sorted(group.replicas.items()) if "/" not in address]
    if open_to_all and not group.secret:
        found.append(
            f"group {group.id} has no secret, and replicas {', '.join(open_to_all)} listen at HOST:PORT: every user of "
            "this machine can speak to them, and vote for anybody; give the description a `secret`, or paths of sockets"
        )
    return found


def check_group(group: Group) -> Group:
    """Return the group, if there can be one like it.

    Raises:
        Invalid: there cannot; names everything that is wrong.
    """
    problems = []
    count, sizes = group.members_count, SIZES[group.algorithm]
    if not is_name(group.id):
        problems.append(f"{group.id!r} cannot name a group: 1 to 200 printable bytes, no outer spaces")
    if group.algorithm == "pbft" and count < 4:
        problems.append(f"{count} replicas: PBFT with fewer than 4 survives no lie; take 4, 7, 10 or 13")
    elif count not in sizes:
        problems.append(f"{count} replicas: {group.algorithm} takes {', '.join(map(str, sizes))}")
    problems += [f"replica {node}: ids begin at 1" for node in group.replicas if node < 1]
    problems += [each for address in group.replicas.values() if (each := _problem_of(address))]
    if len(set(group.replicas.values())) < len(group.replicas):
        problems.append("two replicas listen at one address")
    problems += [f"replica {node} joins it, and has no address" for node in group.joining if node not in group.replicas]
    if group.algorithm != "raft" and (group.founders or group.joining):
        problems.append(f"the members of a group of {group.algorithm} are those that it began with")
    if group.algorithm == "pbft":
        without = [str(node) for node in sorted(group.replicas) if not group.keys.get(node)]
        if not group.clients:
            problems.append("it has no client with a public key; PBFT carries out nothing that nobody has signed")
        if without:
            problems.append(f"replicas {', '.join(without)} have no public key; PBFT cannot tell their words from lies")
    if not (
        SHORTEST_TIMEOUT_S <= group.election_timeout_s < math.inf
        and 0 < group.heartbeat_interval_s < group.election_timeout_s
    ):
        problems.append(
            f"an election timeout of {group.election_timeout_s} s with heartbeats every "
            f"{group.heartbeat_interval_s} s: at least {SHORTEST_TIMEOUT_S} s, and several heartbeats within it"
        )
    if group.batch_count < 1:
        problems.append(f"a batch of {group.batch_count}; at least 1")
    if problems:
        raise Invalid(f"group {group.id} cannot be: {'; '.join(problems)}", problems=problems)
    return group


def read_group(data: bytes) -> Group:
    """Read a group from JSON.

    Raises:
        Invalid: it is none.
    """
    try:
        return check_group(msgspec.json.decode(data, type=Group))
    except msgspec.MsgspecError as error:
        raise Invalid(f"this describes no group of replicas: {error}") from error


def is_address(address: Address) -> bool:
    """Say whether a replica could listen there."""
    return _problem_of(address) is None


def _problem_of(address: Address) -> str | None:
    """Say what is wrong with an address; None: nothing."""
    if "/" in address:
        return None
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        return f"{address!r} is no address; write HOST:PORT, or the path of a socket"
    if host.strip("[]") not in LOOPBACK:
        return f"{address!r} is not of this machine's loopback; replicas listen at 127.0.0.1 or at a path"
    return None
