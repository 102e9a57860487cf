"""The disk of a simulated replica: what was synced is there, what was torn is not."""

from concerted.consensus.entries import Entry
from concerted.consensus.quorum import Configuration
from concerted.consensus.raft.storage import Write
from concerted.sim.cluster.disk import Disk
from concerted.sim.protocols.raft import RAFT


def disk_of() -> Disk:
    return Disk(RAFT.storage, 1, RAFT.first(Configuration.of((1, 2, 3))))


def test_what_was_written_is_read_back() -> None:
    disk = disk_of()
    disk.write(Write(1, 3, 2, entries=(Entry(1, 3, b"a"),)))
    assert (disk.read().term, disk.read().vote, disk.read().entries) == (3, 2, (Entry(1, 3, b"a"),))


def test_a_torn_write_is_cut_off() -> None:
    disk = disk_of()
    size = len(disk.file)
    disk.tear(Write(1, 3, 2), 0.5)
    assert len(disk.file) > size
    assert disk.read().term == 0
    assert len(disk.file) == size
