"""The space of leases as a state: its events alone make it, it survives being written down, and it stays bounded."""

from typing import Any, get_args, get_origin

import msgspec

from concerted.board.holding import ENDED_KEPT
from concerted.board.leases.lease import (
    Acquire,
    AskRelease,
    Confirm,
    Expire,
    Release,
    Request,
    Reserve,
    Revoke,
    Withdraw,
    decide,
    evolve,
)
from concerted.board.leases.space import BLOCKS_KEPT, EMPTY, Ended, Lease, Leases, Waiting, find
from concerted.machine import Event, Lost
from concerted.persistent import Map
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")

EVENTFUL: list[Request] = [
    Acquire("t1", ANN, ("a", "src/"), purpose="build", priority="high"),
    Acquire("t2", BOB, ("a",), "shared", confirm_s=5.0),
    Acquire("t3", CY, ("src/x", "b"), deadline_at=1e6),
    Acquire("t4", BOB, ("lib/*.py", "b"), "shared", durable=False),
    Acquire("t5", CY, ("b",)),
    AskRelease(BOB, "a"),
    Reserve(10, 30.0, "node"),
    Release(ANN, "0000000000000001"),
    Confirm("t2", BOB),
    Withdraw("t5", CY),
    Acquire("t6", ANN, ("a",)),
    Acquire("t7", CY, ("a",)),
    Lost(CY, "killed"),
    Lost(BOB, "killed"),
    Revoke(ANN, "0000000000000012", "x", is_admin=True),
    Expire({}),
]


def live(requests: list[Request]) -> tuple[list[tuple[Event, float]], list[Leases]]:
    state: Leases | None = None
    log: list[tuple[Event, float]] = []
    states = []
    for number, request in enumerate(requests):
        at = number * 3.0
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
            log.append((event, at))
        states.append(state or EMPTY)
    return log, states


def plain(value: Any) -> Any:
    assert isinstance(value, Map)
    return dict(value)


def typed(kind: Any, value: Any) -> Any:
    assert get_origin(kind) is Map
    return Map(msgspec.convert(value, dict[get_args(kind)], dec_hook=typed))  # type: ignore[misc]


def written_and_read(state: Leases) -> Leases:
    data = msgspec.json.encode(msgspec.to_builtins(state, enc_hook=plain))
    return msgspec.convert(msgspec.json.decode(data), Leases, dec_hook=typed)


def test_the_events_alone_make_the_state() -> None:
    log, states = live(EVENTFUL)
    again = None
    for event, at in log:
        data = msgspec.json.decode(msgspec.json.encode(event.data))
        again = evolve(again, Event(event.kind, event.agent, event.ref, data), at)
    assert again == states[-1]
    assert len({event.kind for event, _ in log}) >= 10


def test_it_survives_being_written_down_at_any_time() -> None:
    _, states = live(EVENTFUL)
    for state in states:
        assert written_and_read(state) == state


def test_what_has_ended_leaves_nothing_behind_but_what_is_remembered() -> None:
    _, states = live([Acquire("t1", ANN, ("a", "src/"), "shared"), Release(ANN, "0000000000000001")])
    last = states[-1]
    assert (len(last.held), len(last.exclusive), len(last.shared), len(last.patterns)) == (0, 0, 0, 0)
    assert (last.due_at, last.timers, last.line.queue) == (None, EMPTY.timers, EMPTY.line.queue)


def test_who_leaves_the_queue_leaves_nothing_behind() -> None:
    requests: list[Request] = [
        Acquire("t1", ANN, ("a", "b")),
        Acquire("t2", BOB, ("a", "src/"), deadline_at=50.0),
        Withdraw("t2", BOB),
    ]
    _, states = live(requests)
    line = states[-1].line
    assert (len(line.waiting), len(line.queues), line.queue, line.wide) == (0, 0, EMPTY.line.queue, EMPTY.line.wide)
    assert states[-1].timers == EMPTY.timers


def test_a_ticket_can_be_found_as_what_has_become_of_it() -> None:
    requests: list[Request] = [Acquire("t1", ANN, ("a",)), Acquire("t2", BOB, ("a",)), Acquire("t3", CY, ("a",))]
    _, states = live([*requests, Release(ANN, "0000000000000001"), Withdraw("t3", CY)])
    last = states[-1]
    assert isinstance(find(states[2], "t3"), Waiting)
    assert isinstance(find(last, "t2"), Lease)
    ends = [find(last, "t1"), find(last, "t3")]
    assert [(end.how, end.token) for end in ends if isinstance(end, Ended)] == [
        ("released", "0000000000000001"), ("withdrawn", "")
    ]  # fmt: skip
    assert find(last, "t9") is None


def test_only_so_many_ended_tickets_are_remembered() -> None:
    state: Leases | None = None
    for number in range(1, ENDED_KEPT + 3):
        holder = AgentId(f"agent {number}")
        for request in (Acquire(f"t{number}", holder, ("a",)), Release(holder, f"{number:016d}")):
            for event in decide(state, request, 0.0).events:
                state = evolve(state, event, 0.0)
    assert state is not None
    assert (len(state.ended), len(state.tickets)) == (ENDED_KEPT, ENDED_KEPT)
    assert [find(state, ticket) is None for ticket in ("t1", "t2", "t3")] == [True, True, False]


def test_a_ticket_that_asked_anew_is_not_forgotten_with_its_first_end() -> None:
    requests: list[Request] = [Acquire("t0", ANN, ("b",)), Expire({}), Acquire("t0", ANN, ("b",), ttl_s=60.0)]
    state: Leases | None = None
    for at, request in zip((0.0, 60.0, 60.0), requests, strict=True):
        for event in decide(state, request, at).events:
            state = evolve(state, event, at)
    for number in range(3, 3 + ENDED_KEPT):
        holder = AgentId(f"agent {number}")
        for one in (Acquire(f"t{number}", holder, ("a",)), Release(holder, f"{number:016d}")):
            for event in decide(state, one, 60.0).events:
                state = evolve(state, event, 60.0)
    assert state is not None
    known = find(state, "t0")
    assert isinstance(known, Lease)
    assert known.token == "0000000000000002"


def test_only_so_many_tickets_that_were_never_granted_are_remembered() -> None:
    _, (state,) = live([Acquire("t0", ANN, ("a",))])
    for number in range(1, ENDED_KEPT + 3):
        requests: tuple[Request, ...] = (Acquire(f"t{number}", BOB, ("a",)), Withdraw(f"t{number}", BOB))
        for request in requests:
            for event in decide(state, request, 0.0).events:
                state = evolve(state, event, 0.0)
    assert (len(state.ended), len(state.tickets)) == (ENDED_KEPT, ENDED_KEPT + 1)
    assert [find(state, ticket) is None for ticket in ("t0", "t1", "t2", "t3")] == [False, True, True, False]


def test_the_same_ticket_dropped_and_asked_for_again_and_again_is_remembered_once() -> None:
    _, (state,) = live([Acquire("t0", ANN, ("a",))])
    for _ in range(ENDED_KEPT + 3):
        for request in (Acquire("t1", BOB, ("a",)), Lost(BOB, "killed")):
            for event in decide(state, request, 0.0).events:
                state = evolve(state, event, 0.0)
    known = find(state, "t1")
    assert isinstance(known, Ended)
    assert known.how == "dropped"


def test_only_the_newest_blocks_of_reserved_tokens_are_kept() -> None:
    log, states = live([Reserve(1, 0.0, f"node {number}") for number in range(BLOCKS_KEPT + 1)])
    assert len(states[-1].blocks) == BLOCKS_KEPT
    assert "node 0" not in states[-1].blocks
    assert states[-1].next == BLOCKS_KEPT + 2
    assert log[0][0].kind == "leases.created"
