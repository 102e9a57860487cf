"""Slots: a bound on what is done at once."""

import asyncio

import pytest

from concerted.agent.slots import Slots


def test_a_slot_given_to_one_who_is_cancelled_just_then_goes_to_the_next() -> None:
    async def main() -> list[str]:
        slots, order = Slots(lambda: 1), []

        async def enter(name: str) -> None:
            async with slots:
                order.append(name)

        async with slots:
            second, third = (asyncio.create_task(enter(name)) for name in "bc")
            await asyncio.sleep(0)
        second.cancel()  # it has been given the slot, and does not know yet
        await asyncio.wait_for(third, 1)
        assert second.cancelled()
        async with slots:
            order.append("d")
        return order

    assert asyncio.run(main()) == ["c", "d"]


@pytest.mark.parametrize("limit", [1, 3])
def test_never_more_than_the_limit(limit: int) -> None:
    async def main() -> int:
        slots, inside, most = Slots(lambda: limit), 0, 0

        async def enter() -> None:
            nonlocal inside, most
            async with slots:
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(20)))
        return most

    assert asyncio.run(main()) == limit
