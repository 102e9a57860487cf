"""The steps of a scenario, each for itself."""

from pathlib import Path

from concerted.sim.protocols.raft_steps import STEPS as RAFT_STEPS
from concerted.sim.scenarios.script import play_script
from concerted.sim.scenarios.steps import STEPS

BEGIN = "servers 1 2 3\nelect 1\n"


def told(steps: str) -> list[str]:
    """Return the transcript of the last of some steps, which are all as expected."""
    played = play_script(BEGIN + steps + "\n")
    assert played.problems == ()
    lines = played.text.splitlines()
    last = max(place for place, line in enumerate(lines) if not line.startswith(" "))
    return [line.strip() for line in lines[last + 1 :]]


def test_every_step_says_how_it_is_written() -> None:
    for name, step in {**STEPS, **RAFT_STEPS}.items():
        assert (step.__doc__ or "").startswith(name.replace("heartbeat", "timeout")), name


def test_what_is_dropped_does_not_arrive() -> None:
    assert told("propose 1 a\ndrop 1->2 1") == ["1 lost"]
    assert told("propose 1 a\ndrop 1->2 1\nsettle\nexpect applied 1 2\nexpect applied 2 0") == []


def test_what_is_doubled_comes_twice() -> None:
    heard = told("propose 1 a\ndouble 1->2\ndeliver 1->2")
    assert sum(line.startswith("2 hears 1: Append") for line in heard) == 2


def test_what_is_overtaken_comes_last() -> None:
    first, last = (line for line in told("propose 1 a\nlater 1->2\ndeliver") if "hears" in line)
    assert first.startswith("3 hears")
    assert last.startswith("2 hears")


def test_nothing_arrives_on_a_way_that_is_cut() -> None:
    assert told("propose 1 a\ncut 1->2\ndeliver 1->2")[0].startswith("lost: 1->2 Append")
    assert told("cut 1->*\npropose 1 a\nsettle\nexpect quiet\nexpect applied 1 1") == []
    assert told("cut 1->2\nheal\npropose 1 a\nsettle\nexpect applied 1 2") == []


def test_a_held_disk_waits() -> None:
    assert told("hold 1\npropose 1 a\nexpect quiet") == []
    assert told("hold 1\npropose 1 a\nrelease 1")[0] == '1 writes term=1 vote=1 entries=[2/1 "a"]'


def test_a_server_can_die_behind_any_part_of_what_it_carries_out() -> None:
    for behind in ("write", "send", "apply"):
        assert told(f"hold 2\npropose 1 a\ndeliver 1->2\ncrash 2 behind {behind}\nstart 2\nexpect log 2: 1 1") == []
    assert told("hold 2\npropose 1 a\ndeliver 1->2\ncrash 2 writing 50%\nstart 2\nexpect log 2: 1") == []


def test_time_goes_by_and_who_is_due_is_woken() -> None:
    assert told("crash 1\nrun 60\nexpect term 2 2") == []


def test_a_server_that_is_lost_does_not_start() -> None:
    assert told("flip 2\nexpect dead 2") == []
    assert told("flip 2\nstart 2") == ["2 does not start: store_damaged"]


def test_reads_are_told() -> None:
    assert told("read 1\nexpect read 1 waits") == []
    assert told("read 1\nsettle\nexpect read 1 sees 1") == []
    assert told("read 2\nexpect refused not_leader") == []


def test_a_snapshot_takes_the_place_of_the_log() -> None:
    assert told("propose 1 a\nsettle\ncompact 1\nexpect log 1:") == []


def test_every_step_is_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text("utf-8")
    for name in {**STEPS, **RAFT_STEPS}:
        assert f"`{name}" in page, f"docs/simulator.md: say what the step `{name}` does"
