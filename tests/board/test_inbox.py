"""A message in an inbox: its three states, what is not acknowledged in time, and the receipt that tells the truth."""

from dataclasses import replace
from typing import Any

import pytest

from concerted.board import inbox
from concerted.board.inbox import (
    BACKOFF_MAX_S,
    CONTENT_BYTES,
    INBOX_MAX,
    SYSTEM,
    TO_MAX,
    Acknowledge,
    Fetch,
    Message,
    Post,
    Rules,
    Wake,
    decide,
    delivery_order,
    evolve,
    is_over,
    log_order,
    receipt,
    received,
    removed,
    require_room,
    store,
    together,
    wake_at,
)
from concerted.errors import Invalid, NotAllowed, Overloaded, WrongPhase
from concerted.kinds import KINDS
from concerted.machine import Event
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
RULES = Rules(redeliveries=2, retention_s=100.0)


def posted(**more: Any) -> Message:
    """Return a message from ann as bob has it, stored at the instant 10."""
    post = replace(Post("m1", ANN, (BOB,), "NOTE", {"text": "hello"}), **more)
    return received(store(post), BOB, 10.0)


NOTE = posted()
WANTED = posted(due_at=40.0, escalate_to=CY)


def after(message: Message, *steps: tuple[float, Any]) -> Message:
    """Return the message after requests at instants."""
    for at, request in steps:
        for event in decide(message, request, at, RULES).events:
            assert event.kind in inbox.KINDS
            changed = evolve(message, event, at)
            assert changed is not None
            message = changed
    return message


def events(message: Message, request: Any, at: float) -> list[tuple[str, Any, dict[str, Any]]]:
    return [(event.kind, event.ref, event.data) for event in decide(message, request, at, RULES).events]


# storing


def test_one_event_stores_a_message_for_all_its_recipients() -> None:
    event = store(Post("m1", ANN, (BOB, CY, BOB), "NOTE", {"text": "hello"}, "high", 40.0, CY, 90.0))
    assert (event.kind, event.agent, event.ref) == ("message.stored", ANN, "m1")
    assert event.data == {
        "id": "m1", "sender": "ann", "to": ["bob", "cy"], "type": "NOTE", "content": {"text": "hello"},
        "priority": "high", "requires_acknowledgment": True, "due_at": 40.0, "escalate_to": "cy", "expires_at": 90.0,
    }  # fmt: skip
    message = received(event, CY, 10.0)
    assert (message.agent, message.status, message.stored_at, message.attempts) == (CY, "stored", 10.0, 0)
    assert (message.priority, message.due_at, message.expires_at) == ("high", 40.0, 90.0)


def test_without_a_deadline_no_acknowledgment_is_wanted() -> None:
    assert not NOTE.requires_acknowledgment
    assert WANTED.requires_acknowledgment


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"to": ()}, "goes to 1..1000 agents, not to 0"),
        ({"to": tuple(AgentId(f"a{n}") for n in range(TO_MAX + 1))}, "goes to 1..1000 agents, not to 1001"),
        ({"to": (AgentId(""),)}, "cannot name a message, its type or an agent"),
        ({"id": " "}, "cannot name a message"),
        ({"type": "a\nb"}, "cannot name a message"),
        ({"priority": "urgent"}, "there is no priority 'urgent'; there are low, medium, high, critical"),
        ({"escalate_to": CY}, "message m1 need not be acknowledged, so there is nothing to escalate"),
        ({"content": object()}, "the content of message m1 has no JSON form"),
        ({"content": "x" * CONTENT_BYTES}, f"has {CONTENT_BYTES + 2} bytes, at most {CONTENT_BYTES}; send a reference"),
    ],
)
def test_what_cannot_be_delivered_is_not_stored(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        posted(**more)


def test_content_may_be_as_long_as_it_may_be() -> None:
    assert len(posted(content="x" * (CONTENT_BYTES - 2)).content) == CONTENT_BYTES - 2


def test_content_is_kept_as_it_will_come_back_from_the_log() -> None:
    assert posted(content=(1, (2,))).content == [1, [2]]


def test_an_inbox_has_a_greatest_size() -> None:
    require_room(BOB, INBOX_MAX - 1)
    with pytest.raises(Overloaded, match="the inbox of bob holds 10,000 messages, the most it may; it must fetch"):
        require_room(BOB, INBOX_MAX)


# stored, fetched, acknowledged


def test_a_fetch_is_seen_by_the_sender() -> None:
    assert events(NOTE, Fetch(), 12.0) == [("messages.fetched", None, {"ids": ["m1"]})]
    seen = receipt(after(NOTE, (12.0, Fetch())))
    assert (seen.status, seen.stored_at, seen.fetched_at, seen.acknowledged_at) == ("fetched", 10.0, 12.0, None)


def test_a_second_fetch_changes_nothing() -> None:
    assert events(after(NOTE, (12.0, Fetch())), Fetch(), 13.0) == []


def test_an_acknowledgment_is_seen_by_the_sender() -> None:
    step = decide(after(WANTED, (12.0, Fetch())), Acknowledge(BOB), 13.0, RULES)
    assert [(event.kind, event.agent, event.data) for event in step.events] == [
        ("messages.acknowledged", BOB, {"ids": ["m1"]})
    ]
    seen = receipt(after(WANTED, (12.0, Fetch()), (13.0, Acknowledge(BOB))))
    assert (seen.status, seen.fetched_at, seen.acknowledged_at, seen.due_at) == ("acknowledged", 12.0, 13.0, None)


def test_an_acknowledgment_may_come_without_a_fetch() -> None:
    """A message that was pushed to its recipient is never fetched."""
    seen = receipt(after(WANTED, (13.0, Acknowledge(BOB))))
    assert (seen.status, seen.fetched_at) == ("acknowledged", None)


def test_a_second_acknowledgment_changes_nothing() -> None:
    assert events(after(WANTED, (13.0, Acknowledge(BOB))), Acknowledge(BOB), 14.0) == []


def test_a_fetch_after_the_acknowledgment_changes_nothing() -> None:
    assert events(after(WANTED, (13.0, Acknowledge(BOB))), Fetch(), 14.0) == []


@pytest.mark.parametrize("agent", [ANN, CY])
def test_nobody_but_the_recipient_may_acknowledge(agent: AgentId) -> None:
    with pytest.raises(NotAllowed, match=f"{agent} may not acknowledge message m1; it is bob's to acknowledge"):
        decide(WANTED, Acknowledge(agent), 13.0, RULES)


def test_the_events_of_other_messages_and_agents_change_nothing() -> None:
    for event in (
        Event("messages.fetched", BOB, None, {"ids": ["m2"]}),
        Event("messages.fetched", CY, None, {"ids": ["m1"]}),
        Event("message.redelivered", BOB, "m2", {"due_at": 1.0, "attempts": 1}),
        Event("sync_point.arrived", BOB, "m1"),
    ):
        assert evolve(NOTE, event, 12.0) is NOTE


# not acknowledged in time


def test_nothing_happens_before_the_deadline() -> None:
    step = decide(WANTED, Wake(), 39.9, RULES)
    assert (step.events, step.wake_at) == ((), 40.0)


def test_at_the_deadline_the_message_is_delivered_anew_and_the_next_deadline_is_twice_as_far() -> None:
    step = decide(WANTED, Wake(), 40.0, RULES)
    assert [(event.kind, event.agent, event.ref, event.data) for event in step.events] == [
        ("message.redelivered", BOB, "m1", {"attempts": 1, "deadline_at": 40.0, "due_at": 70.0})
    ]
    assert (step.sends, step.wake_at) == ((), 70.0)
    again = after(WANTED, (40.0, Wake()))
    assert events(again, Wake(), 70.0)[0][2] == {"attempts": 2, "deadline_at": 70.0, "due_at": 130.0}


def test_after_a_long_pause_the_message_is_delivered_anew_once() -> None:
    again = after(WANTED, (1_000.0, Wake()))
    assert (again.attempts, again.due_at) == (1, 1_030.0)
    assert events(again, Wake(), 1_000.0) == []


def test_the_time_between_two_deliveries_has_a_limit() -> None:
    patient = posted(due_at=10.0 + 3 * BACKOFF_MAX_S)
    assert after(patient, (patient.due_at, Wake())).due_at == patient.due_at + BACKOFF_MAX_S  # type: ignore[operator]


def test_a_deadline_that_was_over_at_once_does_not_spin() -> None:
    assert after(posted(due_at=10.0), (10.0, Wake())).due_at == 10.0 + RULES.acknowledge_within_s


def test_what_is_delivered_anew_can_be_fetched_anew_and_its_receipt_does_not_go_back() -> None:
    again = after(WANTED, (12.0, Fetch()), (40.0, Wake()))
    assert (again.status, receipt(again).status, receipt(again).fetched_at) == ("stored", "fetched", 12.0)
    assert events(again, Fetch(), 41.0) == [("messages.fetched", None, {"ids": ["m1"]})]
    assert receipt(after(again, (41.0, Fetch()))).fetched_at == 41.0


def test_what_was_never_fetched_is_not_said_to_be() -> None:
    seen = receipt(after(WANTED, (40.0, Wake())))
    assert (seen.status, seen.escalated, seen.attempts) == ("stored", False, 1)


def test_an_acknowledgment_ends_it_even_when_it_comes_late() -> None:
    done = after(WANTED, (40.0, Wake()), (200.0, Acknowledge(BOB)))
    assert (done.status, done.due_at) == ("acknowledged", None)
    assert events(done, Wake(), 250.0) == []


def test_after_the_last_delivery_somebody_else_is_told_who_did_not_acknowledge_what() -> None:
    last = after(WANTED, (12.0, Fetch()), (40.0, Wake()), (70.0, Wake()))
    step = decide(last, Wake(), 130.0, RULES)
    assert [(event.kind, event.agent, event.ref, event.data) for event in step.events] == [
        ("message.escalated", BOB, "m1", {"attempts": 3, "deadline_at": 130.0, "due_at": None, "to": "cy"})
    ]
    (send,) = step.sends
    assert (send.to, send.type, send.priority, send.requires_acknowledgment) == (
        (CY,),
        "MESSAGE_ESCALATED",
        "high",
        False,
    )
    assert send.content == {
        "message_id": "m1", "agent": "bob", "sender": "ann", "type": "NOTE", "priority": "medium",
        "content": {"text": "hello"}, "status": "fetched", "stored_at": 10.0, "fetched_at": 12.0, "deadline_at": 130.0,
        "attempts": 3, "reason": "bob has not acknowledged NOTE from ann",
    }  # fmt: skip
    assert step.wake_at is None


def test_an_escalation_happens_once_and_the_message_may_still_be_acknowledged() -> None:
    told = after(WANTED, (40.0, Wake()), (70.0, Wake()), (130.0, Wake()))
    assert (told.escalated, told.due_at, receipt(told).escalated, receipt(told).attempts) == (True, None, True, 3)
    assert events(told, Wake(), 10_000.0) == []
    done = after(told, (10_001.0, Acknowledge(BOB)))
    assert (receipt(done).status, receipt(done).escalated) == ("acknowledged", True)


def test_with_nobody_named_the_sender_is_told() -> None:
    last = replace(posted(due_at=40.0), attempts=2)
    assert decide(last, Wake(), 40.0, RULES).sends[0].to == (ANN,)


def test_the_system_is_told_nothing() -> None:
    last = replace(posted(sender=SYSTEM, due_at=40.0), attempts=2)
    step = decide(last, Wake(), 40.0, RULES)
    assert (step.sends, step.events[0].data["to"]) == ((), None)


def test_what_need_not_be_acknowledged_is_never_delivered_anew() -> None:
    assert events(NOTE, Wake(), 1_000_000.0) == []


# out of date

SHORT_LIVED = posted(expires_at=50.0)


@pytest.mark.parametrize("request_", [Wake(), Fetch()])
def test_a_message_expires_even_if_no_timer_has_fired(request_: Any) -> None:
    assert events(SHORT_LIVED, request_, 50.0) == [("messages.expired", None, {"ids": ["m1"]})]
    assert receipt(after(SHORT_LIVED, (50.0, request_))).status == "expired"


def test_an_expired_message_is_not_fetched_or_acknowledged_any_more() -> None:
    expired = after(SHORT_LIVED, (50.0, Wake()))
    assert events(expired, Fetch(), 51.0) == []
    for message in (expired, SHORT_LIVED):
        with pytest.raises(WrongPhase, match="message m1 from ann has expired and is not acknowledged any more"):
            decide(message, Acknowledge(BOB), 51.0, RULES)


def test_what_is_dealt_with_does_not_expire() -> None:
    assert events(after(SHORT_LIVED, (12.0, Fetch())), Wake(), 60.0) == []
    assert events(after(SHORT_LIVED, (12.0, Acknowledge(BOB))), Wake(), 60.0) == []


def test_what_is_fetched_and_still_to_be_acknowledged_expires() -> None:
    message = after(posted(due_at=40.0, expires_at=50.0), (12.0, Fetch()))
    assert events(message, Wake(), 50.0) == [("messages.expired", None, {"ids": ["m1"]})]


def test_a_message_is_looked_at_when_the_first_of_both_has_come() -> None:
    assert wake_at(posted(due_at=40.0, expires_at=30.0), RULES) == 30.0
    assert wake_at(posted(due_at=40.0, expires_at=50.0), RULES) == 40.0
    assert wake_at(posted(expires_at=50.0), RULES) == 50.0
    assert wake_at(NOTE, RULES) is None


# keeping


def test_what_is_over_is_removed_when_it_was_kept_long_enough() -> None:
    for over in (
        after(WANTED, (12.0, Acknowledge(BOB))),
        after(NOTE, (12.0, Fetch())),
        after(posted(expires_at=12.0), (30.0, Wake())),
    ):
        assert wake_at(over, RULES) == 112.0
        assert not is_over(over, 111.9, RULES)
        assert is_over(over, 112.0, RULES)
        step = decide(over, Wake(), 112.0, RULES)
        assert step.events == (removed(BOB, ["m1"]),)
        assert (evolve(over, step.events[0], 112.0), step.wake_at) == (None, None)


def test_what_is_still_expected_of_its_recipient_is_kept() -> None:
    for message in (NOTE, WANTED, after(WANTED, (12.0, Fetch()))):
        assert not is_over(message, 1e9, RULES)


# many at once


def test_the_most_urgent_come_first_then_the_oldest() -> None:
    given = [
        replace(NOTE, id="a", priority="low", stored_at=1.0),
        replace(NOTE, id="b", priority="critical", stored_at=5.0),
        replace(NOTE, id="d", priority="high", stored_at=4.0),
        replace(NOTE, id="c", priority="high", stored_at=4.0),
        replace(NOTE, id="e", priority="high", stored_at=3.0),
        replace(NOTE, id="f", stored_at=0.0),
    ]
    assert [message.id for message in delivery_order(given)] == ["b", "e", "c", "d", "f", "a"]


def test_messages_are_in_the_order_of_the_log_whatever_the_clocks_say() -> None:
    given = [
        replace(NOTE, id="a", stored_at=1.0, number=9),
        replace(NOTE, id="b", stored_at=2.0, number=7),
        replace(NOTE, id="c", stored_at=2.0, number=8, priority="high"),
    ]
    assert [message.id for message in delivery_order(given)] == ["c", "b", "a"]
    assert [message.id for message in log_order(given)] == ["b", "c", "a"]


def test_events_of_one_kind_and_agent_become_one() -> None:
    redelivered = Event("message.redelivered", BOB, "x", {"attempts": 1})
    given = [
        Event("messages.fetched", BOB, None, {"ids": ["a"]}),
        redelivered,
        Event("messages.fetched", CY, None, {"ids": ["b"]}),
        Event("messages.fetched", BOB, None, {"ids": ["c"]}),
        Event("messages.expired", BOB, None, {"ids": ["d"]}),
        redelivered,
    ]
    assert together(given) == [
        Event("messages.fetched", BOB, None, {"ids": ["a", "c"]}),
        redelivered,
        Event("messages.fetched", CY, None, {"ids": ["b"]}),
        Event("messages.expired", BOB, None, {"ids": ["d"]}),
        redelivered,
    ]
    assert given[0].data == {"ids": ["a"]}


def test_the_reference_knows_every_kind() -> None:
    assert set(inbox.KINDS) <= set(KINDS)
