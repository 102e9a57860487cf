"""Leadership transfer (thesis 3.10): the leader hands over to a follower that it has chosen.

    leading --transfer--> (no proposals; the successor catches up) --TimeoutNow--> the successor stands for election
                                                                   --an election timeout passes--> leading

Source: Ongaro's thesis 2014, section 3.10.
"""

from __future__ import annotations

from concerted.consensus.quorum import NodeId
from concerted.consensus.raft.messages import TimeoutNow
from concerted.consensus.raft.server import Server
from concerted.consensus.ready import Refusal

__all__ = ["begin", "give_up_if_late", "go_on"]


def begin(server: Server, successor: NodeId) -> Refusal | None:
    """Take no more proposals and let the successor catch up."""
    leading = server.leading
    if leading.successor is not None:
        return Refusal("transferring", server.id)
    if successor not in leading.followers or successor not in server.log.configuration.voters:
        return Refusal("no_target", server.id)
    leading.successor = successor
    leading.transfer_until = server.now + server.settings.election_timeout_s
    go_on(server, successor)
    return None


def go_on(server: Server, answered: NodeId) -> None:
    """Tell the successor to stand once its log is the leader's, and again whenever it answers."""
    leading = server.leadership
    if leading is None or leading.successor is None or leading.successor != answered:
        return
    progress = leading.followers.get(leading.successor)
    if progress is None:
        leading.successor = None  # it has left the cluster
    elif progress.match == server.log.last_index:
        server.messages.append(TimeoutNow(leading.successor, server.id, server.term, progress.session))


def give_up_if_late(server: Server) -> None:
    """Go on leading if the successor has not taken over within an election timeout: it may be dead."""
    leading = server.leading
    if leading.successor is not None and server.now >= leading.transfer_until:
        leading.successor = None
