"""Entries of the log in words: one sentence each, or none for what only a replay needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from concerted.kinds import ENDINGS
from concerted.ports.store import Entry
from concerted.story.judgements import decided_words, judged_words
from concerted.values import Instant, encode

__all__ = ["about_agent", "brief", "clock", "reply_words", "sentence", "some"]

GROUPS = frozenset({"coalition", "cluster", "clusters"})  # of whose doings `_group_words` tells
NAMED = 5  # agents or tasks named in one sentence; the rest are counted
SHOWN = 80  # characters of a value in a sentence
SAID_BY_OTHER_LINES = frozenset({"EXECUTE_TASK", "CHECK_PROGRESS", "GET_STATUS", "FOLLOW_LEADER", "REQUEST_BID"})
SAID_BY_OTHER_LINES |= {"CALL_FOR_PROPOSALS", "CONTRACT_ACCEPTANCE"}
ANSWERED_BY_THE_NEXT_LINE = SAID_BY_OTHER_LINES - {"REQUEST_BID", "CALL_FOR_PROPOSALS"} | {
    "GET_CAPABILITIES",
    "DECOMPOSE_OBJECTIVE",
}


def sentence(entry: Entry, value: dict[str, Any]) -> str | None:
    """Put one entry into words; None for what only a replay needs."""
    agent, ref = entry.agent or "?", entry.ref or "?"
    match entry.kind:
        case "run.created":
            return f"run asked for: strategy {value['strategy']}, {len(value.get('agents') or ())} agents"
        case "run.started":
            return f"it got a slot on node {value['node']}"
        case "run.progressed" if "strategy" in value:
            return f"its strategy is {value['strategy']}"
        case "run.resumed":
            return f"taken over by node {value['node']} under epoch {value['epoch']}"
        case "command.sent":
            told = value["type"] not in SAID_BY_OTHER_LINES
            return f"asked {some(value['agents'])}: {value['type']}" if told else None
        case "reply.received":
            return f"{agent} answered {value['status']}"
        case "reply.late":
            return f"{agent} answered command {ref} too late ({value['status']}); kept, not applied"
        case "result.refused":
            newer = f"; {value['current_epoch']} is the newest" if value["current_epoch"] != value["epoch"] else ""
            claim = f"claim {value['epoch']}, which is over{newer}"
            return f"{agent} came with a result of {value['task']} under {claim}; refused and kept"
        case "claim.expired":
            return f"{agent} let the lease of {value['task']} run out"
        case "participant.lost":
            return f"{agent} was lost: {value.get('reason', '')}"
        case "participant.joined":
            return f"{agent} joined"
        case "signal.received":
            return f"signal {value['name']} came"
        case "cancel.requested":
            return f"{value.get('by')} called it off: {value.get('reason') or 'no reason given'}"
        case "deadline.passed":
            return "its deadline passed"
        case "child.started":
            return f"child run {value['run']} started ({value['strategy']})"
        case "child.ended":
            return f"child run {value['run']} {value['status']}"
        case "effect.recorded":
            return decided_words(value) or _agreed_words(value)
        case _:
            return _domain_words(entry.kind, agent, ref, value)


def _domain_words(kind: str, agent: str, ref: str, value: dict[str, Any]) -> str | None:
    match kind:
        case "tasks.added":
            return f"tasks: {some([task['id'] for task in value['tasks']])}"
        case "ballot.refused":
            return f"what {agent} answered is no ballot in decision {ref}: {value['reason']}"
        case "auction.announced":
            return f"auction of {some(value['tasks'])} to {some(value['bidders'])}"
        case "auction.closed":
            awards = [f"{task} to {winner}" for task, winner in value["awards"].items()]
            unsold = [f"{task}: {why}" for task, why in (value.get("unsold") or {}).items()]
            return f"awarded {some(awards) or 'nothing'}" + (f"; unsold {some(unsold)}" if unsold else "")
        case "auction.shared":
            ending = "agree" if value["agreed"] else "do not agree"
            gone = [f"{one}: {why}" for one, why in value["gone"].items()]
            return f"after {value['rounds']} rounds of talk {some(value['agents'])} {ending} on who does what" + (
                f"; forgotten {some(gone)}" if gone else ""
            )
        case "task.ready":
            return f"task {ref} is ready: all it comes after is done"
        case "task.claimed":
            return f"{agent} claimed {ref} (claim {value['epoch']})"
        case "task.released":
            return f"{agent} no longer holds {ref}: {value.get('reason') or value.get('status')}"
        case "task.assigned":
            return f"the leader gave {ref} to {agent}"
        case "task.done":
            return f"{agent} did {ref}" + (f"; accepted under claim {value['epoch']}" if "epoch" in value else "")
        case "task.failed" | "task.cancelled" | "task.waiting":
            return f"task {ref} {kind.removeprefix('task.')}: {value.get('reason', '')}"
        case "manager.selected":
            return f"{agent} is the manager"
        case "cfp.issued":
            return f"call for proposals for {ref} to {some(value['contractors'])}{_offered(value)}"
        case "proposals.evaluated":
            judged = [f"{one} {score:.3f}" for one, (score, _) in _best_first(value["scores"])]
            others = [f"{one}: {why}" for one, why in {**value["unfit"], **value["without"]}.items()]
            return f"proposals for {ref}: {some(judged) or 'none to accept'}" + (f"; {some(others)}" if others else "")
        case "contract.formed":
            return f"{agent} is under contract for {ref}, for {value['value']:g}"
        case "contract.declined":
            return f"{agent} declined the contract for {ref}: {value['reason']}"
        case "contract.settled":
            why = f": {value['reason']}" if value.get("reason") else ""
            return f"the contract of {agent} for {ref} is {value['status']}, it comes to {value['balance']:g}{why}"
        case "contract.not_understood":
            return f"not understood, about {value['about']}: {value['reason']}"
        case "leader.elected":
            return f"{agent} leads{'' if ref == '?' else f' cluster {ref}'} in term {value['term']}"
        case "leader.lost":
            return f"the leader {agent} was lost: {value.get('reason', '')}"
        case _ if kind.partition(".")[0] in GROUPS or kind in ("tasks.delegated", "task.reassigned"):
            return _group_words(kind, agent, ref, value)
        case _ if kind in ENDINGS:
            told = value.get("error") or value.get("reason")
            return f"run {ENDINGS[kind].replace('_', ' ')}" + (f": {told}" if told else "")
        case _:
            return _swarm_words(kind, value)


def _swarm_words(kind: str, value: dict[str, Any]) -> str | None:
    match kind:
        case "swarm.begun":
            return f"a swarm of {value['population']} begins to {value['mode']} ({value['rule']})"
        case "swarm.improved":
            return f"better after {value['evaluations']}: {value['value']:g} for {brief(value['answer'])}"
        case "swarm.settled":
            worth = "" if value.get("value") is None else f" at {value['value']:g}"
            return f"the swarm settles{worth} after {value['evaluations']}: {value['reason']}"
        case _:
            return None


def _best_first(scores: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(scores.items(), key=lambda one: (-one[1][0], one[0]))


def _offered(value: dict[str, Any]) -> str:
    """Say what a revised call offers."""
    counter = value.get("counter")
    if not counter:
        return f", round {value['round']}" if value["round"] else ""
    limits = [("for", counter.get("cost"), ""), ("within", counter.get("estimated_duration_s"), " s")]
    return f", round {value['round']}: " + " ".join(
        f"{word} {one:g}{unit}" for word, one, unit in limits if one is not None
    )


def _group_words(kind: str, agent: str, ref: str, value: dict[str, Any]) -> str | None:
    """Put into words what goes on in coalitions and clusters."""
    match kind:
        case "coalition.valued" if value["chosen"]:
            found = "the best is" if value.get("status") != "feasible" else "the best that was found is"
            return f"of {value['feasible']} coalitions for {ref} {found} {some(value['chosen'])}"
        case "coalition.valued":
            return f"of {value['feasible']} coalitions for {ref} none is chosen"
        case "coalition.proposed":
            shares = [f"{member} {share:.3g}" for member, share in value["shares"].items()]
            return f"coalition {ref} is proposed, shares {some(shares)} ({value['note']})"
        case "coalition.formed":
            return f"all agree to coalition {ref}; {agent} leads"
        case "coalition.member_lost":
            return f"coalition {ref} has lost {agent}; " + ("the rest go on" if value["goes_on"] else "it cannot go on")
        case "coalition.penalized":
            return f"{agent} has walked away from coalition {ref} and owes the others {value['penalty']:.3g}"
        case "coalition.ended":
            paid = [f"{member} {amount:.3g}" for member, amount in value["payments"].items()]
            reason = f": {value['reason']}" if value["reason"] else ""
            return f"coalition {ref} {value['status']}{reason}" + (f"; paid {some(paid)}" if paid else "")
        case "clusters.formed":
            return f"clusters: {some([f'{cluster} of {count}' for cluster, count in value['clusters'].items()])}"
        case "tasks.delegated":
            return f"cluster {ref} does {some(value['tasks'])} ({value['strategy']}, {value['agents']} agents)"
        case "cluster.reported":
            left = [f"{task}: {why}" for task, why in value["left"].items()]
            return f"cluster {ref} did {value['done']}" + (f"; left {some(left)}" if left else "")
        case "task.reassigned":
            by = "" if agent == "?" else f", as {agent} says"
            return f"task {ref} goes to cluster {value['to']}{by}: {value['reason']}"
        case _:
            return None


def reply_words(asked: str, agent: str, value: dict[str, Any]) -> str | None:
    """Put an answer into words; None where the next line says it better."""
    told = value.get("error")
    if value["status"] != "ok":
        return f"{agent} answered {asked}: {value['status']}" + (f", {told}" if told else "")
    answer = value.get("value")
    if asked == "REQUEST_BID" and isinstance(answer, dict):
        bids = [f"{bid['task']} for {bid['cost']:g}" for bid in answer.get("bids", ()) if isinstance(bid, dict)]
        return f"{agent} bid on {some(bids)}" if bids else f"{agent} did not bid: {answer.get('reason') or 'no reason'}"
    if asked == "CALL_FOR_PROPOSALS" and isinstance(answer, dict) and isinstance(answer.get("cost"), int | float):
        return f"{agent} proposed to do it for {answer['cost']:g}"
    if asked == "JUDGE":
        return f"{agent} judges: {judged_words(answer)}"
    if asked in ANSWERED_BY_THE_NEXT_LINE:
        return None
    return f"{agent} answered {asked}"


def _agreed_words(effect: dict[str, Any]) -> str | None:
    """Put an agreement of the run into words; None for any other effect."""
    name, told = str(effect.get("name")), effect.get("value")
    if not name.startswith("agreement ") or not isinstance(told, dict) or "yours" not in told:
        return None
    whose = "its own proposal" if told["yours"] else f"as {told.get('proposed_by')} proposed first"
    return f"{name} is {brief(told.get('value'))}, {whose}"


def about_agent(agent: str, entries: Iterable[Entry]) -> tuple[str, ...]:
    """Tell an agent's own stream in sentences."""
    lines = []
    first: Instant | None = None
    for entry in entries:
        value = entry.value()
        first = entry.at if first is None else first
        words = {
            "agent.registered": f"{agent} registered ({value.get('link')})",
            "agent.changed": f"{agent} has a new profile",
            "agent.suspect": f"{agent} is suspect: {value.get('reason', '')}",
            "agent.gone": f"{agent} is gone: {value.get('reason', '')}",
            "agent.alive": f"{agent} is back",
            "agent.left": f"{agent} left: {value.get('reason', '')}",
            "agent.fault": f"{agent} misbehaved: {value.get('fault')}: {value.get('detail', '')}",
            "breaker.opened": f"commands to {agent} fail fast after {value.get('failures')} failures",
            "breaker.closed": f"{agent} answers again",
        }.get(entry.kind)
        if words:
            lines.append(f"{clock(entry.at - first)}  {words}")
    return tuple(lines)


def some(names: Iterable[Any]) -> str:
    """Name the first five and count the rest."""
    listed = [str(name) for name in names]
    rest = len(listed) - NAMED
    return ", ".join(listed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def brief(value: Any) -> str:
    """Show a value in one short line."""
    text = encode(value).decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def clock(seconds: float) -> str:
    """Show an instant as seconds since the beginning."""
    return f"+{seconds:.3f}s"
