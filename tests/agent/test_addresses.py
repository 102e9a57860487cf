"""Where a store's coordinators listen."""

import os
from pathlib import Path

import pytest

from concerted.agent import addresses
from concerted.agent.addresses import NodePlaces, database_id, shown_url, socket_path, store_path
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


URL = "postgresql://ann:secret@db.example/work"


@pytest.mark.parametrize(
    "other",
    [
        "postgres://bob@db.example:5432/work",
        "postgresql://DB.example/work?schema=concerted&password=x",
        "postgresql:///work?host=db.example&user=cy",
        "postgresql://work@db.example",
    ],
)
def test_a_database_is_the_same_whoever_logs_in(other: str) -> None:
    assert database_id(other) == database_id(URL)


@pytest.mark.parametrize(
    "other",
    [
        "postgresql://ann:secret@db.example/play",
        "postgresql://ann:secret@db.example:5433/work",
        "postgresql://ann:secret@db2.example/work",
        "postgresql://ann:secret@db.example/work?schema=play",
        "postgresql://ann:secret@db.example,db2.example/work",
    ],
)
def test_host_port_name_and_schema_tell_databases_apart(other: str) -> None:
    assert database_id(other) != database_id(URL)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "postgresql://ann@db.example/work"),
        ("postgresql:///work?host=/run&password=secret&schema=s", "postgresql:///work?host=/run&schema=s"),
        ("postgresql://db.example", "postgresql://db.example"),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


def test_the_nodes_of_a_machine_are_sockets_in_one_private_folder(places: Path) -> None:
    nodes = NodePlaces(URL)
    assert nodes.sockets() == []
    one, two = nodes.own("1-a"), nodes.own("2-b")
    assert one.parent == two.parent == places / "concerted" / database_id(URL)
    assert [folder.stat().st_mode & 0o777 for folder in (one.parent, one.parent.parent)] == [0o700, 0o700]
    two.touch()
    one.touch()
    (one.parent / "3-c.new").touch()  # not listening yet
    assert nodes.sockets() == [one, two]
    assert NodePlaces(URL.replace("work", "play")).sockets() == []


def test_without_a_runtime_folder_of_this_user_the_folder_for_temporary_files_is_taken(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(places))
    in_temporary = places / f"concerted-{os.getuid()}" / database_id(URL) / "1-a.sock"
    for named in ("", "relative", "/nowhere/at/all"):
        monkeypatch.setenv("XDG_RUNTIME_DIR", named)
        assert NodePlaces(URL).own("1-a") == in_temporary


def test_agents_look_in_both_folders_whatever_their_nodes_have_found(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := places / "tmp").mkdir()
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(temporary))
    with monkeypatch.context() as elsewhere:
        elsewhere.delenv("XDG_RUNTIME_DIR")
        started_by_cron = NodePlaces(URL).own("1-a")
    started_by_cron.touch()
    assert NodePlaces(URL).sockets() == [started_by_cron]


def test_a_runtime_folder_with_a_long_path_is_passed_over(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (deep := places / ("d" * 80)).mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(places))
    assert NodePlaces(URL).own("1-a").parent.parent.parent == places
    monkeypatch.setattr(addresses.tempfile, "gettempdir", lambda: str(deep))
    with pytest.raises(Invalid, match=r"has 1\d\d bytes, that of a socket at most 100; name a folder with a shorter"):
        NodePlaces(URL).own("1-a")


def test_a_folder_of_nodes_that_others_can_write_is_not_used(places: Path) -> None:
    folder = NodePlaces(URL).own("1-a").parent
    folder.parent.chmod(0o770)
    with pytest.raises(NotAllowed, match=r"not a private folder of this user; .* or name a folder"):
        NodePlaces(URL).own("1-a")
    with pytest.raises(NotAllowed, match="not a private folder"):
        NodePlaces(URL).sockets()


def test_a_folder_that_cannot_be_made_is_named(places: Path) -> None:
    (places / "concerted").mkdir(mode=0o700)
    (places / "concerted" / database_id(URL)).touch()
    with pytest.raises(NotAllowed, match=rf"{database_id(URL)} cannot be made \(File exists\); make .* writable"):
        NodePlaces(URL).own("1-a")


def test_agents_of_a_database_keep_what_they_have_done_in_their_user_s_state(places: Path) -> None:
    paths = [NodePlaces(URL).inbox(name) for name in ("ann", "team/ann", "../ann")]
    assert len(set(paths)) == 3
    assert {path.parent for path in paths} == {places / "state" / "concerted" / f"{database_id(URL)}.agents"}
    assert paths[0].parent.stat().st_mode & 0o777 == 0o700
    (places / "state" / "concerted").chmod(0o755)
    with pytest.raises(NotAllowed, match="or name the agent's inbox yourself: --inbox FILE"):
        NodePlaces(URL).inbox("ann")


def test_who_finds_no_node_is_told_where_it_looked(places: Path) -> None:
    told = NodePlaces(URL).nobody()
    assert "no node of postgresql://ann@db.example/work runs on this machine" in told
    assert str(places / "concerted" / database_id(URL)) in told
