"""The sequential models of leases and of elections by lease: grants that end by themselves, and growing tokens.

    Lease       acquire [holder, ttl_s] or [holder, ttl_s, "shared"] -> token | None, not granted;
                renew [holder, token, ttl_s] -> bool; release [holder, token] -> bool; check token -> bool;
                look -> [[holder, token], ...]
    Election    campaign [candidate, ttl_s] -> token | None; renew and resign as renew and release of a lease;
                check token -> bool; observe -> [leader, token] | None;
                proclaim [leader, token, value] -> bool; hear -> value | None

That a grant ends by itself is no operation: nobody calls it, and nobody sees it before something else
shows it.  So it is part of the step that shows it (a grant to another, `no longer valid`), and that step must
not happen before the grant may end.  What each step knows of time is its earliest instant: not before its
own call, not before the step ahead of it, not before an end that it shows.  A grant may end its time to live
after that.  The real instant is never earlier, so no true history is refused; and a grant that was waited
for does not count from its call but from when it became possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from concerted.errors import Invalid
from concerted.testing.history import Operation, Value

__all__ = ["Election", "Grant", "Lease", "LeaseState", "Order", "as_it_is", "unfit"]

Order = Callable[[Any], Any]


def as_it_is(mark: Any) -> Any:
    """Order versions or tokens by themselves: numbers as numbers, texts as texts."""
    return mark


@dataclass(frozen=True, slots=True)
class Grant:
    """One holder's hold.  token: None, if nobody was told it; then it is higher than `above`.

    until: it may not end by itself before.  value: what its holder has proclaimed.
    """

    holder: str
    token: Any
    above: Any
    until: float
    shared: bool = False
    value: Any = None


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Who holds it.  newest: the highest token that anybody was told.  clock: the earliest it can be by now."""

    grants: tuple[Grant, ...] = ()
    newest: Any = None
    clock: float = -math.inf

    def __str__(self) -> str:
        return "; ".join(self._told(grant) for grant in self.grants) or f"free, the newest token is {self.newest!r}"

    def _told(self, grant: Grant) -> str:
        token = "a token that nobody was told" if grant.token is None else f"token {grant.token!r}"
        left_s = grant.until - self.clock
        rest = f"granted for {left_s:.3f} s more at least" if left_s > 0 else "which may have ended"
        said = "" if grant.value is None else f", proclaiming {grant.value!r}"
        return f"{'shared' if grant.shared else 'held'} by {grant.holder} with {token}, {rest}{said}"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lock that ends by itself, with fencing tokens that only grow.

    A grant may end by itself, or be gone for an operation that shows it, no earlier than its time to live
    after the earliest instant at which it (or its last renewal) can have happened; it may last longer.  A holder
    holds it once: to acquire again while it does may only give the same token.  order: token -> what it is ordered by.
    slack_s: how much earlier a grant may end, for servers whose timers differ from the recorders' clock.
    """

    order: Order = as_it_is
    slack_s: float = 0.0

    def start(self) -> LeaseState:
        """Return the state before the first operation."""
        return LeaseState()

    def clock(self, state: LeaseState) -> float:
        """Return the earliest instant at which this state can have been reached."""
        return state.clock

    def is_read(self, _state: LeaseState, _operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return True  # what it shows, or a renewal that renews nothing now, rules out more later and lets nobody in

    def is_too_late(self, state: LeaseState, operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good: by an old token."""
        match operation.op, operation.arg:
            case "acquire", _:
                return True
            case (("renew" | "release"), (_, token, *_)):
                return not self.is_newer(state, token)
            case "check", token:
                return not self.is_newer(state, token)
        return any(
            not self.is_newer(state, token) and not self._find(state, token, holder)
            for holder, token in operation.result
        )

    def step(self, state: LeaseState, operation: Operation) -> LeaseState | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        state = _at(state, operation.called_at)
        match operation.op, operation.arg:
            case "acquire", (str(holder), ttl_s):
                return self.acquire(state, operation, holder, ttl_s)
            case "acquire", (str(holder), ttl_s, "shared"):
                return self.acquire(state, operation, holder, ttl_s, shared=True)
            case "renew", (str(holder), token, ttl_s):
                until = self._until(state, ttl_s)
                return self.use(state, operation, holder, token, lambda grant: replace(grant, until=until))
            case "release", (str(holder), token):
                return self.use(state, operation, holder, token, lambda _: None)
            case "check", token:
                return self.check(state, operation, token)
            case "look", None:
                return self.look(state, operation, operation.result) if operation.is_known else state
        raise unfit(self, operation)

    def acquire(
        self, state: LeaseState, operation: Operation, holder: str, ttl_s: float | None, *, shared: bool = False
    ) -> LeaseState | None:
        """Grant the lease to a holder, once those in its way may have ended; or show it its grant again."""
        token = operation.result
        if operation.is_known:
            if token is None:
                return state
            held = self._find(state, token, holder)
            if held is not None and held.shared == shared:
                return self._learn(state, held, token)
            if not self.is_newer(state, token):
                return None
        for grant in state.grants:
            if grant.holder == holder or not (grant.shared and shared):
                state = _ended(state, grant)
        new = Grant(holder, token, state.newest, self._until(state, ttl_s), shared)
        return LeaseState((*state.grants, new), state.newest if token is None else token, state.clock)

    def use(
        self,
        state: LeaseState,
        operation: Operation,
        holder: str,
        token: Value,
        change: Callable[[Grant], Grant | None],
    ) -> LeaseState | None:
        """Let a holder change its grant by its token; or show it that it has none."""
        if operation.is_known and not isinstance(operation.result, bool):
            raise unfit(self, operation)
        held = self._find(state, token, holder)
        if held is None:
            return state if operation.may_return(False) else None
        if operation.may_return(True):
            return _changed(self._learn(state, held, token), held, change)
        return state if held.token is None else _ended(state, held)

    def check(self, state: LeaseState, operation: Operation, token: Value) -> LeaseState | None:
        """Say whether a token is that of a grant."""
        if not operation.is_known:
            return state
        if not isinstance(operation.result, bool):
            raise unfit(self, operation)
        told = [grant for grant in state.grants if grant.token == token]
        untold = [grant for grant in state.grants if grant.token is None and self._may_be(grant, token)]
        if not operation.result:
            return _ended(state, told[0]) if told else state
        if told or len(untold) > 1:
            return state
        return self._learn(state, untold[0], token) if untold else None

    def look(self, state: LeaseState, operation: Operation, listed: Any) -> LeaseState | None:
        """List who holds it; those that are not listed have ended."""
        if not isinstance(listed, tuple) or not all(isinstance(each, tuple) and len(each) == 2 for each in listed):
            raise unfit(self, operation)
        for holder, token in listed:
            held = self._find(state, token, holder)
            if held is None:
                return None
            state = self._learn(state, held, token)
        for grant in state.grants:
            if (grant.holder, grant.token) not in listed:
                state = _ended(state, grant)
        return state

    def is_newer(self, state: LeaseState, token: Value) -> bool:
        """Say whether a token is higher than all that anybody was told."""
        return state.newest is None or bool(self.order(token) > self.order(state.newest))

    def _until(self, state: LeaseState, ttl_s: float | None) -> float:
        return math.inf if ttl_s is None else state.clock + max(0.0, ttl_s - self.slack_s)

    def _find(self, state: LeaseState, token: Value, holder: str) -> Grant | None:
        """Return the grant of a holder if this is its token, or may be."""
        held = (grant for grant in state.grants if grant.holder == holder and self._may_be(grant, token))
        return next(held, None)

    def _may_be(self, grant: Grant, token: Value) -> bool:
        if grant.token is not None:
            return bool(grant.token == token)
        return grant.above is None or bool(self.order(token) > self.order(grant.above))

    def _learn(self, state: LeaseState, grant: Grant, token: Value) -> LeaseState:
        """Return the state in which this is known to be the grant's token."""
        if grant.token is not None:
            return state
        learned = _changed(state, grant, lambda each: replace(each, token=token))
        return replace(learned, newest=token) if self.is_newer(state, token) else learned


@dataclass(frozen=True, slots=True)
class Election:
    """A leader by name: a lease whose holder leads, and may proclaim something for as long as it does.

    rules: those of the lease.
    """

    rules: Lease = Lease()

    def start(self) -> LeaseState:
        """Return the state before the first operation."""
        return LeaseState()

    def clock(self, state: LeaseState) -> float:
        """Return the earliest instant at which this state can have been reached."""
        return state.clock

    def is_read(self, _state: LeaseState, operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return operation.op != "proclaim" or not operation.may_return(True)

    def is_too_late(self, state: LeaseState, operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good: by an old token."""
        match operation.op, operation.arg:
            case "campaign", _:
                return True
            case (("resign" | "proclaim" | "renew"), (_, token, *_)):
                return not self.rules.is_newer(state, token)
            case "check", token:
                return not self.rules.is_newer(state, token)
            case "observe", None if operation.result is not None:
                return not self.rules.is_newer(state, operation.result[1])
        return False

    def step(self, state: LeaseState, operation: Operation) -> LeaseState | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        state = _at(state, operation.called_at)
        match operation.op, operation.arg:
            case "campaign", (str(candidate), ttl_s):
                return self.rules.acquire(state, operation, candidate, ttl_s)
            case "resign", (str(leader), token):
                return self.rules.use(state, operation, leader, token, lambda _: None)
            case "proclaim", (str(leader), token, value):
                return self.rules.use(state, operation, leader, token, lambda grant: replace(grant, value=value))
            case (("observe" | "hear"), None) if not operation.is_known:
                return state
            case "observe", None:
                return self.rules.look(state, operation, () if operation.result is None else (operation.result,))
            case "hear", None:
                heard = state.grants[0].value if state.grants else None
                if operation.may_return(heard):
                    return state
                return _ended(state, state.grants[0]) if state.grants and operation.may_return(None) else None
            case (("renew" | "check"), _):
                return self.rules.step(state, operation)
        raise unfit(self, operation)


def _at(state: LeaseState, instant: float) -> LeaseState:
    return state if instant <= state.clock else LeaseState(state.grants, state.newest, instant)


def _ended(state: LeaseState, grant: Grant) -> LeaseState:
    """Return the state in which a grant has ended by itself."""
    return _changed(_at(state, grant.until), grant, lambda _: None)


def _changed(state: LeaseState, grant: Grant, change: Callable[[Grant], Grant | None]) -> LeaseState:
    changed = (change(each) if each.holder == grant.holder else each for each in state.grants)
    return LeaseState(tuple(each for each in changed if each is not None), state.newest, state.clock)


def unfit(model: object, operation: Operation) -> Invalid:
    """Return the error for an operation that a model does not have, or that is not of its form."""
    name = type(model).__name__
    return Invalid(f"a {name} cannot explain {operation}: the docstring of concerted.testing.models lists what it can")
