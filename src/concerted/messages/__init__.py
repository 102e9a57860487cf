"""What travels between a coordinator and its agents: the envelope, the requests, the replies."""

from __future__ import annotations

from concerted.messages.coding import decode_request, encode_request, request_type
from concerted.messages.envelope import ENVELOPE_BYTES, Beat, Envelope, Reply, ReplyStatus
from concerted.messages.replicas import DismissReplica, HostReplica, PrepareReplica
from concerted.messages.requests import (
    AgreeToContract,
    AnnounceAuction,
    AssumeLeadership,
    AuctionClosed,
    Average,
    Bid,
    Bids,
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
    Judgement,
    NotUnderstood,
    PenaltyClauses,
    Proposal,
    ProposeDivision,
    RejectProposal,
    Request,
    RequestBid,
    RequestDivision,
    RequestVote,
    ShareOut,
    ValueCoalitions,
)

__all__ = [
    "ENVELOPE_BYTES", "AgreeToContract", "AnnounceAuction", "AssumeLeadership", "AuctionClosed", "Average",
    "Beat", "Bid", "Bids", "CallForProposals", "CancelTask", "CheckProgress", "Claims", "CoalitionChanged",
    "ContractAcceptance", "ContractEnded", "ContractTerms", "CounterOffer", "Custom", "DecomposeObjective",
    "DismissReplica", "Envelope", "ExecuteTask", "FindTrip", "FollowLeader", "GetCapabilities", "GetStatus",
    "HostReplica", "Judge", "Judgement", "NotUnderstood", "PenaltyClauses", "PrepareReplica", "Proposal",
    "ProposeDivision", "RejectProposal", "Reply", "ReplyStatus", "Request", "RequestBid", "RequestDivision",
    "RequestVote", "ShareOut", "ValueCoalitions", "decode_request", "encode_request", "request_type",
]  # fmt: skip
