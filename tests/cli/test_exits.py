"""Each error has its exit code, and is shown without a traceback."""

import json

import pytest

from concerted.cli.exits import EXITS, exit_code, show_error
from concerted.errors import BY_CODE, ConcertedError, Invalid, NotFound, Unreachable

CODES = {
    "error": 1, "not_found": 3, "not_allowed": 5, "wrong_phase": 1, "invalid": 2, "conflict": 2, "timed_out": 4,
    "unreachable": 6, "overloaded": 6, "lease_lost": 7, "deadlock": 8, "diverged": 1, "store_damaged": 2,
}  # fmt: skip


@pytest.mark.parametrize("code", BY_CODE)
def test_every_error_has_a_documented_exit_code(code: str) -> None:
    assert exit_code(BY_CODE[code]("it is so")) == CODES[code]
    assert CODES[code] in EXITS


def test_a_case_of_an_error_has_the_code_of_its_kind() -> None:
    class Asleep(Unreachable):
        pass

    assert exit_code(Asleep("later")) == 6


def test_every_line_of_an_error_says_so_and_nothing_goes_to_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_error(Invalid("a.yaml:1:1: x\na.yaml:2:1: y"), as_json=False) == 2

    shown = capsys.readouterr()
    assert shown.err == "error: a.yaml:1:1: x\nerror: a.yaml:2:1: y\n"
    assert shown.out == ""


def test_a_line_without_end_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_error(NotFound(f"there is no {'x' * 100_000}"), as_json=False)
    line = capsys.readouterr().err
    assert len(line) < 2_100
    assert line.endswith("xxx... (100,012 characters)\n")


def test_as_json_it_is_one_object_with_code_message_and_facts(capsys: pytest.CaptureFixture[str]) -> None:
    error: ConcertedError = NotFound("there is no run 'x'", run="x", odd={1, 2} - {2})

    assert show_error(error, as_json=True) == 3

    found = json.loads(capsys.readouterr().out)
    assert found == {
        "error": {"code": "not_found", "message": "there is no run 'x'", "facts": {"run": "x", "odd": "{1}"}}
    }
