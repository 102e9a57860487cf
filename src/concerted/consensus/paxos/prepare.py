"""Phase 1, for all open slots at once: how a replica becomes the distinguished proposer (2.4, 3).

A new leader "executes phase 1 [...] for infinitely many instances", with one ballot and one message; acceptors answer
with what they have accepted in the open slots, and with what is chosen and the new leader does not know yet.  Then, for
each open slot, the leader proposes the value of the highest-numbered proposal reported, or, where none is, a no-op.

The paper leaves the choice of a leader open.  Who lacks what an acceptor has compacted away is refused by it: that one
is to be led, and sent the snapshot in pieces.  Whoever knows most to be chosen is refused by nobody for this.

Three measures keep a working leader in office.  Nobody raises the ballot before a majority has said that it would
promise it.  Who hears a leader promises nobody else anything for an election timeout, by its own clock; the lease rests
on that too.  A leader that a majority does not answer for that long gives up.

Source: Lamport, Paxos made simple, 2001; Ongaro's thesis 2014, sections 4.2.3, 6.2 and 9.6 for the measures.
"""

from __future__ import annotations

from concerted.consensus.entries import Entry
from concerted.consensus.paxos.accept import heartbeat
from concerted.consensus.paxos.ballot import ballot_above, owner_of
from concerted.consensus.paxos.messages import Prepare, Promise, Proposal, Refused
from concerted.consensus.paxos.server import Campaign, Leadership, Server, follow, grace, promise
from concerted.consensus.progress import Progress
from concerted.consensus.quorum import NodeId, is_quorum, tally

__all__ = ["campaign", "check_quorum", "is_bound", "take_prepare", "take_promise", "take_refused"]

# The proposer


def campaign(server: Server, *, pre: bool) -> None:
    """Select a ballot and ask all acceptors to promise it (phase 1a).  pre: only ask whether they would."""
    ballot = ballot_above(max(server.promised, server.seen), server.id)
    if not pre:
        assert not is_bound(server, server.id), f"replica {server.id} hears {server.granted_to} lead, and would itself"
        promise(server, ballot)  # to itself, as an acceptor; so this ballot is never used again
    server.leader = None
    server.role = "asking" if pre else "preparing"
    server.election_at = server.now + grace(server)
    server.campaigns += 1
    server.campaign = Campaign(ballot, server.campaigns, answered={server.id: True})
    for peer in server.peers:
        _ask(server, peer, server.log.commit_index, pre=pre)
    _count(server)


def take_promise(server: Server, message: Promise) -> None:
    """Take a part of a promise, if it is the next one of this acceptor's; count it when it is whole."""
    held = server.campaign
    if held is None or (message.ballot, message.session) != (held.ballot, held.session):
        return
    if message.pre != (server.role == "asking"):
        return  # it would have promised, in an earlier life of this replica, which has forgotten that it asked
    if not message.pre:
        if message.after != held.after[message.source]:
            return  # another one brought this part already
        _learn_chosen(server, message)
        _note_proposals(held, message)
        held.after[message.source] = message.upto
        if not message.is_last:
            _ask(server, message.source, message.upto)
            return
    held.answered.setdefault(message.source, True)
    _count(server)


def take_refused(server: Server, message: Refused) -> None:
    """Give up the ballot if a majority will not have it, or if the leader hears of a higher one (2.3)."""
    server.seen = max(server.seen, message.promised)
    held = server.campaign
    if held is not None and (message.ballot, message.session) == (held.ballot, held.session):
        held.answered.setdefault(message.source, False)
        _count(server)
    elif server.role == "leader" and message.ballot == server.promised < message.promised:
        follow(server)


def _ask(server: Server, peer: NodeId, after: int, *, pre: bool = False) -> None:
    held = server.campaign
    assert held is not None, f"replica {server.id} asks for promises outside of a campaign"
    held.after[peer] = after
    server.messages.append(Prepare(peer, server.id, held.ballot, held.session, after, pre))


def _learn_chosen(server: Server, message: Promise) -> None:
    """Learn what the acceptor knows to be chosen and this replica does not: whatever the ballot, it never changes."""
    log = server.log
    for proposal in message.accepted:
        if log.commit_index + 1 == proposal.entry.index <= message.commit:
            log.accept(server.promised, proposal.entry)
            log.commit_to(proposal.entry.index)


def _note_proposals(held: Campaign, message: Promise) -> None:
    """Keep the highest-numbered proposal of each slot (phase 2a, P2c)."""
    for proposal in message.accepted:
        known = held.found.get(proposal.entry.index)
        if known is None or known.ballot < proposal.ballot:
            held.found[proposal.entry.index] = proposal


def _count(server: Server) -> None:
    assert server.campaign is not None
    result = tally(server.configuration, server.campaign.answered)
    if result == "lost":
        follow(server)
    elif result == "won" and server.role == "asking":
        campaign(server, pre=False)
    elif result == "won":
        _lead(server)


# The acceptor


def take_prepare(server: Server, message: Prepare) -> None:
    """Promise, if the ballot is higher than any promised before and nobody else was heard to lead (phase 1b).

    "If an acceptor receives a prepare request with number n greater than that of any prepare request to which it has
    already responded, then it responds to the request with a promise not to accept any more proposals numbered less
    than n and with the highest-numbered proposal (if any) that it has accepted."
    """
    again = message.ballot == server.promised and not message.pre  # for the next part, or its answer was lost
    lacks = message.after < server.log.snapshot.index
    if lacks or (not again and (message.ballot <= server.promised or is_bound(server, owner_of(message.ballot)))):
        refused = Refused(message.source, server.id, message.ballot, message.session, server.promised)
        server.messages.append(refused)
    elif message.pre:
        at, commit = message.after, server.log.commit_index
        server.messages.append(
            Promise(message.source, server.id, message.ballot, message.session, at, at, commit, pre=True)
        )
    else:
        promise(server, message.ballot)
        server.election_at = server.now + grace(server)
        server.messages.append(_part(server, message))


def is_bound(server: Server, candidate: NodeId) -> bool:
    """Say whether this acceptor has heard somebody else lead within an election timeout, or may have."""
    if server.role == "leader":
        return candidate != server.id  # else `check_quorum` would have ended it
    return server.granted_to != candidate and server.now < server.granted_until


def _part(server: Server, message: Prepare) -> Promise:
    """Tell what was accepted in the slots after those that the proposer knows of, as much as fits into a message."""
    log, settings = server.log, server.settings
    accepted, upto = log.page(message.after, settings.batch_count, settings.batch_bytes)
    return Promise(
        to=message.source,
        source=server.id,
        ballot=message.ballot,
        session=message.session,
        after=message.after,
        upto=upto,
        commit=log.commit_index,
        accepted=accepted,
        is_last=upto >= log.last_index,
    )


# The leader


def _lead(server: Server) -> None:
    """Take office: propose something for every open slot, so that all before the newest can be chosen (3).

    In a slot for which an acceptor has reported a proposal, that of the highest ballot; in the gaps a no-op.
    """
    held, log = server.campaign, server.log
    assert held is not None, f"replica {server.id} leads without a campaign"
    assert held.ballot == server.promised, f"replica {server.id} has promised {server.promised} since {held.ballot}"
    server.role, server.leader, server.campaign = "leader", server.id, None
    first = log.commit_index + 1
    for index in range(first, max(log.last_index, *held.found, 0) + 1):
        log.accept(held.ballot, _safe_value(server, held, index))
    server.leadership = Leadership(
        session=held.session,
        recovered_index=log.last_index,
        durable_index=log.commit_index,
        heartbeat_at=server.now + server.settings.heartbeat_interval_s,
        quorum_check_at=server.now + server.settings.election_timeout_s,
        followers={peer: Progress(held.session, first) for peer in server.peers},
    )
    heartbeat(server)


def _safe_value(server: Server, held: Campaign, index: int) -> Entry:
    """Return "the value of the highest-numbered proposal among the responses", or a no-op if there is none (P2c)."""
    reported: list[Proposal] = [
        each for each in (server.log.proposal_at(index), held.found.get(index)) if each is not None
    ]
    if not reported:
        return Entry(index, held.ballot)
    return max(reported, key=lambda each: each.ballot).entry


def check_quorum(server: Server) -> None:
    """Step down if a majority has not answered for an election timeout: clients must look elsewhere."""
    leading = server.leading
    leading.quorum_check_at = server.now + server.settings.election_timeout_s
    answered = {peer: progress.active for peer, progress in leading.followers.items()}
    answered[server.id] = True
    for progress in leading.followers.values():
        progress.active = False
    if not is_quorum(server.configuration, answered):
        follow(server)
