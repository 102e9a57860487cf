"""The contract net as a conversation: what manager and one contractor may say to each other, and when.

    none --cfp--> called --propose--> proposed --accept-proposal--> accepted --agree--> active
    called --refuse, not-understood--> refused      called --reply-by--> closed --propose--> rejected, as late
    proposed --cfp--> recalled --propose--> proposed anew; refuse, not-understood, reply-by--> proposed as before
    proposed --reject-proposal--> rejected          accepted --refuse, not-understood, reply-by--> declined
    active --inform-done, inform-result--> done     active --failure, expire, lost--> failed
    active --refuse--> decommitted                  active --cancel--> cancelled

`reply-by`, `expire` and `lost` are no messages: nothing came in time, the contract is over, the agent is gone.
What is not in the table is illegal.  Of a contractor it is answered not-understood and changes nothing; of
the manager it would be our own mistake.

Sources: FIPA SC00029H, Contract Net Interaction Protocol; FIPA SC00030H, Iterated Contract Net Interaction
Protocol, for cfp after propose; Sandholm & Lesser 2001, "Leveled commitment contracts", for refuse and cancel
when a contract stands; the cancel meta-protocol of both for cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from concerted.errors import WrongPhase
from concerted.messages import Proposal
from concerted.values import AgentId

__all__ = ["ACTS", "CONTRACTOR_ACTS", "STATES", "TRANSITIONS", "Act", "Conversation", "State"]

State = Literal[
    "none", "called", "recalled", "proposed", "refused", "closed", "rejected",
    "accepted", "declined", "active", "done", "failed", "cancelled", "decommitted",
]  # fmt: skip
ManagerAct = Literal["cfp", "accept-proposal", "reject-proposal", "cancel"]
ContractorAct = Literal["propose", "refuse", "not-understood", "agree", "inform-done", "inform-result", "failure"]
WorldAct = Literal["reply-by", "expire", "lost"]
Act = ManagerAct | ContractorAct | WorldAct

STATES: tuple[State, ...] = get_args(State)
CONTRACTOR_ACTS: tuple[ContractorAct, ...] = get_args(ContractorAct)
ACTS: tuple[Act, ...] = (*get_args(ManagerAct), *CONTRACTOR_ACTS, *get_args(WorldAct))

TRANSITIONS: Mapping[State, Mapping[Act, State]] = {
    "none": {"cfp": "called"},
    "called": {
        "propose": "proposed",
        "refuse": "refused",
        "not-understood": "refused",
        "reply-by": "closed",
        "lost": "closed",
        "cancel": "closed",
    },
    "recalled": {
        "propose": "proposed",
        "refuse": "proposed",
        "not-understood": "proposed",
        "reply-by": "proposed",
        "lost": "closed",
        "cancel": "closed",
    },
    "proposed": {
        "cfp": "recalled",
        "accept-proposal": "accepted",
        "reject-proposal": "rejected",
        "expire": "closed",
        "lost": "closed",
    },
    "closed": {"propose": "rejected", "refuse": "closed", "not-understood": "closed"},
    "refused": {},
    "rejected": {},
    "accepted": {
        "agree": "active",
        "refuse": "declined",
        "not-understood": "declined",
        "reply-by": "declined",
        "lost": "declined",
        "cancel": "cancelled",
    },
    "declined": {},
    "active": {
        "inform-done": "done",
        "inform-result": "done",
        "failure": "failed",
        "refuse": "decommitted",
        "expire": "failed",
        "lost": "failed",
        "cancel": "cancelled",
    },
    "done": {},
    "failed": {},
    "cancelled": {},
    "decommitted": {},
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where one contractor stands in one call.  proposal: its newest, which binds it in state `proposed`."""

    contractor: AgentId
    state: State = "none"
    proposal: Proposal | None = None

    def allows(self, act: Act) -> bool:
        """Say whether this may be said, or happen, now."""
        return act in TRANSITIONS[self.state]

    def after(self, act: Act, proposal: Proposal | None = None) -> Conversation:
        """Return where the conversation stands after an act; a late proposal is not taken up.

        Raises:
            WrongPhase: it is not legal now.
        """
        if not self.allows(act):
            legal = ", ".join(TRANSITIONS[self.state]) or "nothing"
            raise WrongPhase(
                f"{act} cannot come from or for {self.contractor} in a conversation that is {self.state}; {legal} can",
                agent=self.contractor,
            )
        state = TRANSITIONS[self.state][act]
        if act == "propose" and state == "proposed":
            assert proposal is not None, "a propose without its proposal"
            return replace(self, state=state, proposal=proposal)
        return replace(self, state=state)
