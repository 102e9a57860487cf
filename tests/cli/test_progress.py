"""The picture of a run, from its events."""

import io
from typing import Any

from rich.console import Console

from concerted.cli.live import LiveScreen
from concerted.cli.progress import LINES, Picture, is_of
from concerted.ports.commands import EventView


def event(kind: str, at: float, **fields: Any) -> EventView:
    return EventView(seq=1, stream_seq=1, at=at, kind=kind, **{"stream": "run:r", "data": None} | fields)


def picture_of(*events: EventView) -> Picture:
    picture = Picture("r")
    for each in events:
        picture.take(each)
    return picture


BEGUN = (
    event("run.created", 100.0, data={"agents": [{"id": "ann"}, {"id": "bob"}]}),
    event("run.started", 100.0),
    event("tasks.added", 100.0, data={"tasks": [{"id": "a"}, {"id": "b"}, {"id": "c", "after": ["a", "b"]}]}),
    event("task.claimed", 101.0, agent="ann", ref="a", data={"epoch": 1}),
)


def test_the_picture_says_who_does_what_and_what_waits_for_what() -> None:
    assert picture_of(*BEGUN).lines(104.5) == [
        "r: active, 0 of 3 tasks done, 1 running, 2 agents, 4.5s",
        "  a  ann  3.5s",
        "  b  waits for an agent",
        "  c  waits for a, b",
    ]


def test_what_is_done_is_no_longer_waited_for() -> None:
    picture = picture_of(
        *BEGUN,
        event("task.done", 105.0, agent="ann", ref="a", data={"epoch": 1}),
        event("task.waiting", 105.0, ref="b", data={"reason": "nobody bids"}),
        event("participant.lost", 106.0, agent="bob", data={"reason": "killed"}),
    )

    assert picture.lines(110.0) == [
        "r: active, 1 of 3 tasks done, 1 agents, 1 lost, 10s",
        "  b  waits for an agent: nobody bids",
        "  c  waits for b",
    ]


def test_a_released_task_waits_again_and_the_end_leaves_nobody_at_work() -> None:
    released = picture_of(*BEGUN, event("task.released", 105.0, agent="ann", ref="a", data={"reason": "lost"}))
    ended = picture_of(*BEGUN, event("run.failed", 105.0, data={}))

    assert "  a  waits for an agent" in released.lines(110.0)
    assert not ended.claims
    assert ended.lines(110.0)[0].startswith("r: failed")


def test_a_picture_has_at_most_twelve_lines_and_counts_the_rest() -> None:
    picture = picture_of(event("tasks.added", 1.0, data={"tasks": [{"id": f"t{n}"} for n in range(1000)]}))

    lines = picture.lines(2.0)

    assert len(lines) == LINES
    assert lines[-1] == "  ... and 990 more"


def test_only_notable_events_are_worth_a_line() -> None:
    picture = picture_of(*BEGUN)

    assert picture.words(event("reply.received", 102.0, agent="ann", ref="1", data={"status": "ok"})) is None
    assert picture.words(event("task.done", 102.5, agent="ann", ref="a", data={"epoch": 1})) == (
        "+2.5s  ann did a; accepted under claim 1"
    )
    gone = event("agent.gone", 103.0, stream="agent:bob", agent="bob", data={"reason": "no heartbeat"})
    assert picture.words(gone) == "+3.0s  bob is gone: no heartbeat"
    child = event("run.completed", 103.0, stream="run:r/1", data={})
    assert picture.words(child) == "+3.0s  run:r/1: run completed"


def test_a_run_whose_name_begins_alike_is_another_run() -> None:
    picture = picture_of(*BEGUN)

    assert is_of(event("run.started", 1.0, stream="run:r/1"), picture)
    assert is_of(event("agent.gone", 1.0, stream="agent:ann", agent="ann"), picture)
    assert not is_of(event("run.started", 1.0, stream="run:r2"), picture)
    assert not is_of(event("agent.gone", 1.0, stream="agent:eve", agent="eve"), picture)


def test_a_terminal_shows_a_bar_and_keeps_what_went_wrong() -> None:
    text = io.StringIO()
    with LiveScreen(Console(file=text, force_terminal=True, width=80)) as screen:
        screen.line("+1.0s  ann did a", trouble=False)
        screen.line("+2.0s  bob is gone", trouble=True)
        screen.picture(picture_of(*BEGUN))

    assert "bob is gone" in text.getvalue()
    assert "ann did a" not in text.getvalue()
    assert "0 of 3 tasks done" in text.getvalue()
