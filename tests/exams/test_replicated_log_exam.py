"""Every protocol sits the same exam, and a protocol that breaks a promise does not pass."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from concerted.consensus.keeping import REPLICATED, Replicated
from concerted.consensus.ready import Ready
from concerted.errors import Invalid
from concerted.replicas.protocols.algorithms import Kind, Making, kind_of
from concerted.testing import REPLICATED_LOG_CHECKS, check_replicated_log

RAFT = kind_of("raft")


@pytest.mark.parametrize("check", REPLICATED_LOG_CHECKS)
@pytest.mark.parametrize("algorithm", REPLICATED)
def test_every_protocol_passes(algorithm: Replicated, check: str) -> None:
    check_replicated_log(algorithm, check)


class Broken:
    """A core of Raft of which one answer is another.  change: what becomes of each Ready."""

    def __init__(self, making: Making, change: Callable[[Any, Ready], Ready]) -> None:
        self._core = RAFT.core(making)
        self._change = change

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._core, name)
        if not callable(found):
            return found
        return lambda *given: self._change(self._core, found(*given))


def broken(change: Callable[[Any, Ready], Ready]) -> Kind:
    return replace(RAFT, core=lambda making: Broken(making, change))


def applies_twice(_core: Any, ready: Ready) -> Ready:
    return msgspec.structs.replace(ready, committed=ready.committed + ready.committed)


def forgets_its_term(core: Any, ready: Ready) -> Ready:
    """Write all but the term and the vote, which are the first term's for ever."""
    if ready.write is None:
        return ready
    return msgspec.structs.replace(ready, write=msgspec.structs.replace(ready.write, term=0, vote=None))


def applies_what_is_its_own(core: Any, ready: Ready) -> Ready:
    """Put another command in the place of each that it applies, a different one at each replica."""
    changed = tuple(msgspec.structs.replace(each, term=each.term + core.id) for each in ready.committed)
    return msgspec.structs.replace(ready, committed=changed)


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        (applies_twice, "all apply the same entries in one order", "is to be applied after"),
        (applies_what_is_its_own, "all apply the same entries in one order", "at replica"),
        (forgets_its_term, "nothing is said before it is on the disk", "that was not on its disk"),
    ],
)
def test_a_core_that_breaks_a_promise_is_found(change: Any, check: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_replicated_log(broken(change), check)


class Hasty(Broken):
    """Answers each read at once, without asking whether it still leads."""

    def read(self, asked: Any, now: float) -> Ready:
        return Ready(reads=tuple(asked))


def test_a_core_that_reads_without_asking_anybody_is_found() -> None:
    hasty = replace(RAFT, core=lambda making: Hasty(making, lambda _core, ready: ready))
    with pytest.raises(AssertionError, match=r"after b'.*' was answered"):
        check_replicated_log(hasty, "a read shows all that was answered before")


def test_a_file_that_keeps_nothing_is_found() -> None:
    def without_entries(write: Any) -> bytes:
        return RAFT.storage.encode(msgspec.structs.replace(write, entries=()))

    storage = replace(RAFT.storage, encode=without_entries)
    with pytest.raises(AssertionError):
        check_replicated_log(replace(RAFT, storage=storage), "what was answered survives the death of all")


def test_a_check_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="there is no check 'speed'"):
        check_replicated_log("raft", "speed")
