"""`concerted replicas`: what somebody who relies on a group is told about it."""

from pathlib import Path

import msgspec

from concerted.replicas.spec import Group


def test_a_group_that_everybody_can_speak_to_is_warned_of(concerted, tmp_path: Path) -> None:
    file = tmp_path / "ops.json"
    file.write_bytes(msgspec.json.encode(Group(id="ops", replicas={1: "127.0.0.1:1", 2: f"{tmp_path}/2.sock"})))
    told = concerted("replicas", "status", str(file))
    assert told.code == 1, "nobody answers"
    assert "it tolerates the loss of none, and no lies" in told.err
    assert "replicas 1 listen at HOST:PORT" in told.err
