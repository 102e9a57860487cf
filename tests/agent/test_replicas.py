"""A replica beside an agent begins once with no file, and never again without it."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from concerted.agent.replicas import HostedReplicas
from concerted.agent.work import Refused
from concerted.messages import DismissReplica, HostReplica, PrepareReplica
from concerted.replicas.spec import Group


@pytest.fixture
def hosted() -> Iterator[HostedReplicas]:
    there = HostedReplicas()
    yield there
    there.close()


def hosting(folder: Path, address: str) -> HostReplica:
    group = Group(id="ops", replicas={1: address}, hosts={1: "ann"})
    return HostReplica(group=msgspec.to_builtins(group, str_keys=True), node=1, folder=str(folder))


def prepared(hosted: HostedReplicas, folder: Path) -> HostReplica:
    return hosting(folder, hosted.prepare(PrepareReplica(group="ops", node=1, folder=str(folder)))["address"])


def wait_for(is_so, seconds: float = 60.0) -> None:
    over_at = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < over_at, "it never came"


def test_a_replica_that_was_not_prepared_and_has_no_file_is_not_started(hosted: HostedReplicas, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="its file is gone, and what it has promised with it"):
        hosted.host(hosting(tmp_path, str(tmp_path / "1.sock")))


def test_a_replica_that_has_run_is_not_started_without_its_file(hosted: HostedReplicas, tmp_path: Path) -> None:
    request = prepared(hosted, tmp_path)
    hosted.host(request)
    folder = tmp_path / "ops"
    wait_for(lambda: (folder / "1.log").exists() and not (folder / "1.begin").exists())
    hosted.close()
    hosted.host(request)  # with its file it is started again
    hosted.close()
    (folder / "1.log").unlink()
    with pytest.raises(Refused, match="its file is gone"):
        hosted.host(request)


def test_a_replica_that_never_ran_leaves_nothing_when_it_is_dismissed(hosted: HostedReplicas, tmp_path: Path) -> None:
    prepared(hosted, tmp_path)
    hosted.dismiss(DismissReplica(group="ops", node=1, folder=str(tmp_path)))
    assert not (tmp_path / "ops").exists()
