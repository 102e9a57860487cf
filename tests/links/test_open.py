"""From a plan's agent to its link."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.config.plan import AgentSpec
from concerted.errors import Invalid
from concerted.links.command import CommandLink
from concerted.links.local import LocalLink
from concerted.links.open import agent_from, link_from_spec, load_object
from concerted.links.process import ProcessLink
from concerted.testing.link_exam import Heard, task_envelope
from concerted.values import Profile, Task

MODULE = """
from concerted.agent import Agent

writer = Agent("writer", capabilities={"writing": 0.7}, capacity=3)

@writer.task()
def write(task):
    return "written"

def make():
    return writer

def shout(task):
    return task.id.upper()

def wrong():
    return 7

def broken():
    raise OSError("no ink")

NUMBER = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / "my_agents.py").write_text(MODULE)
    (tmp_path / "my_broken_agents.py").write_text("1 / 0")
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield str(tmp_path)
    sys.modules.pop("my_agents", None)


@pytest.mark.parametrize(
    ("name", "value"), [("writer", "written"), ("make", "written"), ("shout", "T"), ("writer.like", None)]
)
def test_a_python_agent_is_an_agent_or_a_function(folder: str, name: str, value: Any) -> None:
    async def main() -> None:
        spec = AgentSpec(profile=Profile(id="ann"), kind="python", python=f"my_agents:{name}", cwd=folder)
        link, heard = link_from_spec(spec), Heard()
        assert isinstance(link, LocalLink)
        assert link.agent == "ann"
        await link.open(heard)
        link.send([task_envelope("t")])
        reply = await heard.answer("t")
        assert reply.value == value or value is None
        await link.close("over")

    asyncio.run(main())


def test_what_the_plan_says_goes_before_what_the_object_says() -> None:
    writer = Agent("writer", capabilities={"writing": 0.7}, capacity=3)
    assert agent_from(writer, Profile(id="ann")).profile == Profile(id="ann", capabilities={"writing": 0.7}, capacity=3)
    assert agent_from(writer, Profile(id="ann", capacity=2)).profile.capacity == 2
    assert agent_from(writer) is writer


def test_many_may_be_made_of_one() -> None:
    writer = Agent("writer")
    ann, bob = (agent_from(writer, Profile(id=name)) for name in ("ann", "bob"))
    ann.held += 1
    assert (bob.held, writer.held) == (0, 0)


def test_a_function_alone_is_an_agent_of_its_name() -> None:
    def draft(task: Task) -> str:
        return task.id

    agent = agent_from(draft)
    assert (agent.id, agent.task_function("any") is not None) == ("draft", True)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("my_agents", "write module:object"),
        ("no_such_module:x", "No module named 'no_such_module'"),
        ("my_agents:nobody", "my_agents has no nobody"),
        ("my_agents:NUMBER", "7 is no agent"),
        ("my_agents:wrong", "must return an Agent; this one returned int"),
        ("my_agents:broken", r"broken\(\) raised OSError: no ink"),
        ("my_broken_agents:x", "importing it raised ZeroDivisionError"),
    ],
)
def test_what_is_no_agent_is_explained(folder: str, name: str, problem: str) -> None:
    with pytest.raises(Invalid, match=problem):
        agent_from(load_object(name, folder))


def test_programs_and_command_lines_have_links_of_their_own() -> None:
    profile = Profile(id="ann")
    assert isinstance(link_from_spec(AgentSpec(profile=profile, kind="process", argv=("cat",))), ProcessLink)
    assert isinstance(link_from_spec(AgentSpec(profile=profile, kind="command", argv=("true",))), CommandLink)
