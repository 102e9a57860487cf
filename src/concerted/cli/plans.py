"""A plan on its way into a coordinator: read, checked, and made independent of the folder it was read in."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from concerted.cli.options import DEFAULT_STORE
from concerted.config.plan import AgentSpec, Plan, load_plan
from concerted.errors import Invalid, NotAllowed
from concerted.links.open import agent_from, load_object
from concerted.ports.commands import Submit
from concerted.strategies import choose
from concerted.values import RunId

__all__ = ["Order", "read_order", "read_text"]

SHOWN = 50  # problems with agents that are listed


@dataclass(frozen=True, slots=True)
class Order:
    """A plan as it is given to a coordinator.  url: the store that it goes to."""

    plan: Plan
    run: RunId
    url: str
    specs: tuple[AgentSpec, ...]

    def submit(self) -> Submit:
        """Return the command that starts the run, or attaches to it."""
        plan = self.plan
        return Submit(
            id=self.run,
            strategy=plan.strategy,
            objective=plan.objective,
            options=plan.options,
            plan=plan.name,
            specs=self.specs,
            coordination=plan.coordination,
        )


def read_order(file: str, *, run: str | None, store: str | None) -> Order:
    """Read a plan and check all of it, down to whether its programs and Python objects are there.

    Relative folders of agents, and a relative store of the plan, begin where the plan is; agents without a
    folder run there.  The run's id is by default the plan's name.

    Raises:
        Invalid: anything is wrong; one line for every problem.  NotAllowed: the file may not be read.
    """
    plan = load_plan(read_text(file), file, strategies=choose.names(), env=os.environ)
    folder = Path(file).resolve().parent
    specs = tuple(_anchored(spec, folder) for spec in plan.agents)
    problems = [*_unstartable(specs), *_undecomposable(plan, folder)]
    if problems:
        shown = problems[:SHOWN] + ([f"... and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else [])
        raise Invalid("\n".join(f"{file}: {problem}" for problem in shown), problems=shown)
    # Neither of the two may be in a run's id: one parts a child from its parent, the other asks for many.
    name = plan.name.replace("/", "-").replace("*", "-")
    if plan.objective.decompose is not None:  # whoever owns the store will call it, wherever that runs
        plan = msgspec.structs.replace(plan, objective=msgspec.structs.replace(plan.objective, folder=str(folder)))
    return Order(plan, RunId(run or name), store or _own_store(plan, folder) or DEFAULT_STORE, specs)


def read_text(file: str) -> str:
    """Read a file that somebody wrote.

    Raises:
        Invalid: there is no such file, or it is no text.  NotAllowed: it may not be read.
    """
    try:
        return Path(file).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(f"{file}: byte {error.start} is no UTF-8; save the file as UTF-8") from error
    except PermissionError as error:
        raise NotAllowed(f"{file} may not be read by this user") from error
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}") from error


def _anchored(spec: AgentSpec, folder: Path) -> AgentSpec:
    """Write down the folder, so that whoever takes the run over starts the agent in the same place."""
    return msgspec.structs.replace(spec, cwd=str(folder / (spec.cwd or "")))


def _own_store(plan: Plan, folder: Path) -> str | None:
    url = plan.store.url
    scheme, separator, path = (url or "").partition(":///")
    if not separator or scheme != "sqlite" or plan.origins.get("store.url", "").startswith("env "):
        return url
    return f"sqlite:///{folder / path}"


def _unstartable(specs: tuple[AgentSpec, ...]) -> list[str]:
    """Say what is missing of what the agents are made of; of those made alike, the first is looked at."""
    alike = {(spec.python or spec.argv[0], spec.cwd, spec.env.get("PATH")): spec for spec in reversed(specs)}
    missing = [_missing_object(spec) if spec.kind == "python" else _missing_program(spec) for spec in alike.values()]
    return [f"agents: {what}" for what in reversed(missing) if what]


def _missing_object(spec: AgentSpec) -> str | None:
    try:
        agent_from(load_object(spec.python or "", spec.cwd), spec.profile)
    except Invalid as error:
        return error.message
    return None


def _missing_program(spec: AgentSpec) -> str | None:
    name, cwd = spec.argv[0], spec.cwd or "."
    if "{" in name:
        return None  # known when there is a task
    if not os.path.isdir(cwd):
        return f"there is no folder {cwd} to run {name} in"
    path = os.path.join(cwd, name) if "/" in name else name
    if shutil.which(path, path={**os.environ, **spec.env}.get("PATH")) is None:
        where = f"in {cwd}" if "/" in name else "on PATH"
        return f"there is no program {name} {where}, or it may not be executed"
    return None


def _undecomposable(plan: Plan, folder: Path) -> list[str]:
    """Say if the function that finds the tasks cannot be imported; its folder stays on Python's path."""
    if plan.objective.decompose is None:
        return []
    try:
        load_object(plan.objective.decompose, str(folder))
    except Invalid as error:
        return [f"objective.decompose: {error.message}"]
    return []
