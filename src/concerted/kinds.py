"""The names of everything the log can say: kind -> what it means and what its data holds.

A run's stream is `run:ID`, an agent's is `agent:ID`, the store speaks of itself in `store`.  INPUTS are
the rows that a replay feeds back into the run; all other rows of a run follow from them.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["ENDINGS", "INPUTS", "KINDS", "agent_stream", "run_stream"]

_INPUTS: Mapping[str, str] = {
    "run.created": "Somebody wants this done: strategy, objective, agents, options, parent, root, plan, timeout_s.",
    "run.started": "It got a slot: node, epoch, deadline_at.",
    "run.resumed": "Another process, or the same one anew, has taken it over: node, epoch, attempts, reason.",
    "run.unparked": "A person lets a parked run go on: by.",
    "reply.received": "The agent's one answer to command `ref`: status, value, error.",
    "timer.fired": "Timer `ref` of the run's own loop has come due: due.",
    "lease.expired": "No heartbeat came for the claim made by command `ref`: task, epoch.",
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
    "task.done": "Task `ref` is done, its result is accepted, once: epoch, result.",
    "task.failed": "Task `ref` has failed for good: reason.",
    "task.cancelled": "Task `ref` will not be done: reason.",
    "task.waiting": "Task `ref` waits for an agent that can do it: reason.",
    "auction.announced": "Bids are asked for: tasks, bidders, closes_at.",
    "auction.closed": "Bidding is over: bids (agent -> its bids), awards (task -> agent), unsold (task -> reason).",
    "leader.elected": "An agent leads from now on: term, score, scores (agent -> score).",
    "leader.lost": "The leader is gone: term, reason.",
    "task.assigned": "The leader gives task `ref` to the agent: term.",
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
    "stream.archived": "A finished stream now stands in a file: stream, path, entries, size_bytes, records.",
}

KINDS: Mapping[str, str] = {**_INPUTS, **_FOLLOWING, **_ELSEWHERE}
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
