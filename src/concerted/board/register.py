"""A named value with a version: put, compare-and-swap, count, delete, and wait until it changes.

    set | empty --Put | CompareAndSwap | Increment--> set --Delete--> empty

Every change raises the version by one, a deletion too, and no version comes twice; so a swap that names a
version cannot mistake one value for another that looks the same.  A comparison that fails is an answer
(`swapped` is false) and no error, and nothing is written.

A request id makes a change count once: the same id from the same agent is answered as it was the first
time.  Remembered are at least the newest REQUESTS_KEPT changes, and the newest change of each of the last
REQUESTERS_KEPT agents that made one: whoever repeats an unanswered request before sending the next is safe.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from msgspec import UNSET

from concerted.errors import Conflict, Invalid, NotAllowed, NotFound
from concerted.machine import Event, Found, Look, Lost, Result, Step, Wait, Wake
from concerted.persistent import Map
from concerted.values import AgentId, Instant, as_kept, digest, encode, is_name

__all__ = [
    "COUNTER_MAX", "KINDS", "REQUESTERS_KEPT", "REQUESTS_KEPT", "VALUE_BYTES", "WRITERS_MAX", "Answered", "Answers",
    "Await", "CompareAndSwap", "Create", "Delete", "Increment", "Put", "Register", "RegisterResult", "Request",
    "Restrict", "State", "answer", "decide", "evolve", "topic", "waits", "wakes",
]  # fmt: skip

VALUE_BYTES = 64 << 10  # the longest value, as JSON
COUNTER_MAX = 2**53  # the greatest count in either direction: beyond it not every reader of JSON is exact
WRITERS_MAX = 1_000  # agents to whom writing may be restricted
REQUESTS_KEPT = 256  # changes whose request ids are remembered, at least
REQUESTERS_KEPT = 1_000  # agents whose newest change is remembered, at least

NOTHING = "there is no such value; create it, or put it together with its name"

KINDS: Mapping[str, str] = {
    "register.created": "There is a named value: name, status, value, version, writers, request_id, digest, amount.",
    "register.changed": "It has another value: value, version, status, request_id, digest (of what was asked), amount.",
    "register.deleted": "It has no value any more: version, status, request_id, digest.",
    "register.restricted": "Only these and its creator may change it; none named: everybody may: writers.",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A change that was made.  digest: of what was asked.  value: what an increment came to."""

    request_id: str
    digest: str
    version: int
    at: Instant
    value: Any = None


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, by key: the newest `limit` at least, twice as many at most."""

    newer: Map[str, Answered] = field(default_factory=Map)
    older: Map[str, Answered] = field(default_factory=Map)

    def find(self, key: str) -> Answered | None:
        """Return what was answered under this key, if it is still known."""
        found = self.newer.get(key)
        return self.older.get(key) if found is None else found

    def keep(self, key: str, answered: Answered, limit: int) -> Answers:
        """Return these answers and one more."""
        if len(self.newer) >= limit and key not in self.newer:
            return Answers(Map({key: answered}), self.newer)
        return Answers(self.newer.set(key, answered), self.older)


@dataclass(frozen=True, slots=True)
class Register:
    """Where a named value stands.

    created_as: digest of what its creation asked for.  writers: who may change it beside its creator; none:
    everybody.  by_id: agent and request id -> what was answered.  by_agent: agent -> its newest change.
    """

    name: str
    creator: AgentId
    created_at: Instant
    created_as: str
    status: Literal["set", "empty"] = "empty"
    value: Any = None
    version: int = 0
    changed_by: AgentId | None = None
    changed_at: Instant | None = None
    writers: Map[str, bool] = field(default_factory=Map)
    by_id: Answers = field(default_factory=Answers)
    by_agent: Answers = field(default_factory=Answers)


State = Register


@dataclass(frozen=True, slots=True)
class Create:
    """Make a named value; without `value` it is empty, at version 0.  writers: who beside `by` may change it."""

    name: str
    by: AgentId
    value: Any = UNSET
    writers: tuple[AgentId, ...] = ()


@dataclass(frozen=True, slots=True)
class Put:
    """Set the value, whatever it was.  name: if there is no such value, make it under this name."""

    by: AgentId
    value: Any
    request_id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class CompareAndSwap:
    """Set the value if it is still as expected.

    expected_version: 0 means that there is no value now.  expected_value: equal as JSON; if both are given,
    both must hold.  name: with expected_version 0, make what does not exist under this name.
    """

    by: AgentId
    value: Any
    request_id: str
    expected_version: int | None = None
    expected_value: Any = UNSET
    name: str = ""


@dataclass(frozen=True, slots=True)
class Increment:
    """Add to a number; no value counts as 0.  What would go below `minimum` or above `maximum` is not done."""

    by: AgentId
    request_id: str
    amount: float = 1
    minimum: float | None = None
    maximum: float | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Take the value away; its versions go on.  expected_version: only if it is still at this one."""

    by: AgentId
    request_id: str
    expected_version: int | None = None
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Restrict:
    """Say who may change the value beside its creator; none named: everybody."""

    by: AgentId
    writers: tuple[AgentId, ...]
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Await:
    """Wait until the version is higher than this."""

    version: int


Change: TypeAlias = Put | CompareAndSwap | Increment | Delete
Request: TypeAlias = Create | Change | Restrict | Await | Look | Wake | Lost | Found


class RegisterResult(Result, frozen=True, kw_only=True):
    """What a caller is told.

    swapped: whether this request has changed the value.  value, version, changed_by, changed_at: as this
    request left them; of a request that changed nothing, as they are.  exists: whether there is a value.
    """

    name: str
    status: Literal["set", "empty"]
    success: bool = True
    swapped: bool = False
    exists: bool
    value: Any = None
    version: int
    reason: str = ""
    changed_by: AgentId | None = None
    changed_at: Instant | None = None
    creator: AgentId
    writers: tuple[AgentId, ...] = ()


def decide(state: Register | None, request: Request, now: Instant) -> Step:  # noqa: ARG001  (nothing here is due at a time)
    """Return what the request comes to; a comparison that fails and a repeated request come to nothing.

    Raises:
        NotFound: there is no such value, and the request does not say under which name to make it.
        NotAllowed: writing is restricted to others.
        Conflict: it was created otherwise, or the request id stands for another change.
        Invalid: no JSON, too long, no number, no name, no request id, nothing to compare with.
    """
    match request:
        case Wake() | Lost() | Found():
            return Step()
        case Create():
            return _create(state, request)
        case Put() | CompareAndSwap() | Increment() | Delete():
            return _change(state, request)
        case Restrict():
            return _restrict(_existing(state), request)
        case _:
            _existing(state)
            return Step()


def evolve(state: Register | None, event: Event, at: Instant) -> Register:
    """Return the state after an event of this value, which happened at `at`."""
    data, agent = event.data, event.agent or AgentId("")
    if event.kind == "register.created":
        created_as = _creation(data["value"], data["status"] == "set", data["writers"])
        state = Register(data["name"], agent, at, created_as, writers=Map(dict.fromkeys(data["writers"], True)))
        return _changed(state, event, at) if data["status"] == "set" else state
    assert state is not None, f"{event.kind} of a value that was never created"
    match event.kind:
        case "register.changed" | "register.deleted":
            return _changed(state, event, at)
        case "register.restricted":
            return replace(state, writers=Map(dict.fromkeys(data["writers"], True)))
        case _:
            return state


def answer(state: Register, request: Request, now: Instant) -> RegisterResult:  # noqa: ARG001
    """Return what the caller is told; an `Await` is pending until the version is higher than it knows."""
    match request:
        case Put() | CompareAndSwap() | Increment() | Delete():
            done = _recall(state, request)
            if done is None:
                reason = _refusal(state, request) or "it was not as expected when this was decided"
                return _shown(state, success=False, reason=reason)
            return _as_done(state, request, done)
        case Await(version):
            return _shown(state, pending=state.version <= version)
        case _:
            return _shown(state, writers=tuple(AgentId(writer) for writer in state.writers))


def topic(request: Request) -> str:  # noqa: ARG001
    """Return the one name under which everybody waits here."""
    return ""


def wakes(event: Event) -> Iterable[str]:
    """Return who must look again: after a change, all who wait for one."""
    return () if event.kind == "register.restricted" else ("",)


def waits(state: Register, request: Request, now: Instant) -> Wait | None:  # noqa: ARG001
    """Return for what an `Await` waits.  It is nobody's turn: who may write may also watch beside its work."""
    if not isinstance(request, Await) or state.version > request.version:
        return None
    since = state.created_at if state.changed_at is None else state.changed_at
    return Wait(f"{state.name} to change; it is at version {state.version}", since)


# creating


def _create(state: Register | None, request: Create) -> Step:
    if not is_name(request.name):
        raise Invalid(f"{request.name!r} cannot name a value: 1..200 printable bytes, no outer spaces")
    has_value = request.value is not UNSET
    value = _plain(request.value, request.name) if has_value else None
    writers = _checked_writers(request.writers, request.name)
    if state is None:
        return Step((_created(request.by, request.name, value, has_value, writers),))
    if state.created_as != _creation(value, has_value, writers):
        what = f"{state.name} was created by {state.creator} with another value or other writers"
        raise Conflict(f"{what}; look at it, and put what it should be", name=state.name)
    return Step()


def _created(by: AgentId, name: str, value: Any, has_value: bool, writers: list[AgentId]) -> Event:
    data = {"name": name, "status": "set" if has_value else "empty", "value": value, "version": int(has_value)}
    return Event("register.created", by, None, {**data, "writers": writers, "request_id": None})


def _creation(value: Any, has_value: bool, writers: Iterable[str]) -> str:
    return digest(encode([value, has_value, sorted(writers)]))


# changing


def _change(state: Register | None, request: Change) -> Step:
    if not is_name(request.request_id):
        raise Invalid("a change needs a request id, 1..200 printable bytes, so that a repeat of it counts once")
    asked = _digest(request)
    if state is None:
        return _make(request, asked)
    done = _recall(state, request)
    if done is not None:
        if done.digest != asked:
            what = f"request {done.request_id} of {request.by} asked for something else when it changed {state.name}"
            raise Conflict(f"{what} to version {done.version}; a new change needs a new id", request_id=done.request_id)
        return Step()
    _require_writer(state, request)
    if _refusal(state, request):
        return Step()
    data = {"version": state.version + 1, **_identity(request, asked)}
    if isinstance(request, Delete):
        return Step((Event("register.deleted", request.by, None, {**data, "status": "empty"}),))
    data |= {"value": _next_value(state, request), "status": "set"}
    return Step((Event("register.changed", request.by, None, data),))


def _make(request: Change, asked: str) -> Step:
    """Make what does not exist, if the request says under which name."""
    if isinstance(request, Delete) or not is_name(request.name):
        raise NotFound(NOTHING)
    nothing = Register(request.name, request.by, 0.0, "")
    if _refusal(nothing, request):
        raise NotFound(f"there is no value {request.name} to compare with; swap with expected_version 0 to make it")
    event = _created(request.by, request.name, _next_value(nothing, request), True, [])
    event.data.update(_identity(request, asked))
    return Step((event,))


def _identity(request: Change, asked: str) -> dict[str, Any]:
    amount = {"amount": request.amount} if isinstance(request, Increment) else {}
    return {"request_id": request.request_id, "digest": asked, **amount}


def _changed(state: Register, event: Event, at: Instant) -> Register:
    data, agent = event.data, event.agent or AgentId("")
    state = replace(state, status=data["status"], value=data.get("value"), version=data["version"])
    state = replace(state, changed_by=agent, changed_at=at)
    id = data["request_id"]
    if id is None:
        return state
    done = Answered(id, data["digest"], state.version, at, state.value if "amount" in data else None)
    return replace(
        state,
        by_id=state.by_id.keep(_key(agent, id), done, REQUESTS_KEPT),
        by_agent=state.by_agent.keep(agent, done, REQUESTERS_KEPT),
    )


def _refusal(state: Register, request: Change) -> str:
    """Say why the request changes nothing; "" if it does."""
    if isinstance(request, CompareAndSwap | Delete) and (other := _other_version(state, request.expected_version)):
        return other
    match request:
        case CompareAndSwap(expected_value=value) if value is not UNSET:
            if state.status == "empty" or encode(state.value) != encode(value):
                return f"{state.name} has another value than expected, at version {state.version}"
        case Delete() if state.status == "empty":
            return f"{state.name} has no value"
        case Increment(minimum=minimum, maximum=maximum):
            if state.status == "set" and not _can_count(state.value):
                return f"{state.name} is no number to count with; put one there first"
            count = _next_value(state, request)
            if minimum is not None and count < minimum:
                return f"{state.name} would be {count}, below the minimum of {minimum}"
            if maximum is not None and count > maximum:
                return f"{state.name} would be {count}, above the maximum of {maximum}"
            if not _can_count(count):
                return f"{state.name} would be {count}; a count stays within 2**53 of 0"
    return ""


def _next_value(state: Register, request: Put | CompareAndSwap | Increment) -> Any:
    if not isinstance(request, Increment):
        return _plain(request.value, state.name)
    return request.amount + (state.value if state.status == "set" else 0)


def _digest(request: Change) -> str:
    """Name what a change asks for, so that a request id is known to stand for the same."""
    match request:
        case Put(value=value):
            asked: tuple[Any, ...] = ("put", value)
        case CompareAndSwap(expected_version=version, expected_value=expected):
            if version is None and expected is UNSET:
                raise Invalid("compare with what? give expected_version or expected_value, or put the value")
            compared = () if expected is UNSET else (expected,)
            asked = ("swap", request.value, version, compared)
        case Increment(amount=amount, minimum=minimum, maximum=maximum):
            for number in (amount, minimum, maximum):
                if not (number is None or _can_count(number)):
                    raise Invalid(f"{number!r} is no number to count with; it must be within 2**53 of 0")
            asked = ("increment", amount, minimum, maximum)
        case Delete(expected_version=version):
            asked = ("delete", version)
    return digest(_encoded(asked))


def _recall(state: Register, request: Change) -> Answered | None:
    done = state.by_id.find(_key(request.by, request.request_id))
    if done is None:
        done = state.by_agent.find(request.by)
    return done if done is not None and done.request_id == request.request_id else None


def _key(agent: AgentId, request_id: str) -> str:
    return f"{agent}\n{request_id}"  # a request id is printable: no two pairs share a key


# writers


def _restrict(state: Register, request: Restrict) -> Step:
    if request.by != state.creator and not request.is_admin:
        raise NotAllowed(f"{request.by} may not say who writes {state.name}; its creator {state.creator} can")
    writers = _checked_writers(request.writers, state.name)
    same = list(state.writers) == writers
    return Step() if same else Step((Event("register.restricted", request.by, None, {"writers": writers}),))


def _require_writer(state: Register, request: Change) -> None:
    is_admin = isinstance(request, Delete) and request.is_admin
    if len(state.writers) and not (is_admin or request.by == state.creator or request.by in state.writers):
        raise NotAllowed(f"{request.by} may not change {state.name}; its creator {state.creator} can let it")


def _checked_writers(writers: Iterable[AgentId], name: str) -> list[AgentId]:
    checked = sorted(set(writers))
    if len(checked) > WRITERS_MAX:
        raise Invalid(f"{name} has {len(checked)} writers, at most {WRITERS_MAX}; name none to let everybody write")
    return checked


# what is shown


def _as_done(state: Register, request: Change, done: Answered) -> RegisterResult:
    is_there = not isinstance(request, Delete)
    return _shown(
        replace(state, status="set" if is_there else "empty", version=done.version, changed_at=done.at),
        swapped=True,
        changed_by=request.by,
        value=done.value if isinstance(request, Increment) else getattr(request, "value", None),
    )


def _shown(state: Register, **more: Any) -> RegisterResult:
    fields: dict[str, Any] = {"name": state.name, "status": state.status, "exists": state.status == "set"}
    fields |= {"value": state.value, "version": state.version, "creator": state.creator}
    fields |= {"changed_by": state.changed_by, "changed_at": state.changed_at}
    return RegisterResult(**(fields | more))


def _other_version(state: Register, expected: int | None) -> str:
    if expected is None or expected in ((0, state.version) if state.status == "empty" else (state.version,)):
        return ""
    whose = "" if state.changed_by is None else f"; {state.changed_by} changed it last"
    if expected == 0:
        return f"{state.name} has a value already, at version {state.version}{whose}"
    return f"{state.name} is at version {state.version}, not {expected}{whose}"


def _existing(state: Register | None) -> Register:
    if state is None:
        raise NotFound(NOTHING)
    return state


def _can_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -COUNTER_MAX <= value <= COUNTER_MAX


def _plain(value: Any, name: str) -> Any:
    return as_kept(value, f"the value of {name}", VALUE_BYTES)


def _encoded(value: Any) -> bytes:
    try:
        return encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the value has no JSON form: {error}") from error
