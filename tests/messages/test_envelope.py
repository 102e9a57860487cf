"""Envelopes have every field of the specification; replies and heartbeats come back as they were."""

from typing import Any

import msgspec
import pytest

from concerted.messages import ENVELOPE_BYTES, Beat, Bid, Bids, Envelope, Reply
from concerted.values import AgentId, AgentStatus, RunId, TaskId

ANN, BOB, DRAFT, READ = AgentId("ann"), AgentId("bob"), TaskId("draft"), TaskId("read")


def test_an_envelope_has_every_field_of_the_specification_and_comes_back_as_it_was() -> None:
    fields = {"id", "timestamp", "version", "source", "destination", "type", "category", "priority", "payload"}
    fields |= {"headers", "delivery_mode", "processing_mode", "metadata"}
    assert fields <= set(Envelope.__struct_fields__)
    sent = Envelope(
        id="m-1", type="EXECUTE_TASK", destination=ANN, payload=msgspec.Raw(b'{"task":{"id":"draft"}}'), source="c",
        timestamp=1.5, category="task", priority="urgent", headers={"h": "1"}, delivery_mode="exactly_once",
        metadata={"m": [1]}, coordination_id=RunId("r"), correlation_id="m-0", idempotency_key="r#1@1", epoch=4,
        reply_by=9.0, lamport=12, traceparent="00-0-0-01",
    )  # fmt: skip
    back = msgspec.json.decode(msgspec.json.encode(sent), type=Envelope)
    assert bytes(back.payload) == bytes(sent.payload)
    for name in set(Envelope.__struct_fields__) - {"payload"}:
        assert getattr(back, name) == getattr(sent, name)


def test_the_smallest_envelope_is_one_short_line() -> None:
    line = msgspec.json.encode(Envelope(id="1", type="GET_STATUS", destination=ANN))
    assert line == b'{"id":"1","type":"GET_STATUS","destination":"ann"}'
    assert len(line) < ENVELOPE_BYTES


@pytest.mark.parametrize("field", ["category", "priority", "delivery_mode", "processing_mode"])
def test_an_envelope_with_a_word_nobody_knows_is_refused(field: str) -> None:
    wire = {"id": "1", "type": "GET_STATUS", "destination": "ann", field: "perhaps"}
    with pytest.raises(msgspec.ValidationError, match=rf"Invalid enum value 'perhaps' - at `\$\.{field}`"):
        msgspec.convert(wire, Envelope)


ANSWERS: list[Any] = [
    Reply(agent=ANN, status="ok", value={"pages": 2}, key="r#1@1", epoch=4, cached=True),
    Reply(agent=ANN, status="failed", error="it rained"),
    Bids(bids=(Bid(task=DRAFT, cost=1.0, estimated_duration_s=2.0, quality_score=0.5),), reliability=0.9, load=2.0),
    Beat(agent=ANN, status=AgentStatus(id=ANN, state="busy"), running=("k",), progress={"k": (1.0, 2.0)}),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: type(answer).__name__)
def test_an_answer_comes_back_from_the_wire_as_it_was(answer: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(answer), type=type(answer)) == answer


@pytest.mark.parametrize("status", ["ok", "refused", "failed", "timeout", "lost", "cancelled"])
def test_only_an_ok_reply_has_a_value_to_read(status: Any) -> None:
    assert Reply(agent=ANN, status=status).ok is (status == "ok")
