"""What handles take from a program: only what could have come over a socket, and a copy of that."""

import asyncio

import pytest

from concerted.errors import Invalid
from concerted.launch import open_coordinator


def play(tmp_path, main):
    async def run():
        async with asyncio.timeout(20), open_coordinator(f"sqlite:///{tmp_path}/store.db") as coordinator:
            await coordinator.sync_point("p").create(["ann", "bob"])
            await main(coordinator)

    asyncio.run(run())


def test_data_without_a_json_form_is_refused_and_nobody_else_is_held_up(tmp_path):
    async def main(coordinator):
        point = coordinator.sync_point("p")
        with pytest.raises(Invalid, match="arrive_at_sync_point 'p' cannot be sent"):
            await point.arrive("ann", object(), timeout_s=0)
        assert (await point.arrive("bob", timeout_s=0)).arrived == 1
        with pytest.raises(Invalid):
            await coordinator.sync_point("q").create(["ann", "bob"], metadata={"made": object()})

    play(tmp_path, main)


@pytest.mark.parametrize("value", [float("nan"), [1, float("inf")], {"deep": ({"er": -float("inf")},)}])
def test_what_is_no_number_for_json_is_refused_and_does_not_become_nothing(tmp_path, value):
    async def main(coordinator):
        with pytest.raises(Invalid, match=r"propose_value 'a' cannot be sent: .* has no JSON form"):
            await coordinator.agree("a", value, agent="ann")
        with pytest.raises(Invalid, match="has no JSON form"):
            await coordinator.decision("d").create("q?", ["ann"], proposal=value)
        assert (await coordinator.agree("a", [None, 1.5], agent="ann")).value == [None, 1.5]

    play(tmp_path, main)


def test_what_was_brought_stays_as_it_was_when_it_was_brought(tmp_path):
    async def main(coordinator):
        brought = {"vote": "yes"}
        await coordinator.sync_point("p").arrive("ann", brought, timeout_s=0)
        brought["vote"] = "no"
        assert (await coordinator.sync_point("p").get()).sync_data == {"ann": {"vote": "yes"}}

    play(tmp_path, main)


def test_a_field_of_the_wrong_kind_is_refused_before_anything_is_asked(tmp_path):
    async def main(coordinator):
        group = coordinator.replica_group("ops")
        for asked, told in (
            (coordinator.tracker("t").create("ten"), "total_steps is 'ten', which is text; give a whole number"),
            (group.create("raft", count="3"), "count is '3', which is text; give a whole number or nothing"),
            (group.create("raftt"), "there is no algorithm 'raftt'; did you mean raft?"),
            (group.create("zab"), "there is no algorithm 'zab'; give: raft, paxos, pbft"),
            (
                coordinator.decision("d").create("which?", ["ann"], options=["red", 2]),
                "options is ['red', 2], where one is a whole number; give text",
            ),
        ):
            with pytest.raises(Invalid) as refused:
                await asked
            assert refused.value.message.partition("': ")[2] == told
        with pytest.raises(Invalid, match="create_replica_group 'ops': there is no algorithm 'x'"):
            await group.create("x")
        with pytest.raises(Invalid, match=r"write \['ann'\]"):
            await coordinator.sync_point("q").create("ann")

    play(tmp_path, main)


def test_a_timeout_that_is_no_number_is_refused(tmp_path):
    async def main(coordinator):
        with pytest.raises(Invalid, match="timeout_s"):
            await coordinator.sync_point("p").arrive("ann", timeout_s=float("nan"))

    play(tmp_path, main)


def test_a_deadline_that_is_no_number_is_refused_by_every_handle_and_does_not_become_none(tmp_path):
    async def main(coordinator):
        opening = (
            coordinator.sync_point("q").create(["ann"], deadline_s=float("nan")),
            coordinator.decision("d").create("q?", ["ann"], deadline_s=float("nan")),
            coordinator.agreement("a").create(deadline_s=float("nan")),
            coordinator.agree("b", 1, deadline_s=float("nan")),
        )
        for each in opening:
            with pytest.raises(Invalid, match="give seconds from now, or None for no deadline"):
                await each

    play(tmp_path, main)
