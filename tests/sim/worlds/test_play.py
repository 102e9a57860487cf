"""Playing protocols under many seeds."""

from concerted.sim.cluster.settings import Settings
from concerted.sim.faults import Faults
from concerted.sim.worlds.play import Game, merged, simulate_cluster


def test_the_command_names_what_is_not_drawn() -> None:
    game = Game("raft", Faults.parse("drop=0.1"), Settings.parse("servers=5"))
    assert game.command(7) == "concerted simulate raft --seeds 7..7 --faults drop=0.1 --settings servers=5"
    assert Game("raft", Faults(swarm=True)).command(7) == "concerted simulate raft --seeds 7..7"


def test_reports_are_put_together() -> None:
    game = Game("raft", Faults(), Settings.parse("servers=1,seconds=5"))
    one, two = (simulate_cluster(game, [seed]) for seed in (1, 2))
    both = merged([one, two])
    assert both.ok
    assert (both.seeds, both.steps, both.algorithm) == (2, one.steps + two.steps, "raft, raft")
