"""The desk: fence, inbox, functions, cancelling, progress."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted.agent import Agent, FileInbox, Refused, Work, reports
from concerted.agent import desk as desk_module
from concerted.agent.desk import Desk
from concerted.agent.inbox import Inbox
from concerted.messages import (
    AssumeLeadership,
    AuctionClosed,
    Beat,
    CancelTask,
    Custom,
    Envelope,
    ExecuteTask,
    FollowLeader,
    GetStatus,
    Reply,
    RequestBid,
)
from concerted.testing.link_exam import Heard, envelope
from concerted.values import Objective, Task


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


def at_desk(agent: Agent, heard: Heard, inbox: Inbox | None = None) -> Desk:
    desk = Desk(agent, inbox, now=lambda: 12.0)
    desk.open(heard.replied, heard.beat)
    return desk


def execute(key: str, *, kind: str = "", epoch: int = 1, **payload: Any) -> Envelope:
    return envelope(ExecuteTask(task=Task(id=key, kind=kind, payload=payload), epoch=epoch, lease_s=9.0), key)


def ask(agent: Agent, *envelopes: Envelope) -> list[Reply]:
    """Let an agent answer, with everything it starts, and return its replies."""
    heard = Heard.__new__(Heard)
    replies: list[Reply] = []

    async def main() -> None:
        heard.__init__()
        desk = at_desk(agent, heard)
        for each in envelopes:
            desk.take(each)
        await desk.drain(5.0)
        await desk.close()
        replies.extend(heard.replies)

    run(main)
    return replies


# functions and what becomes of what they return


def test_the_function_for_the_kind_is_called_and_else_the_one_for_any_kind() -> None:
    ann = Agent("ann")
    ann.task("draft")(lambda task: f"draft of {task.payload['topic']}")
    ann.task()(lambda task: "anything")
    replies = ask(ann, execute("a", kind="draft", topic="tea"), execute("b", kind="other"))
    assert {reply.key: reply.value for reply in replies} == {"a": "draft of tea", "b": "anything"}


def test_a_function_may_take_the_work_and_reads_key_epoch_and_results_there() -> None:
    ann = Agent("ann")

    @ann.task()
    async def do(task: Task, work: Work) -> Any:
        return [work.key, work.epoch, work.results, work.cancelled.is_set()]

    request = ExecuteTask(task=Task(id="t"), epoch=7, lease_s=1.0, results={"before": 1})
    (reply,) = ask(ann, envelope(request, "k", epoch=3))
    assert reply.value == ["k", 7, {"before": 1}, False]


def test_what_is_raised_is_told() -> None:
    ann = Agent("ann")

    @ann.task("fails")
    async def fails(task: Task) -> None:
        raise KeyError("topic")

    @ann.task("exits")
    def exits(task: Task) -> None:
        raise SystemExit(3)

    @ann.task("refuses")
    def refuses(task: Task) -> None:
        raise Refused("I do not write about tea")

    replies = ask(ann, *(execute(kind, kind=kind) for kind in ("fails", "exits", "refuses", "unheard-of")))
    told = {reply.key: (reply.status, reply.error) for reply in replies}
    assert told == {
        "fails": ("failed", "KeyError: 'topic'"),
        "exits": ("failed", "RuntimeError: SystemExit: 3"),
        "refuses": ("refused", "I do not write about tea"),
        "unheard-of": ("refused", "agent ann has no function for tasks unheard-of"),
    }


def test_the_traceback_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ann = Agent("ann")

    @ann.on("REVIEW")
    def review(request: Custom) -> None:
        raise ValueError("page 3")

    with caplog.at_level("INFO", "concerted.agent"):
        ask(ann, envelope(Custom(name="REVIEW"), "k"))
    assert caplog.records[0].exc_info is not None
    assert "page 3" in caplog.text


def test_a_result_without_a_json_form_is_a_failure_and_a_rich_one_becomes_plain() -> None:
    ann = Agent("ann")
    ann.task("bad")(lambda task: {"when": object()})
    ann.task("rich")(lambda task: {"task": Task(id="x"), "pair": (1, 2)})
    bad, rich = sorted(ask(ann, execute("bad", kind="bad"), execute("rich", kind="rich")), key=lambda r: r.key)
    assert bad.status == "failed"
    assert "no JSON form" in (bad.error or "")
    assert msgspec.json.decode(msgspec.json.encode(rich.value)) == {"task": {"id": "x"}, "pair": [1, 2]}


def test_an_inner_cancellation_is_a_failure_and_not_silence() -> None:
    ann = Agent("ann")

    @ann.task()
    async def do(task: Task) -> None:
        raise asyncio.CancelledError

    (reply,) = ask(ann, execute("k"))
    assert reply.status == "failed"


def test_a_request_is_answered_by_its_function_and_else_by_default() -> None:
    ann = Agent("ann")
    ann.on(GetStatus)(lambda request: {"mood": "good"})
    ann.on("REVIEW")(lambda request: len(request.data))
    ann.on("*")(lambda request: request.name.lower())
    replies = ask(
        ann,
        envelope(GetStatus(), "a"),
        envelope(Custom(name="REVIEW", data=[1, 2]), "b"),
        envelope(Custom(name="PING"), "c"),
        envelope(RequestBid(auction="x", tasks=(), closes_at=0.0), "d"),
    )
    assert [reply.value for reply in replies[:3]] == [{"mood": "good"}, 2, "ping"]
    assert replies[3].value["reason"] == "no tasks were offered"


def test_a_notice_calls_its_function_and_is_never_answered() -> None:
    seen: list[Any] = []
    ann = Agent("ann")
    ann.on(AuctionClosed)(seen.append)
    assert ask(ann, envelope(AuctionClosed(auction="x", awards={"t": "ann"}), "n")) == []
    assert seen[0].awards == {"t": "ann"}


def test_a_payload_that_does_not_fit_is_a_failure() -> None:
    bad = Envelope(
        id="m", type="EXECUTE_TASK", destination="ann", payload=msgspec.Raw(b'{"task": 3}'), idempotency_key="k"
    )
    (reply,) = ask(Agent("ann"), bad)
    assert reply.status == "failed"
    assert "EXECUTE_TASK: the payload does not fit" in (reply.error or "")


def test_one_payload_for_many_agents_is_decoded_once() -> None:
    seen: list[Any] = []
    payload = msgspec.Raw(b'{"data": 1}')
    ann, bob = Agent("ann"), Agent("bob")
    for agent in (ann, bob):
        agent.on("LOOK")(lambda request: seen.append(request))
        ask(agent, Envelope(id="m", type="LOOK", destination=agent.id, payload=payload, idempotency_key="k"))
    ask(
        ann, Envelope(id="m", type="LOOK", destination="ann", payload=msgspec.Raw(b'{"data": 1}'), idempotency_key="k2")
    )
    ask(
        ann, Envelope(id="m", type="LOOK", destination="ann", payload=msgspec.Raw(b'{"data": 2}'), idempotency_key="k3")
    )
    assert seen[0] is seen[1]
    assert seen[0] is seen[2]
    assert [request.data["data"] for request in seen] == [1, 1, 1, 2]


# epochs and terms


def test_a_lower_epoch_is_refused_and_another_coordination_is_another_matter() -> None:
    ann = Agent("ann")
    ann.on("PING")(lambda request: "pong")
    ping = Custom(name="PING")
    other = msgspec.structs.replace(envelope(ping, "c", epoch=1), coordination_id="other")
    outside = msgspec.structs.replace(envelope(ping, "d", epoch=0), coordination_id=None)
    replies = ask(ann, envelope(ping, "a", epoch=4), envelope(ping, "b", epoch=3), other, outside)
    assert [(reply.key, reply.status) for reply in replies] == [
        ("a", "ok"),
        ("b", "refused"),
        ("c", "ok"),
        ("d", "ok"),
    ]
    assert replies[1].error == "stale coordinator epoch 3, have seen 4"


def test_a_stale_coordinator_can_cancel_nothing() -> None:
    async def test() -> None:
        ann, heard = Agent("ann"), Heard()

        @ann.task()
        async def do(task: Task) -> str:
            await asyncio.sleep(0.01)
            return "done"

        desk = at_desk(ann, heard)
        desk.take(msgspec.structs.replace(execute("k"), epoch=4))
        desk.take(envelope(CancelTask(task="k", epoch=1), "", epoch=3))
        assert (await heard.answer("k")).value == "done"
        await desk.close()

    run(test)


def test_a_lower_term_is_refused() -> None:
    objective = Objective(description="o")
    replies = ask(
        Agent("ann"),
        envelope(FollowLeader(term=2, leader="bob", objective=objective), "a"),
        envelope(AssumeLeadership(term=1, followers=(), objective=objective), "b"),
        envelope(FollowLeader(term=2, leader="bob", objective=objective), "c"),
    )
    assert [reply.status for reply in replies] == ["ok", "refused", "ok"]
    assert replies[1].error == "term 1 is over, have seen 2"


# capacity, cancelling, closing


def test_no_more_than_capacity_at_once_and_the_load_counts_all_that_is_held() -> None:
    async def test() -> None:
        ann, heard, gate = Agent("ann", capacity=2), Heard(), asyncio.Event()
        at_once = most = 0

        @ann.task()
        async def do(task: Task) -> None:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await gate.wait()
            at_once -= 1

        desk = at_desk(ann, heard)
        for number in range(5):
            desk.take(execute(f"k{number}"))
        await asyncio.sleep(0)
        assert (ann.held, ann.load, ann.status().state, len(desk.in_hand)) == (5, 2.5, "busy", 5)
        gate.set()
        await heard.until(lambda: len(heard.replies) == 5)
        assert most == 2
        assert ann.held == 0
        await desk.close()

    run(test)


def test_a_raised_capacity_lets_in_who_waits() -> None:
    async def test() -> None:
        ann, heard, gate = Agent("ann"), Heard(), asyncio.Event()
        begun: list[str] = []

        @ann.task()
        async def do(task: Task) -> None:
            begun.append(task.id)
            await gate.wait()

        desk = at_desk(ann, heard)
        desk.take(execute("a"))
        desk.take(execute("b"))
        await asyncio.sleep(0)
        assert begun == ["a"]
        ann.change(capacity=2)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert begun == ["a", "b"]
        gate.set()
        await desk.drain(1.0)
        await desk.close()

    run(test)


def test_too_much_in_hand_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "COMMANDS_IN_HAND", 2)
    ann = Agent("ann")
    ann.task()(lambda task: None)
    replies = ask(ann, *(execute(f"k{number}") for number in range(3)))
    assert (replies[0].key, replies[0].status) == ("k2", "refused")
    assert "its bound; ask later" in (replies[0].error or "")


def test_a_waiting_task_that_is_cancelled_never_begins() -> None:
    async def test() -> None:
        ann, heard, gate = Agent("ann"), Heard(), asyncio.Event()
        begun: list[str] = []

        @ann.task()
        async def do(task: Task) -> None:
            begun.append(task.id)
            await gate.wait()

        desk = at_desk(ann, heard)
        desk.take(execute("a"))
        desk.take(execute("b"))
        await asyncio.sleep(0)
        desk.take(envelope(CancelTask(task="b", epoch=1), ""))
        assert (await heard.answer("b")).status == "cancelled"
        gate.set()
        assert (await heard.answer("a")).ok
        assert begun == ["a"]
        await desk.close()

    run(test)


def test_a_plain_function_is_told_of_the_cancelling_and_its_result_is_not_used() -> None:
    async def test() -> None:
        ann, heard, begun = Agent("ann"), Heard(), threading.Event()

        @ann.task()
        def do(task: Task, work: Work) -> str:
            begun.set()
            work.cancelled.wait(5)
            return "too late"

        desk = at_desk(ann, heard)
        desk.take(execute("k"))
        await asyncio.to_thread(begun.wait, 5)
        desk.take(envelope(CancelTask(task="k", epoch=2), ""))
        assert desk.holds("k"), "that was another claim on the task"
        desk.take(envelope(CancelTask(task="k", epoch=1), ""))
        reply = await heard.answer("k")
        assert (reply.status, reply.value) == ("cancelled", None)
        await desk.close()

    run(test)


def test_a_plain_function_that_hangs_does_not_keep_the_desk_from_closing() -> None:
    async def test() -> None:
        ann, heard, begun, end = Agent("ann"), Heard(), threading.Event(), threading.Event()

        @ann.task()
        def do(task: Task) -> None:
            begun.set()
            end.wait(5)

        desk = at_desk(ann, heard)
        desk.take(execute("k"))
        await asyncio.to_thread(begun.wait, 5)
        await asyncio.wait_for(desk.close(), 1)
        end.set()
        assert heard.replies == []

    run(test)


def test_a_desk_that_is_closing_begins_nothing_new_but_answers_what_it_knows() -> None:
    async def test() -> None:
        ann, heard = Agent("ann"), Heard()
        ann.task()(lambda task: "done")
        desk = at_desk(ann, heard)
        desk.take(execute("a"))
        await heard.answer("a")
        desk.closing = "agent ann is leaving"
        desk.take(execute("a"))
        desk.take(execute("b"))
        assert [(r.status, r.cached) for r in heard.replies[1:]] == [("ok", True), ("refused", False)]
        await desk.close()

    run(test)


# progress


def test_progress_is_told_at_once_and_the_newest_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PROGRESS_S", 0.02)

    async def test() -> None:
        ann, heard, gate = Agent("ann"), Heard(), asyncio.Event()

        @ann.task()
        async def do(task: Task, work: Work) -> None:
            for step in range(1, 101):
                await work.progress(step, 100)
            await gate.wait()

        desk = at_desk(ann, heard)
        desk.take(execute("k"))
        await heard.until(lambda: heard.beats and heard.beats[-1].progress == {"k": (100, 100)})
        assert len(heard.beats) <= 3
        assert heard.beats[0] == Beat(
            agent="ann", status=ann.status(12.0), running=("k",), progress=heard.beats[0].progress
        )
        gate.set()
        await heard.answer("k")
        await desk.close()

    run(test)


def test_a_plain_function_reports_from_its_thread() -> None:
    async def test() -> None:
        ann, heard, end = Agent("ann"), Heard(), threading.Event()

        @ann.task()
        def do(task: Task, work: Work) -> None:
            work.progress(1, 2)
            end.wait(5)

        desk = at_desk(ann, heard)
        desk.take(execute("k"))
        await heard.until(lambda: heard.beats)
        assert heard.beats[0].progress == {"k": (1, 2)}
        end.set()
        await heard.answer("k")
        await desk.close()

    run(test)


# the inbox in a file


def interrupted(path: Path, key: str) -> None:
    """Leave behind what a process leaves that was killed at work on a command."""
    inbox = FileInbox(path)
    inbox.start(key)
    inbox.close()


@pytest.mark.parametrize(("on_restart", "status", "runs"), [("fail", "failed", 0), ("run", "ok", 1)])
def test_an_interrupted_task_runs_again_only_if_it_says_so(
    on_restart: Any, status: str, runs: int, tmp_path: Path
) -> None:
    path = tmp_path / "ann.inbox"
    interrupted(path, "k")
    called: list[str] = []

    async def test() -> None:
        ann, heard = Agent("ann"), Heard()

        @ann.task(on_restart=on_restart)
        async def do(task: Task) -> None:
            called.append(task.id)

        desk = at_desk(ann, heard, FileInbox(path))
        desk.take(execute("k"))
        reply = await heard.answer("k")
        assert reply.status == status
        assert reply.error is None or reply.error.startswith("interrupted: ")
        desk.take(execute("k"))
        await heard.until(lambda: len(heard.replies) == 2)
        assert heard.replies[1].cached
        await desk.close()
        desk.inbox.close()

    run(test)
    assert len(called) == runs


def test_a_command_is_begun_and_answered_on_disk_before_anybody_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "ann.inbox"
    order: list[str] = []

    class Recorded(FileInbox):
        def start(self, key: str) -> None:
            super().start(key)
            order.append("begun")

        def finish(self, key: str, reply: Reply) -> None:
            super().finish(key, reply)
            order.append("finished")

    async def test() -> None:
        ann = Agent("ann")
        ann.on("REVIEW")(lambda request: order.append("called"))
        desk = Desk(ann, Recorded(path))
        desk.open(lambda reply: order.append("answered"))
        desk.take(envelope(Custom(name="REVIEW"), "k"))
        await desk.close()
        desk.inbox.close()

    run(test)
    assert order == ["begun", "called", "finished", "answered"]


def test_a_full_disk_means_that_nothing_is_begun(tmp_path: Path) -> None:
    called: list[str] = []

    async def test() -> None:
        ann, heard, inbox = Agent("ann"), Heard(), FileInbox(tmp_path / "ann.inbox")
        ann.task()(lambda task: called.append(task.id))
        ann.on("REVIEW")(lambda request: called.append("REVIEW"))
        inbox._db.execute("PRAGMA query_only = ON")  # every write fails
        desk = at_desk(ann, heard, inbox)
        desk.take(execute("a"))
        desk.take(envelope(Custom(name="REVIEW"), "b"))
        await heard.until(lambda: len(heard.replies) == 2)
        assert {reply.status for reply in heard.replies} == {"failed"}
        await desk.close()
        inbox.close()

    run(test)
    assert called == []
