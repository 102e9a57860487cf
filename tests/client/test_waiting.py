"""Waiting for several things at once: enough of them, and what there is at the end."""

import asyncio
from dataclasses import dataclass

import pytest

from concerted.client.waiting import wait_for
from concerted.errors import Invalid
from concerted.sim.virtual_time import run_virtual


@dataclass
class Told:
    success: bool
    reason: str = ""


async def after(seconds: float, value: object = None, error: Exception | None = None) -> object:
    await asyncio.sleep(seconds)
    if error is not None:
        raise error
    return value


def play(main):
    return run_virtual(main())


@pytest.mark.parametrize(
    ("until", "came", "at"),
    [("all", {"a", "b", "c"}, 3.0), ("any", {"a"}, 1.0), ("majority", {"a", "b"}, 2.0), (2, {"a", "b"}, 2.0)],
)
def test_it_ends_when_enough_have_come(until, came, at):
    async def main():
        things = {"a": after(1, "A"), "b": after(2, "B"), "c": after(3, "C")}
        began = asyncio.get_running_loop().time()
        told = await wait_for(things, until)
        assert asyncio.get_running_loop().time() - began == at
        assert told.satisfied
        assert set(told.results) == came
        assert told.missing == tuple(sorted({"a", "b", "c"} - came))

    play(main)


def test_at_the_timeout_there_is_a_partial_result_and_what_is_missing_is_called_off():
    async def main():
        late = asyncio.ensure_future(after(10))
        told = await wait_for({"a": after(1, "A"), "late": late}, timeout=5)
        assert (told.satisfied, told.results, told.missing) == (False, {"a": "A"}, ("late",))
        assert late.cancelled()

    play(main)


def test_a_share_of_them_may_be_enough_at_the_timeout():
    async def main():
        things = {name: after(1 if name < "d" else 10, name) for name in "abcdef"}
        assert (await wait_for(things, timeout=5, min_fraction=0.5)).satisfied
        things = {name: after(1 if name < "d" else 10, name) for name in "abcdef"}
        assert not (await wait_for(things, timeout=5, min_fraction=0.51)).satisfied

    play(main)


def test_what_raises_or_has_not_succeeded_has_not_come():
    async def main():
        things = {
            "a": after(1, Told(True)),
            "b": after(1, Told(False, "timeout")),
            "c": after(1, error=ValueError("no")),
        }
        told = await wait_for(things, "all", timeout=60)
        assert not told.satisfied
        assert set(told.results) == {"a"}
        assert "timeout" in str(told.errors["b"])
        assert isinstance(told.errors["c"], ValueError)

    play(main)


def test_it_ends_at_once_when_too_few_are_left():
    async def main():
        began = asyncio.get_running_loop().time()
        told = await wait_for({"a": after(1, error=ValueError("no")), "b": after(100)}, "all", timeout=1_000)
        assert asyncio.get_running_loop().time() - began == 1
        assert told.missing == ("b",)

    play(main)


@pytest.mark.parametrize(
    ("count", "until", "fraction"), [(0, "all", None), (2, 3, None), (2, 0, None), (2, "most", None), (2, "all", 1.5)]
)
def test_what_makes_no_sense_is_refused(count, until, fraction):
    async def main():
        things = {str(i): asyncio.get_running_loop().create_future() for i in range(count)}
        with pytest.raises(Invalid):
            await wait_for(things, until, timeout=1, min_fraction=fraction)

    play(main)


def test_one_that_fails_does_not_end_the_waiting_while_a_share_of_the_others_may_still_be_enough():
    async def main():
        things = {"a": after(1, "A"), "b": after(2, "B"), "c": after(10, "C"), "d": after(0, error=ValueError("no"))}
        told = await wait_for(things, timeout=5, min_fraction=0.5)
        assert (told.satisfied, told.results, told.missing) == (True, {"a": "A", "b": "B"}, ("c",))

    play(main)
