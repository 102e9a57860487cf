"""The requests travel under the names that the specification spells, and come back as they were."""

import pytest

from concerted.messages import (
    AgreeToContract,
    AnnounceAuction,
    AssumeLeadership,
    AuctionClosed,
    Average,
    CallForProposals,
    CancelTask,
    CheckProgress,
    Claims,
    CoalitionChanged,
    ContractAcceptance,
    ContractEnded,
    ContractTerms,
    CounterOffer,
    Custom,
    DecomposeObjective,
    ExecuteTask,
    FindTrip,
    FollowLeader,
    GetCapabilities,
    GetStatus,
    Judge,
    NotUnderstood,
    ProposeDivision,
    RejectProposal,
    Request,
    RequestBid,
    RequestDivision,
    RequestVote,
    ShareOut,
    ValueCoalitions,
    decode_request,
    encode_request,
    request_type,
)
from concerted.values import AgentId, Objective, Task, TaskId

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
    (
        ShareOut(
            auction="a-1",
            round=2,
            tasks=(DRAFT,),
            worth={DRAFT: 1.5},
            most=1,
            own=Claims(agent=ANN, step=1),
            told=(Claims(agent=AgentId("bob"), step=1, claims={DRAFT: (AgentId("bob"), 2.0)}, bundle=(DRAFT,)),),
        ),
        "SHARE_OUT",
    ),
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
    here = {kind for kind in Request.__subclasses__() if kind.__module__ == Request.__module__}
    assert {type(request) for request, _ in REQUESTS} == here


def test_a_notice_expects_no_reply_and_all_else_does() -> None:
    notices = {name for request, name in REQUESTS if type(request).notice}
    told = {"REJECT_PROPOSAL", "CONTRACT_ENDED", "NOT_UNDERSTOOD"}
    assert notices == {"ANNOUNCE_AUCTION", "AUCTION_CLOSED", "CANCEL_TASK", "COALITION_CHANGED", *told}
