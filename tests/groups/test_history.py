"""What is remembered of coalitions, and what later ones make of it."""

import msgspec
import pytest

from concerted.groups import history
from concerted.groups.bargaining import ProfitSharing
from concerted.groups.coalition import Coalition, Consent, complete, dissolve, establish, fail, govern, propose
from concerted.groups.formation import Terms, assess
from concerted.groups.games import coalition_sizes
from concerted.groups.history import Ending, History, Record, ending_of, recalled, remember
from concerted.groups.leadership import Candidate
from concerted.values import AgentId, Task, TaskId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")
TASK = Task(id=TaskId("t"))


def active(*agents: AgentId) -> Coalition:
    count = len(agents)
    valued = assess(coalition_sizes(count) * 1.0, agents, (1 << count) - 1, Terms())
    shares = ProfitSharing(
        shares=dict.fromkeys(agents, 1.0), acceptance_rate=1.0, negotiation_rounds=1, finalized_at=0.0
    )
    lead = govern([Candidate(agent, {}) for agent in agents], TASK, shares.shares)
    return establish(propose("c", valued, TASK, shares, lead, 0.0), Consent(agents, (), ()), 0.0)


def test_of_whom_nothing_is_known_the_best_is_thought() -> None:
    assert History().reliability(ANN) == pytest.approx(0.9)
    assert History().reliability(ANN, prior=0.5) == pytest.approx(0.5)


def test_who_delivers_is_relied_on_more_and_who_does_not_less() -> None:
    well = remember(History(), complete(active(ANN, BOB), 5.0))
    ill = remember(History(), fail(active(ANN, BOB), "no result", 5.0))
    assert well.agents == dict.fromkeys((ANN, BOB), Record(completed=1, at=5.0))
    assert ill.reliability(ANN) == pytest.approx(1.8 / 3)
    assert well.reliability(ANN) == pytest.approx(2.8 / 3)


def test_pairs_who_did_well_together_have_a_synergy() -> None:
    known = remember(History(), complete(active(ANN, BOB), 5.0))
    known = remember(known, fail(active(BOB, CY), "no result", 6.0))
    assert known.rapports(6.0) == pytest.approx({(ANN, BOB): 2, (BOB, CY): -2})


def test_a_member_who_was_lost_is_remembered_for_that_alone() -> None:
    lost = msgspec.structs.replace(active(BOB, CY), lost=(ANN,))
    known = remember(History(), complete(lost, 5.0))
    assert known.agents[ANN] == Record(left=1, at=5.0)
    assert known.agents[BOB].completed == 1
    gone = remember(History(), dissolve(lost, "ann is lost", 5.0))
    assert gone == History(agents={ANN: Record(left=1, at=5.0)})


def test_a_refusal_is_remembered_and_held_against_nobody() -> None:
    proposed = msgspec.structs.replace(active(ANN, BOB), status="proposed")
    known = remember(History(), establish(proposed, Consent((ANN,), (BOB,), ()), 4.0))
    assert known == History(agents={BOB: Record(refused=1, at=4.0)})
    assert known.reliability(BOB) == History().reliability(BOB)


def test_what_is_not_over_is_not_remembered() -> None:
    before = History()
    assert remember(before, active(ANN, BOB)) is before


def test_what_was_longest_ago_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_REMEMBERED", 2)
    known = remember(History(), complete(active(ANN, BOB), 5.0))
    known = remember(known, complete(active(BOB, CY), 6.0))
    known = remember(known, complete(active(ANN, CY), 7.0))
    assert list(known.agents) == [ANN, CY]
    assert {first: list(others) for first, others in known.pairs.items()} == {ANN: [CY], BOB: [CY]}


def test_a_history_has_a_json_form() -> None:
    known = remember(History(), complete(active(ANN, BOB), 5.0))
    assert msgspec.json.decode(msgspec.json.encode(known), type=History) == known


def test_endings_recalled_at_once_are_as_if_each_had_been_remembered_in_turn() -> None:
    refused = establish(msgspec.structs.replace(active(ANN, CY), status="proposed"), Consent((ANN,), (CY,), ()), 4.0)
    lost = msgspec.structs.replace(active(BOB, CY), lost=(ANN,))
    ended = [refused, complete(active(ANN, BOB), 5.0), fail(active(BOB, CY), "no result", 6.0), dissolve(lost, "", 7.0)]
    known = History()
    for each in ended:
        known = remember(known, each)
    assert recalled([(each.ended_at or 0.0, ending_of(each)) for each in ended]) == known
    assert known.agents[CY] == Record(failed=1, refused=1, at=6.0)
    assert recalled([(1.0, Ending(status="active", agents=(ANN,)))]) == History()
