"""Decisions over every protocol under many seeds."""

from concerted.sim.decisions import play
from concerted.sim.decisions.keeping import KEEPINGS
from concerted.sim.decisions.play import simulate_decisions
from concerted.sim.faults import Faults


def test_every_seed_is_played_over_every_protocol() -> None:
    report = simulate_decisions(range(2), Faults(swarm=True))
    assert report.ok
    assert (report.algorithm, report.seeds) == ("decide", 2)
    assert min(report.steps, report.committed, report.elected, report.answered) > 0


def test_a_failure_carries_the_command_that_replays_it(monkeypatch) -> None:
    played = play.play_decisions

    def broken(protocol, seed, faults):
        result = played(protocol, seed, faults)
        return type(result)(**{name: getattr(result, name) for name in result.__slots__} | {"problems": ("it broke",)})

    monkeypatch.setattr(play, "play_decisions", broken)
    (failure, *_) = simulate_decisions(range(17, 18), Faults.parse("drop=0.1")).failures
    assert failure.command == "concerted simulate decide --seeds 17..17 --faults drop=0.1"
    assert failure.problems == tuple(f"over {name}, it broke" for name in KEEPINGS)
    (failure, *_) = simulate_decisions(range(17, 18), Faults(swarm=True)).failures
    assert failure.command == "concerted simulate decide --seeds 17..17"
