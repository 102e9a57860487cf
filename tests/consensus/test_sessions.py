"""Sessions: a command that is proposed twice is carried out once (thesis 6.3)."""

import pytest

from concerted.consensus.entries import Entry
from concerted.consensus.sessions import Answer, Command, Sessions


class Counter:
    """A state machine that shows how often it was asked."""

    def __init__(self, limit: int = 10, **bounds: int) -> None:
        self.sessions = Sessions(limit, **bounds)
        self.done: list[bytes] = []
        self.index = 0

    def apply(self, command: Command) -> Answer | None:
        self.index += 1
        return self.sessions.apply(Entry(self.index, 1, command.encode()), self.carry_out)

    def carry_out(self, body: bytes) -> bytes:
        self.done.append(body)
        return b"%d" % len(self.done)


def test_a_session_is_named_by_its_place_in_the_log() -> None:
    """Thesis 6.3: the log index of the entry by which a client registers is an identifier that no other has."""
    counter = Counter()
    assert counter.apply(Command(0, 77)) == Answer("opened", 1, 77)
    assert counter.apply(Command(0, 77)) == Answer("opened", 2, 77)


def test_a_repeat_is_answered_as_the_first_time_and_not_carried_out() -> None:
    """Paper 8: "If it receives a command whose serial number has already been executed, it responds immediately without
    re-executing the request"."""
    counter = Counter()
    counter.apply(Command(0, 1))
    first = counter.apply(Command(1, 1, b"add"))
    counter.apply(Command(1, 2, b"more"))
    assert counter.apply(Command(1, 1, b"add")) == first == Answer("done", 1, 1, b"1")
    assert counter.done == [b"add", b"more"]


def test_commands_of_one_client_may_come_out_of_order() -> None:
    """Thesis 6.3: for concurrent requests of one client, the server keeps a set of responses."""
    counter = Counter()
    counter.apply(Command(0, 1))
    assert counter.apply(Command(1, 5, b"b")).status == "done"
    assert counter.apply(Command(1, 4, b"a")).status == "done"
    assert counter.done == [b"b", b"a"]


def test_results_are_kept_until_the_client_says_that_it_has_them() -> None:
    """Thesis 6.3: with each request the client says which responses it has received, and they are discarded."""
    counter = Counter()
    counter.apply(Command(0, 1))
    counter.apply(Command(1, 1, b"a"))
    counter.apply(Command(1, 2, b"b", answered=1))
    assert counter.apply(Command(1, 1, b"a")).status == "forgotten"
    assert counter.apply(Command(1, 2, b"b")).status == "done"
    assert counter.done == [b"a", b"b"]


def test_the_session_that_was_used_longest_ago_expires() -> None:
    """Thesis 6.3: all servers must agree on when a session expires; here it follows from the log alone."""
    counter = Counter(limit=2)
    counter.apply(Command(0, 1))
    counter.apply(Command(0, 2))
    counter.apply(Command(1, 1, b"a"))
    counter.apply(Command(0, 3))
    assert counter.apply(Command(2, 1, b"b")).status == "expired"
    assert counter.apply(Command(1, 1, b"a")).status == "done"


def test_an_unknown_session_is_not_begun_by_using_it() -> None:
    """Thesis 6.3: else a command could be applied twice, before and after its session expired."""
    counter = Counter()
    assert counter.apply(Command(9, 1, b"a")).status == "expired"
    assert counter.done == []


def test_entries_without_commands_concern_no_client() -> None:
    assert Sessions().apply(Entry(1, 1), lambda _: pytest.fail("nothing is to be done")) is None


def test_a_snapshot_brings_the_sessions_with_it() -> None:
    """Thesis 6.3: session state is part of the state machine, and so of snapshots (section 7)."""
    counter = Counter(limit=2)
    for number in (1, 2):
        counter.apply(Command(0, number))
    counter.apply(Command(1, 1, b"a"))
    counter.sessions = Sessions.load(counter.sessions.dump())
    assert counter.apply(Command(1, 1, b"a")) == Answer("done", 1, 1, b"1")
    counter.apply(Command(0, 3))
    assert counter.apply(Command(2, 1)).status == "expired", "the order of use comes with it, too"
    assert counter.done == [b"a"]


def test_a_session_with_too_many_results_is_not_served_until_it_says_which_have_arrived() -> None:
    """Thesis 6.3: what its client may still ask for again is not dropped; so nothing more is carried out."""
    counter = Counter(results_count=2)
    counter.apply(Command(0, 1))
    for number in (1, 2):
        counter.apply(Command(1, number))
    assert counter.apply(Command(1, 3, b"c")) == Answer("overloaded", 1, 3)
    assert counter.apply(Command(1, 2)) == Answer("done", 1, 2, b"2"), "a repeat needs no room"
    assert counter.apply(Command(1, 3, b"c", answered=1)) == Answer("done", 1, 3, b"3")
    assert counter.done == [b"", b"", b"c"]


def test_too_many_bytes_of_results_expire_the_session_that_was_used_longest_ago() -> None:
    counter = Counter(results_bytes=2)
    for number in (1, 2):
        counter.apply(Command(0, number))
    counter.apply(Command(1, 1))
    counter.apply(Command(2, 1))
    assert counter.apply(Command(2, 2)).status == "done"
    assert counter.apply(Command(1, 2)).status == "expired"


def test_what_one_session_keeps_alone_is_bounded_too() -> None:
    counter = Counter(results_bytes=2)
    counter.apply(Command(0, 1))
    for number in (1, 2):
        counter.apply(Command(1, number))
    assert counter.apply(Command(1, 3)).status == "overloaded"
    assert counter.apply(Command(1, 4, answered=1)).status == "done"


def test_a_snapshot_brings_the_bounds_of_sessions_with_it() -> None:
    counter = Counter(results_count=3, results_bytes=2)
    counter.apply(Command(0, 1))
    for number in (1, 2):
        counter.apply(Command(1, number))
    counter.sessions = Sessions.load(counter.sessions.dump())
    assert counter.apply(Command(1, 3)).status == "overloaded"
    for number in (3, 4):
        assert counter.apply(Command(1, number, answered=number - 1)).status == "done"
