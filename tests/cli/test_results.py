"""What a run came to, as people read it."""

from typing import Any

import pytest

from concerted.cli.results import show_run
from concerted.ports.commands import RunView

BALLOTS = [{"voter": "ann", "choice": "accept", "reason": "it is green"}]
DECIDED = {"decision": "d", "outcome": "accepted", "why": "1 of 1", "certificate": {"ballots": BALLOTS}}


def view(strategy: str, result: Any) -> RunView:
    return RunView(id="r", plan=None, strategy=strategy, status="completed", success=True, result=result)


@pytest.mark.parametrize(
    ("strategy", "result", "text"),
    [
        ("swarm", {"answer": {"x": 3}, "value": 0.5}, '{"x":3}: 0.5\n'),
        ("consensus", DECIDED, "d accepted: 1 of 1\nvoter  vote    reason\nann    accept  it is green\n\n"),
    ],
)
def test_an_answer_and_a_decision_stand_in_the_place_of_the_table(
    strategy: str, result: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_run(view(strategy, result), as_json=False) == 0
    assert capsys.readouterr().out == text + "run r completed\n"


def test_a_strategy_of_your_own_may_call_its_result_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    show_run(view("oracle", {"answer": 42}), as_json=False)
    assert '{"answer":42}\n' in capsys.readouterr().out
