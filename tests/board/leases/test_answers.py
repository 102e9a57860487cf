"""What those who ask for leases are told: tickets, pages of what is held, and whom one waits for."""

from concerted.board.leases.answers import list_of
from concerted.board.leases.lease import (
    Acquire,
    Confirm,
    Find,
    LeaseResult,
    Leases,
    LeasesResult,
    Release,
    Renew,
    Request,
    Withdraw,
    answer,
    decide,
    evolve,
    waits,
)
from concerted.board.leases.requests import PAGE_MAX, ask_of
from concerted.machine import Look, Lost, Result, Wait, Wake
from concerted.values import AgentId

ANN, BOB, CY, DAN = AgentId("ann"), AgentId("bob"), AgentId("cy"), AgentId("dan")
FIRST = "0000000000000001"


def after(*requests: Request) -> Leases | None:
    """Return the space after requests at the instants 1, 2, 3 ..."""
    state: Leases | None = None
    for at, request in enumerate(requests, 1):
        for event in decide(state, request, float(at)).events:
            state = evolve(state, event, float(at))
    return state


def told(state: Leases | None, request: Request, at: float = 9.0) -> LeaseResult:
    result = answer(state, request, at)
    assert isinstance(result, LeaseResult)
    return result


def page(state: Leases | None, request: Request) -> LeasesResult:
    result = answer(state, request, 9.0)
    assert isinstance(result, LeasesResult)
    return result


def take(ticket: str, holder: AgentId, *names: str) -> Acquire:
    return Acquire(ticket, holder, names)


# tickets


def test_a_ticket_that_waits_is_answered_with_all_there_is_to_know() -> None:
    wish = Acquire("t2", BOB, ("a",), ttl_s=5.0, purpose="test", priority="high", deadline_at=99.0)
    result = told(after(take("t1", ANN, "a"), wish), wish, 7.0)
    assert (result.ticket, result.holder, result.names, result.mode) == ("t2", "bob", ("a",), "exclusive")
    assert (result.purpose, result.priority, result.ttl_s, result.durable) == ("test", "high", 5.0, True)
    assert (result.since, result.wait_s, result.deadline_at, result.position) == (2.0, 5.0, 99.0, 1)
    assert (result.pending, result.token, result.expires_at, result.reason) == (True, "", None, "it waits for a")


def test_who_is_refused_because_others_wait_is_told_so() -> None:
    state = after(take("t1", ANN, "a"), take("t2", BOB, "a", "b"))
    result = told(state, Acquire("t3", CY, ("b",), wait=False))
    assert (result.status, result.held_by) == ("refused", ())
    assert result.reason == "others wait for b already; ask with wait to join them"


def test_who_is_refused_is_told_if_the_holder_is_gone() -> None:
    state = after(Acquire("t1", ANN, ("a",), purpose="build"), Lost(ANN, "no heartbeat for 20 s"))
    result = told(state, Acquire("t3", CY, ("a",), wait=False))
    assert result.reason == "a is held by ann (for 'build', gone: no heartbeat for 20 s)"


def test_a_ticket_that_nobody_remembers_is_unknown_and_not_pending() -> None:
    result = told(None, take("t1", ANN, "a"))
    assert (result.status, result.pending, result.granted, result.ticket) == ("unknown", False, False, "t1")
    assert told(None, Confirm("t1", ANN)).status == "unknown"
    assert told(None, Withdraw("t1", ANN)).status == "unknown"
    assert told(None, Release(ANN, FIRST)).status == "unknown"


def test_a_renewal_that_is_answered_after_the_lease_was_lost_says_how_it_ended() -> None:
    state = after(take("t1", ANN, "a"))
    assert told(state, Renew(ANN, FIRST), 30.0).expires_at == 90.0
    state = after(take("t1", ANN, "a"), Release(ANN, FIRST))
    result = told(state, Renew(ANN, FIRST))
    assert (result.status, result.success, result.reason) == ("released", False, "it was released")


def test_a_withdrawal_that_was_overtaken_by_a_grant_says_so() -> None:
    state = after(take("t1", ANN, "a"), take("t2", BOB, "a"), Release(ANN, FIRST))
    result = told(state, Withdraw("t2", BOB))
    assert (result.status, result.success, result.pending) == ("granted", False, False)


def test_a_long_list_of_names_is_cut_in_sentences() -> None:
    assert list_of(ask_of(take("t", ANN, "a", "b", "c"))) == "a, b, c"
    assert list_of(ask_of(take("t", ANN, *"abcde"))) == "a, b, c and 2 more"


def test_a_wake_is_answered_with_nothing() -> None:
    assert answer(after(take("t1", ANN, "a")), Wake(), 1.0) == Result()


# what there is to see


def test_a_look_shows_what_is_held_and_who_waits() -> None:
    state = after(
        Acquire("t1", ANN, ("a",), purpose="build"), take("t2", BOB, "a"), take("t3", CY, "b"), Lost(ANN, "killed")
    )
    result = page(state, Look())
    assert [(one.holder, one.names, one.purpose, one.since, one.expires_at, one.gone) for one in result.leases] == [
        ("ann", ("a",), "build", 1.0, 61.0, "killed"), ("cy", ("b",), "", 3.0, 63.0, None)
    ]  # fmt: skip
    assert [(one.position, one.ticket, one.holder, one.since, one.priority) for one in result.waiting] == [
        (1, "t2", "bob", 2.0, "medium")
    ]
    assert (result.held_count, result.waiting_count, result.after, result.after_position) == (2, 1, None, None)
    assert page(None, Look()) == LeasesResult()


def test_pages_show_each_lease_and_each_ticket_once() -> None:
    holds = [take(f"h{number}", ANN, f"n{number}") for number in range(7)]
    asks = [take(f"w{number}", BOB, f"n{number}") for number in range(5)]
    state = after(*holds, *asks)
    seen, queued, request = [], [], Find(limit=3)
    while True:
        result = page(state, request)
        assert len(result.leases) <= 3
        assert len(result.waiting) <= 3
        seen += [one.ticket for one in result.leases]
        queued += [one.ticket for one in result.waiting]
        if result.after is None and result.after_position is None:
            break
        request = Find(after=result.after, after_position=result.after_position, limit=3)
    assert seen == [f"h{number}" for number in range(7)]
    assert queued == [f"w{number}" for number in range(5)]


def test_a_page_can_be_of_one_name_or_one_holder() -> None:
    state = after(take("t1", ANN, "src/a"), take("t2", BOB, "lib/b"), take("t3", ANN, "lib/"), take("t4", CY, "src/a"))
    result = page(state, Find(name="src/**"))
    assert ([one.ticket for one in result.leases], [one.ticket for one in result.waiting]) == (["t1"], ["t4"])
    result = page(state, Find(holder=ANN))
    assert ([one.ticket for one in result.leases], [one.ticket for one in result.waiting]) == (["t1"], ["t3"])


def test_a_page_has_bounds() -> None:
    state = after(take("t1", ANN, "a"), take("t2", ANN, "b"))
    assert len(page(state, Find(limit=0)).leases) == 1
    assert len(page(state, Find(limit=PAGE_MAX * 9)).leases) == 2


# whom one waits for


def test_one_waits_for_who_holds_it_and_for_who_wanted_it_before() -> None:
    state = after(Acquire("t1", ANN, ("a",), purpose="build"), take("t2", BOB, "a"), take("t3", CY, "a"))
    assert waits(state, take("t2", BOB, "a"), 9.0) == Wait("a, held by ann (for 'build')", 2.0, (ANN,), 1, None)
    assert waits(state, take("t3", CY, "a"), 9.0) == Wait(
        "a, held by ann (for 'build'); bob waits for it before", 3.0, (ANN, BOB), 2, None
    )


def test_the_wait_names_a_holder_that_is_gone_and_its_own_deadline() -> None:
    wish = Acquire("t2", BOB, ("a",), deadline_at=50.0)
    state = after(take("t1", ANN, "a"), wish, Lost(ANN, "no heartbeat for 20 s"))
    assert waits(state, wish, 9.0) == Wait("a, held by ann (gone: no heartbeat for 20 s)", 2.0, (ANN,), 1, 50.0)
    assert waits(state, wish, 50.0) is None


def test_many_in_the_way_are_counted() -> None:
    state = after(
        Acquire("t1", ANN, ("a",), "shared"),
        Acquire("t2", BOB, ("a",), "shared"),
        take("t3", CY, "a"),
        Acquire("t4", ANN, ("a",), "shared"),
        Acquire("t5", BOB, ("a",), "shared"),
        take("t6", DAN, "a"),
    )
    assert waits(state, take("t6", DAN, "a"), 9.0) == Wait(
        "a, held by ann and 1 more; 3 wait for it before", 6.0, (ANN, BOB, CY), 3, None
    )


def test_who_holds_the_name_already_waits_for_itself() -> None:
    wait = waits(after(take("t1", ANN, "a"), take("t2", ANN, "a")), take("t2", ANN, "a"), 9.0)
    assert wait is not None
    assert wait.unblocked_by == (ANN,)


def test_who_has_what_it_wants_waits_for_nobody() -> None:
    state = after(take("t1", ANN, "a"))
    assert waits(state, take("t1", ANN, "a"), 9.0) is None
    assert waits(state, take("t9", ANN, "a"), 9.0) is None
    assert waits(state, Look(), 9.0) is None
    assert waits(None, Look(), 9.0) is None
