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


def broken(played):
    def play(*args, **options):
        result = played(*args, **options)
        return type(result)(**{name: getattr(result, name) for name in result.__slots__} | {"problems": ("it broke",)})

    return play


def test_a_failure_carries_the_command_that_replays_it(monkeypatch) -> None:
    monkeypatch.setattr(play, "play_decisions", broken(play.play_decisions))
    (failure, *_) = simulate_decisions(range(17, 18), Faults.parse("drop=0.1")).failures
    assert failure.command == "concerted simulate decide --seeds 17..17 --faults drop=0.1"
    assert failure.problems == tuple(f"over {name}, in its world, it broke" for name in KEEPINGS)
    assert failure.transcript == ()
    (failure, *_) = simulate_decisions(range(17, 18), Faults(swarm=True)).failures
    assert failure.command == "concerted simulate decide --seeds 17..17"


def test_a_failure_on_a_walk_carries_what_went_before(monkeypatch) -> None:
    monkeypatch.setattr(play, "decisions_walk", broken(play.decisions_walk))
    (failure, *_) = simulate_decisions(range(3, 4), Faults(swarm=True)).failures
    assert failure.problems == tuple(f"over {name}, on its walk, it broke" for name in KEEPINGS)
    assert failure.transcript
