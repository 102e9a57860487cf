"""Who is here: agents that come, change, go, come back, and what runs hear of it."""

import asyncio

import pytest

from concerted.config.plan import AgentSpec
from concerted.errors import Conflict, NotFound, Unreachable
from concerted.messages import Custom
from concerted.ports.commands import Agents, Cancel
from concerted.ports.store import AgentRecord
from concerted.values import Profile

HELLO = Custom(name="HELLO")


async def asks(run):
    reply = await run.ask("ann", HELLO, deadline=200.0)
    return [reply.status, reply.value, reply.error]


async def watches(run):
    """Tell the first changes of its agents, with their instants, and who takes part then."""
    seen = []
    async for change in run.watch():
        seen.append([change.agent, change.change, change.reason, run.now()])
        if len(seen) == run.options["until"]:
            break
    return {"seen": seen, "agents": sorted(run.agents)}


def another(wire, **profile):
    """Make a new link to the same agent."""
    return type(wire)(wire.agent, **profile)


async def register(b, wire):
    await b.coordinator.roster.register(wire.profile, wire, kind="test")


# registering


def test_what_is_open_with_an_agent_that_registers_anew_is_delivered_to_its_new_link(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        again = another(ann)
        await register(b, again)
        assert again.keys == ann.keys
        assert ann.closed == ["it has registered anew"]
        again.reply("hello")
        assert (await b.end()).result == ["ok", "hello", None]

    bench(main, s=asks)


def test_an_answer_by_the_old_link_counts_and_its_other_news_does_not(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        old = ann.events
        await register(b, another(ann))
        old.lost("ann", "the old process has ended")
        old.suspected("ann", "so it seems")
        old.fault("ann", "not_json", "...")
        old.changed(Profile(id="ann", capacity=9))
        await asyncio.sleep(0.1)
        (view,) = b.coordinator.roster.views()
        assert (view.state, view.capacity) == ("alive", 1)
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.registered"]
        ann.events = old
        ann.reply("hello")
        assert (await b.end()).result[0] == "ok"

    bench(main, s=asks)


def test_a_link_that_cannot_be_opened_registers_nobody(bench):
    async def main(b):
        ann = await b.agent("bob")
        broken = another(ann)
        broken.profile = Profile(id="ann")
        broken.open = cannot_open
        with pytest.raises(Unreachable, match="no such program"):
            await register(b, broken)
        assert [view.id for view in b.coordinator.roster.views()] == ["bob"]
        assert await b.log(stream="agent:ann") == []
        assert (await b.coordinator.asker.ask("ann", HELLO)).status == "lost"

    bench(main)


async def cannot_open(events):
    raise Unreachable("no such program")


def test_runs_hear_at_once_of_an_agent_whose_new_link_cannot_be_opened(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        broken = another(ann)
        broken.open = cannot_open
        with pytest.raises(Unreachable):
            await register(b, broken)
        assert (await b.end()).result == ["lost", None, "no such program"]
        await asyncio.sleep(0.1)
        assert (await b.log(stream="agent:ann"))[-1].kind == "agent.gone"

    bench(main, s=asks)


# leaving


def test_what_is_open_with_an_agent_that_leaves_is_lost_at_once(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        before = b.loop.time()
        await b.coordinator.roster.leave("ann", "goodbye")
        assert (await b.end()).result == ["lost", None, "goodbye"]
        assert b.loop.time() == before
        assert ann.closed == ["goodbye"]
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.left"]
        assert b.coordinator.roster.views() == []
        with pytest.raises(NotFound, match="'ann'"):
            await b.coordinator.roster.leave("ann", "again")

    bench(main, s=asks)


@pytest.mark.parametrize("agents", [None, ()])
def test_an_unknown_agent_is_answered_lost_at_once(bench, agents):
    async def main(b):
        before = b.loop.time()
        await b.submit(agents=agents)
        assert (await b.end()).result == ["lost", None, "nobody is registered as 'ann'"]
        assert b.loop.time() == before

    bench(main, s=asks)


def test_a_gone_agent_is_answered_lost_at_once_until_it_returns(bench):
    async def main(b):
        ann = await b.agent("ann", lambda request: "hello")
        ann.events.lost("ann", "its process has ended")
        await b.submit()
        assert (await b.end()).result == ["lost", None, "its process has ended"]
        ann.events.returned("ann")
        await b.submit(run="q")
        assert (await b.end("q")).result == ["ok", "hello", None]
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.gone", "agent.alive"]

    bench(main, s=asks)


def test_an_ask_of_a_stranger_is_lost_with_it_too(bench):
    async def main(b):
        await b.agent("bob")
        await b.agent("ann")
        await b.submit(agents=("bob",))  # ann takes no part, and is asked all the same
        await b.coordinator.roster.leave("ann", "goodbye")
        assert (await b.end()).result == ["lost", None, "goodbye"]
        assert await b.log("participant.*") == []

    bench(main, s=asks)


# what runs hear


def test_an_open_run_hears_at_once_who_joins_changes_and_is_lost(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit(options={"until": 4})
        await asyncio.sleep(1)
        bob = await b.agent("bob")
        await asyncio.sleep(1)
        bob.events.changed(Profile(id="bob", capacity=3))
        await asyncio.sleep(1)
        bob.events.lost("bob", "its process has ended")
        await asyncio.sleep(1)
        bob.events.returned("bob")
        result = (await b.end()).result
        start = b.clock.now() - 4
        assert result["seen"] == [
            ["bob", "joined", "", start + 1],
            ["bob", "changed", "", start + 2],
            ["bob", "lost", "its process has ended", start + 3],
            ["bob", "joined", "", start + 4],
        ]
        assert result["agents"] == ["ann", "bob"]

    bench(main, s=watches)


def test_a_run_of_named_agents_hears_of_no_others(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit(agents=("ann",), options={"until": 2})
        bob = await b.agent("bob")
        bob.events.lost("bob", "gone")
        ann.events.lost("ann", "its process has ended")
        ann.events.returned("ann")
        result = (await b.end()).result
        assert [each[:2] for each in result["seen"]] == [["ann", "lost"], ["ann", "joined"]]

    bench(main, s=watches)


def test_a_new_profile_on_registering_anew_is_a_change(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit(options={"until": 1})
        await register(b, another(ann))  # the same profile is no news
        await register(b, another(ann, capacity=4))
        assert [each[:2] for each in (await b.end()).result["seen"]] == [["ann", "changed"]]

    bench(main, s=watches)


def test_a_run_that_waits_for_its_slot_hears_who_comes_and_goes(bench):
    async def who(run):
        return sorted(run.agents)

    async def holds_the_slot(run):
        await run.signal("go")

    async def main(b):
        ann, bob = await b.agent("ann"), await b.agent("bob")
        await b.submit("holds_the_slot", run="first")
        await b.submit()
        await b.agent("cy")
        ann.events.lost("ann", "its process has ended")
        ann.events.returned("ann")
        bob.events.lost("bob", "its process has ended")
        await b.coordinator.rounds.quiet()
        await b.serve(Cancel(id="first"))
        assert (await b.end()).result == ["ann", "cy"]

    bench(main, s=who, holds_the_slot=holds_the_slot, manager={"max_concurrent_coordinations": 1})


# states


def test_suspicion_is_written_and_loses_nothing(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        ann.events.suspected("ann", "its process is being restarted")
        ann.events.suspected("ann", "its process is being restarted")
        (view,) = b.coordinator.roster.views()
        assert (view.state, view.reason) == ("suspect", "its process is being restarted")
        sent = len(ann.sent)
        ann.events.returned("ann")
        assert len(ann.sent) == sent + 1, "what is open was not delivered again"
        ann.reply("hello")
        assert (await b.end()).result[0] == "ok"
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.suspect", "agent.alive"]

    bench(main, s=asks)


def test_a_gone_agent_does_not_become_suspect(bench):
    async def main(b):
        ann = await b.agent("ann")
        ann.events.lost("ann", "over")
        ann.events.suspected("ann", "hm")
        ann.events.lost("ann", "over again")
        await asyncio.sleep(0.1)
        assert b.coordinator.roster.views()[0].reason == "over"
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.gone"]

    bench(main)


def test_misbehaviour_is_written_down_in_bounds(bench):
    async def main(b):
        ann = await b.agent("ann")
        ann.events.fault("ann", "not_json", "x" * 5000)
        await asyncio.sleep(0.1)
        (fault,) = await b.log("agent.fault", "agent:ann")
        assert fault.data == {"fault": "not_json", "detail": "x" * 1000}
        assert b.coordinator.roster.views()[0].state == "alive"

    bench(main)


def test_a_profile_of_another_name_is_ignored(bench):
    async def main(b):
        ann = await b.agent("ann")
        ann.events.changed(Profile(id="eve", capacity=9))
        assert [view.id for view in b.coordinator.roster.views()] == ["ann"]
        assert await b.kinds("agent:ann") == ["agent.registered"]

    bench(main)


def test_everybody_is_shown_by_name_with_what_they_hold(bench):
    async def main(b):
        bob = await b.agent("bob", capabilities={"paint": 0.5}, capacity=2)
        bob.in_process = False
        await b.agent("ann")
        await b.submit()
        await asyncio.sleep(2)
        ann, bob = b.coordinator.roster.views()
        assert (ann.id, ann.holding, ann.age_s, ann.link) == ("ann", 1, None, "test")
        assert (bob.id, bob.holding, bob.age_s, bob.capacity, bob.capabilities) == ("bob", 0, 2.0, 2, {"paint": 0.5})

    bench(main, s=asks)


# agents of a plan


def spec(name="ann", **fields):
    return AgentSpec(profile=Profile(id=name), kind="process", argv=("agent",), **fields)


def opener(b):
    """Make the links of specs, and keep them."""
    links = []

    def open_link(wanted):
        link = b.made_by(wanted.profile.id)
        links.append((wanted, link))
        return link

    return links, open_link


async def with_specs(b):
    """Begin anew with links that are made from specs."""
    wire = type(await b.agent("model"))
    b.wires.clear()
    b.made_by = wire
    links, b.world["open_link"] = opener(b)
    await b.again()
    return links


def test_an_agent_of_a_plan_is_started_once_and_anew_if_its_spec_has_changed(bench):
    async def main(b):
        links = await with_specs(b)
        roster = b.coordinator.roster
        await roster.register_specs([spec(), spec("bob")])
        await roster.register_specs([spec()])
        assert [each.profile.id for each, _ in links] == ["ann", "bob"]
        await roster.register_specs([spec(cwd="/tmp")])
        assert [each.profile.id for each, _ in links] == ["ann", "bob", "ann"]
        assert links[0][1].closed == ["it has registered anew"]
        links[2][1].events.lost("ann", "over")
        await roster.register_specs([spec(cwd="/tmp")])
        assert len(links) == 4, "one that is gone is started again"

    bench(main)


def test_a_plan_does_not_replace_an_agent_that_came_by_itself(bench):
    async def main(b):
        links = await with_specs(b)
        wire = await b.agent("ann")
        with pytest.raises(Conflict, match="came by itself"):
            await b.coordinator.roster.register_specs([spec()])
        assert links == []
        wire.events.lost("ann", "over")
        await b.coordinator.roster.register_specs([spec()])
        assert len(links) == 1

    bench(main)


def test_after_a_takeover_agents_of_plans_are_started_again(bench):
    async def main(b):
        links = await with_specs(b)
        await b.coordinator.roster.register_specs([spec(), spec("bob")])
        await b.submit(agents=("ann",))
        await b.again()
        assert [each.profile.id for each, _ in links] == ["ann", "bob", "ann"], "bob is in no unfinished run"
        await asyncio.sleep(0.1)
        links[-1][1].reply("hello")
        assert (await b.end()).result[0] == "ok"

    bench(main, s=asks)


def test_an_agent_that_cannot_be_started_again_is_suspect_and_then_gone(bench):
    async def main(b):
        await with_specs(b)
        await b.coordinator.roster.register_specs([spec()])
        await b.submit()

        def cannot(wanted):
            raise Unreachable("the program is no longer there")

        b.world["open_link"] = cannot
        await b.again()
        (view,) = b.coordinator.roster.views()
        assert (view.state, view.reason) == ("suspect", "the program is no longer there")
        (fault,) = await b.log("agent.fault", "agent:ann")
        assert fault.data["fault"] == "cannot_start"
        assert (await b.end()).result[0] == "lost"
        assert (await b.store.get(AgentRecord, "ann")).state == "gone"

    bench(main, s=asks)


def test_an_agent_that_came_by_itself_is_awaited_after_a_takeover_but_not_for_ever(bench):
    async def main(b):
        await b.agent("ann")
        await b.submit()
        b.wires.clear()
        await b.again()
        before = b.loop.time()
        assert b.coordinator.roster.views()[0].reason == "not seen yet since the takeover"
        assert (await b.end()).result[0] == "lost"
        assert 15 <= b.loop.time() - before <= 25

    bench(main, s=asks)


def test_an_agent_that_comes_again_after_a_takeover_finds_its_commands(bench):
    async def main(b):
        ann = await b.agent("ann")
        await b.submit()
        b.wires.clear()
        await b.again()
        await asyncio.sleep(10)
        late = another(ann)
        await register(b, late)
        assert late.keys == ann.keys[:1]
        late.reply("hello")
        assert (await b.end()).result == ["ok", "hello", None]
        assert await b.log("participant.*") == []

    bench(main, s=asks)


def test_a_registered_agent_is_in_the_log_and_in_the_list(bench):
    async def main(b):
        await b.agent("ann", capabilities={"writing": 0.9})
        (row,) = await b.log(stream="agent:ann")
        assert (row.kind, row.data["link"], row.data["profile"]["capabilities"]) == (
            "agent.registered",
            "test",
            {"writing": 0.9},
        )
        (view,) = await b.serve(Agents())
        assert (view.id, view.state, view.capabilities) == ("ann", "alive", {"writing": 0.9})

    bench(main)


def test_a_run_with_an_unknown_agent_is_refused(bench):
    async def main(b):
        with pytest.raises(NotFound, match="'ann'"):
            await b.submit(agents=["ann"])

    bench(main, s=lambda run: None)
