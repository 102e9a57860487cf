"""Questions about the tables of those who meet: primitives and who takes part, messages, principals, what is due."""

from __future__ import annotations

from concerted.errors import Invalid, WrongPhase
from concerted.ports.store import (
    ArchiveRecord,
    MessageRecord,
    ParticipantRecord,
    PrimitiveRecord,
    PrincipalRecord,
    RunRecord,
    Store,
    Write,
)
from concerted.testing.store_scenes import (
    StoreFactory,
    create,
    history,
    mail,
    meeting,
    principal,
    raises,
    snapshot,
    written,
)
from concerted.values import AgentId, encode

__all__ = ["QUESTIONS"]


async def a_primitive_is_known_by_its_rows(make: StoreFactory) -> None:
    store = await make.fresh()
    point = {"name": "stand-up", "participants": ["bob", "ann"], "total": 2, "status": "waiting", "deadline_at": 90.0}
    await written(store, Write(rows=[meeting("p", "created", point | {"wake_at": 60.0})]))
    first = PrimitiveRecord(
        stream="sync_point:p", kind="sync_point", id="p", name="stand-up", status="waiting", creator=AgentId("ann"),
        created_at=10.0, deadline_at=90.0, wake_at=60.0, total=2,
    )  # fmt: skip
    assert await store.get(PrimitiveRecord, "sync_point:p") == first, "it stands as it was created"
    await written(store, Write(rows=[meeting("p", "arrived", {"arrived": 1}, agent="bob")]))
    await written(
        store, Write(rows=[meeting("p", "completed", {"arrived": 2, "status": "completed", "wake_at": None})])
    )
    [now] = await store.find(PrimitiveRecord, {"status": "completed"})
    assert (now.arrived, now.wake_at, now.ended_at) == (2, None, 10.0), f"completed: {now}"
    assert await store.find(PrimitiveRecord, {"status": "waiting"}) == [], "it waits no longer"
    parts = [(part.agent, part.stream) for part in await store.find(ParticipantRecord)]
    assert parts == [("ann", "sync_point:p"), ("bob", "sync_point:p")], f"both take part: {parts}"
    assert await store.find(ParticipantRecord, {"agent": "cy"}) == [], "cy does not"
    await store.close()


async def a_message_goes_through_its_states(make: StoreFactory) -> None:
    store = await make.fresh()
    message = {"sender": "cy", "to": ["ann", "bob"], "type": "NOTE", "content": {"b": 1, "a": 2}, "due_at": 40.0}
    ids = [f"m{number}" for number in range(5)]
    await written(store, Write(rows=[mail("message.stored", message | {"id": name}) for name in ids]))
    steps = [
        ("messages.fetched", {"ids": ["m0", "m1", "m4"]}, None, ("fetched", 40.0, 0)),
        ("message.redelivered", {"due_at": 50.0, "attempts": 2}, "m0", ("stored", 50.0, 2)),
        ("messages.acknowledged", {"ids": ["m0"]}, None, ("acknowledged", None, 2)),
    ]
    for kind, data, ref, wanted in steps:
        await written(store, Write(rows=[mail(kind, data, agent="ann", ref=ref)]))
        record = await _message(store, "ann", "m0")
        assert (record.status, record.due_at, record.attempts) == wanted, f"after {kind}: {record}"
    record = await _message(store, "bob", "m0")
    assert (record.status, record.content, record.fetched_at) == ("stored", encode({"a": 2, "b": 1}), None), "bob's own"
    stored = [one.id for one in await store.find(MessageRecord, {"agent": "ann", "status": "stored"})]
    assert stored == ["m2", "m3"], f"what ann has not fetched, in order: {stored}"
    either = {"agent": "ann", "status": ("stored", "fetched")}
    page = [one.id for one in await store.find(MessageRecord, either, limit=2, after=("ann", "m1"))]
    assert page == ["m2", "m3"], f"a page of it: {page}"
    await written(
        store,
        Write(rows=[mail("messages.removed", {"ids": ["m0", "m9"]}, agent="ann")]),
        Write(
            rows=[
                mail("message.stored", message | {"id": "m5"}),
                mail("messages.removed", {"ids": ["m5"]}, agent="bob"),
            ]
        ),
    )
    left = [(one.agent, one.id) for one in await store.find(MessageRecord, {"id": ("m0", "m5")})]
    assert left == [("ann", "m5"), ("bob", "m0")], f"what was removed is gone, in ann's inbox and in bob's: {left}"
    await store.close()


async def a_message_has_the_number_of_the_row_that_stored_it(make: StoreFactory) -> None:
    store = await make.fresh()

    def stored(*ids: str) -> Write:
        message = {"sender": "cy", "to": ["ann", "bob"], "type": "NOTE"}
        rows = [mail("message.stored", message | {"id": name}, ref=name) for name in ids]
        return Write(rows=[mail("messages.fetched", {"ids": []}, agent="ann"), *rows])

    await written(store, create("r"), stored("b", "a"), stored("c"))
    fetched = mail("messages.fetched", {"ids": ["d"]}, agent="bob")
    await written(store, stored("d"), Write(rows=[fetched]))
    numbers = {entry.ref: entry.seq for entry in await store.log(kind="message.stored")}
    assert list(numbers) == ["b", "a", "c", "d"], f"they are in the log in the order in which they came: {numbers}"
    for place in (store, await store.at(await store.last_seq())):
        found = {(one.agent, one.id): one.number for one in await place.find(MessageRecord)}
        wanted = {(agent, name): seq for name, seq in numbers.items() for agent in ("ann", "bob")}
        assert found == wanted, f"each has the number of its row: {found}"
    assert await store.rebuild() == 0, "and it follows from the log"
    again = await make.reopen(store)
    assert {(one.agent, one.id): one.number for one in await again.find(MessageRecord)} == found, "it is kept"
    await again.close()


async def principals_are_known_by_their_rows(make: StoreFactory) -> None:
    store = await make.fresh()
    await written(store, Write(rows=[principal("cy", "added", {"role": "admin", "token": "hash"})]))
    wanted = PrincipalRecord(name="cy", role="admin", token="hash", created_at=10.0)
    assert await store.get(PrincipalRecord, "cy") == wanted, "cy was added"
    await written(store, Write(rows=[principal("cy", "revoked"), principal("dee", "revoked")]))
    [now] = await store.find(PrincipalRecord)
    assert (now.name, now.revoked_at) == ("cy", 10.0), f"cy was revoked, dee never was one: {now}"
    await store.close()


async def what_is_due_is_found(make: StoreFactory) -> None:
    store = await make.fresh()
    for name, wake_at in (("a", 30.0), ("b", None), ("c", 10.0), ("d", 20.0), ("e", 20.5)):
        await written(store, Write(rows=[meeting(name, "created", {"status": "waiting", "wake_at": wake_at})]))
    await written(store, create("started"), create("queued", started=False))
    for instant, wanted in ((9.0, ""), (10.0, "c"), (20.0, "cd"), (20.5, "cde"), (1e15, "acde"), (-1e15, "")):
        found = await store.find(PrimitiveRecord, until=("wake_at", instant))
        assert "".join(one.id for one in found) == wanted, f"due until {instant}: {found}"
    page = await store.find(
        PrimitiveRecord, {"status": "waiting"}, limit=2, after=("sync_point:a",), until=("wake_at", 99)
    )
    assert [one.id for one in page] == ["c", "d"], f"a page of it, with a condition beside: {page}"
    past = await (await store.at(3)).find(PrimitiveRecord, until=("wake_at", 25.0))
    assert [one.id for one in past] == ["c"], f"in the past too: {past}"
    assert [run.id for run in await store.find(RunRecord, until=("deadline_at", 400.0))] == ["started"], "of runs too"
    for column in ("arrived", "status", "nonsense", "1=1 or wake_at"):
        with raises(Invalid, f"{column} is no column of instants"):
            await store.find(PrimitiveRecord, until=(column, 1.0))
    await store.close()


async def a_finished_primitive_is_archived_and_stays_known(make: StoreFactory) -> None:
    store = await make.fresh()
    await history(store)
    await written(store, Write(rows=[meeting("open", "created", {"participants": ["ann"], "status": "waiting"})]))
    stream = "sync_point:p"
    entries, before = await store.stream(stream), await snapshot(store)
    past = [await snapshot(await store.at(seq)) for seq in range(await store.last_seq() + 1)]
    with raises(WrongPhase, "it still waits"):
        await store.archive("sync_point:open")
    with raises(WrongPhase, "there is no such thing"):
        await store.archive("sync_point:nothing")
    archived = await store.archive(stream)
    assert archived.entries == len(entries), f"all of its rows: {archived}"
    for _ in range(2):
        assert await store.stream(stream) == entries, "the archived stream does not read as before"
        assert await store.log(stream=stream) == [], "its rows are still in the log"
        now = await snapshot(store)
        assert now == before | {ArchiveRecord: [archived]}, "its records, and those who took part, stay known"
        assert await store.rebuild() == 0, "also after a rebuild"
        store = await make.reopen(store)
    for seq, then in enumerate(past):
        assert await snapshot(await store.at(seq)) == then, f"archiving has changed the past at {seq}"
    answers = await written(store, Write(rows=[meeting("p", "arrived")], after={stream: len(entries)}))
    assert answers == [await store.last_seq()], "its length counts on"
    await store.close()


async def texts_may_hold_any_character(make: StoreFactory) -> None:
    store = await make.fresh()
    names = ["", "\x00", "a\x00b\U0010ffff", "\U0010ffff0", '\n\t\\"{},null', "NULL", "Grüße 🐝", "\x7f\u2028"]
    for number, name in enumerate(names):
        await written(store, Write(rows=[meeting(str(number), "created", {"name": name, "status": name})]))
    assert [one.name for one in await store.find(PrimitiveRecord)] == names, "a name has changed on its way"
    for number, name in enumerate(names):
        [found] = await store.find(PrimitiveRecord, {"status": name})
        assert (found.id, found.name) == (str(number), name), f"it is found by {name!r}"
        await written(store, Write(rows=[meeting(str(number), "arrived", {"name": name + "!"})]))
    assert [one.name for one in await store.find(PrimitiveRecord)] == [name + "!" for name in names], "nor by a change"
    assert await store.rebuild() == 0, "and the log says the same"
    await store.close()


async def _message(store: Store, agent: str, name: str) -> MessageRecord:
    record = await store.get(MessageRecord, agent, name)
    assert record is not None, f"message {name} of {agent} is not in the table"
    return record


QUESTIONS = (
    a_primitive_is_known_by_its_rows,
    a_message_goes_through_its_states,
    a_message_has_the_number_of_the_row_that_stored_it,
    principals_are_known_by_their_rows,
    what_is_due_is_found,
    a_finished_primitive_is_archived_and_stays_known,
    texts_may_hold_any_character,
)
