"""A plan on its way to a coordinator: anchored, checked, and given an id and a store."""

from pathlib import Path

import pytest

from concerted.cli.options import DEFAULT_STORE
from concerted.cli.plans import read_order
from concerted.errors import Invalid

PLAN = """
plan: nightly/build
agents:
  - {id: here, run: echo hi}
  - {id: below, process: [cat], cwd: sub}
  - {id: far, process: [cat], cwd: /}
tasks: [{id: a}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    return tmp_path


def write(folder: Path, text: str) -> str:
    file = folder / "plan.yaml"
    file.write_text(text)
    return str(file)


def test_every_agent_has_an_absolute_folder(folder: Path) -> None:
    order = read_order(write(folder, PLAN), run=None, store=None)

    assert [spec.cwd for spec in order.specs] == [str(folder), str(folder / "sub"), "/"]


def test_the_id_is_the_plans_name_made_fit_or_the_one_given(folder: Path) -> None:
    file = write(folder, PLAN)

    assert read_order(file, run=None, store=None).run == "nightly-build"
    assert read_order(file, run="mine", store=None).submit().id == "mine"


def test_the_store_is_the_one_given_or_the_plans_or_the_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without, own = write(folder, PLAN), PLAN + "store: sqlite:///own.db\n"

    assert read_order(without, run=None, store=None).url == DEFAULT_STORE
    with_own = write(folder, own)
    assert read_order(with_own, run=None, store=None).url == f"sqlite:///{folder}/own.db"
    assert read_order(with_own, run=None, store="sqlite:///x.db").url == "sqlite:///x.db"
    monkeypatch.setenv("CONCERTED__STORE__URL", "sqlite:///env.db")
    assert read_order(with_own, run=None, store=None).url == "sqlite:///env.db"


def test_an_absolute_store_of_a_plan_stays_where_it_is(folder: Path) -> None:
    order = read_order(write(folder, PLAN + "store: sqlite:////var/own.db\n"), run=None, store=None)

    assert order.url == "sqlite:////var/own.db"


def test_what_is_missing_is_told_once_for_agents_that_are_alike(folder: Path) -> None:
    alike = "plan: p\nagents: [{id: w, count: 9, run: no-such-one}, {id: v, run: no-such-two}]\ntasks: [{id: a}]\n"

    with pytest.raises(Invalid) as raised:
        read_order(write(folder, alike), run=None, store=None)

    assert raised.value.facts["problems"] == [
        "agents: there is no program no-such-one on PATH, or it may not be executed",
        "agents: there is no program no-such-two on PATH, or it may not be executed",
    ]


def test_a_program_that_a_task_names_is_not_looked_for(folder: Path) -> None:
    later = "plan: p\nagents: [{id: w, run: '{payload.tool} x'}]\ntasks: [{id: a, payload: {tool: echo}}]\n"

    assert read_order(write(folder, later), run=None, store=None).specs[0].argv[0] == "{payload.tool}"


def test_a_file_that_is_no_text_is_told_so(folder: Path) -> None:
    (folder / "plan.yaml").write_bytes(b"plan: \xff")

    with pytest.raises(Invalid, match="byte 6 is no UTF-8"):
        read_order(str(folder / "plan.yaml"), run=None, store=None)
