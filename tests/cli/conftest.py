"""The command line called inside the test's own process, in a folder of the test's own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from concerted.cli import main


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@pytest.fixture
def concerted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONCERTED_STORE", raising=False)

    def call(*words: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert isinstance(ended.value.code, int)
        captured = capsys.readouterr()
        return Ended(ended.value.code, captured.out, captured.err)

    return call


@pytest.fixture
def concerted_with_a_deadline(concerted: Callable[..., Ended]) -> Callable[..., Ended]:
    """Call a command with a deadline that is soon over, and not so soon that the command comes after it."""

    def call(*words: str) -> Ended:
        for deadline in ("50ms", "1s", "20s"):
            ended = concerted(*words, "--deadline", deadline)
            if "is not in the future" not in ended.err:
                return ended
        raise AssertionError(ended.err)

    return call
