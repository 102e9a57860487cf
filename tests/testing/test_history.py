"""Recorded histories: what a recorder writes, what is read back, and what a killed process leaves behind."""

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from concerted.errors import Conflict, Invalid, NotFound
from concerted.testing.history import History, Operation, Recorder, freeze, parse


def ticking() -> Callable[[], float]:
    """Return a clock that says 1, 2, 3 ..."""
    instants = iter(range(1, 1_000))
    return lambda: float(next(instants))


# operations


def test_lists_and_objects_become_values_that_can_be_compared_and_hashed() -> None:
    operation = Operation("x", "write", [1, [2, {"b": 1, "a": [None]}]], called_at=0, returned_at=1)
    assert operation.arg == (1, (2, (("a", (None,)), ("b", 1))))
    assert hash(operation) == hash(operation)


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(Invalid, match=r"\{1\} has no JSON form; record a number"):
        freeze([{1}])


def test_an_operation_may_not_return_before_its_call() -> None:
    with pytest.raises(Invalid, match="recorded by two clocks"):
        Operation("x", "read", called_at=2, returned_at=1)


def test_an_operation_that_never_returned_is_not_ok() -> None:
    with pytest.raises(Invalid, match="its outcome is info"):
        Operation("x", "read", called_at=2)


def test_an_operation_is_shown_as_a_call() -> None:
    assert str(Operation("x", "cas", [1, "b"], True, 0, 1)) == "cas(1, 'b') -> True"
    assert str(Operation("x", "read", None, 4, 0, 1)) == "read() -> 4"
    assert str(Operation("x", "write", 4, outcome="info")) == "write(4) -> ?"
    assert str(Operation("x", "write", 4, None, 0, 1, "fail")) == "write(4) -> failed"


def test_what_it_may_have_returned() -> None:
    assert Operation("x", "read", None, 4, 0, 1).may_return(4)
    assert not Operation("x", "read", None, 4, 0, 1).may_return(5)
    assert Operation("x", "read", outcome="info").may_return(5)


# recording


def test_a_recorder_writes_calls_and_their_ends() -> None:
    recorder = Recorder("ann", clock=ticking())
    first = recorder.call("cell", "write", {"to": [1]})
    second = recorder.call("cell", "read")
    second.returned([1, 2])
    first.failed("refused")
    recorder.call("cell", "cas", [1, 2]).unknown("TimeoutError")
    recorder.call("lock", "look")
    assert recorder.history().operations == (
        Operation("cell", "write", {"to": [1]}, None, 1, 4, "fail", "ann", "refused"),
        Operation("cell", "read", None, [1, 2], 2, 3, "ok", "ann"),
        Operation("cell", "cas", [1, 2], None, 5, 6, "info", "ann", "TimeoutError"),
        Operation("lock", "look", None, None, 7, math.inf, "info", "ann", "no answer"),
    )


def test_the_call_is_written_before_it_is_made(tmp_path: Path) -> None:
    with Recorder("ann", tmp_path / "ann.jsonl") as recorder, recorder.operation("cell", "write", 1) as call:
        [pending] = History.load([tmp_path / "ann.jsonl"]).operations
        assert pending.outcome == "info"
        call.returned()
    [operation] = History.load([tmp_path / "ann.jsonl"]).operations
    assert operation.outcome == "ok"


def test_a_block_that_raises_leaves_the_outcome_unknown() -> None:
    recorder = Recorder("ann", clock=ticking())
    with pytest.raises(TimeoutError), recorder.operation("cell", "write", 1):
        raise TimeoutError
    assert recorder.history().operations == (
        Operation("cell", "write", 1, None, 1, 2, "info", "ann", "TimeoutError"),
    )  # fmt: skip


async def cancelled_in(recorder: Recorder) -> None:
    async def write() -> None:
        with recorder.operation("cell", "write", 1):
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


def test_a_cancelled_call_is_of_unknown_outcome() -> None:
    recorder = Recorder("ann", clock=ticking())
    asyncio.run(cancelled_in(recorder))
    assert [(each.outcome, each.note) for each in recorder.history().operations] == [("info", "CancelledError")]


def test_a_block_that_raises_after_it_said_how_it_ended_changes_nothing() -> None:
    recorder = Recorder("ann", clock=ticking())

    def read() -> None:
        with recorder.operation("cell", "read") as call:
            call.returned(1)
            raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        read()
    assert [each.result for each in recorder.history().operations] == [1]


def test_a_block_that_does_not_say_how_it_ended_is_refused() -> None:
    recorder = Recorder("ann", clock=ticking())
    with pytest.raises(Invalid, match="the end of read on cell was not recorded"), recorder.operation("cell", "read"):
        pass


def test_a_call_ends_once() -> None:
    call = Recorder("ann", clock=ticking()).call("cell", "read")
    call.returned(1)
    with pytest.raises(Invalid, match="call 1 of ann has ended already"):
        call.unknown()


def test_a_closed_recorder_records_no_more(tmp_path: Path) -> None:
    recorder = Recorder("ann", tmp_path / "ann.jsonl")
    recorder.close()
    recorder.close()
    with pytest.raises(Invalid, match="the recorder of ann is closed"):
        recorder.call("cell", "read")


def test_a_restarted_process_takes_another_file(tmp_path: Path) -> None:
    with Recorder("ann", tmp_path / "ann.jsonl"), pytest.raises(Conflict, match="takes a file of its own"):
        Recorder("ann", tmp_path / "ann.jsonl")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_recorder_is_not_carried_over_a_fork(tmp_path: Path) -> None:
    program = """
import os, sys
from concerted.errors import Invalid
from concerted.testing.history import Recorder
recorder = Recorder("ann", sys.argv[1])
child = os.fork()
if child == 0:
    try:
        recorder.call("cell", "read")
    except Invalid:
        os._exit(7)
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "ann.jsonl")], check=False, timeout=60)
    assert done.returncode == 7


# reading back


def test_the_files_of_several_processes_are_one_history_in_the_order_of_the_calls(tmp_path: Path) -> None:
    clock = ticking()
    ann = Recorder("ann", tmp_path / "ann.jsonl", clock=clock)
    bob = Recorder("bob", tmp_path / "bob.jsonl", clock=clock)
    first = ann.call("cell", "write", 1)
    bob.call("lock/a", "acquire", ["bob", 5]).returned("7")
    first.returned()
    ann.close()
    bob.close()
    history = History.load(tmp_path.glob("*.jsonl"))
    assert [(each.process, each.op, each.called_at) for each in history.operations] == [
        ("ann", "write", 1.0),
        ("bob", "acquire", 2.0),
    ]
    assert list(history.objects) == ["cell", "lock/a"]
    assert [each.op for each in history.about("lock/").operations] == ["acquire"]
    assert len(history) == 2


def test_the_torn_last_line_of_a_killed_process_is_as_if_it_were_not_written(tmp_path: Path) -> None:
    path = tmp_path / "ann.jsonl"
    with Recorder("ann", path, clock=ticking()) as recorder:
        recorder.call("cell", "write", 1).returned()
        recorder.call("cell", "write", 2).returned()
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for torn in range(1, len(lines[-1]) - 1):
        path.write_bytes(b"".join(lines[:-1]) + lines[-1][:torn])
        assert [each.outcome for each in History.load([path]).operations] == ["ok", "info"]
    path.write_bytes(whole.rstrip(b"\n"))
    assert [each.outcome for each in History.load([path]).operations] == ["ok", "ok"]


def test_a_process_killed_in_a_call_leaves_it_pending(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from concerted.testing.history import Recorder
recorder = Recorder("ann", sys.argv[1])
recorder.call("cell", "write", 1).returned()
with recorder.operation("cell", "write", 2):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "ann.jsonl"
    done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert [(each.arg, each.outcome) for each in History.load([path]).operations] == [(1, "ok"), (2, "info")]


def test_no_files_prove_nothing() -> None:
    with pytest.raises(NotFound, match="no history is named"):
        History.load([])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no history .*nobody\.jsonl"):
        History.load([tmp_path / "nobody.jsonl"])


CALLED = b'{"type":"called","number":1,"process":"ann","object":"x","op":"read","at":1.0}\n'
RETURNED = b'{"type":"returned","number":1,"at":2.0,"outcome":"ok","result":3}\n'


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (CALLED + b"nonsense\n" + RETURNED, r"ann:2: JSON is malformed"),
        (CALLED + b'{"type":"called","number":"two"}\n' + RETURNED, r"ann:2: Expected `int`"),
        (CALLED + CALLED, r"ann:2: call 1 began or ended twice"),
        (CALLED + RETURNED + RETURNED, r"ann:3: call 1 began or ended twice"),
        (RETURNED + CALLED, r"ann:1: call 1 began or ended twice, or never began"),
    ],
)
def test_a_line_that_no_recorder_wrote_is_named(data: bytes, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        parse(data, "ann")


def test_the_lines_are_plain_json() -> None:
    assert parse(CALLED + RETURNED, "ann") == [Operation("x", "read", None, 3, 1, 2, "ok", "ann")]
