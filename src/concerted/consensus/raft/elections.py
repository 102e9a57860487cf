"""Leader election (5.2, 5.4.1), with the three measures that keep a working leader in office.

Pre-vote (thesis 9.6): nobody raises its term before a majority has said that it would vote for it.
Stickiness (6, last part; thesis 4.2.3): who has heard a leader within an election timeout helps nobody else.
Check-quorum (thesis 6.2): a leader that a majority has not answered for an election timeout steps down.

Source: Ongaro & Ousterhout 2014; Ongaro's thesis 2014.
"""

from __future__ import annotations

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import is_quorum, tally
from concerted.consensus.raft.messages import RequestVote, TimeoutNow, Vote
from concerted.consensus.raft.replication import broadcast, care_for_members
from concerted.consensus.raft.server import Leadership, Server, follow, grace, may_campaign

__all__ = ["check_quorum", "is_sticky", "stand", "take_request_vote", "take_timeout_now", "take_vote", "time_out"]

# A candidate


def time_out(server: Server) -> None:
    """Hear nothing from a leader for too long: ask whether an election could be won (5.2; thesis 9.6)."""
    if may_campaign(server):
        server.leader = None
        stand(server, pre=True)
    else:
        server.election_at = server.now + grace(server)


def stand(server: Server, *, pre: bool, transfer: bool = False) -> None:
    """Stand for the next term: increment the term, vote for oneself, ask all others (5.2).

    pre: only ask whether that could be won; term and vote stay.  transfer: the leader has asked for it.
    """
    log = server.log
    if not pre:
        server.term += 1
        server.vote = server.id
        server.leader = None
    server.role = "pre-candidate" if pre else "candidate"
    server.election_at = server.now + grace(server)
    server.campaign += 1
    server.votes = {server.id: True}
    for peer in log.configuration.members:
        if peer != server.id and log.configuration.is_voter(peer):
            server.messages.append(
                RequestVote(
                    to=peer,
                    source=server.id,
                    term=server.term + 1 if pre else server.term,
                    session=server.campaign,
                    last_index=log.last_index,
                    last_term=log.last_term,
                    pre=pre,
                    transfer=transfer,
                )
            )
    _count(server)


def take_vote(server: Server, message: Vote) -> None:
    """Count a vote, each voter's once, if it answers this campaign."""
    role = "pre-candidate" if message.pre else "candidate"
    if server.role == role and message.session == server.campaign:
        server.votes.setdefault(message.source, message.granted)
        _count(server)


def take_timeout_now(server: Server, message: TimeoutNow) -> None:
    """Stand at once, as the leader wishes: no pre-vote, and whoever is in office does not matter (thesis 3.10)."""
    if server.role == "follower" and server.leader == message.source and may_campaign(server):
        stand(server, pre=False, transfer=True)


def _count(server: Server) -> None:
    result = tally(server.log.configuration, server.votes)
    if result == "lost":
        follow(server, server.term)
    elif result == "won" and server.role == "pre-candidate":
        stand(server, pre=False)
    elif result == "won":
        _lead(server)


# A voter


def take_request_vote(server: Server, message: RequestVote) -> None:
    """Vote at most once in a term, first come first served, for a log that is up-to-date enough (5.2, 5.4.1)."""
    granted = _grants(server, message)
    if granted and not message.pre:
        server.vote = message.source
        server.election_at = server.now + grace(server)
    server.messages.append(
        Vote(
            to=message.source,
            source=server.id,
            term=server.term,
            session=message.session,
            granted=granted,
            pre=message.pre,
        )
    )


def is_sticky(server: Server) -> bool:
    """Say whether this server has a leader, by what it has heard within an election timeout (thesis 4.2.3)."""
    if server.role == "leader":
        return True  # else check-quorum would have ended it
    return server.leader is not None and server.now - server.heard_at < server.settings.election_timeout_s


def _grants(server: Server, message: RequestVote) -> bool:
    if is_sticky(server) and not message.transfer:
        return False
    if not server.log.is_not_ahead_of(message.last_index, message.last_term):
        return False
    if message.pre:
        return message.term > server.term
    return message.term == server.term and (
        server.vote == message.source or (server.vote is None and server.leader is None)
    )


# A leader


def _lead(server: Server) -> None:
    """Take office: know nothing of the followers, and append an entry of this term, so that what is there from
    earlier terms can be committed (5.3, 5.4.2; 8 for the no-op)."""
    assert server.role == "candidate", f"a {server.role} cannot win an election"
    server.role, server.leader = "leader", server.id
    server.votes = {}
    server.leadership = Leadership(
        heartbeat_at=server.now + server.settings.heartbeat_interval_s,
        quorum_check_at=server.now + server.settings.election_timeout_s,
    )
    care_for_members(server)
    server.log.append([Entry(server.log.last_index + 1, server.term)])
    broadcast(server)


def check_quorum(server: Server) -> None:
    """Step down if a majority has not answered for an election timeout: clients must look elsewhere (thesis 6.2)."""
    leading = server.leading
    leading.quorum_check_at = server.now + server.settings.election_timeout_s
    answered = {peer: progress.active for peer, progress in leading.followers.items()}
    answered[server.id] = True
    for progress in leading.followers.values():
        progress.active = False
    if not is_quorum(server.log.configuration, answered):
        follow(server, server.term)
