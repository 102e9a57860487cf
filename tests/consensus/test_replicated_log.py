"""Every protocol's core is one and the same thing to whoever drives it."""

from typing import Any

import pytest

from concerted.consensus.entries import Snapshot
from concerted.consensus.paxos.node import Paxos
from concerted.consensus.paxos.settings import Settings as PaxosSettings
from concerted.consensus.paxos.storage import Stored as PaxosStored
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.node import Raft
from concerted.consensus.raft.settings import Settings
from concerted.consensus.raft.storage import Stored
from concerted.consensus.replicated_log import ReplicatedLog

FIRST = Snapshot(configuration=Configuration.of([1]))


def committed_alone(core: ReplicatedLog[Any, Any], command: bytes) -> list[bytes | None]:
    """Drive a core that is its own quorum, with a disk that is always quick, until it has committed a command."""
    done: list[bytes | None] = []
    pending = [core.wake(core.next_deadline)]
    now = core.next_deadline
    while pending:
        ready = pending.pop(0)
        done += [entry.command for entry in ready.committed]
        if ready.write is not None:
            pending.append(core.written(ready.write.number, now))
        elif command not in done:
            pending.append(core.propose([command], now))
    return done


@pytest.mark.parametrize(
    "core",
    [
        Raft(1, Settings(), Stored(snapshot=FIRST), dice=lambda: 0.5, now=0.0),
        Paxos(1, PaxosSettings(), PaxosStored(snapshot=FIRST), dice=lambda: 0.5, now=0.0),
    ],
    ids=["raft", "paxos"],
)
def test_whoever_drives_a_core_need_not_know_its_protocol(core) -> None:
    assert committed_alone(core, b"a")[-1] == b"a"
