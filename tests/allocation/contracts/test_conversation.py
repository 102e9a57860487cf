"""The contract net's table: every act in every state, legal or not, as FIPA SC00029 and SC00030 have it."""

import pytest

from concerted.allocation.contracts.conversation import ACTS, CONTRACTOR_ACTS, STATES, TRANSITIONS, Conversation
from concerted.errors import WrongPhase
from concerted.messages import Proposal
from concerted.values import AgentId

ANN = AgentId("ann")
OFFER = Proposal(cost=2.0)

# One row a state, one column an act; the next state by its first letters, `.` is illegal.
NEXT = {
    "no": "none", "cal": "called", "rec": "recalled", "pro": "proposed", "ref": "refused", "clo": "closed",
    "rej": "rejected", "acc": "accepted", "dcl": "declined", "act": "active", "don": "done", "fai": "failed",
    "can": "cancelled", "dec": "decommitted", ".": None,
}  # fmt: skip
TABLE = """
              cfp  accept reject cancel propose refuse not-und agree inf-done inf-res failure reply-by expire lost
none          cal  .      .      .      .       .      .       .     .        .       .       .        .      .
called        .    .      .      clo    pro     ref    ref     .     .        .       .       clo      .      clo
recalled      .    .      .      clo    pro     pro    pro     .     .        .       .       pro      .      clo
proposed      rec  acc    rej    .      .       .      .       .     .        .       .       .        clo    clo
refused       .    .      .      .      .       .      .       .     .        .       .       .        .      .
closed        .    .      .      .      rej     clo    clo     .     .        .       .       .        .      .
rejected      .    .      .      .      .       .      .       .     .        .       .       .        .      .
accepted      .    .      .      can    .       dcl    dcl     act   .        .       .       dcl      .      dcl
declined      .    .      .      .      .       .      .       .     .        .       .       .        .      .
active        .    .      .      can    .       dec    .       .     don      don     fai     .        fai    fai
done          .    .      .      .      .       .      .       .     .        .       .       .        .      .
failed        .    .      .      .      .       .      .       .     .        .       .       .        .      .
cancelled     .    .      .      .      .       .      .       .     .        .       .       .        .      .
decommitted   .    .      .      .      .       .      .       .     .        .       .       .        .      .
"""
ORDER = (
    "cfp", "accept-proposal", "reject-proposal", "cancel", "propose", "refuse", "not-understood", "agree",
    "inform-done", "inform-result", "failure", "reply-by", "expire", "lost",
)  # fmt: skip
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]
EVERY = [(row[0], act, NEXT[cell]) for row in ROWS for act, cell in zip(ORDER, row[1:], strict=True)]


def test_the_table_has_every_state_and_every_act() -> None:
    assert tuple(row[0] for row in ROWS) == STATES
    assert ORDER == ACTS
    assert len(EVERY) == len(STATES) * len(ACTS)


@pytest.mark.parametrize(("state", "act", "following"), EVERY)
def test_each_act_in_each_state_is_as_the_table_says(state: str, act: str, following: str | None) -> None:
    talk = Conversation(ANN, state, OFFER)
    assert talk.allows(act) == (following is not None)
    if following is None:
        with pytest.raises(WrongPhase, match=f"{act} cannot come from or for ann in a conversation that is {state}"):
            talk.after(act, OFFER)
        assert talk == Conversation(ANN, state, OFFER)
    else:
        assert talk.after(act, OFFER).state == following


def test_every_state_can_be_reached() -> None:
    reached = {"none"}
    for _ in STATES:
        reached |= {state for one in reached for state in TRANSITIONS[one].values()}
    assert reached == set(STATES)


def test_a_contract_comes_only_of_a_proposal_that_was_accepted_and_agreed_to() -> None:
    into = {(state, act) for state, acts in TRANSITIONS.items() for act, after in acts.items() if after == "active"}
    assert into == {("accepted", "agree")}
    into = {(state, act) for state, acts in TRANSITIONS.items() for act, after in acts.items() if after == "accepted"}
    assert into == {("proposed", "accept-proposal")}


def test_what_has_ended_has_ended() -> None:
    ended = {state for state in STATES if not TRANSITIONS[state]}
    assert ended == {"refused", "rejected", "declined", "done", "failed", "cancelled", "decommitted"}
    assert not any(set(CONTRACTOR_ACTS) & set(TRANSITIONS[state]) for state in ended)


def test_a_proposal_stands_until_a_newer_one_replaces_it() -> None:
    talk = Conversation(ANN).after("cfp").after("propose", OFFER).after("cfp")
    assert talk.after("refuse") == Conversation(ANN, "proposed", OFFER)
    assert talk.after("reply-by") == Conversation(ANN, "proposed", OFFER)
    assert talk.after("propose", Proposal(cost=1.0)) == Conversation(ANN, "proposed", Proposal(cost=1.0))


def test_a_late_proposal_is_rejected_and_not_taken_up() -> None:
    closed = Conversation(ANN).after("cfp").after("reply-by")
    assert closed.after("propose", OFFER) == Conversation(ANN, "rejected", None)


def test_the_error_says_what_could_have_come() -> None:
    with pytest.raises(WrongPhase, match="propose, refuse, not-understood, reply-by, lost, cancel can"):
        Conversation(ANN, "called").after("agree")
    with pytest.raises(WrongPhase, match="nothing can"):
        Conversation(ANN, "done").after("agree")
