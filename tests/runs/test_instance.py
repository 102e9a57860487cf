"""One run in memory: fed with inputs, it gives rows and effects, and lives through them again the same."""

import asyncio

import pytest

from concerted.config.settings import Coordination, ManagerSettings
from concerted.errors import Diverged, NotAllowed
from concerted.messages import Custom
from concerted.ports.store import Entry
from concerted.runs.calls import Close, Inform, Send, StartChild, StartWork, StopChild
from concerted.runs.facts import Charter, Input
from concerted.runs.instance import Instance
from concerted.values import Objective, Outcome, Profile, Task, encode

HELLO = Custom(name="HELLO")


class Fed:
    """An instance that is fed by hand; `again` lives through its rows once more with any strategy."""

    def __init__(self, coordinate, **charter):
        self.charter = Charter(
            strategy="s", objective=Objective(), root="r",
            agents=tuple(Profile(id=name) for name in ("ann", "bob")), **charter,
        )  # fmt: skip
        self.coordinate = coordinate
        self.rows = []
        self.instance = Instance("r", self.charter, 100.0)
        self.instance.begin(coordinate)
        self.feed("run.created", 100.0)
        self.feed("run.started", 100.0, node="n", epoch=1, deadline_at=400.0)

    def feed(self, kind, at, agent=None, ref=None, **data):
        self.instance.apply(Input(kind, at, agent, ref, encode(data)))
        new = self.instance.journal.take()
        self.rows += new
        effects, self.instance.effects = self.instance.effects, []
        return [row.kind for row in new], effects

    def reply(self, number, value=None, status="ok", at=101.0):
        agent = self.instance.calls[number].agent if number in self.instance.calls else "ann"
        return self.feed("reply.received", at, agent, str(number), status=status, value=value)

    def again(self, coordinate=None):
        entries = [
            Entry(
                seq=place, stream=row.stream, stream_seq=place, at=row.at, kind=row.kind, agent=row.agent,
                ref=row.ref, data=row.data,
            )
            for place, row in enumerate(self.rows, 1)
        ]  # fmt: skip
        places = [n for n, entry in enumerate(entries) if entry.kind == "run.restarted"]
        other = Instance("r", self.charter, 100.0)
        other.replay(coordinate or self.coordinate, entries[places[-1] :] if places else entries)
        return other


def state(instance):
    """What must be the same after a replay."""
    return (
        instance.now, instance.commands, sorted(instance.calls), sorted(instance.children), sorted(instance.works),
        instance.epochs, instance.loop.next_due(), instance.loop.armed, instance.random.getstate(),
        sorted(instance.agents), instance.seen_signals, instance.closed, instance.tally, instance.deadline_at,
        instance.progress,
    )  # fmt: skip


async def busy(run):
    """Uses most of what a run can do, and then waits for the signal `go` again and again."""
    replies = await run.gather(["ann", "bob"], HELLO, deadline=5)
    run.progress(1, 3, oks=len(replies.ok))
    child = asyncio.ensure_future(run.child("leaf", Objective()))
    work = asyncio.ensure_future(run.do("side", int))
    watcher = asyncio.ensure_future(watch(run))
    claim = asyncio.ensure_future(run.execute(Task(id="t", max_duration_s=3.0), "ann"))
    run.inform(["bob"], Custom(name="NEWS"))
    for step in range(3):
        await run.signal("go")
        run.record("note", step=step, dice=run.random.random())
        await asyncio.sleep(1)
    return [child.done(), work.done(), watcher.done(), claim.done()]


async def watch(run):
    async for change in run.watch():
        run.record("seen", change=change.change)


INPUTS = [
    ("reply", 1, "a"),
    ("reply", 2, "b"),
    ("signal.received", 102.0, None, "s1", {"name": "go", "payload": 1}),
    ("participant.lost", 103.0, "bob", None, {"reason": "gone"}),
    ("timer.fired", 104.0, None, "3", {"due": 104.0}),
    ("participant.joined", 104.5, "cy", None, {"profile": Profile(id="cy")}),
    ("effect.recorded", 105.0, None, "4", {"name": "side", "value": 0}),
    ("signal.received", 106.0, None, "s2", {"name": "go", "payload": 2}),
    ("run.resumed", 107.0, None, None, {"node": "m", "epoch": 2, "attempts": 0, "reason": "x"}),
    ("claim.expired", 108.0, "ann", "5", {"task": "t", "epoch": 1}),
    ("participant.changed", 108.5, "ann", None, {"profile": Profile(id="ann", cost=2.0)}),
    ("child.ended", 109.0, None, "3", {"run": "r/3", "status": "completed", "outcome": None, "error": "x"}),
]  # fmt: skip


def test_after_every_input_a_replay_is_in_the_same_state_and_wants_to_send_the_same_again():
    fed = Fed(busy)
    for given in INPUTS:
        if given[0] == "reply":
            fed.reply(given[1], given[2])
        else:
            kind, at, agent, ref, data = given
            fed.feed(kind, at, agent, ref, **data)
        again = fed.again()
        assert state(again) == state(fed.instance), f"after {given}"
        sends = [effect.call.number for effect in again.effects if isinstance(effect, Send)]
        works = [effect.number for effect in again.effects if isinstance(effect, StartWork)]
        assert sends == sorted(fed.instance.calls)
        assert works == sorted(fed.instance.works)
        assert len(again.effects) == len(sends) + len(works), "nothing else is done again"
        again.abandon()
    fed.instance.abandon()


def test_effects_come_in_the_order_of_asking():
    async def asks(run):
        run.inform(["ann"], Custom(name="NEWS"))
        asyncio.ensure_future(run.ask("ann", HELLO))  # noqa: RUF006
        child = asyncio.ensure_future(run.child("leaf", Objective()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        child.cancel()
        await run.signal("go")

    fed = Fed.__new__(Fed)
    kinds = []
    original = Fed.feed

    def feed(self, *args, **fields):
        names, effects = original(self, *args, **fields)
        kinds.extend(type(effect) for effect in effects)
        return names, effects

    Fed.feed = feed
    try:
        fed.__init__(asks)
    finally:
        Fed.feed = original
    assert kinds == [Inform, Send, StartChild, StopChild]
    fed.instance.abandon()


def test_one_row_for_all_commands_that_carry_the_same_request():
    async def asks(run):
        await run.gather(["ann", "bob"], HELLO)

    fed = Fed(asks)
    (sent,) = [row for row in fed.rows if row.kind == "command.sent"]
    assert (sent.ref, sent.data.count(b"ann"), sent.data.count(b"bob")) == ("1", 1, 1)
    fed.instance.abandon()


def test_time_never_goes_back_for_a_strategy():
    async def clocks(run):
        seen = [run.now()]
        for _ in range(3):
            await run.signal("go")
            seen.append(run.now())
        return seen

    fed = Fed(clocks)
    for number, at in enumerate((150.0, 120.0, 151.0)):
        fed.feed("signal.received", at, None, f"s{number}", name="go", payload=None)
    assert fed.instance.ending.data["outcome"].result == [100.0, 150.0, 150.0, 151.0]


def test_nothing_counts_after_the_end():
    async def over(run):
        asyncio.ensure_future(run.ask("ann", HELLO))  # noqa: RUF006
        await asyncio.sleep(0)
        return "over"

    fed = Fed(over)
    assert fed.instance.ending.status == "completed"
    assert fed.reply(1) == ([], [])
    with pytest.raises(NotAllowed, match="is over"):
        fed.instance.handle.ask("ann", HELLO)
    assert 1 in fed.instance.closed


def test_an_answer_to_a_closed_command_changes_nothing():
    async def asks(run):
        reply = await run.ask("ann", HELLO, deadline=2)
        await run.signal("go")
        return reply.status

    fed = Fed(asks)
    _, effects = fed.feed("timer.fired", 102.0, None, "1", due=102.0)
    assert [type(effect) for effect in effects] == [Close]
    fed.reply(1, "late")
    fed.feed("signal.received", 103.0, None, "s", name="go", payload=None)
    assert fed.instance.ending.data["outcome"].result == "timeout"


def test_a_timer_that_the_code_has_never_armed_is_a_divergence():
    async def waits(run):
        await run.signal("go")

    fed = Fed(waits)
    with pytest.raises(Diverged, match="timer 7 fired"):
        fed.feed("timer.fired", 102.0, None, "7", due=102.0)
    fed.instance.abandon()


def test_a_timer_that_was_cancelled_in_the_same_instant_is_ignored():
    async def races(run):
        async with asyncio.timeout(5):
            await asyncio.sleep(5)
        return "slept"

    fed = Fed(races)
    fed.feed("timer.fired", 105.0, None, "2", due=105.0)
    assert fed.instance.ending.data["outcome"].result == "slept"


@pytest.mark.parametrize(
    ("returned", "status"),
    [
        (Outcome(success=True), "completed"),
        (Outcome(success=False, reason="no"), "failed"),
        (Outcome(success=False, timed_out=True), "timed_out"),
        ("anything", "completed"),
        (None, "completed"),
    ],
)
def test_how_a_run_ends_follows_from_what_its_strategy_returns(returned, status):
    async def returns(run):
        return returned

    assert Fed(returns).instance.ending.status == status


@pytest.mark.parametrize(
    ("kind", "catches", "status"),
    [
        ("cancel.requested", False, "cancelled"),
        ("deadline.passed", False, "timed_out"),
        ("cancel.requested", True, "cancelled"),
        ("deadline.passed", True, "timed_out"),
    ],
)
def test_how_a_run_ends_that_was_told_to_stop(kind, catches, status):
    async def stops(run):
        try:
            await run.signal("never")
        except asyncio.CancelledError:
            if not catches:
                raise
            return Outcome(success=False, result="partial")

    fed = Fed(stops)
    fed.feed(kind, 105.0, by="me", reason="enough")
    assert fed.instance.ending.status == status
    again = fed.again()
    assert again.ending.status == status


def test_a_run_that_cancels_itself_has_failed():
    async def gives_up(run):
        raise asyncio.CancelledError

    assert Fed(gives_up).instance.ending.status == "failed"


def test_the_metrics_say_what_was_waited_for():
    async def waits(run):
        await run.ask("ann", HELLO)
        await run.signal("go")

    fed = Fed(waits)
    fed.reply(1, at=103.0)
    fed.feed("signal.received", 110.0, None, "s", name="go", payload=None)
    ended = fed.rows[-1]
    assert b'"HELLO":3.0' in ended.data
    assert b'"signal or timer":7.0' in ended.data
    assert b'"wall_s":10.0' in ended.data


def test_too_many_open_commands_are_refused_to_the_strategy():
    async def asks(run):
        run.ask("ann", HELLO)
        run.ask("bob", HELLO)

    fed = Fed(asks, config=Coordination(manager=ManagerSettings(max_open_commands=1)))
    assert fed.instance.ending.status == "failed"
    assert "max_open_commands" in fed.instance.ending.data["error"]


# restarts


async def restarting(run):
    count = run.state or 0
    await run.ask("ann", Custom(name="HELLO", data=count))
    reply = await run.execute(Task(id="t"), "bob")
    if count < 2:
        run.restart(count + 1)
    return [count, reply.epoch]


def test_a_restarted_run_replays_from_its_last_restart_into_the_same_state():
    fed = Fed(restarting)
    number = 1
    for _ in range(5):
        fed.reply(number, at=101.0 + number)
        number += 1
        again = fed.again()
        assert state(again) == state(fed.instance), f"after command {number - 1}"
        again.abandon()
    fed.reply(number, at=110.0)
    assert fed.instance.ending.data["outcome"].result == [2, 3]
    assert fed.instance.restarts == 2


def test_a_restart_closes_what_is_open_and_keeps_what_was_not_heard():
    async def hasty(run):
        if run.state is None:
            asyncio.ensure_future(run.ask("ann", HELLO))  # noqa: RUF006
            await run.signal("go")
            run.restart(1)
        return [await run.signal("other"), run.deadline_at]

    fed = Fed(hasty)
    fed.feed("signal.received", 101.0, None, "s1", name="other", payload="kept")
    _, effects = fed.feed("signal.received", 102.0, None, "s2", name="go", payload=None)
    assert [effect.why for effect in effects if isinstance(effect, Close)] == ["over"]
    assert fed.instance.ending.data["outcome"].result == ["kept", 400.0]


def test_the_dice_fall_differently_in_each_life_and_the_same_in_its_replay():
    async def rolls(run):
        roll = run.random.random()
        run.record("rolled", roll=roll)
        if run.state is None:
            run.restart(roll)
        await run.signal("go")

    fed = Fed(rolls)
    rolled = [row.data for row in fed.rows if row.kind == "rolled"]
    assert len(set(rolled)) == 2
    again = fed.again()
    assert again.random.getstate() == fed.instance.random.getstate()
    again.abandon()
    fed.instance.abandon()


def test_a_timer_of_an_earlier_life_fires_nothing_in_the_next():
    """Two timers may come due in one round; the first may begin a new life, whose timers are others."""

    async def naps(run):
        if run.state is None:
            asyncio.get_running_loop().call_later(5, lambda: None)
            await asyncio.sleep(5)
            run.restart(1)
        await asyncio.sleep(50)
        return run.now()

    fed = Fed(naps)
    fed.feed("timer.fired", 105.0, None, "2", due=105.0)
    fed.feed("timer.fired", 105.0, None, "1", due=105.0)
    assert fed.instance.ending is None, "the timer of the old life has fired one of the new"
    (due, number) = fed.instance.loop.next_due()
    again = fed.again()
    assert state(again) == state(fed.instance)
    again.abandon()
    fed.feed("timer.fired", due, None, str(number), due=due)
    assert fed.instance.ending.data["outcome"].result == 155.0
