"""Changes of members by joint consensus (section 6; thesis 4.3).

    old --change: (old, new) is appended--> joint --it is committed--> new is appended --that is committed--> new

From the moment that a configuration is in a server's log the server uses it.  While it is joint, elections and
commitment need a majority of the old voters and one of the new, so there is no moment at which two groups can decide
alone.
Servers join as learners and vote once they have caught up (thesis 4.2.1).

Source: Ongaro & Ousterhout 2014, section 6; Ongaro's thesis 2014, chapter 4.
"""

from __future__ import annotations

from collections.abc import Sequence

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration, NodeId
from concerted.consensus.raft.replication import broadcast, care_for_members, heartbeat
from concerted.consensus.raft.server import Server, follow
from concerted.consensus.ready import Refusal

__all__ = ["after_commit", "change"]


def change(server: Server, voters: Sequence[NodeId], learners: Sequence[NodeId]) -> Refusal | None:
    """Begin a change to these voters and learners, or say why not.

    One change at a time, and none before an entry of the leader's term is committed: else a change that an earlier
    leader left behind could be committed beside this one (Ongaro 2015, "Bug in single-server membership changes").

    Raises:
        Invalid: there is no voter, or an id stands twice or belonged to somebody before.
    """
    log = server.log
    pending = log.configuration_index > log.commit_index or log.configuration.is_joint
    if pending or log.term_at(log.commit_index) != server.term:
        return Refusal("changing", server.id)
    joint = log.configuration.change(voters, learners)
    if any(_is_behind(server, node) for node in joint.voters if not log.configuration.is_voter(node)):
        return Refusal("behind", server.id)
    _append(server, joint)
    return None


def after_commit(server: Server) -> None:
    """Go on with a change whose configuration was just committed: leave the joint one, or leave office (section 6)."""
    log = server.log
    if log.configuration_index > log.commit_index:
        return
    if log.configuration.outgoing:
        _append(server, log.configuration.final())
    elif not log.configuration.is_voter(server.id):
        heartbeat(server)  # the others hear from it that the change is committed
        follow(server, server.term)


def _append(server: Server, configuration: Configuration) -> None:
    server.log.append([Entry(server.log.last_index + 1, server.term, None, configuration)])
    care_for_members(server)
    broadcast(server)


def _is_behind(server: Server, node: NodeId) -> bool:
    """Say whether a server lacks more of what is committed than fits into one message."""
    progress = server.leading.followers.get(node)
    return progress is None or progress.match + server.settings.batch_count < server.log.commit_index
