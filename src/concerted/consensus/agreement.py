"""An agreement: one value under a key, for ever, and always one that somebody has proposed.

    waiting --the first valid proposal in the order of its log--> agreed
            --its deadline--------------------------------------> lapsed

Its log is `created` (which values are valid, who may propose, until when: frozen) and then `chosen` or `lapsed`, once.
Nobody's opinion is asked: a value is chosen since it was proposed first and passes the rule, and whoever proposes later
is answered with it, and told that it is not theirs.  The rule is data (`validity`), so that it says the same of the
same value on every replica and after every restart.

Source: the problem as in Lamport 2001, "Paxos made simple", section 2.1; validity as in Cachin, Kursawe, Petzold &
Shoup 2001 ("external validity").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import msgspec

from concerted.consensus.keeping import ONE, Algorithm, Rounds, deadline_problem, stored_by
from concerted.consensus.validity import ANYTHING, Validity, check, in_words, problem
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.machine import EVERYBODY, Event, Found, Look, Lost, Result, Send, Step, Wait, Wake
from concerted.values import AgentId, Instant, as_kept, encode, is_name

__all__ = [
    "KINDS", "PROPOSERS", "VALUE_BYTES", "Agreement", "AgreementResult", "Await", "Chosen", "Create", "Propose",
    "Request", "State", "Terms", "answer", "decide", "evolve", "topic", "waits", "wakes",
]  # fmt: skip

VALUE_BYTES = 64 << 10  # the longest value, as JSON
PROPOSERS = 1_000  # agents to whom proposing may be restricted

Status = Literal["waiting", "agreed", "lapsed"]

KINDS: Mapping[str, str] = {
    "agreement.created": (
        "A value is to be agreed on: name, status, terms (validity, proposers, deadline_at, algorithm), demands, "
        "participants (the proposers), arrived, total, deadline_at."
    ),
    "agreement.chosen": "The agent's proposal is the value, for ever: value, request_id, status, arrived.",
    "agreement.lapsed": "Its deadline came before any valid proposal; there will be no value: status, closed_at.",
}


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is frozen when an agreement is opened.

    validity: which values may be chosen.  proposers: who may propose; none named: everybody.  deadline_at: when it
    lapses if nobody has proposed by then; None: never.  algorithm: how its log is kept.
    """

    validity: Validity = ANYTHING
    proposers: tuple[AgentId, ...] = ()
    deadline_at: Instant | None = None
    algorithm: Algorithm = "single"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value, and whose proposal it was.  position: its entry in the log."""

    value: Any
    by: AgentId
    request_id: str
    position: int
    at: Instant


@dataclass(frozen=True, slots=True)
class Agreement:
    """Where an agreement stands.

    length: entries so far; rounds: of its log.  lapsed_at: its deadline, if that came first.
    """

    id: str
    terms: Terms
    opened_by: AgentId
    opened_at: Instant
    length: int = 1
    chosen: Chosen | None = None
    lapsed_at: Instant | None = None
    rounds: Rounds = ONE

    @property
    def algorithm(self) -> Algorithm:
        """How its log is kept."""
        return self.terms.algorithm

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen to it any more."""
        return self.status != "waiting"

    @property
    def status(self) -> Status:
        """Say in which of its three states it is."""
        return "agreed" if self.chosen is not None else "waiting" if self.lapsed_at is None else "lapsed"


State = Agreement


@dataclass(frozen=True, slots=True)
class Create:
    """Open an agreement without a proposal."""

    id: str
    by: AgentId
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Propose:
    """Propose a value, and open the agreement if there is none.

    request_id: names this proposal; given again it is the same one.  validity, proposers: what the proposer takes for
    agreed; None: as it is.  deadline_at, algorithm: of the agreement that is opened.
    """

    id: str
    by: AgentId
    value: Any
    request_id: str
    validity: Validity | None = None
    proposers: tuple[AgentId, ...] | None = None
    deadline_at: Instant | None = None
    algorithm: Algorithm = "single"


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until there is a value, or never will be."""


Request: TypeAlias = Create | Propose | Await | Look | Wake | Lost | Found


class AgreementResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    success: there is a value; proposed_by, position: whose proposal it was, and its entry in the log.  yours: it is
    the proposal of this very request; False says that another one was first.  demands: the rule, in words.
    stored_by: what keeps the log, which is nobody's approval; entries_committed: how long that log is; rounds: how
    many terms, ballots or views of a group that took, and 1 of a store.  term and leader are of a group of replicas;
    None where one store keeps the log.  group: the description by which it is reached without a coordinator;
    warnings: what somebody who relies on that group should know.
    """

    id: str
    status: Status
    success: bool
    value: Any = None
    yours: bool = False
    proposed_by: AgentId | None = None
    position: int | None = None
    agreed_at: Instant | None = None
    validity: Validity
    demands: str
    proposers: tuple[AgentId, ...]
    deadline_at: Instant | None
    created_at: Instant
    created_by: AgentId
    algorithm: Algorithm
    stored_by: tuple[str, ...]
    entries_committed: int
    rounds: int = 1
    term: int | None = None
    leader: AgentId | None = None
    group: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()


def decide(state: Agreement | None, request: Request, now: Instant) -> Step:
    """Return what the request comes to; a proposal that comes later, or again, comes to nothing.

    Raises:
        NotFound: there is no such agreement, and the request opens none.
        Invalid: it cannot be opened like this; or the value is not valid, whether it would be the first or not.
        Conflict: it was opened on other terms, or the request id stands for another value.
        NotAllowed: proposing is restricted to others.
        WrongPhase: it has lapsed.
    """
    if state is None:
        return _begin(request, now)
    if isinstance(request, Look) and _is_due(state, now):
        return Step(wake_at=now)
    due = _lapse(state) if _is_due(state, now) else Step()
    for event in due.events:
        state = evolve(state, event, now)
    asked = _asked(state, request)
    is_waiting = state.status == "waiting" and not asked.events
    return Step(due.events + asked.events, due.sends + asked.sends, state.terms.deadline_at if is_waiting else None)


def evolve(state: Agreement | None, event: Event, at: Instant) -> Agreement:
    """Return the state after an event of this agreement, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if state is None:
        assert event.kind == "agreement.created", event.kind
        terms = msgspec.convert(data["terms"], Terms)
        return Agreement(data["name"], terms, agent, at, rounds=Rounds.begun(data))
    state = replace(state, length=state.length + 1, rounds=state.rounds.after(data))
    match event.kind:
        case "agreement.chosen":
            assert state.status == "waiting", f"a second value for {state.id}"
            return replace(state, chosen=Chosen(data["value"], agent, data["request_id"], state.length, at))
        case "agreement.lapsed":
            return replace(state, lapsed_at=data["closed_at"])
        case _:
            return state


def answer(state: Agreement, request: Request, now: Instant) -> AgreementResult:  # noqa: ARG001
    """Return how it stands; an `Await` is pending while there is no value."""
    chosen, terms = state.chosen, state.terms
    return AgreementResult(
        pending=state.status == "waiting" and isinstance(request, Await),
        id=state.id,
        status=state.status,
        success=chosen is not None,
        value=None if chosen is None else chosen.value,
        yours=isinstance(request, Propose) and _is_its(chosen, request),
        proposed_by=None if chosen is None else chosen.by,
        position=None if chosen is None else chosen.position,
        agreed_at=None if chosen is None else chosen.at,
        validity=terms.validity,
        demands=in_words(terms.validity),
        proposers=terms.proposers,
        deadline_at=terms.deadline_at,
        created_at=state.opened_at,
        created_by=state.opened_by,
        algorithm=terms.algorithm,
        stored_by=stored_by(terms.algorithm),
        entries_committed=state.length,
        rounds=state.rounds.count,
    )


def topic(request: Request) -> str:  # noqa: ARG001
    """All who wait for an agreement wait for the same thing."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Everybody when there is a value, or never will be."""
    return () if event.kind == "agreement.created" else (EVERYBODY,)


def waits(state: Agreement, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Say that nobody has proposed, what would be valid, and who may."""
    if state.status != "waiting" or not isinstance(request, Await):
        return None
    terms = state.terms
    text = f"agreement {state.id}: nobody has proposed a value; it takes {in_words(terms.validity)}"
    return Wait(text, state.opened_at, terms.proposers, deadline=terms.deadline_at)


# Opening


def _begin(request: Request, now: Instant) -> Step:
    match request:
        case Create(id, by, terms):
            return _open(id, by, terms, now)
        case Propose():
            terms = Terms(
                validity=request.validity or ANYTHING,
                proposers=request.proposers or (),
                deadline_at=request.deadline_at,
                algorithm=request.algorithm,
            )
            opened = _open(request.id, request.by, terms, now)
            (created,) = opened.events
            chosen = _propose(evolve(None, created, now), request)
            return Step((created, *chosen.events), chosen.sends)
        case Wake() | Lost() | Found():
            return Step()
        case _:
            raise NotFound("there is no such agreement; open it, or propose a value")


def _open(id: str, by: AgentId, terms: Terms, now: Instant) -> Step:
    problems = check(terms.validity)
    if not is_name(id):
        problems.insert(0, f"{id!r} cannot be the key of an agreement: 1 to 200 printable bytes, no outer spaces")
    if len(terms.proposers) > PROPOSERS:
        problems.append(f"{len(terms.proposers)} proposers; at most {PROPOSERS}, or name none and let everybody")
    problems += [f"{name!r} cannot name a proposer" for name in terms.proposers if not is_name(name)][:10]
    if len(dict.fromkeys(terms.proposers)) < len(terms.proposers):
        problems.append("a proposer is named twice")
    if terms.deadline_at is not None and not now < terms.deadline_at < math.inf:
        problems.append(deadline_problem(terms.deadline_at, now))
    if problems:
        raise Invalid(f"agreement {id} cannot be opened: {'; '.join(problems)}", problems=problems)
    data = {
        "name": id,
        "status": "waiting",
        "terms": msgspec.to_builtins(terms),
        "demands": in_words(terms.validity),
        "participants": list(terms.proposers),
        "arrived": 0,
        "total": 1,
        "deadline_at": terms.deadline_at,
    }
    others = tuple(name for name in terms.proposers if name != by)
    content = {"agreement_id": id, "demands": data["demands"], "deadline": terms.deadline_at, "opened_by": by}
    sends = (Send(others, "AGREEMENT_OPENED", content),) if others else ()
    return Step((Event("agreement.created", by, None, data),), sends, terms.deadline_at)


def _require_terms(state: Agreement, wanted: Mapping[str, Any]) -> None:
    """Make sure that the caller means this agreement.  wanted: name -> term.

    Raises:
        Conflict: it was opened on other terms.
    """
    differences = [name for name, term in wanted.items() if encode(term) != encode(getattr(state.terms, name))]
    if differences:
        raise Conflict(
            f"{state.opened_by} has opened agreement {state.id} already, with other {', '.join(differences)}; "
            "take it as it is, or take another key",
            differences=differences,
        )


# What comes to an agreement that is there


def _asked(state: Agreement, request: Request) -> Step:
    match request:
        case Propose():
            return _propose(state, request)
        case Create(terms=terms):
            _require_terms(state, msgspec.structs.asdict(terms))
    return Step()


def _propose(state: Agreement, request: Propose) -> Step:
    if not is_name(request.request_id):
        raise Invalid("a proposal needs a request id, 1..200 printable bytes, so that a repeat of it is the same one")
    terms, chosen = state.terms, state.chosen
    taken = {"validity": request.validity, "proposers": request.proposers, "algorithm": request.algorithm}
    _require_terms(state, {name: term for name, term in taken.items() if term is not None})
    if terms.proposers and request.by not in terms.proposers:
        named = ", ".join(terms.proposers[:10])
        raise NotAllowed(f"{request.by} may not propose for agreement {state.id}; {named} may", agent=request.by)
    value = as_kept(request.value, f"the value proposed for {state.id}", VALUE_BYTES)
    wrong = problem(terms.validity, value)
    if wrong is not None:
        raise Invalid(
            f"this is no valid value for agreement {state.id}: {wrong}; it takes {in_words(terms.validity)}",
            problem=wrong,
        )
    if _is_its(chosen, request) and chosen is not None and encode(chosen.value) != encode(value):
        raise Conflict(
            f"request {request.request_id} of {request.by} proposed another value when it was chosen for {state.id}; "
            "a new proposal needs a new id",
            request_id=request.request_id,
        )
    if chosen is not None:
        return Step()
    if state.lapsed_at is not None:
        raise WrongPhase(
            f"{request.by} proposes too late: agreement {state.id} has lapsed, nobody proposed by its deadline; "
            "take another key",
            status=state.status,
            closed_at=state.lapsed_at,
        )
    data = {"value": value, "request_id": request.request_id, "status": "agreed", "arrived": 1}
    others = tuple(name for name in terms.proposers if name != request.by)
    content = {"agreement_id": state.id, "value": value, "proposed_by": request.by}
    sends = (Send(others, "AGREEMENT_REACHED", content),) if others else ()
    return Step((Event("agreement.chosen", request.by, None, data),), sends)


def _is_its(chosen: Chosen | None, request: Propose) -> bool:
    return chosen is not None and (chosen.by, chosen.request_id) == (request.by, request.request_id)


# Its deadline


def _is_due(state: Agreement, now: Instant) -> bool:
    deadline_at = state.terms.deadline_at
    return state.status == "waiting" and deadline_at is not None and now >= deadline_at


def _lapse(state: Agreement) -> Step:
    data = {"status": "lapsed", "closed_at": state.terms.deadline_at}
    others = state.terms.proposers
    content = {"agreement_id": state.id, "deadline": state.terms.deadline_at}
    sends = (Send(others, "AGREEMENT_LAPSED", content),) if others else ()
    return Step((Event("agreement.lapsed", None, None, data),), sends)
