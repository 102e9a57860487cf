"""What the seeds of every protocol have in common: what clients were told is judged."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from concerted.testing import History, Operation, check_linearizable, models


@pytest.fixture(scope="session")
def judge() -> Callable[[Sequence[Any]], None]:
    """Give what fails if what clients were told is not linearizable, by a checker that knows nothing of logs."""

    def look(told: Sequence[Any]) -> None:
        operations = [
            Operation(each.register, each.op, each.value, each.result, each.began, each.ended)
            if each.ended is not None
            else Operation(each.register, each.op, each.value, None, each.began, outcome="info")
            for each in told
            if each.op == "write" or each.ended is not None
        ]
        verdict = check_linearizable(History.of(operations), models.Register())
        assert not verdict.violations, verdict

    return look
