"""Moves: one row of them is as good as all."""

import numpy as np

from concerted.swarm.moves import Moves


def test_a_row_keeps_its_slot_its_point_and_its_settings() -> None:
    moves = Moves(np.array([4, 7]), np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([[0.5], [0.9]]))
    row = moves.row(1)
    assert (row.slots.tolist(), row.points.tolist()) == ([7], [[0.3, 0.4]])
    assert row.settings is not None
    assert row.settings.tolist() == [[0.9]]
    assert Moves(moves.slots, moves.points).row(0).settings is None
