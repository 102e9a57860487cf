"""What the rounds of an auction came to."""

from concerted.allocation.criteria import Offer, score_offers
from concerted.board.task import TaskState
from concerted.config.settings import Auction
from concerted.strategies.auctions import sales
from concerted.strategies.auctions.sales import Owed, Round, Sales, Told
from concerted.values import AgentId, Task, TaskId

RULES = Auction()
A, B = Task(id=TaskId("a"), max_budget=10.0), Task(id=TaskId("b"), max_budget=10.0)
STATES = {task.id: TaskState(task, "ready") for task in (A, B)}


def offer(agent: str, task: Task, cost: float) -> Offer:
    return Offer(agent=AgentId(agent), task=task.id, cost=cost, duration_s=10.0)


def closed(*offers: Offer, sold: dict[str, Offer] | None = None, at: float = 1.0) -> Round:
    tasks = {task.id: task for task in (A, B)}
    scores = score_offers(tasks, offers, RULES.evaluation_criteria)
    awards = {TaskId(task): one for task, one in (sold or {}).items()}
    unsold = {task: "nobody who can do it has bid" for task in tasks if task not in awards}
    return Round(at, tasks, offers, scores, awards, unsold, {AgentId("cy"): "timeout"})


def test_each_task_has_its_newest_result() -> None:
    kept = Sales(RULES, with_reasons=False)
    first, second = offer("ann", A, 3.0), offer("bob", B, 4.0)
    kept.remember(closed(first, sold={"a": first}, at=1.0))
    kept.remember(closed(second, sold={"b": second}, at=2.0))
    result = kept.result(STATES)
    told = [(one.task_id, one.winner_id, one.success, one.auction_time, one.reason) for one in result.auction_results]
    assert told == [("a", None, False, 2.0, "nobody who can do it has bid"), ("b", "bob", True, 2.0, "")]
    assert result.rounds == 2


def test_bids_are_told_best_first_and_reasons_only_on_request() -> None:
    dear, cheap = offer("ann", A, 9.0), offer("bob", A, 1.0)
    for with_reasons in (False, True):
        kept = Sales(RULES, with_reasons)
        kept.remember(closed(dear, cheap, sold={"a": cheap}))
        record = kept.result(STATES).auction_results[0]
        assert [bid.bidder for bid in record.all_bids] == ["bob", "ann"]
        assert [bid.parts is not None for bid in record.all_bids] == [with_reasons, with_reasons]
        assert [bool(bid.reason) for bid in record.all_bids] == [False, with_reasons]
        assert record.no_bids == ({AgentId("cy"): "timeout"} if with_reasons else {})


def test_beyond_the_bound_bids_are_counted_and_not_told() -> None:
    many = [offer(f"ann-{number}", A, 1.0) for number in range(sales.BIDS_SHOWN + 1)]
    kept = Sales(RULES, with_reasons=False)
    kept.remember(closed(*many, sold={"a": many[0]}))
    record = kept.result(STATES).auction_results[0]
    assert (record.bid_count, record.all_bids) == (sales.BIDS_SHOWN + 1, ())
    assert record.winning_bid is not None


def test_a_task_that_was_never_offered_has_no_result() -> None:
    result = Sales(RULES, with_reasons=False).result(STATES)
    assert (result.auction_results, result.execution_results, result.total_tasks) == ((), (), 2)


def test_what_is_owed_is_due_if_all_of_it_was_done_by_whom_it_was_promised_to() -> None:
    kept = Sales(RULES, with_reasons=True)
    of_a, of_b = offer("ann", A, 6.0), offer("ann", B, 6.0)
    both = Owed(AgentId("ann"), (A.id, B.id), 7.0, "vcg: 6, and 1 that the whole owes to ann")
    told = [Told(both.tasks, {"price": 14.0}, "")] * 2
    tasks = {task.id: task for task in (A, B)}
    awards = {A.id: of_a, B.id: of_b}
    kept.remember(Round(1.0, tasks, [of_a, of_b], [14.0, 14.0], awards, {}, {}, told=told, owed=[both]))

    def due(**agents: str) -> list[tuple[str, bool]]:
        states = {task.id: TaskState(task, "done", agent=AgentId(agents[task.id])) for task in (A, B)}
        return [(one.agent_id, one.due) for one in kept.result(states).payments]

    assert due(a="ann", b="ann") == [("ann", True)]
    assert due(a="ann", b="bob") == [("ann", False)]
    (first, _) = kept.result(STATES).auction_results
    assert first.winning_bid is not None
    assert (first.winning_bid.tasks, first.winning_bid.parts) == (("a", "b"), {"price": 14.0})
    again = offer("bob", B, 3.0)
    promised = Owed(AgentId("bob"), (B.id,), 3.0, "as bid")
    alone = {B.id: B}
    kept.remember(
        Round(2.0, alone, [again], [3.0], {B.id: again}, {}, {}, told=[Told((B.id,), {}, "")], owed=[promised])
    )
    assert due(a="ann", b="bob") == [("ann", False), ("bob", True)]
