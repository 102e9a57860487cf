"""The journal: what is written, what a replay holds against it, and what it says when they differ."""

import pytest

from concerted.errors import Diverged
from concerted.ports.store import Entry
from concerted.runs.journal import Journal
from concerted.values import encode

SENT = {"type": "HELLO", "agents": ["ann", "bob"], "digest": "d1", "reply_by": 5.0}


def entries(*rows):
    return [
        Entry(seq=place, stream="run:r", stream_seq=place, at=1.0, kind=kind, ref=ref, data=encode(data))
        for place, (kind, ref, data) in enumerate(rows, 1)
    ]


def replaying(*rows):
    journal = Journal("r")
    inputs = journal.begin_replay(entries(*rows))
    for _ in inputs:
        journal.fed()
    return journal


def send(journal, ref="1", **other):
    journal.follow("command.sent", 1.0, ref=ref, data={**SENT, **other})


def test_rows_come_out_once_in_order():
    journal = Journal("r")
    journal.input("signal.received", 1.0, None, "s1", b"{}")
    send(journal)
    journal.follow("note", 2.0, agent="ann", data={"a": 1})
    rows = journal.take()
    assert [(row.stream, row.kind, row.ref) for row in rows] == [
        ("run:r", "signal.received", "s1"), ("run:r", "command.sent", "1"), ("run:r", "note", None),
    ]  # fmt: skip
    assert journal.take() == []


def test_a_replay_gives_back_the_inputs_and_writes_nothing():
    journal = Journal("r")
    inputs = journal.begin_replay(
        entries(("run.created", None, {}), ("run.started", None, {}), ("command.sent", "1", SENT), ("note", None, {}))
    )
    assert [entry.kind for entry in inputs] == ["run.created", "run.started"]
    journal.input("run.started", 1.0, None, None, b"{}")
    send(journal)
    journal.follow("note", 1.0, data={"anything": "else"})
    assert journal.take() == []
    journal.end_replay()
    send(journal, ref="2")
    assert len(journal.take()) == 1


def test_a_changed_deadline_is_no_divergence():
    journal = replaying(("command.sent", "1", SENT))
    send(journal, reply_by=99.0)
    journal.end_replay()


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"type": "GOODBYE"}, r"command 1: HELLO to ann, bob \(payload d1\); the code now does command 1: GOODBYE"),
        ({"agents": ["ann"]}, r"the code now does command 1: HELLO to ann \(payload d1\)"),
        ({"digest": "d2"}, r"the code now does command 1: HELLO to ann, bob \(payload d2\)"),
        ({"ref": "2"}, r"the code now does command 2: HELLO"),
    ],
)
def test_a_command_that_differs_names_both_sides(other, told):
    journal = replaying(("command.sent", "1", SENT))
    with pytest.raises(Diverged, match=told):
        send(journal, **other)


def test_long_lists_of_agents_are_counted():
    journal = replaying(("command.sent", "1", {**SENT, "agents": [f"a{number}" for number in range(100)]}))
    with pytest.raises(Diverged, match="a0, a1, a2, a3, a4 and 95 more"):
        send(journal)


def test_acts_of_other_kinds_are_named_too():
    journal = replaying(
        ("child.started", "1", {"run": "r/1", "strategy": "leaf", "digest": "d"}),
        ("effect.started", "2", {"name": "x"}),
    )
    with pytest.raises(
        Diverged, match=r"child run r/1 of strategy leaf .*; the code now does command 1: local effect y"
    ):
        journal.follow("effect.started", 1.0, ref="1", data={"name": "y"})


def test_an_act_too_many_and_an_act_too_few_diverge():
    with pytest.raises(Diverged, match="the log has nothing more; the code now does command 1"):
        send(replaying(("run.started", None, {})))
    with pytest.raises(Diverged, match=r"the log has command 1: HELLO .*; the code now does nothing more"):
        replaying(("command.sent", "1", SENT)).end_replay()


def test_a_divergence_is_remembered_even_if_the_strategy_catches_it():
    journal = replaying(("command.sent", "1", SENT))
    with pytest.raises(Diverged) as first:
        send(journal, type="OTHER")
    with pytest.raises(Diverged):
        send(journal, type="YET ANOTHER")
    assert journal.divergence is first.value


def ended(status, outcome=None, **fields):
    return (f"run.{status}", None, {"outcome": outcome, **fields})


def test_the_same_end_again_is_right_whatever_its_metrics():
    journal = replaying(("run.started", None, {}), ended("completed", {"result": 1}, metrics={"rounds": 3}))
    journal.follow("run.completed", 1.0, data={"outcome": {"result": 1}, "metrics": {"rounds": 9}})
    journal.end_replay()
    assert journal.take() == []


@pytest.mark.parametrize(
    ("kind", "data", "told"),
    [
        ("run.completed", {"outcome": {"result": 2}}, '"result":1.*"result":2'),
        ("run.failed", {"outcome": None, "error": "new bug"}, "its end, run.failed: new bug"),
    ],
)
def test_another_end_diverges(kind, data, told):
    journal = replaying(("run.started", None, {}), ended("completed", {"result": 1}))
    with pytest.raises(Diverged, match=told):
        journal.follow(kind, 1.0, data=data)


def test_an_end_where_the_log_has_none_and_none_where_it_has_one_diverge():
    with pytest.raises(Diverged, match="the code now does its end"):
        replaying(("run.started", None, {})).follow("run.completed", 1.0, data={"outcome": None})
    with pytest.raises(Diverged, match=r"the log has its end, run\.completed"):
        replaying(("run.started", None, {}), ended("completed")).end_replay()


def test_an_end_that_comes_too_early_diverges():
    journal = Journal("r")
    journal.begin_replay(entries(("run.started", None, {}), ("signal.received", "a", {}), ended("completed")))
    journal.fed()
    with pytest.raises(Diverged):
        journal.follow("run.completed", 1.0, data={"outcome": None})


def test_a_restart_where_the_log_goes_on_diverges():
    with pytest.raises(Diverged, match="a restart"):
        replaying(("run.started", None, {})).follow("run.restarted", 1.0, data={})


PARKED = ("run.parked", None, {"reason": "why", "outcome": None})
UNPARKED = ("run.unparked", None, {"by": "me"})


@pytest.mark.parametrize("kind", ["command.sent", "run.completed", "run.restarted"])
def test_where_it_was_parked_mended_code_may_go_beyond_the_log(kind):
    journal = Journal("r")
    journal.begin_replay(entries(("run.started", None, {}), PARKED, UNPARKED))
    journal.fed()
    journal.follow(kind, 1.0, ref="1", data={**SENT, "outcome": None})
    assert not journal.replaying
    assert [row.kind for row in journal.take()] == [kind]
    journal.end_replay()


def test_before_the_place_where_it_was_parked_it_may_not():
    journal = Journal("r")
    journal.begin_replay(entries(("run.started", None, {}), ("signal.received", "a", {}), PARKED, UNPARKED))
    journal.fed()
    with pytest.raises(Diverged):
        send(journal)


def test_acts_after_an_earlier_parking_are_held_against_the_log():
    journal = replaying(("run.started", None, {}), PARKED, UNPARKED, ("command.sent", "1", SENT))
    with pytest.raises(Diverged):
        send(journal, type="OTHER")


def test_versions_are_read_back():
    journal = replaying(("version.chosen", "greeting", {"version": 2}), ("version.chosen", "other", {"version": 0}))
    assert journal.versions == {"greeting": 2, "other": 0}
    assert journal.passed
    journal.end_replay()
    assert not journal.passed
