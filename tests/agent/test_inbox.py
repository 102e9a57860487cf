"""The keyed inbox, in memory and in a file."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from concerted.agent import inbox as inbox_module
from concerted.agent.inbox import FileInbox, Inbox, MemoryInbox
from concerted.errors import Conflict, StoreDamaged, Unreachable
from concerted.messages import Reply

OK = Reply(agent="ann", status="ok", value={"pages": [1, 2]}, key="k")

Make = Callable[..., Inbox]


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return MemoryInbox
    return lambda **bounds: FileInbox(tmp_path / "ann.inbox", **bounds)


def test_a_finished_command_is_remembered_with_its_reply(make: Make) -> None:
    inbox = make()
    assert inbox.reply_to("k") is None
    inbox.start("k")
    assert inbox.reply_to("k") is None
    inbox.finish("k", OK)
    assert inbox.reply_to("k") == OK
    inbox.close()


def test_a_forgotten_command_is_new_again(make: Make) -> None:
    inbox = make()
    inbox.start("k")
    inbox.forget("k")
    assert inbox.reply_to("k") is None
    assert not inbox.was_interrupted("k")
    inbox.close()


def test_the_oldest_reply_goes_when_there_are_too_many(make: Make) -> None:
    inbox = make(limit=2)
    for key in ("a", "b", "c"):
        inbox.start(key)
        inbox.finish(key, OK)
    inbox.start("d")
    assert [key for key in ("a", "b", "c") if inbox.reply_to(key)] in (["b", "c"], ["c"])
    assert inbox.reply_to("a") is None
    inbox.close()


def test_the_epoch_raised_longest_ago_goes_when_there_are_too_many(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "INBOX_EPOCHS", 2)
    inbox = make()
    for name, epoch in (("a", 1), ("b", 1), ("a", 2), ("c", 1)):
        inbox.raise_epoch(name, epoch)
    assert inbox.epochs == {"a": 2, "c": 1}
    inbox.close()


def test_a_file_remembers_replies_epochs_and_what_was_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "ann.inbox"
    first = FileInbox(path)
    first.start("done")
    first.finish("done", OK)
    first.finish("refused-before-start", OK)
    first.start("begun")
    first.raise_epoch("run-1", 3)
    first.raise_epoch("run-1", 4)
    first.close()
    second = FileInbox(path)
    assert second.reply_to("done") == OK
    assert second.reply_to("refused-before-start") == OK
    assert [key for key in ("done", "begun", "new") if second.was_interrupted(key)] == ["begun"]
    assert second.epochs == {"run-1": 4}
    second.close()


def test_what_was_interrupted_and_begun_again_is_no_longer_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "ann.inbox"
    first = FileInbox(path)
    first.start("k")
    first.close()
    second = FileInbox(path)
    second.start("k")
    assert not second.was_interrupted("k")
    second.finish("k", OK)
    assert second.reply_to("k") == OK
    second.close()


def test_an_unfinished_command_is_never_forgotten_for_the_bound(tmp_path: Path) -> None:
    inbox = FileInbox(tmp_path / "ann.inbox", limit=1)
    for key in ("a", "b", "c"):
        inbox.start(key)
    inbox.close()
    again = FileInbox(tmp_path / "ann.inbox", limit=1)
    assert all(again.was_interrupted(key) for key in ("a", "b", "c"))
    again.close()


def test_one_process_at_a_time_has_the_file(tmp_path: Path) -> None:
    inbox = FileInbox(tmp_path / "ann.inbox")
    with pytest.raises(Conflict, match="already runs in another process"):
        FileInbox(tmp_path / "ann.inbox")
    inbox.close()
    FileInbox(tmp_path / "ann.inbox").close()


def test_every_change_is_synced(tmp_path: Path) -> None:
    inbox = FileInbox(tmp_path / "ann.inbox")
    assert inbox._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert inbox._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    inbox.close()


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no database at all, but long enough to look like a header of one")
    with pytest.raises(StoreDamaged, match="name another file"):
        FileInbox(text)
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    with pytest.raises(StoreDamaged, match="a database of something else"):
        FileInbox(other)
    assert text.read_text().startswith("no database")


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no-such-folder"):
        FileInbox(tmp_path / "no-such-folder" / "ann.inbox")


def test_an_answer_that_cannot_be_written_is_kept_in_memory_so_that_nothing_is_done_twice(tmp_path: Path) -> None:
    inbox = FileInbox(tmp_path / "ann.inbox")
    inbox.start("k")
    inbox._db.execute("PRAGMA query_only = ON")  # as a full disk: every write fails
    inbox.finish("k", OK)
    assert inbox.reply_to("k") == OK
    with pytest.raises(Unreachable, match="inbox cannot be used"):
        inbox.start("another")
    inbox._db.execute("PRAGMA query_only = OFF")
    inbox.close()
    again = FileInbox(tmp_path / "ann.inbox")
    assert again.was_interrupted("k")
    again.close()
