"""What travels: names as the specification spells them, payloads that fit, envelopes with every field."""

from typing import Any

import msgspec
import pytest

from concerted.errors import Invalid
from concerted.messages import (
    ENVELOPE_BYTES,
    AgreeToContract,
    AnnounceAuction,
    AssumeLeadership,
    AuctionClosed,
    Average,
    Beat,
    Bid,
    Bids,
    CallForProposals,
    CancelTask,
    CheckProgress,
    CoalitionChanged,
    ContractAcceptance,
    ContractEnded,
    ContractTerms,
    CounterOffer,
    Custom,
    DecomposeObjective,
    Envelope,
    ExecuteTask,
    FindTrip,
    FollowLeader,
    GetCapabilities,
    GetStatus,
    Judge,
    NotUnderstood,
    ProposeDivision,
    RejectProposal,
    Reply,
    Request,
    RequestBid,
    RequestDivision,
    RequestVote,
    ValueCoalitions,
    decode_request,
    encode_request,
    request_type,
)
from concerted.values import AgentId, AgentStatus, Objective, RunId, Task, TaskId

ANN, BOB, DRAFT, READ = AgentId("ann"), AgentId("bob"), TaskId("draft"), TaskId("read")
TASK = Task(id=DRAFT, payload={"topic": "tides"}, after=(READ,), required_capabilities={"writing": 0.5})

TERMS = ContractTerms(
    task=DRAFT, contractor=BOB, manager=ANN, cost=2.0, duration_s=60.0, start_at=1.0, end_at=61.0, binds_until=86401.0
)
CALL = CallForProposals(
    cfp="r#1",
    issuer=ANN,
    task=TASK,
    reply_by=60.0,
    contract_duration_s=86400.0,
    round=1,
    counter=CounterOffer(cost=2.0),
)

REQUESTS: list[tuple[Request, str]] = [
    (GetStatus(), "GET_STATUS"),
    (GetCapabilities(), "GET_CAPABILITIES"),
    (AnnounceAuction(auction="a-1", tasks=(DRAFT,), closes_at=9.5), "ANNOUNCE_AUCTION"),
    (RequestBid(auction="a-1", tasks=(TASK,), closes_at=9.5, max_bids=4), "REQUEST_BID"),
    (AuctionClosed(auction="a-1", awards={DRAFT: ANN}), "AUCTION_CLOSED"),
    (ExecuteTask(task=TASK, epoch=3, lease_s=15.0, results={READ: {"pages": [1, 2]}}), "EXECUTE_TASK"),
    (CancelTask(task=DRAFT, epoch=3, reason="too late"), "CANCEL_TASK"),
    (
        AssumeLeadership(term=2, followers=(BOB,), objective=Objective(tasks=(TASK,)), done={READ: None}),
        "ASSUME_LEADERSHIP",
    ),
    (FollowLeader(term=2, leader=ANN, objective=Objective(description="a page")), "FOLLOW_LEADER"),
    (DecomposeObjective(term=2, objective=Objective(data={"pages": 3})), "DECOMPOSE_OBJECTIVE"),
    (
        CheckProgress(
            term=2, ready=(TASK,), loads={ANN: 1}, free={BOB: 2}, done=(READ,), capabilities={BOB: {"writing": 1.0}}
        ),
        "CHECK_PROGRESS",
    ),
    (RequestVote(term=2, candidate=ANN, question="shall ann lead?"), "REQUEST_VOTE"),
    (Judge(decision="d", question="ship it?", proposal={"build": 7}, options=("accept",), closes_at=9.0), "JUDGE"),
    (CALL, "CALL_FOR_PROPOSALS"),
    (RejectProposal(cfp="r#1", task=DRAFT, reason="late"), "REJECT_PROPOSAL"),
    (ContractAcceptance(contract="r#1/1", cfp="r#1", terms=TERMS), "CONTRACT_ACCEPTANCE"),
    (ContractEnded(contract="r#1/1", task=DRAFT, status="completed", balance=2.0), "CONTRACT_ENDED"),
    (NotUnderstood(about="r#1", reason="its cost is -1"), "NOT_UNDERSTOOD"),
    (Custom(name="tune", data={"pitch": 440}), "tune"),
    (FindTrip(round=1, board={"best": [0, 1]}, points=[[0.0, 0.0], [1.0, 1.0]], seed=3), "FIND_TRIP"),
    (Average(round=2, own=[1.0], heard={"ann": [3.0]}, weights={"ann": 0.5}), "AVERAGE"),
    (ValueCoalitions(task=TASK, coalitions=(("ann",), ("ann", "bob"))), "VALUE_COALITIONS"),
    (
        ProposeDivision(coalition="c", task=TASK, shares={"ann": 1.5}, alone={"ann": 1.0}, round=2),
        "PROPOSE_DIVISION",
    ),
    (
        RequestDivision(coalition="c", task=TASK, total=3.0, suggestion={"ann": 3.0}, alone={}, round=1),
        "REQUEST_DIVISION",
    ),
    (
        AgreeToContract(
            coalition="c",
            task=TASK,
            members=("ann",),
            shares={"ann": 3.0},
            roles={"ann": "leader"},
            leader="ann",
            channel="coalition/c",
            valid_until=9.5,
            exit_penalty=0.1,
        ),
        "AGREE_TO_CONTRACT",
    ),
    (CoalitionChanged(coalition="c", status="completed", payments={"ann": 3.0}), "COALITION_CHANGED"),
]


@pytest.mark.parametrize(("request_", "name"), REQUESTS, ids=[name for _, name in REQUESTS])
def test_a_request_travels_under_its_name_and_comes_back_as_it_was(request_: Request, name: str) -> None:
    assert request_type(request_) == name
    assert decode_request(name, encode_request(request_)) == request_


def test_every_request_is_tried_above() -> None:
    assert {type(request) for request, _ in REQUESTS} == set(Request.__subclasses__())


def test_the_type_is_not_part_of_the_payload() -> None:
    assert encode_request(GetStatus()) == b"{}"
    assert encode_request(CancelTask(task=DRAFT, epoch=1)) == b'{"epoch":1,"reason":"","task":"draft"}'


def test_equal_requests_give_equal_payloads() -> None:
    one = AuctionClosed(auction="a", awards={DRAFT: ANN, READ: BOB})
    other = AuctionClosed(auction="a", awards={READ: BOB, DRAFT: ANN})
    assert encode_request(one) == encode_request(other)


def test_a_type_nobody_knows_is_the_users_own() -> None:
    assert decode_request("tune", b'{"pitch":440}') == Custom(name="tune", data={"pitch": 440})


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        ("EXECUTE_TASK", b"{}", "EXECUTE_TASK: the payload does not fit: Object missing required field `task`"),
        ("CANCEL_TASK", b'{"task":1,"epoch":1}', "CANCEL_TASK: the payload does not fit: Expected `str`, got `int`"),
        ("GET_STATUS", b"[1", "GET_STATUS: the payload does not fit: "),
        ("tune", b"{", "tune: the payload does not fit: "),
        ("REQUEST_BID", b'{"auction":"a","closes_at":1,"tasks":[{"id":""}]}', "cannot name a task"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_type_and_the_reason(name: str, payload: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_request(name, payload)
    assert message in caught.value.message


def test_a_notice_expects_no_reply_and_all_else_does() -> None:
    notices = {name for request, name in REQUESTS if type(request).notice}
    told = {"REJECT_PROPOSAL", "CONTRACT_ENDED", "NOT_UNDERSTOOD"}
    assert notices == {"ANNOUNCE_AUCTION", "AUCTION_CLOSED", "CANCEL_TASK", "COALITION_CHANGED", *told}


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
