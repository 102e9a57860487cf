"""Every plan in examples/ is run as a user would, and comes to what stands beside it.

NAME.out is what `concerted run NAME.yaml` prints; NAME.json, if there is one, is a part of the run's result
(`--json`).  `EXAMPLES=rewrite pytest -m e2e tests/e2e/test_examples.py` writes the .out files anew: read what changed.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from concerted.config.plan import load_plan
from concerted.strategies import choose

EXAMPLES = Path(__file__).parents[2] / "examples"
PLANS = sorted(path.stem for path in EXAMPLES.glob("*.yaml"))
VARIES = re.compile(r"\b\d+(\.\d+)?s\b|\b\d+ messages\b")  # how long it took, and how often something was sent again


@pytest.mark.parametrize("name", choose.BUILT_IN)
def test_every_strategy_has_an_example(name: str) -> None:
    assert f"{name}.yaml" in {path.name for path in EXAMPLES.iterdir()}
    plan = load_plan((EXAMPLES / f"{name}.yaml").read_text("utf-8"), f"{name}.yaml", strategies=choose.names())
    assert plan.strategy == name


@pytest.mark.parametrize("name", PLANS)
def test_an_example_is_a_plan_without_warnings(name: str) -> None:
    text = (EXAMPLES / f"{name}.yaml").read_text("utf-8")
    assert not load_plan(text, f"{name}.yaml", strategies=choose.names()).warnings


@pytest.mark.parametrize("name", PLANS)
def test_an_example_comes_to_what_stands_beside_it(name: str, shell: Any) -> None:
    shutil.copytree(EXAMPLES, shell.folder, dirs_exist_ok=True)

    done = shell.run("run", f"{name}.yaml", "--quiet")

    assert done.returncode == 0, done.stderr
    beside = EXAMPLES / f"{name}.out"
    if os.environ.get("EXAMPLES") == "rewrite":
        beside.write_text(done.stdout, "utf-8")
    assert steady(done.stdout) == steady(beside.read_text("utf-8"))
    if (EXAMPLES / f"{name}.json").exists():
        wanted = json.loads((EXAMPLES / f"{name}.json").read_text("utf-8"))
        result = shell.json("run", f"{name}.yaml", "--quiet")["result"]
        assert {key: result.get(key) for key in wanted} == wanted


def test_everything_in_the_folder_belongs_to_a_plan() -> None:
    for path in EXAMPLES.iterdir():
        if path.suffix in (".out", ".json"):
            assert path.stem in PLANS, f"examples/{path.name}: there is no plan {path.stem}.yaml"


def steady(output: str) -> str:
    return VARIES.sub("#", output)
