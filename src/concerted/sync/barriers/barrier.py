"""A barrier: n parties wait until all have come, get one verdict, and may meet again in the next generation.

    waiting --all arrived--> released
    waiting --all arrived, there is an action--> tripped --ActionDone--> released
    waiting | tripped --its deadline--> timeout
    waiting | tripped --Break, Reset, a lost party, a failed action--> broken
    any --Cancel--> cancelled

A cyclic barrier then waits anew under the next generation; a one-shot barrier stays as it ended, and is
`removed` after `cleanup_delay_s`.  Generations count from 0.  The deadline of a generation is `timeout_s`
after its first arrival and covers its action too.

An agent counts once per generation.  A call repeated after a lost answer finds its own generation again by
`request_id` or by `generation`; one with neither counts, once the verdict is out, in the next generation.

The action is done under an action epoch that only grows, by the coordinator or by the party that came
first.  Who does not answer in time, or is lost, is followed by the next; the outcome of an older epoch is
kept as evidence and not accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Step, Wake
from concerted.sync.barriers.answers import BarrierResult, answer, topic, waits, wakes
from concerted.sync.barriers.course import (
    ACTION_ATTEMPTS,
    Ending,
    after,
    as_data,
    break_for_the_lost,
    elect,
    end,
    fact,
    overdue,
    then,
    trip,
    wake_at,
)
from concerted.sync.barriers.state import (
    COORDINATOR,
    Action,
    ActionDone,
    Arrive,
    Barrier,
    Break,
    Cancel,
    Create,
    Request,
    Reset,
    Verdict,
    evolve,
    remembered,
    verdict_of,
)
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "ACTION_ATTEMPTS",
    "COORDINATOR",
    "KINDS",
    "PARTIES_MAX",
    "Action",
    "ActionDone",
    "Arrive",
    "Barrier",
    "BarrierResult",
    "Break",
    "Cancel",
    "Create",
    "Request",
    "Reset",
    "State",
    "answer",
    "checked",
    "decide",
    "evolve",
    "require_creator",
    "require_party",
    "topic",
    "waits",
    "wakes",
]

PARTIES_MAX = 1_000_000

State = Barrier
_OVER = ("released", "timeout", "broken", "cancelled", "removed")


def decide(state: Barrier | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, after what is due by `now`.

    Raises:
        NotFound: there is no such barrier.
        Invalid: a malformed Create, or an action epoch that was never given out.
        Conflict: the id is that of another barrier.
        NotAllowed: who asks is no party of it, or not its creator or an admin.
        WrongPhase: it is over, or the generation is over, too long ago, full, or not yet begun.
    """
    if state is None:
        return _absent(request)
    due = overdue(state, now)
    standing = after(state, due, now)
    asked = _asked(standing, request, now)
    if len(asked.events) == 1 and asked.events[0].kind == "barrier.arrived":  # by far the most: it need not be folded
        next_at = asked.events[0].data["deadline_at"]
    else:
        next_at = wake_at(after(standing, asked, now))
    return Step(due.events + asked.events, due.sends + asked.sends, next_at)


KINDS: Mapping[str, str] = {
    "barrier.created": "A barrier was made: id, name, participants, total, participant_count, cyclic, timeout_s, "
    "action, on_lost, cleanup_delay_s, metadata, generation, action_epoch, status.",
    "barrier.arrived": "Somebody has arrived: generation, data, request_id, arrived, total, deadline_at.",
    "barrier.repeated": "Somebody who waits has asked again by another request: generation, request_id.",
    "barrier.action_started": "All have arrived, and the agent (none: the coordinator) is to do the action: "
    "generation, action, action_epoch, attempt, place, lease_s, deadline_at, triggered_at, expired_at, "
    "reason, arrived, total, status.",
    "barrier.action_done": "The action has ended: generation, action_epoch, result, error.",
    "barrier.action_refused": "An outcome of the action under an older epoch; kept as evidence, not accepted: "
    "generation, action_epoch, current_epoch, result, error.",
    "barrier.released": "All who arrived go on: generation, verdict, reason, blamed, decided_at, triggered_at, "
    "action_epoch, result, arrived, total, status.",
    "barrier.timed_out": "The deadline of the generation has passed: generation, verdict, reason, blamed, "
    "decided_at, deadline_at, triggered_at, action_epoch, result, arrived, total, status.",
    "barrier.broken": "The generation has failed for all who arrived: generation, verdict, reason, blamed, "
    "decided_at, triggered_at, action_epoch, result, arrived, total, status.",
    "barrier.reset": "A one-shot barrier that had failed begins anew: generation, reason, status.",
    "barrier.cancelled": "Somebody has called the barrier off: generation, reason, status.",
    "barrier.removed": "A barrier that was over is no longer kept: generation, deadline_at, status.",
    "barrier.party_lost": "A party is gone: generation, reason.",
    "barrier.party_found": "A party that was gone is back: generation.",
}


# making one


def _absent(request: Request) -> Step:
    match request:
        case Create():
            return _create(request, 0, 0)
        case Wake() | Lost() | Found():
            return Step()
        case _:
            raise NotFound("there is no barrier of this id; create it first")


def _create(request: Create, generation: int, action_epoch: int) -> Step:
    terms = checked(request)
    action = terms.action
    data = {
        "id": terms.id,
        "name": terms.name,
        "participants": list(terms.participants),
        "total": terms.participant_count,
        "participant_count": terms.participant_count,
        "cyclic": terms.cyclic,
        "timeout_s": terms.timeout_s,
        "action": None if action is None else as_data(action),
        "on_lost": terms.on_lost,
        "cleanup_delay_s": terms.cleanup_delay_s,
        "metadata": terms.metadata,
        "generation": generation,
        "action_epoch": action_epoch,
        "status": "waiting",
    }
    return Step((Event("barrier.created", terms.by, None, data),))


def checked(request: Create) -> Create:
    """Return the request with its parties sorted and counted.

    Raises:
        Invalid: with all that is wrong.
    """
    parties = tuple(sorted(request.participants))
    count = request.participant_count or len(parties)
    action = request.action
    problems = [
        (is_name(request.id), f"{request.id!r} cannot be an id: 1 to 200 printable bytes"),
        (1 <= count <= PARTIES_MAX, f"a barrier has 1 to {PARTIES_MAX:,} parties, not {count:,}"),
        (
            not parties or count == len(set(parties)),
            f"participant_count is {count:,}, but {len(set(parties)):,} different participants are named",
        ),
        (all(is_name(name) for name in parties), "a participant's name is empty, too long or not printable"),
        (request.timeout_s is None or _is_time(request.timeout_s), "timeout_s must be more than 0"),
        (0 <= request.cleanup_delay_s < float("inf"), "cleanup_delay_s must be 0 or more"),
        (request.on_lost in ("wait", "break"), "on_lost is wait or break"),
        (action is None or action.kind in ("coordinator", "elected"), "an action's kind is coordinator or elected"),
        (action is None or is_name(action.name), "an action needs a name"),
        (action is None or _is_time(action.timeout_s), "the action's timeout_s must be more than 0"),
    ]
    wrong = [text for is_right, text in problems if not is_right]
    if wrong:
        raise Invalid(f"barrier {request.id}: {'; '.join(wrong)}", problems=wrong)
    return replace(request, participants=parties, participant_count=count)


def _create_again(state: Barrier, request: Create) -> Step:
    if state.status == "removed":  # its id is free; numbers go on, so that nothing old counts in the new one
        return _create(request, state.generation + 1, state.action_epoch)
    if replace(checked(request), by=state.terms.by) != state.terms:
        raise Conflict(
            f"barrier {state.terms.id} exists and was made by {state.terms.by} with other settings; take another id"
        )
    return Step()


# what is asked


def _asked(state: Barrier, request: Request, now: Instant) -> Step:
    match request:
        case Create():
            return _create_again(state, request)
        case Arrive():
            return _arrive(state, request, now)
        case ActionDone():
            return _action_done(state, request, now)
        case Break():
            return _break(state, request, now)
        case Reset():
            return _reset(state, request, now)
        case Cancel():
            return _cancel(state, request, now)
        case Lost():
            return _lost(state, request, now)
        case Found():
            if request.agent not in state.lost:
                return Step()
            return fact(state, "barrier.party_found", request.agent)
        case Wake() | Look():
            return Step()


def _arrive(state: Barrier, request: Arrive, now: Instant) -> Step:
    agent = request.agent
    require_party(state, agent)
    if remembered(state, agent, request.request_id) is not None:
        return Step()
    generation = state.generation if request.generation is None else request.generation
    if generation != state.generation or state.status in _OVER:
        return _arrive_late(state, agent, generation)
    if agent in state.arrivals:
        if request.request_id is None:
            return Step()
        return fact(state, "barrier.repeated", agent, request_id=request.request_id)
    if state.status == "tripped":
        raise WrongPhase(
            f"generation {generation} of barrier {state.terms.id} is full and its action is being done; "
            f"{agent} can arrive for the next when it is over"
        )
    deadline_at = state.deadline_at
    if not state.arrivals and state.terms.timeout_s is not None:
        deadline_at = now + state.terms.timeout_s
    arrived = fact(
        state,
        "barrier.arrived",
        agent,
        data=request.data,
        request_id=request.request_id,
        arrived=len(state.arrivals) + 1,
        total=state.terms.participant_count,
        deadline_at=deadline_at,
    )
    if len(state.arrivals) + 1 == state.terms.participant_count:
        return then(state, arrived, now, trip)
    if not state.arrivals and state.terms.on_lost == "break":
        return then(state, arrived, now, break_for_the_lost)
    return arrived


def _arrive_late(state: Barrier, agent: AgentId, generation: int) -> Step:
    """Take a repeated arrival in a generation that is over; anybody else's comes too late or too early."""
    verdict = verdict_of(state, generation)
    if verdict is not None and agent in verdict.arrivals:
        return Step()
    barrier, current = f"barrier {state.terms.id}", state.generation
    if state.status == "removed":
        raise WrongPhase(f"{barrier} was over and has been removed; create it again, or take another")
    if generation > current:
        raise WrongPhase(f"generation {generation} of {barrier} has not begun; the current one is {current}")
    if state.status == "cancelled":
        raise WrongPhase(f"{barrier} is cancelled: {state.reason}")
    how = "too long ago to be known" if verdict is None else f"over, without {agent}: {_how(verdict)}"
    what_next = "create it again when it is removed" if state.status in _OVER else f"the current one is {current}"
    raise WrongPhase(f"generation {generation} of {barrier} is {how}; {what_next}", generation=current)


def _action_done(state: Barrier, request: ActionDone, now: Instant) -> Step:
    acting, epoch, barrier = state.acting, request.action_epoch, f"barrier {state.terms.id}"
    if not 1 <= epoch <= state.action_epoch:
        raise Invalid(f"{barrier} never gave out action epoch {epoch}; its newest is {state.action_epoch}")
    if state.parties and request.by != COORDINATOR and request.by not in state.parties:
        raise NotAllowed(f"{request.by} is not a party of {barrier}; only who was elected can say that it is done")
    verdict = verdict_of(state, request.generation)
    if verdict is not None and verdict.action_epoch == epoch:
        return Step()  # the same outcome once more
    agent = None if request.by == COORDINATOR else request.by
    outcome = {"action_epoch": epoch, "result": request.result, "error": request.error}
    if acting is None or acting.epoch != epoch or state.generation != request.generation:
        data = {**outcome, "generation": request.generation, "current_epoch": state.action_epoch}
        return Step((Event("barrier.action_refused", agent, str(request.generation), data),))
    if acting.by != request.by:
        raise NotAllowed(f"{acting.by} does the action of {barrier} under epoch {epoch}, not {request.by}")
    ending = Ending("released", result=request.result, action_epoch=epoch)
    if request.error is not None:
        action = "" if state.terms.action is None else state.terms.action.name
        ending = Ending("broken", f"the action {action} failed: {request.error}", (request.by,), action_epoch=epoch)
    done = fact(state, "barrier.action_done", agent, **outcome)
    return then(state, done, now, lambda state, now: end(state, now, ending))


def _break(state: Barrier, request: Break, now: Instant) -> Step:
    by, generation = request.by, state.generation if request.generation is None else request.generation
    reason, verdict = request.reason or f"broken by {by}", verdict_of(state, generation)
    last = state.verdicts[-1] if state.verdicts else None
    known = last if request.generation is None and not state.arrivals else verdict
    if known is not None and (known.status, known.reason, known.blamed) == ("broken", reason, (by,)):
        return Step()  # the same request once more
    is_party = by in state.parties or by in state.arrivals or (verdict is not None and by in verdict.arrivals)
    if not (request.is_admin or by == state.terms.by or is_party):
        raise NotAllowed(
            f"{by} cannot break barrier {state.terms.id}: that is for its parties, its creator {state.terms.by} "
            "and admins"
        )
    if generation != state.generation or state.status in _OVER:
        how = "is not the current one" if verdict is None else f"is over: {_how(verdict)}"
        raise WrongPhase(
            f"generation {generation} of barrier {state.terms.id} {how}; only the current one can be broken"
        )
    return end(state, now, Ending("broken", reason, (by,)))


def _reset(state: Barrier, request: Reset, now: Instant) -> Step:
    require_creator(state, request, "reset")
    reason = request.reason or f"reset by {request.by}"
    if state.status in ("released", "cancelled", "removed"):
        raise WrongPhase(f"barrier {state.terms.id} is {state.status} for good; make another")
    if state.status in _OVER:
        data = {"generation": state.generation + 1, "reason": reason, "status": "waiting"}
        return Step((Event("barrier.reset", request.by, str(state.generation + 1), data),))
    if not state.arrivals:
        return Step()
    return end(state, now, Ending("broken", reason, (request.by,), status="waiting"))


def _cancel(state: Barrier, request: Cancel, now: Instant) -> Step:
    require_creator(state, request, "cancel")
    if state.status == "cancelled":
        return Step()
    if state.status in _OVER:
        raise WrongPhase(f"barrier {state.terms.id} is over ({state.status}); there is nothing to cancel")
    reason = request.reason or f"cancelled by {request.by}"
    cancelled = fact(state, "barrier.cancelled", request.by, reason=reason, status="cancelled")
    if not state.arrivals:
        return cancelled
    broken = end(state, now, Ending("broken", reason, (request.by,), status="cancelled"))
    return Step(broken.events + cancelled.events, broken.sends)


def _lost(state: Barrier, request: Lost, now: Instant) -> Step:
    agent = request.agent
    concerns = agent in state.parties or agent in state.arrivals
    if not concerns or agent in state.lost or state.status in _OVER:
        return Step()
    lost = fact(state, "barrier.party_lost", agent, reason=request.reason)
    if state.acting is not None and state.acting.by == agent:
        why = f"{agent} is gone: {request.reason}"
        return then(state, lost, now, lambda state, now: elect(state, now, why))
    if state.terms.on_lost == "break" and state.arrivals and agent in state.missing:
        return then(state, lost, now, break_for_the_lost)
    return lost


def require_party(state: Barrier, agent: AgentId) -> None:
    """Raise NotAllowed if the parties are named and the agent is none of them."""
    if state.parties and agent not in state.parties:
        raise NotAllowed(
            f"{agent} is not a party of barrier {state.terms.id}; its creator {state.terms.by} can make one that has it"
        )


def require_creator(state: Barrier, request: Reset | Cancel, what: str) -> None:
    """Raise NotAllowed if the request is neither the creator's nor an admin's."""
    if not request.is_admin and request.by != state.terms.by:
        raise NotAllowed(
            f"{request.by} cannot {what} barrier {state.terms.id}; its creator {state.terms.by} or an admin can"
        )


def _how(verdict: Verdict) -> str:
    return f"{verdict.status}, {verdict.reason}" if verdict.status == "broken" else verdict.status


def _is_time(length_s: float) -> bool:
    return 0 < length_s < float("inf")
