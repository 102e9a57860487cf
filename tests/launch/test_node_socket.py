"""The sockets of nodes: seen only when they listen, private, and removed when their node has died."""

import socket
from pathlib import Path

import pytest

from concerted.errors import Unreachable
from concerted.launch.node_socket import leave_folder, listen, node_socket, remove_dead

URL = "postgresql://db.example/work"

pytestmark = pytest.mark.usefixtures("places")


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(path))


def test_it_listens_for_this_user_alone() -> None:
    path = node_socket(URL, "1-a")
    assert not path.exists()
    with listen(URL, path):
        connect(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in path.parent.iterdir()] == ["1-a.sock"]


def test_a_node_that_opens_removes_the_sockets_of_the_dead_and_of_nobody_else() -> None:
    dead, alive = node_socket(URL, "1-a"), node_socket(URL, "2-b")
    listen(URL, dead).close()  # as a kill does: nobody listens, and the file stays
    with listen(URL, alive):
        assert dead.exists()
        newcomer = node_socket(URL, "3-c")
        assert [each.name for each in newcomer.parent.iterdir()] == ["2-b.sock"]
        connect(alive)


def test_a_node_that_is_too_busy_to_answer_is_not_dead() -> None:
    path = node_socket(URL, "1-a")
    with listen(URL, path) as paused, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
        paused.listen(0)
        waiting.connect(str(path))  # its queue is full now
        assert remove_dead(path.parent) == []
        assert path.exists()


def test_a_node_that_comes_back_listens_where_it_did() -> None:
    path = node_socket(URL, "1-a")
    listen(URL, path).close()
    with listen(URL, path):
        connect(path)


def test_the_last_node_takes_the_folder_with_it_and_who_is_just_coming_makes_it_anew() -> None:
    path, coming = node_socket(URL, "1-a"), node_socket(URL, "2-b")
    listen(URL, path).close()
    leave_folder(path)
    assert path.exists(), "others may use the folder"
    path.unlink()
    leave_folder(path)
    assert not path.parent.exists()
    with listen(URL, coming):
        connect(coming)


def test_what_keeps_a_node_from_listening_is_said() -> None:
    path = node_socket(URL, "1-a")
    path.mkdir()
    with pytest.raises(Unreachable, match=r"cannot listen for agents at .*1-a.sock \(Is a directory\); see to its"):
        listen(URL, path)
    assert [each.name for each in path.parent.iterdir()] == ["1-a.sock"]
