"""The examples of docs/agents.md, run as they stand there."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from concerted.agent import Agent
from concerted.links.local import LocalLink
from concerted.links.open import load_object
from concerted.links.process import ProcessLink
from concerted.messages import Custom, ExecuteTask, Reply, RequestBid
from concerted.ports.link import Link
from concerted.testing.link_exam import Heard, envelope
from concerted.values import Profile, Task

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text("utf-8")
BLOCKS = re.findall(r"(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FILES = {name: text for name, _, text in BLOCKS if name}
PYTHON = [text for _, language, text in BLOCKS if language == "python"]


def ask(link: Link, request: Any) -> Reply:
    async def main() -> Reply:
        heard = Heard()
        await link.open(heard)
        link.send([envelope(request, "key")])
        reply = await heard.answer("key")
        await link.close("over")
        assert heard.news == []
        return reply

    return asyncio.run(main())


def execute(**payload: Any) -> ExecuteTask:
    return ExecuteTask(task=Task(id="t", payload=payload), epoch=2, lease_s=9.0, results={"before": 1})


def named(name: str) -> Agent:
    """Run the Python block that makes the agent of this name."""
    (block,) = (text for text in PYTHON if f'{name} = Agent("{name}"' in text)
    space: dict[str, Any] = {}
    exec(compile(block, "docs/agents.md", "exec"), space)
    agent = space[name]
    assert isinstance(agent, Agent)
    return agent


def test_the_first_agent_drafts_and_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_agents.py").write_text(FILES["my_agents.py"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    ann = load_object("my_agents:ann", str(tmp_path))
    sys.modules.pop("my_agents")
    draft = Task(id="t", kind="draft", payload={"topic": "tea"})
    assert ask(LocalLink(ann), ExecuteTask(task=draft, epoch=1, lease_s=9.0)).value == {"text": "All about tea"}
    empty = Task(id="t", kind="draft")
    reply = ask(LocalLink(ann), ExecuteTask(task=empty, epoch=1, lease_s=9.0))
    assert (reply.status, reply.error) == ("refused", "a draft needs a topic")


def test_the_second_agent_reports_progress() -> None:
    assert ask(LocalLink(named("bob")), execute(pages=2)).value == {"pages": 2, "after": ["before"], "token": 2}


def test_the_third_agent_has_a_say_of_its_own() -> None:
    offer = RequestBid(auction="a", tasks=(Task(id="t"),), closes_at=0.0)
    cy = named("cy")
    assert ask(LocalLink(cy), offer).value["bids"][0]["task"] == "t"
    cy.held = 1
    assert ask(LocalLink(cy), offer).value == {"bids": [], "reason": "busy enough"}
    assert ask(LocalLink(cy), Custom(name="REVIEW", data={"text": "abcdef"})).value == {"grade": 1}


def test_the_python_program_answers(tmp_path: Path) -> None:
    program = tmp_path / "shout.py"
    program.write_text(FILES["shout.py"])
    words = [sys.executable, str(program)]
    assert ask(ProcessLink(Profile(id="ann"), words), execute(text="tea")).value == "TEA"
    assert ask(ProcessLink(Profile(id="ann"), words), execute()).error == "KeyError('payload')"


def test_the_shell_program_answers(tmp_path: Path) -> None:
    program = tmp_path / "word_count.sh"
    program.write_text(FILES["word_count.sh"])
    program.chmod(0o700)
    (tmp_path / "text").write_text("three words here\n")
    link = ProcessLink(Profile(id="ann"), ["./word_count.sh"], cwd=str(tmp_path))
    assert ask(link, execute(path="text")).value == {"words": 3}
    link = ProcessLink(Profile(id="ann"), ["./word_count.sh"], cwd=str(tmp_path))
    assert ask(link, execute(path="missing")).error == "cannot read missing"


def test_the_programs_are_as_short_as_promised() -> None:
    assert len(FILES["shout.py"].splitlines()) <= 15
    assert len(FILES["word_count.sh"].splitlines()) <= 15


def test_the_shell_program_is_plain_shell() -> None:
    checked = subprocess.run(["sh", "-n"], input=FILES["word_count.sh"], text=True, check=False, capture_output=True)
    assert checked.returncode == 0, checked.stderr
