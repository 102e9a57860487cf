"""How agents are, by the age of what was last heard of them."""

import asyncio

import pytest

from concerted.errors import ConcertedError
from concerted.messages import Custom, GetStatus
from concerted.values import AgentStatus

HELLO = Custom(name="HELLO")


async def asks(run):
    reply = await run.ask("ann", HELLO, deadline=200.0)
    return [reply.status, reply.error]


async def remote(b, *, pushes_beats=True):
    """Register an agent that may be lost for want of heartbeats."""
    ann = await b.agent("ann")
    ann.in_process, ann.pushes_beats = False, pushes_beats
    return ann


def state(b):
    return b.coordinator.roster.views()[0].state


def test_an_agent_that_beats_is_alive_and_its_load_is_shown(bench):
    async def main(b):
        ann = await remote(b)
        for _ in range(20):
            await asyncio.sleep(5)
            ann.beat()
        assert await b.kinds("agent:ann") == ["agent.registered"]

    bench(main)


def test_silence_makes_suspect_then_gone(bench):
    async def main(b):
        await remote(b)
        await asyncio.sleep(7)
        assert state(b) == "alive"
        await asyncio.sleep(4)
        assert state(b) == "suspect"
        await asyncio.sleep(6)
        assert state(b) == "suspect"
        await asyncio.sleep(4)
        assert state(b) == "gone"
        _, suspect, gone = await b.log(stream="agent:ann")
        assert (suspect.kind, suspect.data) == ("agent.suspect", {"reason": "no heartbeat for 10.0 s", "age_s": 10.0})
        assert (gone.kind, gone.data["age_s"]) == ("agent.gone", 20.0)

    bench(main)


def test_what_a_silent_agent_holds_is_lost_when_it_is_gone_and_not_at_the_deadline(bench):
    async def main(b):
        await remote(b)
        await b.submit()
        start = b.loop.time()
        assert (await b.end()).result == ["lost", "no heartbeat for 20.0 s"]
        assert b.loop.time() - start == pytest.approx(20, abs=0.1)

    bench(main, s=asks)


def test_a_beat_brings_a_suspect_back_without_loss(bench):
    async def main(b):
        ann = await remote(b)
        await b.submit()
        await asyncio.sleep(12)
        ann.beat()
        assert state(b) == "alive"
        ann.reply("hello")
        assert (await b.end()).result[0] == "ok"
        assert await b.kinds("agent:ann") == ["agent.registered", "agent.suspect", "agent.alive"]

    bench(main, s=asks)


def test_an_agent_inside_the_process_needs_no_beats(bench):
    async def main(b):
        ann = await b.agent("ann")
        await asyncio.sleep(1000)
        assert state(b) == "alive"
        assert ann.sent == []

    bench(main)


# agents that send no heartbeats are asked


def test_an_agent_that_sends_no_beats_is_asked_how_it_is(bench):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        ann.answer = lambda request: {"id": "ann", "load": 0.75}
        await asyncio.sleep(100)
        assert state(b) == "alive"
        assert b.coordinator.roster.views()[0].load == 0.75
        assert len(ann.sent) == len(ann.of_type("GET_STATUS")) == 10
        assert len(set(ann.keys)) == 10

    bench(main)


def test_an_agent_may_answer_with_the_typed_value(bench):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        ann.answer = lambda request: AgentStatus(id="ann", load=0.5) if isinstance(request, GetStatus) else None
        await asyncio.sleep(100)
        assert (state(b), b.coordinator.roster.views()[0].load) == ("alive", 0.5)

    bench(main)


def test_the_next_question_waits_for_the_last_answer(bench):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        await asyncio.sleep(19)
        assert len(set(ann.keys)) == 1
        await asyncio.sleep(12)
        assert len(set(ann.keys)) == 2

    bench(main)


def test_an_agent_that_does_not_say_how_it_is_is_gone_and_not_asked_any_more(bench):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        await asyncio.sleep(14)
        assert state(b) == "alive"
        await asyncio.sleep(7)
        assert state(b) == "suspect"
        await asyncio.sleep(20)
        assert state(b) == "gone"
        sent = len(ann.sent)
        await asyncio.sleep(100)
        assert len(ann.sent) == sent
        ann.events.returned("ann")
        ann.answer = lambda request: {"id": "ann"}
        await asyncio.sleep(100)
        assert state(b) == "alive"

    bench(main)


@pytest.mark.parametrize("answer", [{"id": "ann", "load": "heavy"}, "fine, thanks", None])
def test_an_answer_that_is_no_status_is_a_fault_and_no_sign_of_health(bench, answer):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        ann.answer = lambda request: answer
        await asyncio.sleep(11)
        (fault,) = await b.log("agent.fault", "agent:ann")
        assert fault.data["fault"] == "bad_status"
        await asyncio.sleep(40)
        assert state(b) == "gone"

    bench(main)


def test_the_interval_is_that_of_the_settings(bench):
    async def main(b):
        ann = await remote(b, pushes_beats=False)
        ann.answer = lambda request: {"id": "ann"}
        await asyncio.sleep(101)
        assert len(ann.sent) == 4

    bench(main, manager={"health_check_interval": 25.0})


def test_a_coordinator_whose_lease_is_lost_gives_up(bench):
    async def waits(run):
        await asyncio.sleep(1000)

    async def main(b):
        await b.submit()

        async def lost(node, ttl_s):
            return False

        b.store.beat = lost
        end = asyncio.ensure_future(b.end())
        await asyncio.sleep(20)
        with pytest.raises(ConcertedError, match="lease was lost"):
            await end

    bench(main, s=waits)
