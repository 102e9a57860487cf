"""What a group of replicas is: who they are, where they listen, by which protocol they keep their log.

Source: Ongaro & Ousterhout 2014, section 5.6, for the timing; Castro & Liskov 1999, section 2, for n >= 3f + 1.
"""

from __future__ import annotations

import math

import msgspec

from concerted.consensus.keeping import Replicated
from concerted.consensus.quorum import NodeId
from concerted.consensus.replica_group import SIZES, warnings_for
from concerted.errors import Invalid
from concerted.values import AgentId, is_name

__all__ = ["COORDINATOR", "Address", "Group", "check_group", "read_group", "warnings_of"]

COORDINATOR = "coordinator"  # the client that may speak for anybody
Address = str  # HOST:PORT of this machine's loopback, or the path of a unix socket

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TIMEOUT_S = 0.05


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group, as each of its replicas and clients must know it.

    replicas: id -> where it listens.  hosts: id -> the agent beside which it runs, if it does.  secret: who does not
    know it is not listened to.  keys: of a group that must survive lies, id -> public key; clients: name -> public
    key.  The durations and the size of a batch are the specification's.
    """

    id: str
    algorithm: Replicated = "raft"
    replicas: dict[NodeId, Address]
    hosts: dict[NodeId, AgentId] = {}
    secret: str = ""
    keys: dict[NodeId, str] = {}
    clients: dict[str, str] = {}
    election_timeout_s: float = 10.0
    heartbeat_interval_s: float = 2.0
    batch_count: int = 100

    def address(self, node: NodeId) -> Address:
        """Return where a replica listens.

        Raises:
            Invalid: it is none of this group.
        """
        if node not in self.replicas:
            raise Invalid(f"group {self.id} has no replica {node}; it has {', '.join(map(str, sorted(self.replicas)))}")
        return self.replicas[node]


def warnings_of(group: Group) -> list[str]:
    """Return what somebody who relies on this group should know, in sentences."""
    found = list(warnings_for(group.id, len(group.replicas)))
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
    count, sizes = len(group.replicas), SIZES[group.algorithm]
    if not is_name(group.id):
        problems.append(f"{group.id!r} cannot name a group: 1 to 200 printable bytes, no outer spaces")
    if group.algorithm == "pbft" and count < 4:
        problems.append(f"{count} replicas: PBFT with fewer than 4 survives no lie; take 4, 7, 10 or 13")
    elif count not in sizes:
        problems.append(f"{count} replicas: {group.algorithm} takes {', '.join(map(str, sizes))}")
    problems += [f"replica {node}: ids begin at 1" for node in group.replicas if node < 1]
    problems += [each for address in group.replicas.values() if (each := _problem_of(address))]
    if len(set(group.replicas.values())) < count:
        problems.append("two replicas listen at one address")
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
