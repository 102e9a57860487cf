"""`concerted replay --check`: would this code continue unfinished runs as they were recorded?"""

from __future__ import annotations

import asyncio

import click

from concerted.cli.exits import FAILED, OK
from concerted.cli.options import json_option, store_option
from concerted.cli.output import write_json
from concerted.cli.reach import open_reader
from concerted.engine.takeover import check_replay
from concerted.engine.views import UNFINISHED
from concerted.errors import NotFound
from concerted.launch.owner import strategy_loader
from concerted.ports.store import RunRecord
from concerted.values import RunId

__all__ = ["replay"]

PAGE = 1000


@click.command(short_help="See whether this code would continue runs as they were recorded.")
@click.argument("run", required=False)
@click.option("--check", is_flag=True, required=True, help="Only look; nothing is written or sent.")
@store_option
@json_option
def replay(run: str | None, check: bool, store: str | None, as_json: bool) -> int:  # noqa: ARG001
    """See whether this code would continue runs as they were recorded.

    Replays every unfinished run, or RUN, beside whoever owns the store, before new code is put to work
    on it.  Exit code 1 if any run would diverge; both sides of the difference are named.
    """
    verdicts = asyncio.run(_check(store, run))
    wrong = {name: why for name, why in verdicts.items() if why is not None}
    if as_json:
        write_json({"checked": len(verdicts), "diverged": wrong})
        return FAILED if wrong else OK
    for name, why in verdicts.items():
        click.echo(f"run {name}: {why or 'goes on as recorded'}")
    click.echo(f"{len(verdicts)} checked, {len(wrong)} would diverge")
    return FAILED if wrong else OK


async def _check(store: str | None, run: str | None) -> dict[RunId, str | None]:
    verdicts: dict[RunId, str | None] = {}
    async with open_reader(store) as reader:
        if run is not None:
            record = await reader.get(RunRecord, run)
            if record is None:
                raise NotFound(f"there is no run {run!r}; `concerted status --all` lists them", run=run)
            return await check_replay(reader, [record], strategy_loader({}))
        after: tuple[str, ...] = ()
        while page := await reader.find(RunRecord, {"status": UNFINISHED}, limit=PAGE, after=after):
            verdicts |= await check_replay(reader, page, strategy_loader({}))
            after = (page[-1].id,)
    return verdicts
