"""The watchdog and the black box: on real threads and a real clock, therefore few and short."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time

from concerted.config.settings import Coordination, ManagerSettings
from concerted.engine.commands import serve
from concerted.engine.coordinator import Coordinator, World
from concerted.engine.permissions import LOCAL
from concerted.engine.watchdog import BlackBox, Watchdog
from concerted.ports.commands import GetRun, Resume, Signal, Submit
from concerted.stores.memory import MemoryStore
from concerted.values import Objective

LIMIT_S = 0.15


class Wall:
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def play(main, **strategies):
    async def run():
        store = MemoryStore()
        await store.open()
        world = World(
            store=store, clock=Wall(), strategies=strategies.__getitem__, open_link=None,
            config=Coordination(manager=ManagerSettings(watchdog_timeout=LIMIT_S)),
        )  # fmt: skip
        async with Coordinator(world) as coordinator:
            await main(lambda command: serve(coordinator, command, LOCAL), strategies)

    asyncio.run(run())


def spin():
    until = time.monotonic() + 20
    while time.monotonic() < until:
        pass
    raise AssertionError("nobody has stopped it")


def test_a_strategy_that_never_yields_is_parked_and_others_go_on():
    async def hogs(run):
        spin()

    async def waits(run):
        return await run.signal("go")

    async def main(do, strategies):
        await do(Submit(id="w", strategy="waits", objective=Objective()))
        began = time.monotonic()
        await do(Submit(id="h", strategy="hogs", objective=Objective()))
        view = await do(GetRun(id="h", wait_s=5))
        assert time.monotonic() - began < 5
        assert view.status == "parked"
        assert "did not yield for 0.15 s" in view.reason
        assert "run.compute" in view.reason
        await do(Signal(id="w", name="go", payload=1, request_id="one"))
        assert (await do(GetRun(id="w", wait_s=5))).result == 1
        strategies["hogs"] = waits
        await do(Resume(id="h"))
        await do(Signal(id="h", name="go", payload=2, request_id="one"))
        assert (await do(GetRun(id="h", wait_s=5))).result == 2

    play(main, hogs=hogs, waits=waits)


def test_a_strategy_that_catches_everything_is_parked_too():
    async def stubborn(run):
        with contextlib.suppress(BaseException):
            spin()
        await run.signal("go")

    async def main(do, _):
        await do(Submit(id="h", strategy="stubborn", objective=Objective()))
        assert (await do(GetRun(id="h", wait_s=5))).status == "parked"

    play(main, stubborn=stubborn)


def test_heavy_work_in_compute_is_not_bitten():
    async def computes(run):
        return await run.compute(sum, range(3_000_000))

    async def main(do, _):
        await do(Submit(id="r", strategy="computes", objective=Objective()))
        view = await do(GetRun(id="r", wait_s=5))
        assert view.status == "completed"

    play(main, computes=computes)


def test_many_short_steps_are_not_bitten():
    async def steps(run):
        for _ in range(40):
            await run.do("nothing", int)
            time.sleep(0.005)  # noqa: ASYNC251
        return "through"

    async def main(do, _):
        await do(Submit(id="r", strategy="steps", objective=Objective()))
        assert (await do(GetRun(id="r", wait_s=5))).result == "through"

    play(main, steps=steps)


def spin_briefly():
    until = time.monotonic() + 0.019
    while time.monotonic() < until:
        pass


def test_a_bite_that_comes_too_late_hits_nobody():
    dog = Watchdog(0.02, BlackBox(None))
    dog.start()
    bitten = 0
    for _ in range(30):
        bitten += dog.over("r", spin_briefly).bit
    time.sleep(0.03)  # who is bitten here fails this test
    dog.stop()
    assert bitten <= 30


def test_the_black_box_outlives_the_process_and_is_emptied_by_the_next(tmp_path):
    path = tmp_path / "box"
    first = BlackBox(path)
    assert first.suspect is None
    first.enter("r/1")
    second = BlackBox(path)
    assert second.suspect == "r/1"
    assert BlackBox(path).suspect is None
    second.enter("x" * 1000)
    assert BlackBox(path).suspect == "x" * 510
    second.leave()
    second.close()
    second.close()
    second.enter("after closing")
    assert BlackBox(path).suspect is None


def test_a_black_box_that_is_torn_says_something_or_nothing_but_never_breaks(tmp_path):
    path = tmp_path / "box"
    path.write_bytes(b"\xff\xff" + b"\x80" * 510)
    assert BlackBox(path).suspect is not None
    path.write_bytes(b"")
    assert BlackBox(path).suspect is None


def test_the_black_box_remembers_across_a_kill_who_was_executing(tmp_path):
    dies = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from concerted.engine.watchdog import BlackBox, Watchdog\n"
        "dog = Watchdog(5.0, BlackBox(Path(sys.argv[1])))\n"
        "die = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "dog.over('before', lambda: None)\n"
        "if sys.argv[2] == 'inside':\n"
        "    dog.over('r/1', die)\n"
        "die()\n"
    )
    for where, suspect in (("inside", "r/1"), ("between", None)):
        path = tmp_path / where
        died = subprocess.run([sys.executable, "-c", dies, str(path), where], check=False, timeout=20)
        assert died.returncode == -signal.SIGKILL
        assert BlackBox(path).suspect == suspect
