"""Errands: what goes on beside the main line, and the news of it."""

import asyncio
from typing import Any

import pytest

from concerted.errors import Invalid
from concerted.strategies import choose
from concerted.strategies.workshop.errands import Errands
from concerted.values import Outcome


@pytest.fixture
def rehearse(play: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Play the strategy that is this function of (run, errands), with one agent; give its view to `check`."""

    def begin(body: Any, check: Any) -> None:
        async def coordinate(run: Any) -> Outcome:
            errands = Errands(run)
            try:
                return Outcome(success=True, result=await body(run, errands))
            finally:
                await errands.stop()

        async def act(stage: Any) -> None:
            await stage.agent("ann")
            check(await stage.run("mine", ()))

        load = choose.load
        monkeypatch.setattr(choose, "load", lambda name: coordinate if name == "mine" else load(name))
        play(act)

    return begin


def test_the_end_of_an_errand_is_news(rehearse: Any) -> None:
    async def body(run: Any, errands: Errands) -> list[float]:
        began, ends = run.now(), []
        for seconds in (3.0, 1.0):
            errands.send(asyncio.sleep(seconds))
        for _ in range(2):
            await errands.news(errands.changes)
            ends.append(run.now() - began)
        return ends

    rehearse(body, lambda view: check_equal(view.result, [1.0, 3.0]))


def test_news_that_came_before_it_was_waited_for_is_not_missed(rehearse: Any) -> None:
    async def body(run: Any, errands: Errands) -> float:
        began, seen = run.now(), errands.changes
        errands.tell()
        await errands.news(seen)
        return float(run.now() - began)

    rehearse(body, lambda view: check_equal(view.result, 0.0))


def test_what_goes_wrong_in_an_errand_is_raised_where_news_is_waited_for(rehearse: Any) -> None:
    async def wrong() -> None:
        raise Invalid("no such thing")

    async def body(run: Any, errands: Errands) -> str:
        errands.send(wrong())
        try:
            await errands.news(errands.changes)
        except Invalid as error:
            return error.message
        return "nothing"

    rehearse(body, lambda view: check_equal(view.result, "no such thing"))


def test_collecting_waits_for_all_but_not_for_ever(rehearse: Any) -> None:
    async def body(run: Any, errands: Errands) -> list[float]:
        began = run.now()
        errands.send(asyncio.sleep(1.0))
        await errands.collect(5.0)
        first = run.now() - began
        errands.send(asyncio.sleep(100.0))
        await errands.collect(5.0)
        return [first, run.now() - began]

    rehearse(body, lambda view: check_equal(view.result, [1.0, 6.0]))


def check_equal(found: Any, expected: Any) -> None:
    assert found == (expected if isinstance(expected, str) else pytest.approx(expected))
