"""What a step gives back."""

import pytest

from concerted.consensus.raft.storage import Write
from concerted.consensus.ready import NOTHING, Evidence, Ready, Refusal


def test_a_ready_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Ready().index = 1
    with pytest.raises(AttributeError):
        Write(1, 1, None).term = 2


def test_nothing_to_do_is_one_value() -> None:
    assert NOTHING.is_empty
    assert not Ready(refused=Refusal("not_leader")).is_empty


def test_evidence_says_who_and_shows_both_statements() -> None:
    evidence = Evidence(3, b"one thing", b"another")
    assert Ready(evidence=(evidence,)) == Ready(evidence=(Evidence(3, b"one thing", b"another"),))
    assert not Ready(compact_at=0).is_empty
