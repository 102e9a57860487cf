"""Laws of contracts: no walk leaves the table, no settlement exceeds its clauses, and the best proposal is the best."""

from hypothesis import given
from hypothesis import strategies as st

from concerted.allocation.contracts.contract import settle
from concerted.allocation.contracts.conversation import ACTS, TRANSITIONS, Conversation
from concerted.allocation.contracts.negotiation import Bidder, Times, rank
from concerted.allocation.criteria import Offer, floor_reason, score_offers
from concerted.config.settings import Criteria
from concerted.messages import ContractTerms, PenaltyClauses, Proposal
from concerted.values import Task

shares = st.floats(0.0, 3.0)
amounts = st.floats(0.0, 1e6)


@given(st.lists(st.sampled_from(ACTS), max_size=30))
def test_a_contract_is_formed_once_at_most_and_only_after_an_offer_was_accepted_and_agreed_to(acts: list[str]) -> None:
    talk, told = Conversation("ann"), []
    for act in acts:
        if talk.allows(act):
            talk = talk.after(act, Proposal(cost=1.0))
            told.append(act)
        else:
            before = talk
            assert act not in TRANSITIONS[before.state]
    assert told.count("agree") <= 1
    if "agree" in told:
        upto = told[: told.index("agree")]
        assert upto[-1] == "accept-proposal"
        assert "propose" in upto
        assert upto[0] == "cfp"
    assert sum(act in ("inform-done", "inform-result", "failure") for act in told) <= 1


@given(amounts, st.floats(0.0, 1e5), st.floats(0.0, 1e6), shares, shares, shares, st.floats(0.0, 1.0))
def test_penalties_are_bounded_and_both_sides_of_the_book_agree(
    cost: float, duration: float, at: float, late: float, failure: float, leave: float, cap: float
) -> None:
    clauses = PenaltyClauses(late=late, failure=failure, decommitment=leave, cap=cap)
    terms = ContractTerms(
        task="t", contractor="ann", manager="boss", cost=cost, duration_s=duration, start_at=0.0, end_at=duration,
        binds_until=duration, penalty_clauses=clauses,
    )  # fmt: skip
    for status in ("completed", "failed", "decommitted", "cancelled"):
        done = settle(terms, status, at)
        owed = sum(done.penalties.values())
        assert 0.0 <= owed <= cap * cost
        assert all(amount > 0.0 for amount in done.penalties.values())
        assert done.balance == (done.paid + owed if status == "cancelled" else done.paid - owed)
        assert done.paid == (cost if status == "completed" else 0.0)
        if status == "completed":
            assert done.balance >= 0.0
            assert (owed == 0.0) or at > terms.end_at
            assert done.balance >= settle(terms, status, at + 1.0).balance


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"),
        st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 4), st.integers(0, 4), st.booleans()),
        max_size=8,
    )
)
def test_the_best_proposal_is_the_one_that_a_plain_look_at_all_pairs_finds(
    given_: dict[str, tuple[int, int, int, int, bool]],
) -> None:
    task, weights = Task(id="t", max_budget=10.0, max_duration_s=5.0), Criteria()
    proposals = {
        one: Proposal(cost=cost, estimated_duration_s=time, quality_guarantee=level / 4)
        for one, (cost, time, level, _, _) in given_.items()
    }
    bidders = {one: Bidder(reliability=known / 4, has_failed=bad) for one, (_, _, _, known, bad) in given_.items()}
    ranking = rank(task, proposals, bidders, weights, Times(0.0, 1.0))
    offers = {
        one: Offer(agent=one, task="t", cost=p.cost, duration_s=p.estimated_duration_s, quality=p.quality_guarantee,
                   reliability=bidders[one].reliability)
        for one, p in proposals.items()
    }  # fmt: skip
    fit = [one for one in offers if floor_reason(task, offers[one]) is None and offers[one].duration_s <= 5.0]
    assert {one.agent for one in ranking.best} == set(fit)
    assert set(ranking.unfit) == set(offers) - set(fit)

    def beats(one: str, other: str) -> bool:
        mine, theirs = (score_offers({"t": task}, [offers[name]], weights)[0] for name in (one, other))
        ours = (bidders[one].has_failed, -mine, offers[one].cost, one)
        return ours < (bidders[other].has_failed, -theirs, offers[other].cost, other)

    order = [one.agent for one in ranking.best]
    assert all(beats(one, other) for place, one in enumerate(order) for other in order[place + 1 :])
