"""Primitives behind the commands: written before they are answered, the same after a crash, and never half done."""

import asyncio

import pytest

from concerted.engine.commands import serve
from concerted.engine.permissions import Principal
from concerted.errors import Deadlock, Invalid, LeaseLost, NotAllowed, NotFound, Overloaded, Unreachable, WrongPhase
from concerted.ports.access import AddPrincipal, Principals, RevokePrincipal
from concerted.ports.commands import Events
from concerted.ports.holding import (
    MEMORY,
    AcquireLease,
    Campaign,
    CheckLeadership,
    CheckLease,
    Leases,
    ReleaseLease,
    RenewLease,
)
from concerted.ports.meeting import (
    ArriveAtBarrier,
    ArriveAtSyncPoint,
    AwaitSyncPoint,
    CancelSyncPoint,
    CreateBarrier,
    CreateSyncPoint,
    GetSyncPoint,
)
from concerted.ports.sharing import GetValue, Increment
from concerted.ports.store import ParticipantRecord, PrimitiveRecord
from concerted.primitives import deciding
from concerted.sync.barriers.barrier import Action
from concerted.sync.points.predicate import condition_of
from concerted.values import AgentId


def point(*names: str, **fields):
    return CreateSyncPoint(id="p", participants=tuple(names), **fields)


def arrive(agent: str, wait_s: float = 0.0, data=None):
    return ArriveAtSyncPoint(id="p", agent=AgentId(agent), data=data, wait_s=wait_s)


def take(agent: str, *names: str, ticket: str | None = None, **fields):
    return AcquireLease(agent=AgentId(agent), ticket=ticket or f"{agent} {names}", names=names, **fields)


async def a_moment() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


# waiting


def test_whoever_waits_is_answered_when_the_last_one_comes(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        waiting = asyncio.ensure_future(b.serve(arrive("ann", 60, {"x": 1})))
        await asyncio.sleep(5)
        assert not waiting.done()
        last = await b.serve(arrive("bob", 60))
        first = await waiting
        assert (first.status, last.status) == ("completed", "completed")
        assert first.sync_data == {"ann": {"x": 1}}
        assert (first.wait_s, last.wait_s) == (5.0, 0.0)

    bench(main)


def test_a_call_whose_patience_is_over_is_told_pending_and_where_a_watch_goes_on(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        told = await b.serve(arrive("ann", 2))
        assert (told.pending, told.status, told.arrived) == (True, "waiting", 1)
        await b.serve(arrive("bob"))
        (event,) = await b.serve(Events(after=told.cursor, kind="sync_point.completed"))
        assert event.stream == "sync_point:p"

    bench(main)


def test_the_same_call_again_goes_on_waiting_and_counts_once(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        for _ in range(3):
            assert (await b.serve(arrive("ann", 1))).arrived == 1
        assert await b.kinds("sync_point:p") == ["sync_point.created", "sync_point.arrived"]

    bench(main)


def test_nobody_is_told_before_it_is_written(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        append, gate = b.store.append, asyncio.Event()

        async def slow(writes):
            await gate.wait()
            return await append(writes)

        b.store.append = slow
        arriving = [asyncio.ensure_future(b.serve(arrive(name, 60))) for name in ("ann", "bob", "zoe")]
        await a_moment()
        assert not any(task.done() for task in arriving), "an answer, or a refusal, came before the commit"
        gate.set()
        ann, bob, zoe = await asyncio.gather(*arriving, return_exceptions=True)
        assert ann.status == bob.status == "completed"
        assert isinstance(zoe, NotAllowed)

    bench(main)


def test_a_store_that_fails_refuses_who_asks_and_who_waits(bench):
    async def main(b):
        await b.serve(point("ann", "bob", "cy"))
        waiting = asyncio.ensure_future(b.serve(arrive("ann", 60)))
        await a_moment()

        async def failing(writes):
            raise Unreachable("the disk is gone")

        b.store.append = failing
        with pytest.raises(Unreachable):
            await b.serve(arrive("bob"))
        with pytest.raises(Unreachable, match="start again"):
            await waiting

    bench(main)


def test_many_arrivals_at_once_share_a_commit(bench):
    async def main(b):
        names = [f"a{i}" for i in range(200)]
        await b.serve(point(*names))
        before = b.store.commits
        told = await asyncio.gather(*(b.serve(arrive(name, 60)) for name in names))
        assert {one.status for one in told} == {"completed"}
        assert b.store.commits - before == 1

    bench(main)


# crashes


def test_what_was_answered_is_there_after_a_crash_and_the_wait_goes_on(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        await b.serve(arrive("ann", 1, "before"))
        await b.again()
        waiting = asyncio.ensure_future(b.serve(arrive("ann", 60, "after")))
        await a_moment()
        await b.serve(arrive("bob"))
        assert (await waiting).sync_data == {"ann": "before"}

    bench(main)


def test_a_deadline_that_passed_while_nobody_was_there_is_kept_at_the_start_with_its_own_time(bench):
    async def main(b):
        deadline = b.clock.now() + 10
        await b.serve(point("ann", "bob", deadline_at=deadline))
        await b.serve(arrive("ann"))
        b.crash()
        await asyncio.sleep(500)
        await b.start()
        await a_moment()
        told = await b.serve(GetSyncPoint(id="p"))
        assert (told.status, told.reason, told.completed_at) == ("expired", "timeout", deadline)
        (event,) = await b.log("sync_point.expired", "sync_point:p")
        assert event.data["deadline_at"] == deadline

    bench(main)


def test_a_timer_that_is_set_before_a_crash_fires_after_it(bench):
    async def main(b):
        await b.serve(point("ann", "bob", deadline_at=b.clock.now() + 10))
        await b.again()
        told = await b.serve(AwaitSyncPoint(id="p", wait_s=60))
        assert told.status == "expired"

    bench(main)


def test_a_state_that_was_folded_into_the_log_is_read_back_from_there(bench, monkeypatch):
    monkeypatch.setattr(deciding, "FOLD_ROWS", 10)

    async def main(b):
        for i in range(35):
            await b.serve(Increment(id="count", agent=AgentId("ann"), request_id=f"r{i}"))
        record = await b.store.get(PrimitiveRecord, "register:count")
        assert record is not None
        assert record.folded > 20
        await b.again()
        read: list[int] = []
        stream = b.store.stream

        async def counting(name, **where):
            found = await stream(name, **where)
            read.append(len(found))
            return found

        b.store.stream = counting
        assert (await b.serve(GetValue(id="count"))).value == 35
        assert sum(read) < 20, "the whole history was read"
        again = await b.serve(Increment(id="count", agent=AgentId("ann"), request_id="r34"))
        assert again.value == 35, "a request that had counted counted again"

    bench(main)


# who may


def test_an_agent_acts_only_as_itself_and_what_is_refused_is_an_event(bench):
    async def main(b):
        ann = Principal("ann", "agent")
        await b.serve(point("ann", "bob"))
        told = await serve(b.coordinator, ArriveAtSyncPoint(id="p"), ann)
        assert told.arrived_agents == ()
        assert told.arrived == 1
        with pytest.raises(NotAllowed, match="only as itself"):
            await serve(b.coordinator, arrive("bob"), ann)
        with pytest.raises(NotAllowed, match="role operator"):
            await serve(b.coordinator, Principals(), ann)
        await a_moment()
        refused = await b.log("access.refused", "principals")
        assert [event.data["command"] for event in refused] == ["arrive_at_sync_point", "principals"]

    bench(main)


def test_admin_is_a_role_and_no_name(bench):
    async def main(b):
        await serve(b.coordinator, point("ann", "bob"), Principal("ann", "agent"))
        with pytest.raises(NotAllowed):
            await serve(b.coordinator, CancelSyncPoint(id="p"), Principal("admin", "agent"))
        told = await serve(b.coordinator, CancelSyncPoint(id="p", reason="over"), Principal("root", "admin"))
        assert (told.status, told.reason) == ("cancelled", "over")

    bench(main)


def test_a_token_says_who_somebody_is_until_it_is_taken_back(bench):
    async def main(b):
        access = b.coordinator.access
        assert access.authenticate(None).role == "admin"
        added = await b.serve(AddPrincipal(name="root", as_role="admin"))
        assert access.authenticate(None).role == "viewer", "without a token somebody is still an admin"
        root = access.authenticate(added.token)
        assert (root.name, root.role) == ("root", "admin")
        for wrong in ("", "root", "root.", "root.x", added.token + "x", added.token[:-1], "zoe." + added.token[5:]):
            with pytest.raises(NotAllowed, match="nobody's"):
                access.authenticate(wrong)
        await b.again()
        assert b.coordinator.access.authenticate(added.token) == root
        await b.serve(RevokePrincipal(name="root"))
        with pytest.raises(NotAllowed):
            b.coordinator.access.authenticate(added.token)
        with pytest.raises(NotAllowed, match="taken back"):
            await serve(b.coordinator, GetSyncPoint(id="p"), root)

    bench(main)


def test_the_log_never_holds_a_token(bench):
    async def main(b):
        added = await b.serve(AddPrincipal(name="ann", as_role="agent"))
        secret = added.token.partition(".")[2]
        assert all(secret.encode() not in entry.data for entry in await b.store.log())

    bench(main)


# mutual waits


def test_the_wait_that_closes_a_cycle_is_answered_at_once_and_the_others_stay_as_they_are(bench):
    async def main(b):
        await b.serve(take("ann", "src/a.py"))
        await b.serve(point("ann", "bob"))
        bob = asyncio.ensure_future(b.serve(take("bob", "src/**", wait_s=600)))
        await a_moment()
        with pytest.raises(Deadlock, match="bob waits for src") as caught:
            await b.serve(arrive("ann", 600))
        assert caught.value.facts["agents"] == ["ann", "bob"]
        assert not bob.done()
        assert (await b.serve(GetSyncPoint(id="p"))).arrived == 1, "the arrival itself is written and stays"
        held = (await b.serve(Leases())).leases
        await b.serve(ReleaseLease(agent=AgentId("ann"), token=held[0].token))
        assert (await bob).granted

    bench(main)


def test_a_lease_that_would_close_a_cycle_leaves_no_ticket_behind(bench):
    async def main(b):
        await b.serve(take("ann", "a"))
        await b.serve(take("bob", "b"))
        waiting = asyncio.ensure_future(b.serve(take("ann", "b", wait_s=600)))
        await a_moment()
        with pytest.raises(Deadlock):
            await b.serve(take("bob", "a", wait_s=600))
        assert [one.holder for one in (await b.serve(Leases())).waiting] == ["ann"]
        waiting.cancel()

    bench(main)


def test_waits_that_can_end_are_no_deadlock(bench):
    async def main(b):
        await b.serve(take("ann", "a"))
        await b.serve(point("ann", "bob", "cy"))
        ann = asyncio.ensure_future(b.serve(arrive("ann", 600)))
        await a_moment()
        cy = asyncio.ensure_future(b.serve(take("cy", "b", wait_s=600)))
        assert (await cy).granted
        await b.serve(arrive("bob"))
        await b.serve(arrive("cy"))
        assert (await ann).status == "completed"

    bench(main)


# agents that are gone


def test_a_participant_that_is_gone_is_named_at_once(bench):
    async def main(b):
        wire = await b.agent("bob")
        await b.serve(point("ann", "bob"))
        waiting = asyncio.ensure_future(b.serve(arrive("ann", 600)))
        await a_moment()
        wire.events.left(AgentId("bob"), "killed")
        await asyncio.sleep(1)
        (view,) = b.coordinator.primitives.waits.views(AgentId("ann"))
        assert "bob" in view.waiting_for
        assert "gone" in view.waiting_for
        assert (await b.serve(GetSyncPoint(id="p"))).lost_agents == ("bob",)
        waiting.cancel()

    bench(main)


def test_a_waiter_that_has_gone_is_never_granted(bench):
    async def main(b):
        held = await b.serve(take("ann", "x", ttl_s=60))
        gone = asyncio.ensure_future(b.serve(take("bob", "x", wait_s=600, confirm_s=5)))
        await a_moment()
        gone.cancel()
        next_one = asyncio.ensure_future(b.serve(take("cy", "x", wait_s=600)))
        await a_moment()
        await b.serve(ReleaseLease(agent=AgentId("ann"), token=held.token))
        told = await next_one
        assert told.granted
        assert told.holder == "cy"
        assert "lease.lapsed" in await b.kinds("lease:space")

    bench(main)


# leases


def test_a_lease_that_is_renewed_is_kept_and_one_that_is_not_passes_on(bench):
    async def main(b):
        ann = await b.serve(take("ann", "x", ttl_s=10))
        waiting = asyncio.ensure_future(b.serve(take("bob", "x", ttl_s=10, wait_s=600)))
        for _ in range(5):
            await asyncio.sleep(8)
            renewed = await b.serve(RenewLease(agent=AgentId("ann"), token=ann.token))
            assert renewed.expires_at == pytest.approx(b.clock.now() + 10)
        assert not waiting.done()
        asked_at = b.clock.now()
        bob = await waiting
        assert b.clock.now() - asked_at >= 10, "it was granted before the time of the other was over"
        assert bob.token > ann.token
        assert not (await b.serve(CheckLease(name="x", token=ann.token))).valid
        with pytest.raises(LeaseLost):
            await b.serve(RenewLease(agent=AgentId("ann"), token=ann.token))

    bench(main)


def test_a_renewal_writes_no_row(bench):
    async def main(b):
        ann = await b.serve(take("ann", "x", ttl_s=10))
        before = await b.store.last_seq()
        for _ in range(3):
            await b.serve(RenewLease(agent=AgentId("ann"), token=ann.token))
        assert await b.store.last_seq() == before

    bench(main)


def test_after_a_crash_a_lease_is_still_held_for_its_time(bench):
    async def main(b):
        ann = await b.serve(take("ann", "x", ttl_s=10))
        await asyncio.sleep(9)
        await b.again()
        refused = await b.serve(take("bob", "x", queue=False))
        assert not refused.granted
        again = await b.serve(take("ann", "x", ttl_s=10))
        assert again.token == ann.token, "whoever asks under the same ticket has the same lease"

    bench(main)


def test_leases_in_memory_write_nothing_and_their_tokens_grow_past_every_other(bench):
    async def main(b):
        await b.serve(take("ann", "x", id=MEMORY, ttl_s=10))
        before = await b.store.last_seq()
        tokens = []
        for i in range(20):
            told = await b.serve(take("bob", f"y{i}", id=MEMORY, ttl_s=10))
            tokens.append(told.token)
            await b.serve(ReleaseLease(id=MEMORY, agent=AgentId("bob"), token=told.token))
        assert await b.store.last_seq() == before
        assert tokens == sorted(tokens)
        durable = await b.serve(take("cy", "z"))
        assert durable.token > tokens[-1]
        await b.again()
        with pytest.raises(Overloaded, match="granted again"):
            await b.serve(take("cy", "x", id=MEMORY, ttl_s=10))
        await asyncio.sleep(31)
        later = await b.serve(take("cy", "x", id=MEMORY, ttl_s=10))
        assert later.token > durable.token
        with pytest.raises(Invalid, match="at most 30 s"):
            await b.serve(take("cy", "w", id=MEMORY, ttl_s=300))

    bench(main)


def test_a_leader_that_falls_silent_is_followed_by_the_next(bench):
    async def main(b):
        first = await b.serve(Campaign(id="boss", agent=AgentId("ann"), ticket="1", ttl_s=10))
        second = asyncio.ensure_future(b.serve(Campaign(id="boss", agent=AgentId("bob"), ticket="2", wait_s=600)))
        told = await second
        assert told.leader == "bob"
        assert told.token > first.token
        assert not (await b.serve(CheckLeadership(id="boss", token=first.token))).valid

    bench(main)


# finding


def test_a_primitive_is_found_by_whoever_takes_part(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        await b.serve(CreateBarrier(id="b", participants=(AgentId("ann"), AgentId("cy"))))
        await b.serve(ArriveAtBarrier(id="b", agent=AgentId("cy")))
        found = await b.store.find(ParticipantRecord, {"agent": "ann"})
        assert [record.stream for record in found] == ["barrier:b", "sync_point:p"]
        record = await b.store.get(PrimitiveRecord, "barrier:b")
        assert (record.kind, record.id, record.status, record.arrived) == ("barrier", "b", "waiting", 1)

    bench(main)


def test_what_nobody_has_made_is_not_there(bench):
    async def main(b):
        with pytest.raises(NotFound):
            await b.serve(arrive("ann"))
        assert await b.kinds("sync_point:p") == []

    bench(main)


def test_a_point_that_is_over_lets_nobody_arrive(bench):
    async def main(b):
        await b.serve(point("ann", "bob", "cy"))
        await b.serve(CancelSyncPoint(id="p", reason="rain"))
        with pytest.raises(WrongPhase, match="rain"):
            await b.serve(arrive("ann"))

    bench(main)


# actions


def act(name: str):
    return CreateBarrier(id="b", participant_count=2, action=Action("coordinator", name, payload={"n": 1}))


async def pass_barrier(b):
    ann, bob = (ArriveAtBarrier(id="b", agent=AgentId(name), wait_s=60) for name in ("ann", "bob"))
    return await asyncio.gather(b.serve(ann), b.serve(bob))


def test_the_coordinator_acts_once_before_anybody_goes_on(bench):
    async def main(b):
        done = []

        async def merge(payload, agents):
            await asyncio.sleep(5)
            done.append((payload, agents))
            return len(agents)

        b.world = {"actions": {"merge": merge}}
        await b.again()
        await b.serve(act("merge"))
        began = b.clock.now()
        told = await pass_barrier(b)
        assert b.clock.now() - began == 5
        assert [one.action_result for one in told] == [2, 2]
        assert done == [({"n": 1}, ("ann", "bob"))]

    bench(main)


@pytest.mark.parametrize(("name", "why"), [("merge", "ValueError: no"), ("unknown", "has no action 'unknown'")])
def test_an_action_that_fails_breaks_the_generation_for_everybody_with_the_error(bench, name, why):
    async def main(b):
        def merge(payload, agents):
            raise ValueError("no")

        b.world = {"actions": {"merge": merge}}
        await b.again()
        await b.serve(act(name))
        told = await pass_barrier(b)
        assert {one.status for one in told} == {"broken"}
        assert all(why in one.reason for one in told)

    bench(main)


def test_an_action_that_died_with_its_coordinator_is_done_by_the_next_one(bench):
    async def main(b):
        calls = []

        async def merge(payload, agents):
            calls.append(b.clock.now())
            if len(calls) == 1:
                await asyncio.sleep(1_000)
            return "merged"

        b.world = {"actions": {"merge": merge}}
        await b.again()
        await b.serve(act("merge"))
        for name in ("ann", "bob"):
            await b.serve(ArriveAtBarrier(id="b", agent=AgentId(name)))
        await b.again()
        told = await b.serve(ArriveAtBarrier(id="b", agent=AgentId("ann"), generation=0, wait_s=300))
        assert (told.status, told.action_result, len(calls)) == ("released", "merged", 2)

    bench(main)


def test_a_value_without_a_json_form_is_refused_alone_and_others_of_its_round_count(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        good, bad = await asyncio.gather(
            b.serve(arrive("ann")), b.serve(arrive("bob", data=object())), return_exceptions=True
        )
        assert good.arrived == 1
        assert isinstance(bad, Invalid)
        assert (await b.serve(arrive("bob"))).status == "completed"

    bench(main)


def test_an_action_whose_result_cannot_be_kept_breaks_the_generation(bench):
    async def main(b):
        b.world = {"actions": {"merge": lambda payload, agents: object()}}
        await b.again()
        await b.serve(act("merge"))
        told = await pass_barrier(b)
        assert {one.status for one in told} == {"broken"}

    bench(main)


def test_what_was_refused_is_written_before_the_refusal_is_told(bench):
    async def main(b):
        await b.serve(point("ann", "bob"))
        with pytest.raises(NotAllowed):
            await serve(b.coordinator, arrive("bob"), Principal("ann", "agent"))
        assert len(await b.log("access.refused", "principals")) == 1

    bench(main)


@pytest.mark.parametrize("condition", [1.5, "", None, b"all"])
def test_what_is_no_condition_is_said_to_be_none(condition):
    with pytest.raises(Invalid, match="condition"):
        condition_of(condition)
