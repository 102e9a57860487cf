"""A client that lies: what it signs is good, and no two replicas need to hear the same from it."""

import itertools
import random

import pytest

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Request, batch_digest
from concerted.consensus.pbft.seal import Seal
from concerted.sim.pbft.keys import SimSigner, SimVerifier
from concerted.sim.pbft.lying_client import LYING_CLIENT, LyingClient

IDS = (1, 2, 3, 4)


@pytest.fixture
def heard() -> dict[int, list[Request]]:
    """Return what each replica hears of one that has lied for long."""
    heard: dict[int, list[Request]] = {node: [] for node in IDS}
    group = Group("simulated", IDS, SimVerifier((*IDS, LYING_CLIENT)))
    signed: set[Request] = set()
    client = LyingClient(group, signed, random.Random(1), lambda node, request: heard[node].append(request))
    for _ in range(300):
        client.lie()
    seal = Seal(1, group, SimSigner(1))
    everything = {request for requests in heard.values() for request in requests}
    assert everything <= signed
    assert all(seal.is_valid(request) for request in signed)
    assert all(batch_digest((request,)) for request in signed), "they have a digest"
    return heard


def test_it_asks_for_different_things_under_one_number(heard) -> None:
    bodies: dict[int, set[bytes]] = {}
    for request in heard[1] + heard[2]:
        bodies.setdefault(request.number, set()).add(request.body)
    assert max(len(each) for each in bodies.values()) > 1
    number = next(number for number, each in bodies.items() if len(each) > 1)
    assert {r.body for r in heard[1] if r.number == number} != {r.body for r in heard[2] if r.number == number}


def test_its_numbers_lie_far_apart_and_go_back(heard) -> None:
    numbers = [request.number for request in heard[3]]
    assert any(later > before + 1000 for before, later in itertools.pairwise(numbers))
    assert any(later < before for before, later in itertools.pairwise(numbers))
    assert max(numbers) == 2**64 - 1
    assert min(numbers) < 1


def test_it_signs_the_same_twice(heard) -> None:
    signatures: dict[tuple[int, bytes], set[bytes]] = {}
    for request in heard[4]:
        signatures.setdefault((request.number, request.body), set()).add(request.signature)
    assert max(len(each) for each in signatures.values()) > 1
