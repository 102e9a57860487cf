"""A phaser: a barrier whose parties come and go, phase after phase, with a rule for those who are lost or late.

    active: phase 0 --all its parties have arrived--> phase 1 --> phase 2 ...
    a phase --a party is lost or late, policy `break`--> broken, and the next begins with the rest
    active --a party is lost or late, policy `fail`; Cancel; the last party has gone--> terminated

Phases count from 0.  A phase waits for the parties that are registered and not removed, and for nobody
else: whoever deregisters, or is removed, is waited for no more.  Everybody is told who was removed and why.
A removed party that comes back must register again: each registration has a number, and an arrival under
an older one is refused.  An agent counts once per phase, also if it registers twice in it.

A party is lost when it is known to be gone, and late when it has not arrived `late_after_s` after the first
arrival of the phase.  A loss after the arrival does not harm the phase: by `shrink` and `break` the party is
removed for the phases to come, by `fail` the phaser is terminated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from concerted.errors import Conflict, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, WrongPhase
from concerted.machine import Event, Found, Look, Lost, Step, Wake
from concerted.sync.phasers.answers import PhaserResult, answer, topic, waits, wakes
from concerted.sync.phasers.course import (
    TOLD_AT_ONCE,
    after,
    breaks,
    fact,
    left,
    overdue,
    settle,
    taken_out,
    terminated,
    then,
    wake_at,
)
from concerted.sync.phasers.state import (
    Arrive,
    ArriveAndAwait,
    ArriveAndDeregister,
    Await,
    Cancel,
    Create,
    Deregister,
    Party,
    Phaser,
    Register,
    Remove,
    Request,
    evolve,
    remembered,
    verdict_of,
)
from concerted.values import AgentId, Instant, is_name

__all__ = [
    "KINDS",
    "PARTIES_MAX",
    "TOLD_AT_ONCE",
    "Arrive",
    "ArriveAndAwait",
    "ArriveAndDeregister",
    "Await",
    "Cancel",
    "Create",
    "Deregister",
    "Phaser",
    "PhaserResult",
    "Register",
    "Remove",
    "Request",
    "State",
    "answer",
    "decide",
    "evolve",
    "topic",
    "waits",
    "wakes",
]

PARTIES_MAX = 1_000_000

State = Phaser


def decide(state: Phaser | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to, after what is due by `now`.

    Raises:
        NotFound: there is no such phaser.
        Invalid: a malformed Create or Await.
        Conflict: the id is that of another phaser.
        NotAllowed: who asks is not registered, or neither its creator nor an admin.
        LeaseLost: an arrival under a registration that is over.
        WrongPhase: the phaser is terminated, or the phase is over, too long ago, or not yet begun.
        Overloaded: PARTIES_MAX are registered.
    """
    if state is None:
        return _absent(request)
    due = overdue(state, now)
    standing = after(state, due, now)
    asked = _asked(standing, request, now)
    if len(asked.events) == 1 and asked.events[0].kind == "phaser.arrived":  # by far the most: it need not be folded
        next_at = None if standing.is_late else asked.events[0].data["deadline_at"]
    else:
        next_at = wake_at(after(standing, asked, now))
    return Step(due.events + asked.events, due.sends + asked.sends, next_at)


KINDS: Mapping[str, str] = {
    "phaser.created": "A phaser was made: id, name, participants, total, policy, late_after_s, ends_when_empty, "
    "metadata, status.",
    "phaser.registered": "Somebody has become a party: phase, registration, from_phase, total.",
    "phaser.deregistered": "A party has left: phase, registration, arrived, total.",
    "phaser.arrived": "A party has arrived, and leaves or not: phase, registration, data, request_id, leaves, "
    "arrived, total, deadline_at.",
    "phaser.repeated": "A party that has arrived asks again by another request: phase, request_id.",
    "phaser.party_lost": "A party is gone: phase, reason.",
    "phaser.party_found": "A party that was gone is back: phase.",
    "phaser.late": "The time of the phase is over, and not all have arrived: phase, missing, missing_count, "
    "deadline_at, arrived, total.",
    "phaser.party_removed": "A party was taken out: phase, registration, reason, by.",
    "phaser.advanced": "All parties of the phase have arrived: phase, next_phase, verdict, reason, blamed, "
    "decided_at, arrived, total.",
    "phaser.broken": "The phase has failed for all its parties: phase, next_phase, verdict, reason, blamed, "
    "decided_at, arrived, total.",
    "phaser.terminated": "The phaser is over, and there will be no such phase: phase, reason, status.",
}


# making one


def _absent(request: Request) -> Step:
    match request:
        case Create():
            return _create(_checked(request))
        case Wake() | Lost() | Found():
            return Step()
        case _:
            raise NotFound("there is no phaser of this id; create it first")


def _create(terms: Create) -> Step:
    data = {
        "id": terms.id,
        "name": terms.name,
        "participants": list(terms.participants),
        "total": len(terms.participants),
        "policy": terms.policy,
        "late_after_s": terms.late_after_s,
        "ends_when_empty": terms.ends_when_empty,
        "metadata": terms.metadata,
        "status": "active",
    }
    return Step((Event("phaser.created", terms.by, None, data),))


def _checked(request: Create) -> Create:
    parties = tuple(sorted(set(request.participants)))
    late = request.late_after_s
    problems = [
        (is_name(request.id), f"{request.id!r} cannot be an id: 1 to 200 printable bytes"),
        (len(parties) <= PARTIES_MAX, f"a phaser has at most {PARTIES_MAX:,} parties, not {len(parties):,}"),
        (all(is_name(name) for name in parties), "a participant's name is empty, too long or not printable"),
        (request.policy in ("wait", "shrink", "break", "fail"), "policy is wait, shrink, break or fail"),
        (late is None or 0 < late < float("inf"), "late_after_s must be more than 0"),
    ]
    wrong = [text for is_right, text in problems if not is_right]
    if wrong:
        raise Invalid(f"phaser {request.id}: {'; '.join(wrong)}", problems=wrong)
    return replace(request, participants=parties)


# what is asked


def _asked(state: Phaser, request: Request, now: Instant) -> Step:
    match request:
        case Create():
            if replace(_checked(request), by=state.terms.by) != state.terms:
                raise Conflict(f"phaser {state.terms.id} exists and was made by {state.terms.by} with other settings")
            return Step()
        case Register():
            return _register(state, request)
        case Deregister():
            return _deregister(state, request, now)
        case Remove():
            return _remove(state, request, now)
        case Arrive():
            return _arrive(state, request, now)
        case Await():
            return _await(state, request)
        case Cancel():
            return _cancel(state, request, now)
        case Lost():
            return _lost(state, request, now)
        case Found():
            return fact(state, "phaser.party_found", request.agent) if request.agent in state.lost else Step()
        case Wake() | Look():
            return Step()


def _register(state: Phaser, request: Register) -> Step:
    agent = request.agent
    if agent in state.parties:
        return Step()
    _require_active(state, f"register {agent}")
    if not is_name(agent):
        raise Invalid(f"{agent!r} cannot be a party: 1 to 200 printable bytes")
    if len(state.parties) >= PARTIES_MAX:
        raise Overloaded(f"phaser {state.terms.id} has {PARTIES_MAX:,} parties, as many as it can", bound=PARTIES_MAX)
    is_empty = not state.missing and not state.arrivals
    waits_for_next = agent in state.arrivals or (request.from_next and not is_empty)
    return fact(
        state,
        "phaser.registered",
        agent,
        registration=state.registrations + 1,
        from_phase=state.phase + waits_for_next,
        total=len(state.parties) + 1,
    )


def _deregister(state: Phaser, request: Deregister, now: Instant) -> Step:
    party = state.parties.get(request.agent)
    if party is None:
        return Step()
    _require_number(state, request.agent, party, request.registration)
    return then(state, left(state, request.agent, party), now, settle)


def _remove(state: Phaser, request: Remove, now: Instant) -> Step:
    _require_creator(state, request, f"remove {request.agent} from")
    if request.agent not in state.parties:
        return Step()
    reason = request.reason or f"taken out by {request.by}"
    return then(state, taken_out(state, (request.agent,), reason, request.by), now, settle)


def _arrive(state: Phaser, request: Arrive, now: Instant) -> Step:
    agent, party = request.agent, state.parties.get(request.agent)
    if _was_granted(state, request):
        return Step()
    _require_active(state, f"let {agent} arrive")
    if party is None:
        raise _not_registered(state, agent)
    _require_number(state, agent, party, request.registration)
    phase = state.phase if request.phase is None else request.phase
    if phase != state.phase or (agent not in state.missing and agent not in state.arrivals):
        raise _wrong_phase(state, agent, party, phase)
    arrival = state.arrivals.get(agent)
    if arrival is not None and arrival.registration != party.number:
        raise _wrong_phase(state, agent, party, phase)
    if arrival is not None:
        step = Step()
        if request.request_id is not None:
            step = fact(state, "phaser.repeated", agent, request_id=request.request_id)
        if isinstance(request, ArriveAndDeregister):
            step = Step(step.events + left(state, agent, party).events)
        return step
    deadline_at = state.late_at
    if not state.arrivals and state.terms.late_after_s is not None:
        deadline_at = now + state.terms.late_after_s
    arrived = fact(
        state,
        "phaser.arrived",
        agent,
        registration=party.number,
        data=request.data,
        request_id=request.request_id,
        leaves=isinstance(request, ArriveAndDeregister),
        arrived=len(state.arrivals) + 1,
        total=len(state.arrivals) + len(state.missing),
        deadline_at=deadline_at,
    )
    return then(state, arrived, now, settle) if len(state.missing) == 1 else arrived


def _await(state: Phaser, request: Await) -> Step:
    if request.phase < 0:
        raise Invalid(f"phases count from 0; there is no phase {request.phase}")
    if request.phase < state.phase and verdict_of(state, request.phase) is None:
        raise WrongPhase(
            f"phase {request.phase} of phaser {state.terms.id} is too long ago to be known; "
            f"the current one is {state.phase}",
            phase=state.phase,
        )
    return Step()


def _cancel(state: Phaser, request: Cancel, now: Instant) -> Step:
    _require_creator(state, request, "cancel")
    if state.status == "terminated":
        return Step()
    return terminated(state, now, request.reason or f"cancelled by {request.by}", (request.by,))


def _lost(state: Phaser, request: Lost, now: Instant) -> Step:
    agent, policy = request.agent, state.terms.policy
    if agent not in state.parties or agent in state.lost:
        return Step()
    lost = fact(state, "phaser.party_lost", agent, reason=request.reason)
    reason = f"gone: {request.reason}"

    def follow(state: Phaser, now: Instant) -> Step:
        if policy == "wait":
            return Step()
        if policy == "fail":
            return terminated(state, now, f"{agent}, who is {reason}", (agent,))
        out = taken_out(state, (agent,), reason)
        if policy == "break" and agent in state.missing:
            total = len(state.arrivals) + len(state.missing)
            out = then(state, out, now, breaks(f"{agent}, who is {reason}", (agent,), total))
        return then(state, out, now, settle)

    return then(state, lost, now, follow)


# what is refused


def _was_granted(state: Phaser, request: Arrive) -> bool:
    """Say whether this arrival has counted before, and the agent has nothing left to do for it."""
    agent = request.agent
    if remembered(state, agent, request.request_id) is not None:
        return True
    if request.phase is not None and request.phase != state.phase:
        verdict = verdict_of(state, request.phase)
        return verdict is not None and agent in verdict.arrivals
    if agent in state.parties:
        return False
    arrival = state.arrivals.get(agent)
    if arrival is not None:
        return request.registration in (None, arrival.registration)
    last = state.verdicts[-1] if state.verdicts else None
    return isinstance(request, ArriveAndDeregister) and last is not None and agent in last.arrivals


def _require_active(state: Phaser, what: str) -> None:
    if state.status == "terminated":
        raise WrongPhase(f"phaser {state.terms.id} is terminated and cannot {what}: {state.reason}; make another")


def _require_creator(state: Phaser, request: Remove | Cancel, what: str) -> None:
    if not request.is_admin and request.by != state.terms.by:
        raise NotAllowed(
            f"{request.by} cannot {what} phaser {state.terms.id}; its creator {state.terms.by} or an admin can"
        )


def _require_number(state: Phaser, agent: AgentId, party: Party, registration: int | None) -> None:
    if registration is not None and registration != party.number:
        raise LeaseLost(
            f"registration {registration} of {agent} at phaser {state.terms.id} is over; its own is now {party.number}",
            registration=party.number,
        )


def _not_registered(state: Phaser, agent: AgentId) -> LeaseLost | NotAllowed:
    removal = next((removal for removal in reversed(state.removed) if removal.agent == agent), None)
    if removal is None:
        return NotAllowed(f"{agent} is not registered at phaser {state.terms.id}; register first")
    return LeaseLost(
        f"registration {removal.registration} of {agent} at phaser {state.terms.id} is over since phase "
        f"{removal.phase}: {removal.reason}; register again",
        registration=removal.registration,
        phase=removal.phase,
    )


def _wrong_phase(state: Phaser, agent: AgentId, party: Party, phase: int) -> WrongPhase:
    where = f"phase {phase} of phaser {state.terms.id}"
    if phase > state.phase:
        why = f"{where} has not begun; the current one is {state.phase}"
    elif phase == state.phase:
        why = f"{agent} takes part in phaser {state.terms.id} from phase {party.from_phase} on; this is phase {phase}"
    else:
        verdict = verdict_of(state, phase)
        how = "too long ago to be known" if verdict is None else f"over ({verdict.status}), without {agent}"
        why = f"{where} is {how}; the current one is {state.phase}"
    return WrongPhase(why, phase=state.phase)
