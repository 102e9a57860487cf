"""Where a store's coordinators listen."""

import os
from pathlib import Path

import pytest

from concerted.agent import addresses
from concerted.agent.addresses import socket_path, store_path
from concerted.errors import Invalid, NotAllowed


def test_the_socket_stands_beside_the_file_or_in_a_private_folder_if_that_is_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(tmp_path))
    beside = socket_path("/var/lib/work.db")
    assert beside == Path("/var/lib/work.db.sock")
    deep = Path("/", *["very-long-folder"] * 8, "work.db")
    short = socket_path(deep)
    assert len(os.fsencode(short)) < len(os.fsencode(deep))
    assert short == socket_path(deep)
    assert short != socket_path(deep.with_name("other.db"))
    assert short.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_write_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / f"concerted-{os.getuid()}").mkdir(mode=0o755)
    with pytest.raises(NotAllowed, match="not a private folder"):
        socket_path(Path("/", "x" * 120))


@pytest.mark.parametrize(
    ("url", "path"), [("sqlite:///work.db", "work.db"), ("sqlite:////var/work.db?mode=x", "/var/work.db")]
)
def test_a_store_url_names_a_file(url: str, path: str) -> None:
    assert store_path(url) == Path(path)


@pytest.mark.parametrize("url", ["postgresql://here/work", "sqlite://", "sqlite:///", "work.db"])
def test_a_url_without_a_file_is_explained(url: str) -> None:
    with pytest.raises(Invalid, match="sqlite:///PATH"):
        store_path(url)
