"""Laws of inboxes: receipts never go back, nobody is told twice, and one sender's messages keep their order."""

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from concerted.board.inbox import (
    Acknowledge,
    Fetch,
    Message,
    Post,
    Rules,
    Wake,
    decide,
    delivery_order,
    evolve,
    receipt,
    received,
    store,
    together,
)
from concerted.errors import NotAllowed, WrongPhase
from concerted.machine import Event, Send
from concerted.values import AgentId

pytestmark = pytest.mark.pure

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
RANK = {"stored": 0, "fetched": 1, "acknowledged": 2, "expired": 2}

requests = st.sampled_from([Fetch(), Acknowledge(BOB), Acknowledge(CY), Wake(), Wake()])
pauses = st.sampled_from([0.0, 1.0, 5.0, 20.0, 100.0])
histories = st.lists(st.tuples(pauses, requests), max_size=25)
rules = st.builds(Rules, redeliveries=st.integers(0, 3), retention_s=st.sampled_from([10.0, 1_000.0]))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    due_at = draw(st.none() | st.floats(1.0, 30.0))
    post = Post(
        id="m",
        sender=ANN,
        to=(BOB, CY),
        type="NOTE",
        content=draw(st.sampled_from([None, [1], {"a": "b"}])),
        due_at=due_at,
        escalate_to=draw(st.sampled_from([None, CY])) if due_at is not None else None,
        expires_at=draw(st.none() | st.floats(1.0, 90.0)),
    )
    return received(through_the_log(store(post)), BOB, 0.0)


def through_the_log(event: Event) -> Event:
    return msgspec.json.decode(msgspec.json.encode(event), type=Event)


def live(
    message: Message, history: list[tuple[float, Any]], kept: Rules
) -> tuple[list[Message | None], list[tuple[float, Event]], list[Send]]:
    """Let a message live through requests, wrong ones included; return its states, events and what was sent."""
    states: list[Message | None] = [message]
    log: list[tuple[float, Event]] = []
    sent: list[Send] = []
    now = 0.0
    for pause, request in history:
        now += pause
        current = states[-1]
        if current is None:
            break
        try:
            step = decide(current, request, now, kept)
        except (NotAllowed, WrongPhase):
            continue
        sent += step.sends
        for event in step.events:
            log.append((now, event))
            states.append(evolve(states[-1], event, now))  # type: ignore[arg-type]
        assert states[-1] is not None or step.wake_at is None
        if isinstance(request, Wake) and not step.events:
            assert step.wake_at is None or step.wake_at > now
    return states, log, sent


@given(messages(), histories, rules)
def test_a_receipt_never_goes_back(message: Message, history: list[tuple[float, Any]], kept: Rules) -> None:
    states, _, _ = live(message, history, kept)
    ranks = [RANK[receipt(state).status] for state in states if state is not None]
    assert ranks == sorted(ranks)
    shown = [receipt(state) for state in states if state is not None]
    for before, later in pairwise(shown):
        assert before.fetched_at is None or later.fetched_at is not None
        assert before.acknowledged_at in (None, later.acknowledged_at)
        assert before.attempts <= later.attempts
        assert before.escalated <= later.escalated


@given(messages(), histories, rules)
def test_what_must_be_acknowledged_is_delivered_so_often_then_somebody_is_told_once(
    message: Message, history: list[tuple[float, Any]], kept: Rules
) -> None:
    _, log, sent = live(message, history, kept)
    kinds = [event.kind for _, event in log]
    assert kinds.count("message.redelivered") <= kept.redeliveries
    assert kinds.count("message.escalated") == len(sent) <= 1
    if sent:
        assert message.requires_acknowledgment
        assert kinds.count("message.redelivered") == kept.redeliveries
        assert sent[0].to == (message.escalate_to or ANN,)
    if "messages.acknowledged" in kinds:
        assert set(kinds[kinds.index("messages.acknowledged") + 1 :]) <= {"messages.removed"}


@given(messages(), rules)
def test_if_its_recipient_does_nothing_somebody_is_told_or_it_expires(message: Message, kept: Rules) -> None:
    states, log, _ = live(message, [(100.0, Wake())] * 12, kept)
    last = [event.kind for _, event in log]
    if message.expires_at is not None:
        assert "messages.expired" in last
    elif message.requires_acknowledgment:
        assert last[-1] == "message.escalated"
    else:
        assert states == [message]


@given(messages(), histories, rules)
def test_the_events_alone_lead_to_the_same_message(
    message: Message, history: list[tuple[float, Any]], kept: Rules
) -> None:
    states, log, _ = live(message, history, kept)
    again: Message | None = msgspec.json.decode(msgspec.json.encode(message), type=Message)
    for at, event in log:
        assert again is not None
        again = evolve(again, through_the_log(event), at)
    assert again == states[-1]


@given(
    st.lists(
        st.tuples(st.sampled_from([ANN, CY]), st.sampled_from(["low", "medium", "high", "critical"])), max_size=15
    ),
    st.data(),
)
def test_one_senders_messages_of_one_priority_keep_their_order(sent: list[tuple[AgentId, Any]], data: Any) -> None:
    now = 0.0
    stored = []
    for n, (sender, priority) in enumerate(sent):
        now += data.draw(st.sampled_from([0.0, 0.0, 1.0]))
        stored.append(received(store(Post(f"{n:04}", sender, (BOB,), "NOTE", priority=priority)), BOB, now))
    delivered = delivery_order(data.draw(st.permutations(stored)))
    assert sorted(message.id for message in delivered) == [message.id for message in stored]
    for sender in (ANN, CY):
        for priority in ("low", "medium", "high", "critical"):
            ids = [m.id for m in delivered if (m.sender, m.priority) == (sender, priority)]
            assert ids == sorted(ids)


@given(st.lists(st.tuples(st.sampled_from(["messages.fetched", "messages.acknowledged"]), st.sampled_from([BOB, CY]))))
def test_events_put_together_change_the_same_messages(parts: list[tuple[str, AgentId]]) -> None:
    given_ = [Event(kind, agent, None, {"ids": [f"m{n}"]}) for n, (kind, agent) in enumerate(parts)]
    joined = together(given_)
    assert len(joined) == len(set(parts))
    unfolded = [(event.kind, event.agent, id) for event in joined for id in event.data["ids"]]
    assert sorted(unfolded) == sorted((event.kind, event.agent, event.data["ids"][0]) for event in given_)
