"""`run.past`: what a run may know of other runs, read once and recorded."""

import asyncio

import pytest

from concerted.engine import performer

KIND = "task.waiting"


async def tells(run):
    for number in range(run.options.get("count", 1)):
        run.record(KIND, agent="ann", ref=f"t{number}", reason=run.id)
    return "told"


async def looks(run):
    run.record(KIND, ref="own", reason="its own")
    return await run.past(KIND, lambda facts: [[fact.run, fact.agent, fact.ref, fact.data["reason"]] for fact in facts])


def test_it_sees_other_runs_in_the_order_of_the_log_and_not_itself(bench):
    async def main(b):
        for name in ("q", "p"):
            await b.submit("tells", name, options={"count": 2})
            await b.end(name)
        await b.submit("looks")
        assert (await b.end()).result == [
            ["q", "ann", "t0", "q"], ["q", "ann", "t1", "q"], ["p", "ann", "t0", "p"], ["p", "ann", "t1", "p"],
        ]  # fmt: skip

    bench(main, tells=tells, looks=looks)


def test_where_nothing_was_said_there_is_nothing_to_fold(bench):
    async def main(b):
        await b.submit("looks")
        assert (await b.end()).result == []

    bench(main, looks=looks)


def test_only_the_newest_are_folded_and_only_the_end_of_the_log_is_looked_at(bench, monkeypatch):
    async def newest(run):
        return await run.past(KIND, lambda facts: [fact.ref for fact in facts], limit=run.options["limit"])

    async def main(b):
        await b.submit("tells", "q", options={"count": 2500})  # more than a page
        await b.end("q")
        await b.submit("newest", "r", options={"limit": 2})
        assert (await b.end()).result == ["t2498", "t2499"]
        monkeypatch.setattr(performer, "PAST_ENTRIES", 20)
        await b.submit("newest", "p", options={"limit": 1000})
        assert len((await b.end("p")).result) < 20

    bench(main, tells=tells, newest=newest)


def test_what_was_folded_is_recorded_and_a_replay_reads_nothing(bench):
    async def looks_and_waits(run):
        found = await run.past(KIND, len)
        await asyncio.sleep(10.0)
        return found

    async def main(b):
        await b.submit("tells", "q")
        await b.end("q")
        await b.submit("looks_and_waits")
        await asyncio.sleep(1.0)
        await b.submit("tells", "p")
        await b.end("p")
        await b.again()
        assert (await b.end()).result == 1

    bench(main, tells=tells, looks_and_waits=looks_and_waits)


@pytest.mark.parametrize(
    ("fold", "told"),
    [(lambda facts: 1 / 0, "past task.waiting raised ZeroDivisionError"), (lambda facts: object(), "TypeError")],
)
def test_a_fold_that_fails_says_so(bench, fold, told):
    async def main(b):
        await b.submit("s")
        view = await b.end()
        assert view.status == "failed"
        assert told in view.reason

    async def s(run):
        return await run.past(KIND, fold)

    bench(main, s=s)
