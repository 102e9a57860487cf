"""Sequential models for the checker: what each object says when it is asked one thing at a time.

    model               operations: op arg -> result
    Register            read -> value; write value; cas [expected, new] -> bool
    VersionedRegister   read -> [value, version]; write value -> version; cas [version, new] -> version | None
    Counter             read -> number; add number -> the sum after it | None, not told
    Queue               put item; take -> item | None, it was empty
    Arrivals            arrive name -> how many have | None, it was over; arrived -> names; status -> text;
                        cancel -> bool
    Lease               acquire [holder, ttl_s] or [holder, ttl_s, "shared"] -> token | None, not granted;
                        renew [holder, token, ttl_s] -> bool; release [holder, token] -> bool; check token -> bool;
                        look -> [[holder, token], ...]
    Election            campaign [candidate, ttl_s] -> token | None; renew and resign as renew and release of a lease;
                        check token -> bool; observe -> [leader, token] | None;
                        proclaim [leader, token, value] -> bool; hear -> value | None

A result tells what this very call did: a release that is answered `it was released before` is recorded as False.
Anything else than these operations raises Invalid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from concerted.testing.history import Operation, Value, freeze
from concerted.testing.lease_model import Election, Grant, Lease, LeaseState, Order, as_it_is, unfit

__all__ = ["Arrivals", "Counter", "Election", "Grant", "Lease", "LeaseState", "Queue", "Register", "VersionedRegister"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, as a state; None is a value as well."""

    value: Any

    def __str__(self) -> str:
        return repr(self.value)


@dataclass(frozen=True, slots=True)
class Register:
    """A value that is read, written, and swapped for another if it is what the caller expects."""

    value: Any = None

    def start(self) -> Cell:
        """Return the state before the first operation."""
        return Cell(freeze(self.value))

    def is_read(self, _state: Cell, operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return operation.op == "read" or (operation.op == "cas" and not operation.may_return(True))

    def is_too_late(self, _state: Cell, _operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good."""
        return False

    def step(self, state: Cell, operation: Operation) -> Cell | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        match operation.op, operation.arg:
            case "read", None:
                return state if operation.may_return(state.value) else None
            case "write", value:
                return Cell(value)
            case "cas", (expected, new):
                swaps = state.value == expected
                if not operation.may_return(swaps):
                    return None
                return Cell(new) if swaps else state
        raise unfit(self, operation)


@dataclass(frozen=True, slots=True)
class Versioned:
    """A value and its version.  version: None, if nobody was told it; then it is newer than `newest`."""

    value: Any
    version: Any
    newest: Any

    def __str__(self) -> str:
        shown = f"a version after {self.newest!r} that nobody was told" if self.version is None else repr(self.version)
        return f"{self.value!r}, version {shown}"


@dataclass(frozen=True, slots=True)
class VersionedRegister:
    """A value under a version that grows with every write; it is swapped if the version is what the caller expects.

    version: that of the first value.  order: version -> what it is ordered by.
    """

    value: Any = None
    version: Any = 0
    order: Order = as_it_is

    def start(self) -> Versioned:
        """Return the state before the first operation."""
        return Versioned(freeze(self.value), self.version, self.version)

    def is_read(self, _state: Versioned, operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return operation.op == "read" or (operation.op == "cas" and operation.may_return(None))

    def is_too_late(self, state: Versioned, operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good."""
        match operation.op, operation.arg, operation.result:
            case "read", None, (_, version):
                return not self._is_newer(state, version)
            case "cas", _, None:
                return False
            case "cas", (expected, _), _ if expected != state.version and not self._is_newer(state, expected):
                return True
        return not self._is_newer(state, operation.result)

    def step(self, state: Versioned, operation: Operation) -> Versioned | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        match operation.op, operation.arg:
            case "read", None if not operation.is_known:
                return state
            case "read", None if isinstance(operation.result, tuple) and len(operation.result) == 2:
                value, version = operation.result
                return self._seen(state, version) if value == state.value else None
            case "write", value:
                return self._written(state, value, operation)
            case "cas", (version, value):
                if operation.is_known and operation.result is None:
                    return None if version == state.version else state
                seen = self._seen(state, version)
                if seen is None:
                    return None if operation.is_known else state
                return self._written(seen, value, operation)
        raise unfit(self, operation)

    def _seen(self, state: Versioned, version: Any) -> Versioned | None:
        """Return the state if this is its version, known from now on; None if it cannot be."""
        if state.version is None and self._is_newer(state, version):
            return Versioned(state.value, version, version)
        return state if version == state.version else None

    def _written(self, state: Versioned, value: Value, operation: Operation) -> Versioned | None:
        if not operation.is_known:
            return Versioned(value, None, state.newest)
        version = operation.result
        return Versioned(value, version, version) if self._is_newer(state, version) else None

    def _is_newer(self, state: Versioned, version: Any) -> bool:
        return bool(self.order(version) > self.order(state.newest))


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that is added to, as for unique numbers and tallies."""

    number: int = 0

    def start(self) -> int:
        """Return the state before the first operation."""
        return self.number

    def is_read(self, _state: int, operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return operation.op == "read"

    def is_too_late(self, _state: int, _operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good."""
        return False

    def step(self, state: int, operation: Operation) -> int | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        match operation.op, operation.arg:
            case "read", None:
                return state if operation.may_return(state) else None
            case "add", int(number):
                total = state + number
                return total if operation.result is None or operation.may_return(total) else None
        raise unfit(self, operation)


@dataclass(frozen=True, slots=True)
class Queue:
    """Items that are taken in the order in which they were put."""

    def start(self) -> tuple[Value, ...]:
        """Return the state before the first operation."""
        return ()

    def is_read(self, _state: tuple[Value, ...], operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return operation.op == "take" and operation.is_known and operation.result is None

    def is_too_late(self, _state: tuple[Value, ...], _operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good."""
        return False

    def step(self, state: tuple[Value, ...], operation: Operation) -> tuple[Value, ...] | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        match operation.op, operation.arg:
            case "put", item:
                return (*state, item)
            case "take", None:
                first, rest = (state[0], state[1:]) if state else (None, state)
                return rest if operation.may_return(first) else None
        raise unfit(self, operation)


@dataclass(frozen=True, slots=True)
class Met:
    """Who has arrived, and how the meeting stands."""

    names: frozenset[str] = frozenset()
    status: str = "waiting"

    def __str__(self) -> str:
        return f"{self.status}, {len(self.names)} arrived: {', '.join(sorted(self.names)) or 'nobody'}"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """A sync point: it completes when `needed` have arrived, and each counts once.

    waiting --needed have arrived--> completed;  waiting --cancel--> cancelled;  waiting --its deadline--> expired

    Nobody records that a deadline passes: that an arrival was too late, or the status, shows it.
    A newcomer after completion may be counted or be told that it is over.
    """

    needed: int

    def start(self) -> Met:
        """Return the state before the first operation."""
        return Met()

    def is_read(self, _state: Met, _operation: Operation) -> bool:
        """Say whether an operation that leaves this state as it is only reads."""
        return True  # names only grow, and what is over stays over

    def is_too_late(self, state: Met, operation: Operation) -> bool:
        """Say whether an operation that is impossible in this state has become so for good."""
        match operation.op, operation.result:
            case "arrive", int(count):
                return state.status in {"cancelled", "expired"} or count <= len(state.names)
            case "arrived", tuple(names):
                return not state.names.issubset(names)
        return operation.op != "status" or state.status != "waiting"

    def step(self, state: Met, operation: Operation) -> Met | None:
        """Return the state after the operation, None if it cannot have returned here what it did."""
        match operation.op, operation.arg:
            case "arrive", str(name):
                return self._arrive(state, name, operation)
            case "arrived", None:
                return state if operation.may_return(tuple(sorted(state.names))) else None
            case "status", None:
                if state.status == "waiting" and operation.is_known and operation.result == "expired":
                    return replace(state, status="expired")
                return state if operation.may_return(state.status) else None
            case "cancel", None:
                cancels = state.status == "waiting"
                if operation.may_return(cancels):
                    return replace(state, status="cancelled") if cancels else state
                return replace(state, status="expired") if cancels else None
        raise unfit(self, operation)

    def _arrive(self, state: Met, name: str, operation: Operation) -> Met | None:
        if operation.is_known and operation.result is None:
            if name in state.names:
                return None
            return replace(state, status="expired") if state.status == "waiting" else state
        names = state.names | {name}
        if not operation.may_return(len(names)):
            return None
        if name in state.names:
            return state
        if state.status in {"cancelled", "expired"}:
            return None if operation.is_known else state
        return Met(names, "completed" if len(names) >= self.needed else state.status)
