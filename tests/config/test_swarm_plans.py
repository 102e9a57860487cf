"""Plans of swarms: which need tasks, and which stops instead."""

import pytest

from concerted.config.plan import load_plan
from concerted.errors import Invalid

PLAN = """
plan: round
agents:
  - {id: ann, python: "my_agents:ann"}
objective:
  data: {points: {a: [0, 0], b: [1, 0], c: [1, 1]}}
strategy: {name: swarm, mode: MODE}
"""


def test_a_round_trip_needs_no_tasks() -> None:
    plan = load_plan(PLAN.replace("MODE", "route"), "plan.yaml", strategies=["swarm"])
    assert not plan.objective.tasks
    assert plan.options["mode"] == "route"


@pytest.mark.parametrize("mode", ["balance", "optimize", "select", "agree"])
def test_every_other_mode_needs_some(mode: str) -> None:
    with pytest.raises(Invalid, match="there is nothing to do"):
        load_plan(PLAN.replace("MODE", mode), "plan.yaml", strategies=["swarm"])


def test_a_mode_that_does_not_exist_is_named() -> None:
    with pytest.raises(Invalid, match="expected one of"):
        load_plan(PLAN.replace("MODE", "fly"), "plan.yaml", strategies=["swarm"])
