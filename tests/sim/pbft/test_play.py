"""Playing PBFT under many seeds."""

import pytest

from concerted.errors import Invalid
from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import Faults
from concerted.sim.pbft.play import PbftGame, simulate_pbft
from concerted.sim.pbft.walk import pbft_walk
from concerted.sim.pbft.world import play_pbft
from concerted.sim.worlds.play import simulate_cluster


def test_a_report_counts_what_has_happened() -> None:
    seen: list[int] = []
    report = simulate_pbft(range(3), Faults(swarm=True), watch=lambda seed, problems: seen.append(seed))
    assert report.ok
    assert (report.algorithm, report.seeds, seen) == ("pbft", 3, [0, 1, 2])
    assert min(report.steps, report.committed, report.answered, report.messages) > 0


def test_a_failure_has_the_command_that_replays_it() -> None:
    def judge(history):
        return ["not as it should be"] if history else []

    report = simulate_pbft(range(3, 9), Faults.parse("drop=0.1"), judge=judge, most_failures=1)
    assert (report.ok, report.seeds) == (False, 1)
    [failure] = report.failures
    assert failure.command == "concerted simulate pbft --seeds 3..3 --faults drop=0.1"
    assert failure.problems == ("in its world, not as it should be", "on its walk, not as it should be")
    assert failure.transcript


def test_what_is_set_is_not_drawn_and_stands_in_the_command() -> None:
    words = "servers=7,seconds=5,checkpoint_interval=5,window=9,request_timeout_s=20,longest_timeout_s=80"
    settings = Settings.parse(words)
    report = simulate_cluster(PbftGame(Faults(swarm=True), settings, judge=lambda _: ["seen"]), range(1))
    [failure] = report.failures
    assert failure.command == f"concerted simulate pbft --seeds 0..0 --settings {settings.words()}"
    assert failure.problems == ("in its world, seen", "on its walk, seen")
    assert any("7 replicas" in line for line in pbft_walk(0, settings, transcript=True).transcript)


@pytest.mark.parametrize("servers", [1, 5, 6])
def test_a_group_of_another_size_is_refused(servers: int) -> None:
    with pytest.raises(Invalid, match=r"3f \+ 1"):
        play_pbft(0, Faults(), Settings(servers))
