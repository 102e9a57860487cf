"""A recorded history: what processes asked of shared objects, when, and what they were told.

    recorder = Recorder("worker-3", "histories/worker-3.jsonl")
    with recorder.operation("lock", "acquire", ["ann", 5.0]) as call:
        call.returned(await client.acquire(...))

    history = History.load(Path("histories").glob("*.jsonl"))

Each process writes a file of its own: a line before every call and a line after it, in one system call
each and without a buffer, so a process killed at any instant leaves at most a torn last line.  A call
without a second line is pending: it may have had its effect at any time since, or never.  The instants
are those of the monotonic clock, which all processes of one machine share.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from concerted.errors import Conflict, Invalid, NotFound

__all__ = ["History", "OpenCall", "Operation", "Outcome", "Recorder", "Value", "freeze"]

Outcome = Literal["ok", "fail", "info"]
Value: TypeAlias = "bool | int | float | str | tuple[Value, ...] | None"

NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on one object, and what became of it.

    outcome: `ok`, it happened and said `result`; `fail`, it certainly did not happen; `info`, nobody knows:
    it may have happened at any time after its call, or never.  A refusal that says something about the object
    (`the lock is held`) is `ok` with that result.  arg, result: JSON values; lists are kept as tuples,
    objects as sorted pairs.  Whatever the effect depends on stands in `arg`; `process` and `note` are for people.
    """

    object: str
    op: str
    arg: Any = None
    result: Any = None
    called_at: float = 0.0
    returned_at: float = NEVER
    outcome: Outcome = "ok"
    process: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "arg", freeze(self.arg))
        object.__setattr__(self, "result", freeze(self.result))
        if not self.called_at <= self.returned_at:
            raise Invalid(f"{self} on {self.object} returns before it is called; was it recorded by two clocks?")
        if self.outcome == "ok" and self.returned_at == NEVER:
            raise Invalid(f"{self} on {self.object} never returned; its outcome is info")

    @property
    def is_known(self) -> bool:
        """Whether its result is known."""
        return self.outcome == "ok"

    def may_return(self, result: Value) -> bool:
        """Say whether it is possible, by what is known, that it returned this."""
        return self.outcome != "ok" or self.result == result

    def __str__(self) -> str:
        shown = {"ok": repr(self.result), "fail": "failed", "info": "?"}[self.outcome]
        given = self.arg if isinstance(self.arg, tuple) else () if self.arg is None else (self.arg,)
        return f"{self.op}({', '.join(map(repr, given))}) -> {shown}"


@dataclass(frozen=True, slots=True)
class History:
    """Operations, in the order of their calls."""

    operations: tuple[Operation, ...]

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> History:
        """Make a history of operations in any order."""
        return cls(tuple(sorted(operations, key=lambda each: (each.called_at, each.returned_at))))

    @classmethod
    def load(cls, paths: Iterable[str | os.PathLike[str]]) -> History:
        """Merge the files of recorders.

        Raises:
            NotFound: one does not exist, or none is named.
            Invalid: a line that is not the last of its file is not one of a recorder.
        """
        files = sorted(Path(path) for path in paths)
        if not files:
            raise NotFound("no history is named: an empty one would prove nothing; do the processes record?")
        missing = [str(path) for path in files if not path.is_file()]
        if missing:
            raise NotFound(f"there is no history {', '.join(missing)}; has that process recorded anything?")
        return cls.of(operation for path in files for operation in parse(path.read_bytes(), str(path)))

    @property
    def objects(self) -> dict[str, tuple[Operation, ...]]:
        """The operations on each object, by its name."""
        found: dict[str, list[Operation]] = {}
        for operation in self.operations:
            found.setdefault(operation.object, []).append(operation)
        return {name: tuple(found[name]) for name in sorted(found)}

    def about(self, prefix: str) -> History:
        """Return the part about objects whose names begin so; it may be empty."""
        return History(tuple(each for each in self.operations if each.object.startswith(prefix)))

    def __len__(self) -> int:
        return len(self.operations)


class Recorder:
    """Writes down what one process does, into a file of its own or, without a path, into memory.

    A restarted process is another process: it takes another file.  Threads and tasks may share a recorder.
    clock: an instant on a clock that all recorders of the history share.
    """

    def __init__(
        self,
        process: str,
        path: str | os.PathLike[str] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.process = process
        self._clock = clock
        self._numbers = itertools.count(1)
        self._pid = os.getpid()
        self._lines: list[bytes] = []
        self._path = path
        try:
            self._file = (
                None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            )
        except FileExistsError:
            text = f"the history {path} exists; each process, a restarted one too, takes a file of its own"
            raise Conflict(text) from None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what has not returned stays pending.  Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def call(self, object: str, op: str, arg: Any = None) -> OpenCall:
        """Write down that an operation begins; only then may it be asked for."""
        number = next(self._numbers)
        self._write(_Called(number, self.process, object, op, self._clock(), arg))
        return OpenCall(self, number)

    @contextmanager
    def operation(self, object: str, op: str, arg: Any = None) -> Iterator[OpenCall]:
        """Record an operation around the block, which says how it ended.

        A block that raises without having said so leaves the outcome unknown.

        Raises:
            Invalid: the block ended and did not say how.
        """
        call = self.call(object, op, arg)
        try:
            yield call
        except BaseException as error:
            if call.is_open:
                call.unknown(type(error).__name__)
            raise
        if call.is_open:
            raise Invalid(f"the end of {op} on {object} was not recorded; say returned(), failed() or unknown()")

    def history(self) -> History:
        """Return what has been recorded until now."""
        data = b"".join(self._lines) if self._path is None else Path(self._path).read_bytes()
        return History.of(parse(data, self.process))

    def ended(self, number: int, outcome: Outcome, result: Any, note: str) -> None:
        """Write down how a call ended; its OpenCall does this."""
        self._write(_Returned(number, self._clock(), outcome, result, note))

    def _write(self, line: _Called | _Returned) -> None:
        if os.getpid() != self._pid:
            raise Invalid(f"the recorder of {self.process} was opened before a fork; open one in each process")
        data = _encoder.encode(line) + b"\n"
        if self._path is None:
            self._lines.append(data)
        elif self._file is None:
            raise Invalid(f"the recorder of {self.process} is closed; it records no more")
        elif os.write(self._file, data) != len(data):
            raise OSError(errno.ENOSPC, "the disk is full: the history is torn", str(self._path))


@dataclass(slots=True)
class OpenCall:
    """A call that has begun; one of its verbs is to be called, once, when its end is known."""

    recorder: Recorder
    number: int
    is_open: bool = True

    def returned(self, result: Any = None) -> None:
        """It happened, and said this."""
        self._end("ok", result, "")

    def failed(self, note: str = "") -> None:
        """It certainly did not happen, and never will."""
        self._end("fail", None, note)

    def unknown(self, note: str = "") -> None:
        """It may have happened, or may happen yet: a timeout, a broken connection."""
        self._end("info", None, note)

    def _end(self, outcome: Outcome, result: Any, note: str) -> None:
        if not self.is_open:
            raise Invalid(f"call {self.number} of {self.recorder.process} has ended already")
        self.is_open = False
        self.recorder.ended(self.number, outcome, result, note)


def parse(data: bytes, name: str) -> list[Operation]:
    """Read the lines of one recorder; a torn last one counts as not written.  name: for the text of an error.

    Raises:
        Invalid: a line before the last is none of a recorder, or does not fit those before it.
    """
    called: dict[int, _Called] = {}
    ended: dict[int, _Returned] = {}
    lines = data.split(b"\n")
    for count, text in enumerate(lines, 1):
        try:
            line = _decoder.decode(text)
        except msgspec.DecodeError as error:
            if count == len(lines):  # what follows the last line break: nothing, or a torn line
                continue
            raise Invalid(f"{name}:{count}: {error}") from None
        known = called if isinstance(line, _Called) else ended
        if line.number in known or (known is ended and line.number not in called):
            raise Invalid(f"{name}:{count}: call {line.number} began or ended twice, or never began")
        if isinstance(line, _Called):
            called[line.number] = line
        else:
            ended[line.number] = line
    return [_operation(call, ended.get(number)) for number, call in called.items()]


def freeze(value: Any) -> Value:
    """Return a JSON value as one that can be compared and hashed: lists as tuples, objects as sorted pairs.

    Raises:
        Invalid: it has no JSON form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple([freeze(each) for each in value])
    if isinstance(value, dict):
        return tuple((str(key), freeze(value[key])) for key in sorted(value))
    raise Invalid(f"{value!r} has no JSON form; record a number, a text or a list of them")


# The lines


class _Called(msgspec.Struct, frozen=True, tag_field="type", tag="called"):
    number: int
    process: str
    object: str
    op: str
    at: float
    arg: Any = None


class _Returned(msgspec.Struct, frozen=True, tag_field="type", tag="returned", omit_defaults=True):
    number: int
    at: float
    outcome: Outcome
    result: Any = None
    note: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Called | _Returned)


def _operation(call: _Called, end: _Returned | None) -> Operation:
    if end is None:
        return Operation(
            call.object, call.op, call.arg, called_at=call.at, outcome="info", process=call.process, note="no answer"
        )
    return Operation(
        call.object, call.op, call.arg, end.result, call.at, end.at, end.outcome, call.process, end.note
    )  # fmt: skip
