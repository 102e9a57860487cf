"""The names of everything the log can say: kind -> what it means and what its data holds.

A run's stream is `run:ID`, an agent's is `agent:ID`, the store speaks of itself in `store`.  INPUTS are
the rows that a replay feeds back into the run; all other rows of a run follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = [
    "ENDINGS",
    "INPUTS",
    "KINDS",
    "MAIL_STREAM",
    "PRIMITIVES",
    "PRINCIPALS_STREAM",
    "agent_stream",
    "post_stream",
    "primitive_stream",
    "run_stream",
]

MAIL_STREAM = "mail"
PRINCIPALS_STREAM = "principals"

_INPUTS: Mapping[str, str] = {
    "run.created": "Somebody wants this done: strategy, objective, agents, options, parent, root, plan, timeout_s.",
    "run.started": "It got a slot: node, epoch, deadline_at.",
    "run.resumed": "Another process, or the same one anew, has taken it over: node, epoch, attempts, reason.",
    "run.unparked": "A person lets a parked run go on: by.",
    "reply.received": "The agent's one answer to command `ref`: status, value, error.",
    "timer.fired": "Timer `ref` of the run's own loop has come due: due.",
    "claim.expired": "No heartbeat came for the claim made by command `ref`: task, epoch.",
    "participant.joined": "An agent has joined the run: profile.",
    "participant.changed": "An agent of the run has a new profile: profile.",
    "participant.lost": "An agent of the run is gone: reason.",
    "signal.received": "A signal came from outside, `ref` is its request id: name, payload.",
    "cancel.requested": "Somebody called it off: by, reason.",
    "deadline.passed": "The run's own deadline has come: deadline_at.",
    "child.ended": "The child run started by command `ref` is over: run, status, outcome.",
    "effect.recorded": "The local effect or computation `ref` is over: name, value or error.",
}

_FOLLOWING: Mapping[str, str] = {
    "command.sent": "Commands were sent, numbered from `ref`: type, agents, digest of the payload, reply_by.",
    "child.started": "A child run was started by command `ref`: run, strategy, digest.",
    "effect.started": "A local effect or computation `ref` was started: name, digest.",
    "version.chosen": "The code's version for the change named `ref` in this run: version.",
    "reply.late": "An answer came after its command was closed; kept, not applied: status, value, error.",
    "result.refused": "A result of an old claim; kept as evidence, not accepted: task, epoch, current_epoch, value.",
    "run.progressed": "Where it stands: step, of, and facts.",
    "run.restarted": "It begins anew from this state, so that its history stays short: state.",
    "run.completed": "It has succeeded: outcome, metrics.",
    "run.failed": "It has not succeeded: outcome, error, metrics.",
    "run.cancelled": "It was called off: outcome, reason, metrics.",
    "run.timed_out": "Its deadline came first; what was done is in the outcome: outcome, metrics.",
    "run.parked": "It needs a person: reason, traceback, attempts.",
    "tasks.added": "The tasks of the run are known: tasks.",
    "task.ready": "Everything that task `ref` comes after is done.",
    "task.claimed": "The agent holds task `ref` under this epoch: epoch, attempt, lease_s.",
    "task.released": "The agent no longer holds task `ref`, which is not done: epoch, status, reason, attempts_left.",
    "task.done": "Task `ref` is done, its result is accepted, once: epoch, result (neither if by a child run).",
    "task.failed": "Task `ref` has failed for good: reason.",
    "task.cancelled": "Task `ref` will not be done: reason.",
    "task.waiting": "Task `ref` waits for an agent that can do it: reason.",
    "auction.announced": "Bids are asked for: tasks, bidders, closes_at.",
    "auction.closed": "Bidding is over: bids (agent -> its bids), awards (task -> agent), unsold (task -> reason),"
    " payments (what winners are owed, where that is not simply what they bid), search (what was found, its bound).",
    "auction.shared": "Agents have shared out the tasks of auction `ref` by talk: rounds, agreed, agents, gone (why).",
    "ballot.refused": "An agent's answer to JUDGE in decision `ref` is no ballot: reason.",
    "leader.elected": "An agent leads from now on: term, score, scores (agent -> score).",
    "leader.lost": "The leader is gone: term, reason.",
    "manager.selected": "The agent manages from now on: scores (agent -> score), none if it was named.",
    "cfp.issued": "The agent calls for proposals for task `ref`: cfp, round, contractors, reply_by, counter.",
    "proposals.evaluated": "A round about task `ref` is judged: cfp, round, scores (agent -> score, cost), unfit and"
    " without (agent -> reason).",
    "contract.formed": "The agent has agreed to do task `ref`: contract, value, score, terms.",
    "contract.declined": "The agent does not stand by its proposal for task `ref`: cfp, reason.",
    "contract.settled": "The agent's contract about task `ref` has ended: contract, status, paid, penalties, balance,"
    " overdue_s.",
    "contract.not_understood": "The agent has said what could not come then; nothing has changed: about, reason.",
    "swarm.begun": "The swarm begins: mode, rule, population.",
    "swarm.improved": "There is a better answer: evaluations, value, answer.",
    "swarm.measured": "Where the swarm stands: evaluations, round, best, and by mode diversity, gap, left, support.",
    "swarm.settled": "The swarm has come to its end: reason, evaluations, value.",
    "task.assigned": "The leader gives task `ref` to the agent: term.",
    "coalition.valued": "Coalitions for task `ref` are compared: agents, refused (agent -> why), feasible, chosen, "
    "status, bound.",
    "coalition.proposed": "Coalition `ref`, which the agent leads, is proposed: agents, shares, stability, note.",
    "coalition.formed": "All members have agreed to coalition `ref`, which the agent leads: agents.",
    "coalition.member_lost": "Coalition `ref` has lost the agent: rest, goes_on.",
    "coalition.penalized": "The agent has walked away from coalition `ref`, and owes: penalty, compensation (agent ->"
    " what it gets of it).",
    "coalition.ended": "Coalition `ref` is over: status, agents, lost, refused_by, reason, payments (agent -> amount).",
    "clusters.formed": "Agents of the run form clusters: clusters (cluster -> how many), inertia, depth.",
    "tasks.delegated": "Cluster `ref` does these tasks in a run of its own: tasks, strategy, agents (how many).",
    "cluster.reported": "That run is over: done (how many), left (task -> why it is not done).",
    "task.reassigned": "Task `ref` goes to another cluster, if by an agent, then by the head's choice: to, reason.",
}

_ELSEWHERE: Mapping[str, str] = {
    "agent.registered": "An agent is known: profile, link, spec.",
    "agent.changed": "It has a new profile: profile.",
    "agent.suspect": "It missed a heartbeat: reason, age_s.",
    "agent.gone": "It is gone: reason, age_s.",
    "agent.alive": "It is back.",
    "agent.left": "It has said goodbye: reason.",
    "agent.fault": "It misbehaved: fault, detail.",
    "breaker.opened": "Its commands fail fast from now on: failures, retry_at.",
    "breaker.closed": "It answers again.",
    "primitive.folded": "All that came before in this stream comes to this state: folded, schema, state.",
    "input.posted": "An input was left for a run that another process has in hand: kind, ref, data.",
    "stream.archived": "A finished stream now stands in a file: stream, path, entries, size_bytes, records.",
}

# What each means stands with its machine, in its KINDS; a test holds the two together.
PRIMITIVES: frozenset[str] = frozenset((
    "primitive.folded",
    "sync_point.created", "sync_point.arrived", "sync_point.participants_added", "sync_point.participant_lost",
    "sync_point.participant_found", "sync_point.predicate_failed", "sync_point.completed", "sync_point.expired",
    "sync_point.cancelled",
    "barrier.created", "barrier.arrived", "barrier.repeated", "barrier.action_started", "barrier.action_done",
    "barrier.action_refused", "barrier.released", "barrier.timed_out", "barrier.broken", "barrier.reset",
    "barrier.cancelled", "barrier.removed", "barrier.party_lost", "barrier.party_found",
    "double_barrier.created", "double_barrier.entered", "double_barrier.begun", "double_barrier.left",
    "double_barrier.finished", "double_barrier.repeated", "double_barrier.timed_out", "double_barrier.broken",
    "double_barrier.reset", "double_barrier.cancelled", "double_barrier.removed", "double_barrier.party_lost",
    "double_barrier.party_found",
    "phaser.created", "phaser.registered", "phaser.deregistered", "phaser.arrived", "phaser.repeated",
    "phaser.party_lost", "phaser.party_found", "phaser.late", "phaser.party_removed", "phaser.advanced",
    "phaser.broken", "phaser.terminated",
    "progress.created", "progress.updated", "progress.stalled", "progress.resumed", "progress.participant_lost",
    "progress.participant_found", "progress.completed", "progress.cancelled",
    "latch.created", "latch.taken", "latch.renewed", "latch.returned", "latch.counted", "latch.opened",
    "latch.expired", "latch.cancelled",
    "leases.created", "lease.granted", "lease.queued", "lease.confirmed", "lease.released", "lease.expired",
    "lease.lapsed", "lease.revoked", "lease.release_asked", "lease.withdrawn", "lease.abandoned", "lease.dropped",
    "lease.holder_lost", "lease.holder_found", "leases.checked", "leases.reserved",
    "semaphore.created", "semaphore.granted", "semaphore.queued", "semaphore.confirmed", "semaphore.released",
    "semaphore.expired", "semaphore.lapsed", "semaphore.withdrawn", "semaphore.abandoned", "semaphore.dropped",
    "semaphore.resized", "semaphore.holder_lost", "semaphore.holder_found", "semaphore.checked",
    "budget.created", "budget.spent", "budget.reserved", "budget.settled", "budget.returned", "budget.refunded",
    "budget.queued", "budget.withdrawn", "budget.abandoned", "budget.dropped", "budget.resized", "budget.warned",
    "register.created", "register.changed", "register.deleted", "register.restricted",
    "election.created", "election.queued", "election.offered", "election.won", "election.proclaimed",
    "election.resigned", "election.replaced", "election.expired", "election.lapsed", "election.withdrawn",
    "election.dropped", "election.leader_lost", "election.leader_found",
    "membership.created", "membership.joined", "membership.left", "membership.changed", "membership.suspected",
    "membership.recovered", "membership.lost", "membership.checked",
    "decision.created", "decision.ballot_cast", "decision.ballot_ignored", "decision.equivocated",
    "decision.voter_lost", "decision.voter_found", "decision.closed",
    "replica_group.created", "replica_group.formed", "replica_group.entrusted", "replica_group.released",
    "replica_group.led", "replica_group.divided", "replica_group.whole",
    "replica_group.accused", "replica_group.host_lost", "replica_group.host_found", "replica_group.ending",
    "replica_group.dismissed", "replica_group.ended", "replica_group.replacing", "replica_group.joining",
    "replica_group.replacement_refused", "replica_group.host_replaced", "keeper.chosen",
    "agreement.created", "agreement.chosen", "agreement.lapsed", "decision_log.created", "decision_log.appended",
))  # fmt: skip

_MAIL: Mapping[str, str] = {
    "message.stored": "A message is in the inboxes of its recipients: id, sender, to, type, content, priority,"
    " requires_acknowledgment, due_at, escalate_to.",
    "messages.fetched": "The agent has got these messages: ids, request_id.",
    "messages.acknowledged": "The agent says that it has dealt with these messages: ids.",
    "messages.expired": "These messages of the agent are out of date: ids.",
    "message.redelivered": "Message `ref` was not acknowledged in time and stands in the inbox anew: due_at, attempts.",
    "message.escalated": "Message `ref` was never acknowledged; somebody else has been told: to, attempts.",
    "messages.removed": "These messages of the agent have been kept long enough: ids.",
}

_ACCESS: Mapping[str, str] = {
    "principal.added": "Principal `ref` may give commands: role, token (its hash).",
    "principal.revoked": "Principal `ref` may give commands no longer.",
    "access.refused": "Somebody wanted what is not theirs to do: command, principal, role, reason.",
}

KINDS: Mapping[str, str] = {**_INPUTS, **_FOLLOWING, **_ELSEWHERE, **_MAIL, **_ACCESS}
INPUTS = frozenset(_INPUTS)
ENDINGS: Mapping[str, str] = {
    f"run.{status}": status for status in ("completed", "failed", "cancelled", "timed_out", "parked")
}


def run_stream(run: str) -> str:
    """Name the stream of a run."""
    return f"run:{run}"


def agent_stream(agent: str) -> str:
    """Name the stream of an agent."""
    return f"agent:{agent}"


def post_stream(run: str) -> str:
    """Name the stream in which other processes leave inputs for a run."""
    return f"post:{run}"


def primitive_stream(kind: str, id: str) -> str:
    """Name the stream of a primitive: `sync_point:stand-up`."""
    return f"{kind}:{id}"
