"""The steps of a scenario that only Raft has."""

from concerted.sim.scenarios.script import play_script


def problems(steps: str) -> tuple[str, ...]:
    return play_script("servers 1 2 3\n" + steps + "\n").problems


def test_a_server_begins_with_a_log_as_the_paper_draws_it() -> None:
    assert problems("boxes 1 term 3: 1 1 2\nexpect log 1: 1 1 2\nexpect term 1 3") == ()
    assert problems("boxes 1 term 3: 1 1 2\nexpect log 1: 1 1") == (
        "line 3: expect log 1: 1 1: the log of 1 is [1, 1, 2]",
    )


def test_members_change() -> None:
    assert problems("elect 1\nmembers 1: 1 2 learners 3\nsettle\nexpect members 1: 1 2 learners 3") == ()
    assert "server 1 knows" in problems("elect 1\nmembers 1: 1 2\nexpect members 1: 1 2")[0]


def test_leadership_is_handed_over() -> None:
    assert problems("elect 1\ntransfer 1 2\nsettle\nexpect leader 2") == ()


def test_followers_are_told_as_their_leader_sees_them() -> None:
    assert problems("elect 1\nexpect state 1 2 replicate") == ()
    assert "the state of 2 is replicate" in problems("elect 1\nexpect state 1 2 probe")[0]
    assert "    2: replicate, match 1, next 2" in play_script("servers 1 2\nelect 1\nfollowers 1\n").text
