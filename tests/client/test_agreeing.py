"""Agreements and logs of decisions from the library: propose, wait, append, follow."""

import asyncio
from pathlib import Path

import pytest

from concerted.errors import Conflict, Invalid, NotFound, Overloaded
from concerted.launch import open_coordinator


def test_whoever_proposes_first_has_proposed_the_value(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            first = await session.agree("port", 8001, valid="8000..8999", agent="ann")
            second = await session.agree("port", 8002, agent="bob")
            again = await session.agree("port", 8001, agent="ann")
            assert [(one.value, one.yours) for one in (first, second, again)] == [
                (8001, True), (8001, False), (8001, False),
            ]  # fmt: skip
            with pytest.raises(Invalid, match="more than 8999"):
                await session.agree("port", 9000, agent="bob")
            with pytest.raises(Conflict, match="other validity"):
                await session.agree("port", 8001, valid="text", agent="bob")

    asyncio.run(main())


def test_a_proposal_that_is_given_again_by_its_request_id_is_the_same_one(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            for _ in range(2):
                assert (await session.agree("k", 1, agent="ann", request_id="mine")).yours

    asyncio.run(main())


def test_an_agreement_is_opened_waited_for_and_reached(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            agreement = session.agreement("k")
            with pytest.raises(NotFound):
                await agreement.wait(timeout_s=0)
            terms = {"valid": ["red"], "proposers": ["ann"], "deadline_s": 60.0}
            with pytest.raises(Invalid, match="write a type"):
                await agreement.create(**terms)
            terms["valid"] = "red|blue"
            opened = await agreement.create(**terms, agent="cy")
            same = await agreement.create(**terms, agent="cy")
            assert (opened.created_at, opened.proposers) == (same.created_at, ("ann",))
            with pytest.raises(Conflict, match="deadline_at"):
                await agreement.create(**(terms | {"deadline_s": 3600.0}))
            waiting = asyncio.ensure_future(agreement.wait(timeout_s=60))
            assert (await agreement.wait(timeout_s=0)).pending
            assert (await agreement.propose("blue", agent="ann")).yours
            assert (await waiting).value == (await agreement.get()).value == "blue"

    asyncio.run(main())


def test_proposers_and_a_deadline_of_the_first_proposal_are_frozen_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            told = await session.agree("k", 1, agent="ann", proposers=["ann", "bob"], deadline_s=60)
            assert (told.proposers, told.deadline_at is not None) == (("ann", "bob"), True)
            with pytest.raises(Invalid, match="one text where a list of agents is wanted"):
                await session.agree("k", 1, proposers="ann")

    asyncio.run(main())


def test_a_log_is_read_in_pages_and_followed_as_it_grows(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            log = session.log("audit")
            with pytest.raises(NotFound):
                await log.read()
            await log.create()
            assert await log.read() == []
            for number in range(5):
                assert (await log.append(number, agent="ann")).position == number + 1
            assert [one.value for one in await log.read(after=1, limit=2)] == [1, 2]
            seen = []
            async for entry in log:
                seen.append(entry.value)
                if len(seen) == 5:
                    await log.append("last", agent="bob")
                if entry.value == "last":
                    break
            assert seen == [0, 1, 2, 3, 4, "last"]
            assert [one.value async for one in log.follow(after=5, timeout_s=0)] == ["last"]
            assert (await log.get()).last == 6

    asyncio.run(main())


def test_reading_goes_on_over_pages_that_are_cut_by_their_size(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(
            f"sqlite:///{tmp_path}/x.db",
        ) as session:
            log = session.log("big")
            for number in range(20):
                await log.append("x" * 60_000, request_id=f"r{number}")
            one = await log.append("x" * 60_000, request_id="r3")
            assert (one.position, one.last) == (4, 20)
            assert [entry.position for entry in await log.read()] == list(range(1, 21))
            with pytest.raises(Invalid, match="at most 65536"):
                await log.append("x" * 70_000)

    asyncio.run(main())


def test_a_full_log_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concerted.consensus.decision_log.ENTRIES", 1)

    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            log = session.log("small")
            await log.append(1)
            with pytest.raises(Overloaded, match="go on in another one"):
                await log.append(2)

    asyncio.run(main())


def test_everything_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        url = f"sqlite:///{tmp_path}/x.db"
        async with open_coordinator(url) as session:
            await session.agree("k", {"a": [1]}, agent="ann")
            await session.log("l").append("x", agent="ann", request_id="r")
        async with open_coordinator(url) as session:
            assert (await session.agree("k", 2, agent="bob")).value == {"a": [1]}
            assert (await session.log("l").append("x", agent="ann", request_id="r")).last == 1

    asyncio.run(main())
