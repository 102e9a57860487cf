"""Inboxes: durable messages, and receipts that tell the truth."""

import asyncio

import pytest

from concerted.config.settings import Coordination, Inbox
from concerted.engine.commands import serve
from concerted.engine.permissions import LOCAL, Principal
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, Overloaded
from concerted.ports.mail import AcknowledgeMessages, FetchMessages, Receipts, SendMessage
from concerted.ports.meeting import ArriveAtSyncPoint, CreateSyncPoint
from concerted.ports.store import MessageRecord
from concerted.values import AgentId

ANN, BOB, CY = AgentId("ann"), AgentId("bob"), AgentId("cy")


def send(*to: str, **fields):
    fields = {"agent": ANN, "content": "hello", **fields}
    return SendMessage(to=tuple(AgentId(name) for name in to), **fields)


async def receipt(b, id):
    (found,) = await b.serve(Receipts(agent=ANN, ids=(id,)))
    return found


def test_a_message_is_stored_then_fetched_then_acknowledged_and_its_sender_sees_each(bench):
    async def main(b):
        sent = await b.serve(send("bob"))
        assert (await receipt(b, sent.id)).status == "stored"
        (message,) = await b.serve(FetchMessages(agent=BOB))
        assert (message.content, message.sender, message.status) == ("hello", "ann", "fetched")
        assert (await receipt(b, sent.id)).status == "fetched"
        await b.serve(AcknowledgeMessages(agent=BOB, ids=(sent.id,)))
        told = await receipt(b, sent.id)
        assert (told.status, told.acknowledged_at) == ("acknowledged", b.clock.now())
        assert await b.kinds("mail") == ["message.stored", "messages.fetched", "messages.acknowledged"]

    bench(main)


def test_a_message_is_fetched_once(bench):
    async def main(b):
        await b.serve(send("bob"))
        assert len(await b.serve(FetchMessages(agent=BOB))) == 1
        assert await b.serve(FetchMessages(agent=BOB)) == []
        assert len(await b.serve(FetchMessages(agent=BOB, all=True))) == 1

    bench(main)


def test_a_fetch_of_one_type_leaves_the_others_as_they_are(bench):
    async def main(b):
        await b.serve(send("bob", content="other"))
        await b.serve(send("bob", content="wanted", type="NEWS"))
        assert [one.content for one in await b.serve(FetchMessages(agent=BOB, type="NEWS"))] == ["wanted"]
        assert await b.serve(FetchMessages(agent=BOB, type="NEWS")) == []
        assert [one.content for one in await b.serve(FetchMessages(agent=BOB))] == ["other"]

    bench(main)


def test_who_waits_for_one_type_is_not_woken_by_another(bench):
    async def main(b):
        waiting = asyncio.ensure_future(b.serve(FetchMessages(agent=BOB, type="NEWS", wait_s=60)))
        await b.serve(send("bob", content="other"))
        await b.serve(send("bob", content="wanted", type="NEWS"))
        assert [one.content for one in await waiting] == ["wanted"]

    bench(main)


def test_all_of_it_survives_a_crash(bench):
    async def main(b):
        sent = await b.serve(send("bob", acknowledge_within_s=100))
        await b.serve(FetchMessages(agent=BOB))
        await b.again()
        assert (await receipt(b, sent.id)).status == "fetched"
        assert await b.serve(FetchMessages(agent=BOB)) == []
        await asyncio.sleep(101)
        (message,) = await b.serve(FetchMessages(agent=BOB))
        assert message.attempts == 1

    bench(main)


def test_who_waits_for_a_message_is_told_when_it_comes(bench):
    async def main(b):
        waiting = asyncio.ensure_future(b.serve(FetchMessages(agent=BOB, wait_s=60)))
        await asyncio.sleep(5)
        await b.serve(send("cy"))
        await asyncio.sleep(5)
        assert not waiting.done()
        await b.serve(send("bob"))
        (message,) = await waiting
        assert message.agent == "bob"
        assert await b.serve(FetchMessages(agent=BOB, wait_s=3)) == []

    bench(main)


def test_the_most_urgent_comes_first_and_of_one_sender_the_oldest(bench):
    async def main(b):
        for content, priority in ((1, "low"), (2, "high"), (3, "low"), (4, "critical"), (5, "high")):
            await b.serve(send("bob", content=content, priority=priority))
        assert [message.content for message in await b.serve(FetchMessages(agent=BOB))] == [4, 2, 5, 1, 3]

    bench(main)


def test_what_is_never_acknowledged_is_delivered_anew_and_then_somebody_else_is_told(bench):
    async def main(b):
        sent = await b.serve(send("bob", acknowledge_within_s=10, escalate_to=CY))
        await b.serve(FetchMessages(agent=BOB))
        deliveries = 0
        for _ in range(2_000):
            await asyncio.sleep(1)
            deliveries += len(await b.serve(FetchMessages(agent=BOB)))
        assert deliveries == b.config.inbox.redeliveries
        (told,) = await b.serve(FetchMessages(agent=CY))
        assert (told.type, told.sender) == ("MESSAGE_ESCALATED", "system")
        assert sent.id in told.content.values()
        assert (await receipt(b, sent.id)).escalated

    bench(main)


def test_only_its_recipient_acknowledges_a_message(bench):
    async def main(b):
        sent = await b.serve(send("bob"))
        with pytest.raises(NotFound, match="inbox of cy"):
            await b.serve(AcknowledgeMessages(agent=CY, ids=(sent.id,)))
        with pytest.raises(NotAllowed):
            await serve(b.coordinator, AcknowledgeMessages(agent=BOB, ids=(sent.id,)), Principal("cy", "agent"))
        await b.serve(AcknowledgeMessages(agent=BOB, ids=(sent.id,)))
        (again,) = await b.serve(AcknowledgeMessages(agent=BOB, ids=(sent.id,)))
        assert again.status == "acknowledged"

    bench(main)


def test_the_same_request_id_is_the_same_message(bench):
    async def main(b):
        first = await b.serve(send("bob", request_id="one"))
        second = await b.serve(send("bob", request_id="one"))
        assert first.id == second.id
        assert len(await b.serve(FetchMessages(agent=BOB))) == 1

    bench(main)


def test_the_same_request_id_given_twice_at_once_is_the_same_message(bench):
    async def main(b):
        message = SendMessage(agent=AgentId("ann"), to=(AgentId("bob"),), content=1, request_id="x")
        first, second, third = await asyncio.gather(*(b.serve(message) for _ in range(3)))
        assert first == second == third
        assert len(await b.log("message.stored", "mail*")) == 1, "whoever fetched it would get it anew"

    bench(main)


def test_an_inbox_has_a_bound_and_its_sender_is_told(bench):
    async def main(b):
        b.config = Coordination(inbox=Inbox(max_messages=3))
        await b.again()
        for _ in range(3):
            await b.serve(send("bob"))
        await b.again()
        with pytest.raises(Overloaded, match="inbox of bob"):
            await b.serve(send("bob"))
        assert len(await b.serve(FetchMessages(agent=BOB))) == 3

    bench(main)


def test_what_has_been_kept_long_enough_is_removed(bench):
    async def main(b):
        b.config = Coordination(inbox=Inbox(retention=3_600))
        await b.again()
        sent = await b.serve(send("bob"))
        await b.serve(AcknowledgeMessages(agent=BOB, ids=(sent.id,)))
        await asyncio.sleep(3_500)
        assert await b.store.get(MessageRecord, "bob", sent.id) is not None
        await asyncio.sleep(200)
        assert await b.store.get(MessageRecord, "bob", sent.id) is None

    bench(main)


def test_every_notice_of_a_sync_point_is_in_its_participants_inboxes(bench):
    async def main(b):
        await b.serve(CreateSyncPoint(id="p", participants=(ANN, BOB), name="stand-up"))
        (notice,) = await b.serve(FetchMessages(agent=ANN))
        assert (notice.type, notice.requires_acknowledgment) == ("SYNC_POINT_NOTIFICATION", True)
        assert notice.content["about"] == "sync_point:p"
        await b.serve(ArriveAtSyncPoint(id="p", agent=ANN))
        await b.serve(ArriveAtSyncPoint(id="p", agent=BOB))
        (done,) = await b.serve(FetchMessages(agent=ANN))
        assert (done.type, done.requires_acknowledgment) == ("SYNC_POINT_COMPLETED", False)

    bench(main)


def test_a_notice_too_long_for_a_message_is_cut_and_the_point_completes_all_the_same(bench):
    async def main(b):
        await b.serve(CreateSyncPoint(id="p", participants=(ANN, BOB), metadata={"x": "y" * 100_000}))
        for agent in (ANN, BOB):
            told = await b.serve(ArriveAtSyncPoint(id="p", agent=agent, data="z" * 50_000))
        assert told.status == "completed"
        kinds = [message.type for message in await b.serve(FetchMessages(agent=ANN))]
        assert kinds == ["SYNC_POINT_NOTIFICATION", "SYNC_POINT_COMPLETED"]

    bench(main)


def test_a_fetch_whose_answer_was_lost_gets_the_same_messages_again(bench):
    async def main(b):
        await b.serve(send("bob"))
        fetch = FetchMessages(agent=BOB, request_id="one")
        (first,) = await b.serve(fetch)
        await b.again()
        (again,) = await b.serve(fetch)
        assert again.id == first.id
        assert await b.serve(FetchMessages(agent=BOB, request_id="two")) == []

    bench(main)


def test_a_request_id_that_stands_for_another_message_is_refused_and_overwrites_nothing(bench):
    async def main(b):
        await b.serve(send("bob", request_id="one"))
        with pytest.raises(Conflict, match="stands for another message"):
            await b.serve(send("cy", "bob", request_id="one", content="other"))
        (message,) = await b.serve(FetchMessages(agent=BOB))
        assert message.content == "hello"
        assert await b.serve(FetchMessages(agent=CY)) == []

    bench(main)


def test_the_same_request_given_many_times_at_once_stores_one_message(bench):
    async def main(b):
        sent = await asyncio.gather(*(b.serve(send("bob", request_id="one")) for _ in range(9)))
        assert len({one.id for one in sent}) == 1
        assert await b.kinds("mail*") == ["message.stored"]

    bench(main)


def test_a_message_that_is_there_is_answered_for_also_when_the_inbox_is_full(bench):
    async def main(b):
        b.config = Coordination(inbox=Inbox(max_messages=1))
        await b.again()
        first = await b.serve(send("bob", request_id="one"))
        assert await b.serve(send("bob", request_id="one")) == first
        with pytest.raises(Overloaded):
            await b.serve(send("bob", request_id="two"))

    bench(main)


def test_a_cursor_goes_on_after_a_number_whatever_was_fetched_before(bench):
    async def main(b):
        for number in range(4):
            await b.serve(send("bob", content=number, priority="high" if number == 3 else "medium"))
        first, second, third = await b.serve(FetchMessages(agent=BOB, after=0, limit=3))
        assert [one.content for one in (first, second, third)] == [0, 1, 2], "in the order of the log"
        assert first.number < second.number < third.number
        (urgent,) = await b.serve(FetchMessages(agent=BOB))
        assert urgent.content == 3
        await b.again()
        assert [one.content for one in await b.serve(FetchMessages(agent=BOB, after=second.number))] == [2, 3]
        waiting = asyncio.ensure_future(b.serve(FetchMessages(agent=BOB, after=urgent.number, wait_s=60)))
        await asyncio.sleep(1)
        await b.serve(send("bob", content="new"))
        (new,) = await waiting
        assert (new.content, new.number > urgent.number) == ("new", True)

    bench(main)


def test_a_request_id_is_known_when_its_message_is_not_kept_any_more(bench):
    async def main(b):
        b.config = Coordination(inbox=Inbox(retention=100.0))
        await b.again()
        first = await b.serve(send("bob", request_id="one"))
        await b.serve(FetchMessages(agent=BOB))
        await asyncio.sleep(300)
        assert await b.store.find(MessageRecord) == []
        await b.again()
        assert await b.serve(send("bob", request_id="one")) == first
        assert await b.serve(FetchMessages(agent=BOB, all=True)) == []
        with pytest.raises(Conflict, match="another message to bob"):
            await b.serve(send("bob", "cy", request_id="one"))

    bench(main)


def test_the_same_request_given_to_two_nodes_at_once_stores_one_message(on_nodes):
    async def scene(nodes):
        async def give(node, content, request_id):
            return await serve(nodes[node], send("bob", "cy", content=content, request_id=request_id), LOCAL)

        for turn in range(8):
            one, two = await asyncio.gather(*(give(node, "hello", f"same-{turn}") for node in (0, 1)))
            assert one == two
        told = await asyncio.gather(*(give(node, f"of {node}", "other") for node in (0, 1)), return_exceptions=True)
        assert [type(one) for one in told].count(Conflict) == 1, "of two that are not the same one is refused"
        stored = await nodes[0].store.log(kind="message.stored")
        assert len(stored) == 9
        assert len(await serve(nodes[1], FetchMessages(agent=BOB), LOCAL)) == 9

    on_nodes(2, scene)


@pytest.mark.parametrize(
    "bad", [{"acknowledge_within_s": -1.0}, {"acknowledge_within_s": 0.0}, {"expires_in_s": float("nan")}], ids=str
)
def test_a_length_of_time_that_is_none_is_refused(bench, bad):
    async def main(b):
        with pytest.raises(Invalid, match=next(iter(bad))):
            await b.serve(send("bob", **bad))

    bench(main)


@pytest.mark.parametrize("limit", [0, -1, 1_000_000])
def test_a_fetch_without_bounds_is_refused_and_fetches_nothing(bench, limit):
    async def main(b):
        await b.serve(send("bob"))
        with pytest.raises(Invalid, match="limit"):
            await b.serve(FetchMessages(agent=BOB, limit=limit))
        assert len(await b.serve(FetchMessages(agent=BOB))) == 1

    bench(main)
