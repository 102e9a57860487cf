"""Laws of agreements and of logs of decisions: whatever is asked in whatever order, each keeps its promise.

Agreement: one value, for ever, and the same for everybody.  Validity: it passes the rule of the opening.  Integrity:
somebody proposed it, and only its proposer is told that it is theirs.  Of a log: positions 1, 2, 3 ... in the order in
which they were written; each request once, with one position for ever; whoever reads in pages reads all of it.
"""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from concerted.consensus import agreement, decision_log
from concerted.consensus.agreement import Agreement, AgreementResult, Propose, Terms
from concerted.consensus.decision_log import Append, DecisionLog, LogEntry, Read
from concerted.consensus.validity import Validity, problem, validity_of
from concerted.errors import ConcertedError
from concerted.machine import Event, Found, Look, Lost, Wake
from concerted.values import AgentId

ANN, BOB, CY = AGENTS = tuple(AgentId(name) for name in ("ann", "bob", "cy"))
RULES = [None, "integer", "1..2", "a|b", {"max_length": 1}]

agents = st.sampled_from(AGENTS)
values = st.sampled_from([0, 1, 2, 3, "a", "b", "ab", None, [1], {"a": 1}])
ids = st.sampled_from(["r1", "r2"])
rules = st.sampled_from(RULES).map(validity_of)
times = st.floats(0.0, 3.0)
others: st.SearchStrategy[Any] = st.one_of(
    st.just(Wake()), st.just(Look()), st.builds(Lost, agents, st.just("gone")), st.builds(Found, agents)
)


# Agreements


def proposals(proposing: Any = agents) -> st.SearchStrategy[Propose]:
    return st.builds(
        Propose, st.just("k"), proposing, values, ids, st.none() | rules,
        st.none() | st.just((ANN, BOB)), st.none() | st.sampled_from([5.0, 20.0]),
    )  # fmt: skip


terms = st.builds(
    Terms, validity=rules, proposers=st.sampled_from([(), (ANN, BOB)]),
    deadline_at=st.none() | st.sampled_from([5.0, 20.0]),
)  # fmt: skip
creations = st.builds(agreement.Create, st.just("k"), agents, terms)
waits = st.just(agreement.Await())
agreement_stories = st.lists(
    st.tuples(st.one_of(proposals(), proposals(), creations, waits, others), times), max_size=12
)  # fmt: skip


def told(machine: Any, story: list[tuple[Any, float]]) -> tuple[list[tuple[Event, float]], list[tuple[Any, Any]]]:
    """Return the log of a story, and what was answered to each request: (request, answer)."""
    state: Any = None
    log: list[tuple[Event, float]] = []
    answers: list[tuple[Any, Any]] = []
    now = 1.0
    for request, later in story:
        now += later
        try:
            step = machine.decide(state, request, now)
        except ConcertedError:
            continue
        for event in step.events:
            state = machine.evolve(state, event, now)
            log.append((event, now))
        if state is not None:
            answers.append((request, machine.answer(state, request, now)))
    return log, answers


def read_back(machine: Any, log: list[tuple[Event, float]]) -> list[Any]:
    """Return the states of a log as it comes back from a store."""
    states: list[Any] = []
    for event, at in log:
        as_read = msgspec.json.decode(msgspec.json.encode(event.data))
        states.append(machine.evolve(states[-1] if states else None, Event(event.kind, event.agent, None, as_read), at))
    return states


@given(agreement_stories)
def test_there_is_one_value_and_everybody_is_told_the_same(story: Any) -> None:
    log, answers = told(agreement, story)
    kinds = [event.kind for event, _ in log]
    assert kinds.count("agreement.chosen") + kinds.count("agreement.lapsed") <= 1
    ends = {(one.status, repr(one.value), one.proposed_by) for _, one in answers if one.status != "waiting"}
    assert len(ends) <= 1
    waiting = [one.status == "waiting" for _, one in answers]
    assert waiting == sorted(waiting, reverse=True), "it waits again"


@given(agreement_stories)
def test_the_value_was_proposed_by_its_proposer_and_is_valid_by_the_rule_of_the_opening(story: Any) -> None:
    log, _ = told(agreement, story)
    states: list[Agreement] = read_back(agreement, log)
    if not states or states[-1].chosen is None:
        return
    chosen, rule = states[-1].chosen, states[0].terms.validity
    proposed = [(one.by, one.request_id, one.value) for one, _ in story if isinstance(one, Propose)]
    assert (chosen.by, chosen.request_id, chosen.value) in proposed
    assert problem(rule, chosen.value) is None
    assert chosen.by in (states[0].terms.proposers or AGENTS)
    deadline_at = states[0].terms.deadline_at
    assert deadline_at is None or chosen.at < deadline_at


@given(agreement_stories)
def test_it_is_the_first_that_could_have_been_chosen(story: Any) -> None:
    log, _ = told(agreement, story)
    state: Agreement | None = None
    now = 1.0
    for request, later in story:
        now += later
        if isinstance(request, Propose) and _fits(state, request, now):
            assert [event.kind for event, _ in log].count("agreement.chosen") == 1
            (chosen,) = [event for event, _ in log if event.kind == "agreement.chosen"]
            assert (chosen.agent, chosen.data["value"]) == (request.by, request.value)
            return
        try:
            for event in agreement.decide(state, request, now).events:
                state = agreement.evolve(state, event, now)
        except ConcertedError:
            continue


def _fits(state: Agreement | None, request: Propose, now: float) -> bool:
    """Say, without the machine's own decision, whether a proposal is what the terms ask for."""
    if state is None:
        rule, deadline_at = request.validity or Validity(), request.deadline_at
        proposers = request.proposers or ()
    else:
        rule, deadline_at, proposers = state.terms.validity, state.terms.deadline_at, state.terms.proposers
        if request.validity not in (None, rule) or request.proposers not in (None, proposers):
            return False
    in_time = deadline_at is None or now < deadline_at
    return in_time and (not proposers or request.by in proposers) and problem(rule, request.value) is None


@given(agreement_stories)
def test_only_the_proposal_that_was_chosen_is_told_that_it_is_its_own(story: Any) -> None:
    _, answers = told(agreement, story)
    for request, one in answers:
        assert isinstance(one, AgreementResult)
        if isinstance(request, Propose):
            assert not one.pending
            mine = (request.by, request.value) == (one.proposed_by, one.value)
            assert mine or not one.yours
            assert one.yours or one.success, "a proposal that was taken is answered with a value"


# Logs


appends = st.builds(Append, st.just("l"), agents, values, ids)
makings = st.builds(
    decision_log.Create, st.just("l"), agents,
    st.builds(decision_log.Terms, writers=st.sampled_from([(), (ANN, BOB)])),
)  # fmt: skip
readings = st.builds(Read, st.integers(-1, 5), st.integers(0, 3))
log_stories = st.lists(st.tuples(st.one_of(appends, appends, appends, makings, readings, others), times), max_size=15)


@given(log_stories)
def test_positions_follow_each_other_in_the_order_of_the_log(story: Any) -> None:
    log, _ = told(decision_log, story)
    positions = [event.data["position"] for event, _ in log if event.kind == "decision_log.appended"]
    assert positions == list(range(1, len(positions) + 1))


@given(log_stories)
def test_each_request_is_in_the_log_once_and_keeps_its_position(story: Any) -> None:
    log, answers = told(decision_log, story)
    written = [(event.agent, event.data["request_id"]) for event, _ in log if event.kind == "decision_log.appended"]
    assert len(set(written)) == len(written)
    positions: dict[tuple[str, str], int] = {}
    for request, one in answers:
        if isinstance(request, Append):
            assert positions.setdefault((request.by, request.request_id), one.position) == one.position
            assert written[one.position - 1] == (request.by, request.request_id)


@given(log_stories)
def test_nothing_that_was_read_is_ever_different_later(story: Any) -> None:
    _, answers = told(decision_log, story)
    seen: dict[int, LogEntry] = {}
    for request, one in answers:
        if isinstance(request, Read):
            positions = [entry.position for entry in one.entries]
            assert positions == list(range(request.after + 1, request.after + 1 + len(positions)))
            assert len(positions) == min(request.limit, max(0, one.last - request.after))
        for entry in one.entries:
            assert seen.setdefault(entry.position, entry) == entry


@given(log_stories, st.integers(1, 3))
def test_reading_in_pages_is_reading_all_of_it(story: Any, limit: int) -> None:
    log, _ = told(decision_log, story)
    if not log:
        return
    state: DecisionLog = read_back(decision_log, log)[-1]
    read: list[tuple[int, Any]] = []
    at = 0
    while (page := decision_log.answer(state, Read(at, limit), 9.0)).entries:
        read += [(entry.position, entry.value) for entry in page.entries]
        at = page.next_after
    assert page.pending
    assert [value for _, value in read] == [event.data["value"] for event, _ in log if "position" in event.data]


# Both


@given(agreement_stories, log_stories)
def test_the_state_is_a_function_of_the_log(agreed: Any, logged: Any) -> None:
    for machine, story in ((agreement, agreed), (decision_log, logged)):
        state: Any = None
        now = 1.0
        log: list[tuple[Event, float]] = []
        for request, later in story:
            now += later
            try:
                step = machine.decide(state, request, now)  # type: ignore[attr-defined]
            except ConcertedError:
                continue
            for event in step.events:
                state = machine.evolve(state, event, now)  # type: ignore[attr-defined]
                log.append((event, now))
        assert (read_back(machine, log) or [None])[-1] == state


@given(agreement_stories, log_stories, st.one_of(waits, st.builds(Read, st.integers(0, 5), st.integers(1, 3))))
def test_who_waits_is_woken_by_what_ends_the_wait(agreed: Any, logged: Any, waiting: Any) -> None:
    machine: Any = agreement if isinstance(waiting, agreement.Await) else decision_log
    log, _ = told(machine, agreed if machine is agreement else logged)
    before = True
    for (event, _), state in zip(log, read_back(machine, log), strict=True):
        pending = machine.answer(state, waiting, 50.0).pending
        assert pending == (machine.waits(state, waiting, 50.0) is not None)
        if before and not pending and event.kind.partition(".")[2] != "created":
            assert list(machine.wakes(event)), "who waited is not woken"
        before = pending
