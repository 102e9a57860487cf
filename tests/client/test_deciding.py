"""Decisions from the library: open, vote, wait; the same call again goes on."""

import asyncio
from pathlib import Path

import pytest

from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.errors import Conflict, Invalid
from concerted.launch import open_coordinator


def test_a_question_is_put_to_voters_and_the_answer_comes_with_a_certificate(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            asking = asyncio.ensure_future(
                session.decide("ship it?", ["ann", "bob", "cy"], id="d", rule="2/3", deadline_s=60)
            )  # fmt: skip
            decision = session.decision("d")
            async for _ in session.follow(kind="decision.created"):
                break
            told = await decision.vote("accept", "green", agent="ann")
            assert told.pending
            await decision.vote("reject", agent="bob")
            last = await decision.vote("accept", agent="cy", timeout_s=None)
            outcome = await asking
            assert (last.status, outcome.status, outcome.rejected_by) == ("accepted", "accepted", ("bob",))
            assert verify(outcome.certificate).valid
            again = await session.decide("ship it?", ["ann", "bob", "cy"], id="d", rule="2/3", deadline_s=60)
            assert again.certificate == outcome.certificate
            with pytest.raises(Conflict):
                await session.decide("ship it?", ["ann", "bob"], id="d", rule="2/3", deadline_s=60)

    asyncio.run(main())


def test_a_call_whose_patience_is_over_is_pending_and_nothing_is_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            told = await session.decide("ship it?", {"ann": 2, "bob": 1}, id="d", timeout_s=0)
            assert (told.pending, told.weights["missing"]) == (True, 3)
            assert (await session.decision("d").vote("accept", agent="ann")).success

    asyncio.run(main())


def test_a_ballot_is_signed_with_the_voters_key(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = new_key(b"a" * 32)

    async def main() -> None:
        async with open_coordinator(f"sqlite:///{tmp_path}/x.db") as session:
            decision = session.decision("d")
            await decision.create("ship it?", ["ann"], keys={"ann": public_key(key)})
            with pytest.raises(Invalid, match="must sign"):
                await decision.vote("accept", agent="ann")
            with pytest.raises(Invalid, match="names its voter"):
                await decision.vote("accept", key=key)
            told = await decision.vote("accept", agent="ann", key=key)
            assert verify(told.certificate).signed == ("ann",)

    asyncio.run(main())
