"""`concerted replicas`: what somebody who relies on a group is told about it."""

from pathlib import Path

import msgspec
import pytest

from concerted.engine.replicas import arrivals
from concerted.replicas.spec import Group


def test_a_group_that_everybody_can_speak_to_is_warned_of(concerted, tmp_path: Path) -> None:
    file = tmp_path / "ops.json"
    file.write_bytes(msgspec.json.encode(Group(id="ops", replicas={1: "127.0.0.1:1", 2: f"{tmp_path}/2.sock"})))
    told = concerted("replicas", "status", str(file))
    assert told.code == 1, "nobody answers"
    assert "it tolerates the loss of none, and no lies" in told.err
    assert "replicas 1 listen at HOST:PORT" in told.err


@pytest.mark.parametrize(
    "line",
    [
        ("decide", "ship it?", "--voters", "ann"),
        ("agree", "k", "1"),
        ("agreement", "open", "k"),
        ("log", "create", "audit"),
    ],
    ids=lambda line: line[0],
)
def test_whatever_is_opened_can_name_the_agents_beside_which_it_is_kept(
    concerted, line: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "JOIN_S", 0.05)  # how long it waits for agents that begin beside it

    by_store = concerted(*line, "--replicas", "x,y,z")
    by_replicas = concerted(*line, "--replicas", "x,y,z", "--algorithm", "raft")

    assert (by_store.code, by_replicas.code) == (2, 3)
    assert "replicas beside x, y, z: by algorithm single the store keeps the log" in by_store.err
    assert "nobody is registered as x, y, z; who hosts a replica must be here" in by_replicas.err


def test_a_group_is_named_or_agents_and_never_both(concerted) -> None:
    both = concerted("agree", "k", "1", "--algorithm", "raft", "--group", "ops", "--replicas", "x,y,z")

    assert both.code == 2
    assert "group ops has its replicas beside agents of its own: leave x, y, z out, or the group" in both.err
