"""The exam of strategies: what every strategy must do, whoever wrote it, asked of the real engine in simulated worlds.

    from concerted.testing import STRATEGY_CHECKS, check_strategy

    @pytest.mark.parametrize("check", STRATEGY_CHECKS)
    def test_my_strategy_passes(check):
        check_strategy(coordinate, check)

A strategy that needs other agents, tasks or options than the exam's brings a setting of its own: a function
at the top of a module, so that the exam can call it in other processes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from concerted.agent.kit import Agent
from concerted.engine.takeover import rebuild_instance
from concerted.errors import ConcertedError, Invalid, NotFound
from concerted.kinds import run_stream
from concerted.ports.commands import Cancel, Submit
from concerted.runs.instance import Coordinate, Instance
from concerted.sim.actors import stand_in
from concerted.sim.faults import Faults
from concerted.sim.play import ending_of, kills_of, play
from concerted.sim.world import Kill, Played, Scenario, Step
from concerted.testing.forbidden import Forbidden
from concerted.values import AgentId, Objective, Profile, RunId, Task, TaskId, encode

__all__ = ["STRATEGY_CHECKS", "Setting", "check_strategy", "plain_setting"]

RUN = RunId("exam")
NAME = "exam"
LOSSY = Faults(drop=0.2, duplicate=0.2, reorder=0.2, delay=0.5)
LOSSY_SEEDS = 10
HASH_SEEDS = ("0", "1", "2", "3")
PATIENCE_S = 60.0  # how long a cancelled run may still take, in virtual time


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a strategy is examined in.

    agents: seed -> the agents.  strategies: those of its children, by name.  matters: outcome -> the part
    that must be the same whoever dies when; the outcome is plain JSON without instants and lengths of time.
    """

    objective: Objective = field(default_factory=lambda: Objective(description="the exam"))
    agents: Callable[[int], list[Agent]]
    options: Mapping[str, Any] = field(default_factory=dict)
    strategies: Mapping[str, Coordinate] = field(default_factory=dict)
    matters: Callable[[Any], Any] = lambda outcome: outcome


def plain_setting() -> Setting:
    """Return the exam's own setting: four agents, six tasks with an order among them."""
    return Setting(
        objective=Objective(
            description="build a house",
            tasks=(
                Task(id=TaskId("plan"), priority=1),
                Task(id=TaskId("walls"), after=(TaskId("plan"),)),
                Task(id=TaskId("doors"), after=(TaskId("plan"),), required_capabilities={"building": 0.5}),
                Task(id=TaskId("roof"), after=(TaskId("walls"),)),
                Task(id=TaskId("garden")),
                Task(id=TaskId("party"), after=(TaskId("roof"), TaskId("doors"), TaskId("garden"))),
            ),
        ),
        agents=lambda seed: [
            stand_in(Profile(id=AgentId(name), capabilities={"building": level}), seed)
            for name, level in (("ann", 0.9), ("bob", 0.6), ("cy", 0.3), ("dee", 0.5))
        ],
        matters=_tasks_and_success,
    )


def check_strategy(
    coordinate: Coordinate, check: str | None = None, *, setting: Callable[[], Setting] = plain_setting
) -> None:
    """Put one check, of `STRATEGY_CHECKS`, to a strategy; or all of them.

    Raises:
        AssertionError: it does not pass; says where, and what was expected.
    """
    for name in STRATEGY_CHECKS if check is None else (check,):
        _CHECKS[name](Exam(coordinate, setting))


class Exam:
    """One strategy in one setting."""

    def __init__(self, coordinate: Coordinate, setting: Callable[[], Setting]) -> None:
        self.coordinate = coordinate
        self.setting_of = setting
        self.setting = setting()

    def scenario(self, steps: tuple[Step, ...] = (), timeout_s: float | None = None) -> Scenario:
        """Return the one run of the exam."""
        setting = self.setting
        submit = Submit(
            id=RUN, strategy=NAME, objective=setting.objective, options=dict(setting.options), timeout_s=timeout_s
        )
        return Scenario(runs=(submit,), agents=setting.agents, strategies=self.strategy, steps=steps)

    def strategy(self, name: str) -> Coordinate:
        """Return the strategy under examination, or one for its children."""
        if name == NAME:
            return self.coordinate
        if name not in self.setting.strategies:
            raise NotFound(f"there is no strategy {name!r} in this exam; name it in Setting.strategies", name=name)
        return self.setting.strategies[name]

    def play(self, what: str, seed: int = 0, **how: Any) -> Played:
        """Play a world in which nothing may be wrong."""
        scenario = self.scenario(how.pop("steps", ()), how.pop("timeout_s", None))
        played, problems = play(scenario, seed, **how)
        assert not problems, f"{what}: {'; '.join(problems)}"
        assert played is not None
        return played

    def essence(self, played: Played) -> Any:
        """Return what must always be the same."""
        status, outcome = ending_of(played, RUN)
        return status, None if outcome is None else self.setting.matters(outcome)


# The checks


def _replays(exam: Exam) -> None:
    """A replay does the same: commands, payloads, outcome; and so does a second world of the same seed."""
    first = exam.play("without any fault")
    status, outcome = ending_of(first, RUN)
    assert status == "completed", f"without any fault the run is {status}: {outcome or first.records[RUN].error}"
    second = exam.play("without any fault, the second time")
    for one, other in zip(_rows(first), _rows(second), strict=False):
        assert one == other, f"two worlds of the same seed differ: first {one}, then {other}"


def _survives_every_death(exam: Exam) -> None:
    """Killed before and after every commit and send, it ends the same, and nothing is done twice."""
    whole = exam.play("without any fault")
    expected = exam.essence(whole)
    for kills in kills_of(whole):
        where = _where(kills)
        found = exam.essence(exam.play(f"killed {where}", kills=kills))
        assert found == expected, f"killed {where} it ends as {_short(found)}; not killed, as {_short(expected)}"


def _stands_a_lossy_network(exam: Exam) -> None:
    """Messages that are lost, doubled, late and overtaken make nothing wrong."""
    for seed in range(LOSSY_SEEDS):
        exam.play(f"seed {seed} with {LOSSY.words()}", seed, faults=LOSSY)


def _ends_when_cancelled(exam: Exam) -> None:
    """Whenever it is called off, it ends soon."""
    began, lasted = _time_of(exam.play("without any fault"))
    for share in (0.0, 0.25, 0.5, 0.75, 0.95):
        at_s = began + share * lasted
        step = Step(at_s, Cancel(id=RUN, reason="the exam"))
        played = exam.play(f"cancelled after {at_s:.3f} s", steps=(step,))
        record = played.records[RUN]
        assert record.status in {"cancelled", "completed"}, (
            f"cancelled after {share * lasted:.3f} s it is {record.status}: {record.error}"
        )
        took_s = (record.ended_at or 0.0) - (record.started_at or 0.0) - share * lasted
        assert took_s < PATIENCE_S, f"cancelled after {share * lasted:.3f} s it went on for {took_s:.1f} s"


def _gives_what_it_has_at_its_deadline(exam: Exam) -> None:
    """At its deadline it returns an outcome with what there is (`async with run.deadline()`)."""
    _, lasted = _time_of(exam.play("without any fault"))
    for share in (0.3, 0.6):
        played = exam.play(f"with a deadline after {share * lasted:.3f} s", timeout_s=share * lasted)
        status, outcome = ending_of(played, RUN)
        assert status in {"timed_out", "completed"}, f"at its deadline it is {status}: {played.records[RUN].error}"
        assert outcome is not None, (
            "at its deadline it is cancelled without an outcome; put the work into `async with run.deadline()` and "
            "return what there is when that raises TimedOut"
        )


def _touches_no_world(exam: Exam) -> None:
    """It reads no clock but the log's, rolls no dice but the run's, opens no file and no connection."""
    played, problems = play(exam.scenario())  # that it diverges is told by another check
    assert played is not None, problems
    entries = [entry for entry in played.log if entry.stream == run_stream(RUN)]
    forbidden = Forbidden()

    def replay() -> Instance:
        with forbidden:
            return rebuild_instance(RUN, entries, exam.strategy)

    with contextlib.suppress(ConcertedError):  # told by another check, too
        _on_a_host_loop(replay).abandon()
    assert not forbidden.seen, f"the strategy touches the world: {'; '.join(forbidden.seen)}; ask `run` instead"


def _hangs_on_no_hash(exam: Exam) -> None:
    """Its log is the same in processes with other PYTHONHASHSEEDs: no order of a set decides anything."""
    asked = json.dumps([_place(exam.coordinate), _place(exam.setting_of), sys.path])
    children = [
        subprocess.Popen(
            [sys.executable, "-c", "from concerted.testing.strategy_exam import tell; tell()", asked],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in HASH_SEEDS
    ]
    told = []
    for child in children:
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, f"it cannot be examined in another process: {err[-2000:]}"
        told.append(json.loads(out))
    for seed, rows in zip(HASH_SEEDS[1:], told[1:], strict=True):
        for one, other in zip(told[0], rows, strict=False):
            assert one == other, (
                f"with PYTHONHASHSEED={HASH_SEEDS[0]} it does {one}, with {seed} it does {other}; iterate over "
                "sorted(...) and never over a set"
            )
        assert len(rows) == len(told[0]), "it writes more rows under one PYTHONHASHSEED than under another"


_CHECKS: dict[str, Callable[[Exam], None]] = {
    "a replay does the same": _replays,
    "it survives a death at every commit and send": _survives_every_death,
    "it stands a lossy network": _stands_a_lossy_network,
    "it ends when it is cancelled": _ends_when_cancelled,
    "it gives what it has at its deadline": _gives_what_it_has_at_its_deadline,
    "it touches no world": _touches_no_world,
    "it hangs on no hash": _hangs_on_no_hash,
}
STRATEGY_CHECKS = tuple(_CHECKS)


# In other processes


def tell() -> None:
    """Play the exam of the strategy named on the command line and write its rows to standard output."""
    coordinate, setting, path = json.loads(sys.argv[1])
    sys.path[:] = path
    exam = Exam(_load(*coordinate), _load(*setting))
    rows = _rows(exam.play("in another process"))
    sys.stdout.write(json.dumps(rows))


def _place(fn: Callable[..., Any]) -> tuple[str, str, str]:
    """Return the module, file and name under which another process finds a function.

    Raises:
        Invalid: it stands inside another function.
    """
    name, file = getattr(fn, "__qualname__", ""), inspect.getsourcefile(inspect.unwrap(fn))
    if file is None or "<" in name:
        raise Invalid(f"{name or fn!r} cannot be found from other processes; put it at the top of a module")
    return fn.__module__, str(Path(file).resolve()), name


def _load(module_name: str, file: str, name: str) -> Any:
    found = sys.modules.get(module_name)
    if found is None:
        try:
            found = importlib.import_module(module_name)
        except ImportError:  # a test's module has a name that only its runner knows
            digest = hashlib.blake2b(file.encode(), digest_size=8).hexdigest()
            spec = importlib.util.spec_from_file_location(f"examined_{digest}", file)
            assert spec is not None
            assert spec.loader is not None
            found = sys.modules[module_name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    return found


# How the checks look at worlds


def _rows(played: Played) -> list[list[Any]]:
    """Return the rows of all runs, in order, with their digests where they are long."""
    rows = []
    for entry in played.log:
        if entry.stream.startswith("run:"):
            data = entry.data.decode()
            shown = data if len(data) < 500 else hashlib.blake2b(entry.data, digest_size=16).hexdigest()
            rows.append([entry.stream, entry.kind, entry.agent, entry.ref, shown])
    return rows


def _tasks_and_success(outcome: Any) -> Any:
    """Keep what a plan is for: which tasks are done, with what result.  Who does them may depend on who is quick."""
    tasks = {task["id"]: (task["status"], task.get("result")) for task in outcome["tasks"]}
    return (outcome["success"], tasks) if tasks else (outcome["success"], outcome["result"])


def _time_of(played: Played) -> tuple[float, float]:
    """Return when, in virtual time, the run began, and how long it took."""
    record = played.records[RUN]
    assert record.started_at is not None
    assert record.ended_at is not None
    return record.started_at - played.began_at, record.ended_at - record.started_at


def _where(kills: tuple[Kill, ...]) -> str:
    return " and ".join(f"{kill.moment} {kill.number}" for kill in kills)


def _short(value: Any) -> str:
    text = encode(msgspec.to_builtins(value)).decode()
    return text if len(text) <= 500 else f"{text[:500]}..."


def _on_a_host_loop(fn: Callable[[], Instance]) -> Instance:
    """Call `fn` from a loop, outside its tasks, as the engine calls strategies."""
    loop = asyncio.new_event_loop()
    future: asyncio.Future[Instance] = loop.create_future()

    def call() -> None:
        try:
            value = fn()
        except ConcertedError as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    loop.call_soon(call)
    try:
        return loop.run_until_complete(future)
    finally:
        loop.close()
