"""Directed scenarios: what is stored behind each step is what happens.

`concerted simulate FILE.txt --rewrite` writes a file anew; then read what has changed, as a reader would.
"""

from pathlib import Path

import pytest

from concerted.sim.scenarios.script import play_script

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*.txt"))


def test_there_are_scenarios_of_every_kind() -> None:
    names = {path.stem for path in FILES if path.parent.name == "raft"}
    assert {"figure-7", "figure-8-overwritten", "figure-8-committed", "pre-vote", "check-quorum", "transfer"} <= names
    assert {"slow-follower-snapshot", "leader-leaves", "leave-and-join", "pipelining", "lost-answers"} <= names
    assert {"bridge", "read-index", "torn-tail", "flipped-bit", "old-disk"} <= names
    paxos = {path.stem for path in FILES if path.parent.name == "paxos"}
    assert {"two-propose-at-once", "duel", "chosen-again", "highest-ballot-wins", "promise-outlives-crash"} <= paxos
    pbft = {path.stem for path in FILES if path.parent.name == "pbft"}
    assert {"normal-case", "silent-primary", "equivocating-primary", "wrong-new-view", "committed-at-one"} <= pbft
    assert {"checkpoints", "was-away", "forged", "answers", "restarted"} <= pbft
    assert {"differing-checkpoints", "commit-lock", "state-of-others"} <= pbft, "bugs that others have had"
    assert {"no-majority", "gap", "chosen-slot", "lease", "leader-of-nobody", "was-away", "not-valid"} <= paxos


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_transcript_is_as_it_is_stored(path: Path) -> None:
    stored = path.read_text("utf-8")
    played = play_script(stored)
    assert played.problems == ()
    assert played.text == stored, f"if the new one is right: concerted simulate {path.relative_to(HERE)} --rewrite"
