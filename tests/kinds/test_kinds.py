"""The names of what the log can say: everything that is written has one, and every one is written."""

import ast
import gc
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import concerted
from concerted.kinds import ENDINGS, INPUTS, PRIMITIVES, agent_stream, run_stream
from concerted.primitives.table import MACHINES, all_kinds, machine_of
from concerted.values import AgentState, RunStatus

PACKAGE = Path(concerted.__file__).parent
KINDS = all_kinds()
WRITERS = {"Row", "LogRow", "Input", "Event", "follow", "note", "record", "write", "_row", "_step", "_event"}
READERS = {"testing", "cli"}  # rooms that only read the log, or write logs of their own invention

# kinds that nothing writes yet, each with what will; this list only ever gets shorter
LATER: dict[str, str] = {}

# a kind whose last word is computed, and what the word may be
COMPUTED = {
    "agent.": {f"agent.{state}" for state in get_args(AgentState)},
    "run.": set(ENDINGS),
    "participant.": {f"participant.{change}" for change in ("joined", "changed", "lost")},
}


@cache
def sources() -> dict[str, list[ast.AST]]:
    """Read all that stands in the sources, without looking for garbage among it: path -> its nodes."""
    gc.disable()
    try:
        return {
            path.relative_to(PACKAGE).as_posix(): list(ast.walk(ast.parse(path.read_text("utf-8"))))
            for path in sorted(PACKAGE.rglob("*.py"))
            if path.relative_to(PACKAGE).parts[0] not in READERS
        }
    finally:
        gc.freeze()
        gc.enable()


@cache
def written() -> dict[str, str]:
    """Return a place of every kind that some call in the sources writes."""
    places = {}
    for path, nodes in sources().items():
        for call in nodes:
            if isinstance(call, ast.Call) and _name(call.func) in WRITERS:
                given = [*call.args[:2], *(keyword.value for keyword in call.keywords if keyword.arg == "kind")]
                for kind in (kind for argument in given for kind in _kinds(argument)):
                    places[kind] = f"{path}:{call.lineno}"
    return places


@cache
def named() -> Counter[str]:
    """Count how often each kind stands as a text in the sources, outside the tables that say what it means."""
    counts: Counter[str] = Counter()
    for path, nodes in sources().items():
        if path.endswith("kinds.py"):
            continue
        keys = {
            id(key)
            for node in nodes
            if isinstance(node, ast.Dict)
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(value, ast.Constant) and " " in str(value.value)
        }
        counts.update(
            node.value
            for node in nodes
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in keys
        )
    return counts


def _kinds(node: ast.expr) -> Iterator[str]:
    """Yield the kinds that an argument may stand for; both sides of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        if re.fullmatch(r"[a-z_]+\.[a-z_]+", node.value):
            yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _kinds(node.body)
        yield from _kinds(node.orelse)
    elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        yield from COMPUTED.get(str(node.values[0].value), ())


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


# Their machines both decide and evolve by them; those that need no evolving stand once.
OF_MACHINES = PRIMITIVES | {
    kind for kind in KINDS if kind.partition(".")[0] in ("message", "messages", "principal", "access")
}


def test_whatever_is_written_has_a_name_in_the_table() -> None:
    unknown = {kind: place for kind, place in written().items() if kind not in KINDS}
    assert not unknown, f"say in kinds.py what these mean: {unknown}"


def test_every_name_is_written_somewhere() -> None:
    """All are looked at in one test: reading the sources takes longer than everything else here."""
    wrong = []
    for kind in sorted(KINDS):
        if kind in OF_MACHINES:
            if not named()[kind]:
                wrong.append(f"no machine writes {kind}: take it out of its KINDS, or write it")
        elif kind in LATER:
            if kind in written():
                wrong.append(f"{kind} is written in {written()[kind]}; take it out of LATER")
        elif kind not in written():
            wrong.append(f"nothing writes {kind}: take it out of kinds.py, or write it")
    assert not wrong, "\n".join(wrong)


def test_the_list_of_later_ones_holds_no_strangers() -> None:
    assert set(LATER) <= set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_name_is_a_thing_and_what_has_happened_to_it(kind: str) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", kind)
    meaning = KINDS[kind]
    assert meaning[0].isupper(), f"{kind}: begin its meaning as a sentence"
    assert meaning.endswith("."), f"{kind}: end its meaning with a full stop"


def test_a_run_can_end_in_every_status_that_is_an_end() -> None:
    assert set(ENDINGS.values()) == set(get_args(RunStatus)) - {"queued", "initializing", "active"}
    assert all(kind == f"run.{status}" for kind, status in ENDINGS.items())


def test_no_ending_is_an_input() -> None:
    assert not INPUTS & set(ENDINGS)
    assert set(KINDS) >= INPUTS


def test_the_stream_of_an_agent_is_never_that_of_a_run() -> None:
    assert run_stream("ann") == "run:ann" != agent_stream("ann") == "agent:ann"


def test_the_kinds_of_primitives_are_those_of_their_machines() -> None:
    own = {kind for name in MACHINES for kind in machine_of(name).KINDS}
    assert own | {"primitive.folded"} == PRIMITIVES
