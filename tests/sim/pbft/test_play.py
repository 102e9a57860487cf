"""Playing PBFT under many seeds."""

from concerted.sim.faults import Faults
from concerted.sim.pbft.play import simulate_pbft


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
