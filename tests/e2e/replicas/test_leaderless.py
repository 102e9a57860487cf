"""Paxos agrees on single values though nobody leads: one value, a valid one, and the same after a restart."""

import asyncio

import pytest

from concerted.consensus.validity import validity_of
from concerted.errors import Invalid, NotAllowed, TimedOut
from concerted.ports.agreements import CreateAgreement, GetAgreement, ProposeValue
from concerted.replicas.clients.client import GroupClient

NOBODY_LEADS = {"algorithm": "paxos", "election_timeout_s": 300.0, "heartbeat_interval_s": 1.0}


def proposal(value, by: str = "ann", **terms) -> ProposeValue:
    return ProposeValue(id="port", value=value, request_id=f"{by}-{value}", **terms)


async def test_many_that_propose_at_once_are_told_one_value(running) -> None:
    async with running(3, **NOBODY_LEADS) as there:
        clients = [GroupClient(there.group, f"c{number}") for number in range(5)]
        for place, client in enumerate(clients):
            client._leader = 1 + place % 3  # each asks another replica
        told = await asyncio.gather(
            *(client.do(proposal(number), agent=client.name, timeout_s=50) for number, client in enumerate(clients))
        )
        assert [server.replica.core.leader for server in there.servers.values()] == [None, None, None]
        assert len({each.value for each in told}) == 1
        assert [each.yours for each in told].count(True) == 1
        assert told[0].proposed_by == f"c{told[0].value}"
        for client in clients:
            await client.close()


async def test_a_value_outlives_a_restart_of_all(running) -> None:
    async with running(3, **NOBODY_LEADS) as there:
        told = await there.client.do(proposal(7), timeout_s=50)
        for node in (1, 2, 3):
            await there.stop(node)
        for node in (1, 2, 3):
            await there.start(node)
        again = await there.client.do(proposal(8, "bob"), agent="bob", timeout_s=50)
        assert (again.value, again.proposed_by, again.yours) == (7, told.proposed_by, False)
        assert [each.kind for each in await there.client.history("agreement:port", 0, timeout_s=50)] == [
            "agreement.created", "agreement.chosen",
        ]  # fmt: skip


async def test_a_minority_agrees_on_nothing(running) -> None:
    async with running(3, **NOBODY_LEADS) as there:
        await there.stop(1)
        await there.stop(2)
        with pytest.raises(TimedOut):
            await there.client.do(proposal(7), timeout_s=1.0)
        await there.start(1)
        assert (await there.client.do(proposal(7), timeout_s=50)).value == 7


async def test_what_is_not_valid_is_refused_and_never_chosen(running) -> None:
    async with running(3, **NOBODY_LEADS) as there:
        small = validity_of({"maximum": 10})
        with pytest.raises(Invalid, match="no valid value"):
            await there.client.do(proposal(99, validity=small), timeout_s=50)
        told = await there.client.do(proposal(7, validity=small), timeout_s=50)
        assert told.value == 7
        with pytest.raises(Invalid, match="no valid value"):
            await there.client.do(proposal(98), timeout_s=50)
        only = ProposeValue(id="host", value=1, request_id="r", proposers=("bob",))
        with pytest.raises(NotAllowed, match="may not propose"):
            await there.client.do(only, agent="ann", timeout_s=50)


async def test_what_needs_a_log_is_refused_in_words(running) -> None:
    async with running(3, **NOBODY_LEADS) as there:
        with pytest.raises(Invalid, match="there is nothing to open"):
            await there.client.do(CreateAgreement(id="port"), timeout_s=50)
        with pytest.raises(Invalid, match="without a log no deadline can pass"):
            await there.client.do(proposal(7, deadline_at=9e9), timeout_s=50)


async def test_whoever_leads_shows_what_was_agreed(running) -> None:
    async with running(3, algorithm="paxos") as there:
        await there.leader()
        await there.client.do(proposal(7), timeout_s=50)
        told = await there.client.wait(GetAgreement(id="port"), timeout_s=50)
        assert told.value == 7
