"""A double barrier: nobody begins before all n have entered, and nobody has left before all have.

    entering --all entered--> inside --all left--> entering, in the next generation | released
    entering | inside --deadline of those who wait--> timeout
    entering | inside --Break, Reset, a lost party--> broken
    any --Cancel--> cancelled

It is two barriers in a row, the gates `enter` and `leave`, each with a verdict per generation (module
`barrier` has the rules: who counts, how a repeated call finds its generation, what becomes of the lost).
The parties of the second gate are those who came through the first.  A generation that breaks at either
gate is over for everybody in it.  A one-shot double barrier stays as it ended, and is `removed` later.

Source: Hunt, Konar, Junqueira & Reed 2010, "ZooKeeper: Wait-free coordination for Internet-scale systems",
section 2.4, double barrier.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from concerted.errors import Conflict, NotFound, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Send, Step, Wake
from concerted.sync.barriers import barrier
from concerted.sync.barriers.answers import generation_asked
from concerted.sync.barriers.course import Ending, break_for_the_lost, end, overdue, wake_at
from concerted.sync.barriers.state import Verdict, verdict_of
from concerted.sync.double_barriers.answers import DoubleBarrierResult, answer, at_gate, topic, waits, wakes
from concerted.sync.double_barriers.state import (
    OUTER,
    Break,
    Cancel,
    Create,
    DoubleBarrier,
    Enter,
    Leave,
    Request,
    Reset,
    Status,
    evolve,
)
from concerted.values import AgentId, Instant

__all__ = [
    "KINDS",
    "Break",
    "Cancel",
    "Create",
    "DoubleBarrier",
    "DoubleBarrierResult",
    "Enter",
    "Leave",
    "Request",
    "Reset",
    "State",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

State = DoubleBarrier
_ARRIVALS = ("double_barrier.entered", "double_barrier.left")


def decide(state: DoubleBarrier | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, after what is due by `now`.

    Raises:
        NotFound: there is no such double barrier.
        Invalid: a malformed Create.
        Conflict: the id is that of another one.
        NotAllowed: who asks is no party of it, or not its creator or an admin.
        WrongPhase: it is over, the generation is over or not yet begun, or others are inside.
    """
    if state is None:
        return _absent(request)
    due = _due(state, now)
    standing = _after(state, due, now)
    asked = _asked(standing, request, now)
    if len(asked.events) == 1 and asked.events[0].kind in _ARRIVALS:  # by far the most: it need not be folded
        next_at = asked.events[0].data["deadline_at"]
    else:
        next_at = _wake_at(_after(standing, asked, now))
    return Step(due.events + asked.events, due.sends + asked.sends, next_at)


KINDS: Mapping[str, str] = {
    "double_barrier.created": "A double barrier was made: id, name, participants, total, participant_count, "
    "cyclic, timeout_s, on_lost, cleanup_delay_s, metadata, generation, status.",
    "double_barrier.entered": "Somebody has come to the gate enter: gate, generation, data, request_id, arrived, "
    "total, deadline_at.",
    "double_barrier.begun": "All have entered: gate, generation, verdict, reason, blamed, decided_at, arrived, "
    "total, status.",
    "double_barrier.left": "Somebody has come to the gate leave: gate, generation, data, request_id, arrived, "
    "total, deadline_at.",
    "double_barrier.finished": "All have left: gate, generation, verdict, reason, blamed, decided_at, arrived, "
    "total, status.",
    "double_barrier.repeated": "Somebody who waits has asked again by another request: gate, generation, request_id.",
    "double_barrier.timed_out": "The deadline of a gate has passed, and the generation is over: gate, generation, "
    "verdict, reason, blamed, decided_at, deadline_at, arrived, total, status.",
    "double_barrier.broken": "The generation has failed for all in it: gate, generation, verdict, reason, blamed, "
    "decided_at, arrived, total, status.",
    "double_barrier.reset": "A one-shot double barrier that had failed begins anew: generation, reason, status.",
    "double_barrier.cancelled": "Somebody has called the double barrier off: generation, reason, status.",
    "double_barrier.removed": "A double barrier that was over is no longer kept: generation, deadline_at, status.",
    "double_barrier.party_lost": "A party is gone: generation, reason.",
    "double_barrier.party_found": "A party that was gone is back: generation.",
}


# making one


def _absent(request: Request) -> Step:
    match request:
        case Create():
            return _create(request, 0)
        case Wake() | Lost() | Found():
            return Step()
        case _:
            raise NotFound("there is no double barrier of this id; create it first")


def _create(request: Create, generation: int) -> Step:
    terms = barrier.checked(_gates(request))
    data = {
        "id": terms.id,
        "name": terms.name,
        "participants": list(terms.participants),
        "total": terms.participant_count,
        "participant_count": terms.participant_count,
        "cyclic": request.cyclic,
        "timeout_s": terms.timeout_s,
        "on_lost": terms.on_lost,
        "cleanup_delay_s": terms.cleanup_delay_s,
        "metadata": terms.metadata,
        "generation": generation,
        "status": "entering",
    }
    return Step((Event("double_barrier.created", terms.by, None, data),))


def _create_again(state: DoubleBarrier, request: Create) -> Step:
    if state.status == "removed":  # its id is free; generations go on, so that nothing old counts in the new one
        return _create(request, state.enter.generation)
    terms = state.enter.terms
    if request.cyclic != state.cyclic or replace(barrier.checked(_gates(request)), by=terms.by) != terms:
        raise Conflict(f"double barrier {terms.id} exists and was made by {terms.by} with other settings")
    return Step()


def _gates(request: Create) -> barrier.Create:
    """Return what each of the two gates is made as: cyclic, as the double barrier decides when it is over."""
    return barrier.Create(
        id=request.id,
        by=request.by,
        participant_count=request.participant_count,
        participants=request.participants,
        name=request.name,
        timeout_s=request.timeout_s,
        on_lost=request.on_lost,
        cleanup_delay_s=request.cleanup_delay_s,
        metadata=request.metadata,
    )


# what is asked


def _asked(state: DoubleBarrier, request: Request, now: Instant) -> Step:
    match request:
        case Create():
            return _create_again(state, request)
        case Enter():
            return _enter(state, request, now)
        case Leave():
            return _leave(state, request, now)
        case Break():
            return _break(state, request, now)
        case Reset() | Cancel():
            return _stop(state, request, now)
        case Lost():
            return _lost(state, request, now)
        case Found():
            if request.agent not in state.leave.lost:
                return Step()
            return _fact(state, "double_barrier.party_found", request.agent)
        case Wake() | Look():
            return Step()


def _enter(state: DoubleBarrier, request: Enter, now: Instant) -> Step:
    agent, terms = request.agent, state.enter.terms
    barrier.require_party(state.enter, agent)
    arrive = at_gate(state, request)
    verdict = verdict_of(state.enter, generation_asked(state.enter, arrive))
    names_it = request.generation is not None or state.is_over
    is_inside = state.gate == "leave" and agent in state.leave.parties
    if verdict is not None and agent in verdict.arrivals and (names_it or is_inside):
        return Step()  # it was here before
    if state.is_over:
        raise WrongPhase(f"double barrier {terms.id} is over ({state.status}); {agent} comes too late")
    if state.gate == "leave":
        raise WrongPhase(
            f"generation {state.leave.generation} of double barrier {terms.id} is under way without {agent}; "
            f"the next can be entered when all {terms.participant_count:,} have left"
        )
    return _outward(state, barrier.decide(state.enter, arrive, now), now)


def _leave(state: DoubleBarrier, request: Leave, now: Instant) -> Step:
    agent, terms = request.agent, state.enter.terms
    barrier.require_party(state.enter, agent)
    arrive = at_gate(state, request)
    generation = generation_asked(state.leave, arrive)
    entered = verdict_of(state.enter, generation)
    where = f"generation {generation} of double barrier {terms.id}"
    if entered is None and generation < state.enter.generation:
        raise WrongPhase(f"{where} is too long ago to be known; the current one is {state.leave.generation}")
    if entered is None:
        come = len(state.enter.arrivals) if generation == state.enter.generation else 0
        raise WrongPhase(f"{where} has not begun: {come:,} of {terms.participant_count:,} have entered")
    if entered.status != "released" or agent not in entered.arrivals:
        raise WrongPhase(f"{agent} has not come into {where} and cannot leave it; enter first")
    if verdict_of(state.leave, generation) is not None:
        return Step()  # it is over for everybody who was inside
    return _outward(state, barrier.decide(state.leave, arrive, now), now)


def _break(state: DoubleBarrier, request: Break, now: Instant) -> Step:
    waiting = state.waiting
    reason = request.reason or f"broken by {request.by}"
    for verdict in _newest(state):
        same = (verdict.status, verdict.reason, verdict.blamed) == ("broken", reason, (request.by,))
        if same and request.generation in (None, verdict.generation) and not waiting.arrivals:
            return Step()  # the same request once more
    if state.is_over:
        raise WrongPhase(f"double barrier {state.enter.terms.id} is over ({state.status}); nothing is left to break")
    return _outward(state, barrier.decide(waiting, request, now), now)


def _stop(state: DoubleBarrier, request: Reset | Cancel, now: Instant) -> Step:
    """Begin anew, or call it off for good; who waits or is inside gets the verdict `broken`."""
    is_reset, by = isinstance(request, Reset), request.by
    barrier.require_creator(state.enter, request, "reset" if is_reset else "cancel")
    reason = request.reason or f"{'reset' if is_reset else 'cancelled'} by {by}"
    if state.status == "cancelled" and not is_reset:
        return Step()
    if is_reset and state.status in ("timeout", "broken"):
        return _fact(state, "double_barrier.reset", by, reason=reason, status="entering")
    if state.is_over:
        raise WrongPhase(f"double barrier {state.enter.terms.id} is over for good ({state.status})")
    step = Step()
    if state.gate == "leave" or state.enter.arrivals:
        step = end(state.waiting, now, Ending("broken", reason, (by,)))
        step = _outward(state, step, now, "entering" if is_reset else "cancelled")
    if is_reset:
        return step
    cancelled = _fact(state, "double_barrier.cancelled", by, reason=reason, status="cancelled")
    return Step(step.events + cancelled.events, step.sends)


def _lost(state: DoubleBarrier, request: Lost, now: Instant) -> Step:
    agent, waiting = request.agent, state.waiting
    concerns = agent in state.enter.parties or agent in waiting.parties or agent in waiting.arrivals
    if not concerns or agent in state.leave.lost or state.is_over:
        return Step()
    lost = _fact(state, "double_barrier.party_lost", agent, reason=request.reason)
    if waiting.terms.on_lost == "wait" or not waiting.arrivals or agent not in waiting.missing:
        return lost
    after = _after(state, lost, now)
    step = _outward(after, break_for_the_lost(after.waiting, now), now)
    return Step(lost.events + step.events, step.sends)


# what follows


def _due(state: DoubleBarrier, now: Instant) -> Step:
    """Return what time alone has brought by `now`."""
    due_at = _wake_at(state)
    if due_at is None or now < due_at:
        return Step()
    if state.ended_at is not None:
        return _fact(state, "double_barrier.removed", None, deadline_at=due_at, status="removed")
    return _outward(state, overdue(state.waiting, now), now)


def _wake_at(state: DoubleBarrier) -> Instant | None:
    if state.status == "removed":
        return None
    if state.ended_at is not None:
        return state.ended_at + state.enter.terms.cleanup_delay_s
    return wake_at(state.waiting)


def _outward(state: DoubleBarrier, step: Step, now: Instant, status: Status | None = None) -> Step:
    """Return what happens at the waiting gate as it is told outside.  status: afterwards, if that is known."""
    gate, standing = state.gate, state
    events: tuple[Event, ...] = ()
    sends: tuple[Send, ...] = ()
    for event in step.events:
        data = {"gate": gate, **event.data}
        for internal in ("triggered_at", "action_epoch", "result"):
            data.pop(internal, None)
        if "status" in data:
            data["status"] = status or _status_after(state, event.data["verdict"])
            sends += _news(standing, data)
        told = Event(OUTER[gate].get(event.kind, f"double_{event.kind}"), event.agent, event.ref, data)
        events += (told,)
        if len(events) < len(step.events):
            standing = evolve(standing, told, now)
    return Step(events, sends)


def _status_after(state: DoubleBarrier, verdict: Literal["released", "timeout", "broken"]) -> Status:
    if verdict == "released" and state.gate == "enter":
        return "inside"
    return "entering" if state.cyclic else verdict


def _news(state: DoubleBarrier, data: Mapping[str, Any]) -> tuple[Send, ...]:
    """Return the message by which all who wait at the gate, or are inside, are told of a verdict."""
    told = state.leave.parties if state.gate == "leave" else state.enter.arrivals
    content = {
        "barrier_id": state.enter.terms.id,
        "gate": state.gate,
        "generation": data["generation"],
        "participant_count": data["total"],
    }
    if data["verdict"] == "released":
        message, more = "BARRIER_RELEASED", {"released_at": data["decided_at"]}
    else:
        message = "BARRIER_BROKEN"
        more = {"reason": data["reason"], "blamed": data["blamed"], "broken_at": data["decided_at"]}
        more["arrived_count"] = data["arrived"]
    to = tuple(AgentId(agent) for agent in told)
    return (Send(to, message, content | more, "high"),) if to else ()


def _newest(state: DoubleBarrier) -> list[Verdict]:
    """Return the newest verdict of each gate, the last to fall first."""
    verdicts = [*state.leave.verdicts[-1:], *state.enter.verdicts[-1:]]
    return sorted(verdicts, key=lambda verdict: verdict.generation, reverse=True)


def _fact(state: DoubleBarrier, kind: str, agent: AgentId | None, **data: Any) -> Step:
    generation = state.leave.generation
    return Step((Event(kind, agent, str(generation), {"generation": generation, **data}),))


def _after(state: DoubleBarrier, step: Step, now: Instant) -> DoubleBarrier:
    for event in step.events:
        state = evolve(state, event, now)
    return state
