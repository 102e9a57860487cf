"""Groups: how many replicas, how many may lie, and whose keys there must be."""

import itertools

import pytest

from concerted.consensus.decisions.signatures import new_key, public_key
from concerted.consensus.pbft.group import Ed25519Signer, Ed25519Verifier, Group
from concerted.errors import Invalid
from concerted.sim.pbft.keys import SimVerifier


@pytest.mark.parametrize(("size", "faulty"), [(4, 1), (7, 2), (10, 3), (13, 4)])
def test_two_quorums_have_an_honest_replica_in_common(size: int, faulty: int) -> None:
    """Castro & Liskov 1999, section 2: "3f + 1 is the minimum number of replicas"."""
    group = Group("g", tuple(range(1, size + 1)), SimVerifier(range(1, size + 1)))
    assert (group.faulty, group.quorum, group.weak) == (faulty, 2 * faulty + 1, faulty + 1)
    assert 2 * group.quorum - size > faulty, "any two quorums share more than can lie"
    assert size - faulty >= group.quorum, "those that do not lie are a quorum"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 8, 14])
def test_another_size_is_refused(size: int) -> None:
    with pytest.raises(Invalid, match="name 4, 7, 10 or 13"):
        Group("g", tuple(range(1, size + 1)), SimVerifier(range(1, size + 1)))


@pytest.mark.parametrize("ids", [(2, 1, 3, 4), (1, 1, 2, 3), (0, 1, 2, 3)])
def test_ids_ascend_each_once(ids: tuple[int, ...]) -> None:
    with pytest.raises(Invalid, match="must ascend"):
        Group("g", ids, SimVerifier(ids))


def test_missing_keys_are_refused() -> None:
    with pytest.raises(Invalid, match=r"the public keys of replicas \[2, 4\] are missing"):
        Group("g", (1, 2, 3, 4), SimVerifier((1, 3)))


def test_the_primary_goes_around() -> None:
    """Section 4: "The primary of a view is replica p such that p = v mod |R|"."""
    group = Group("g", (3, 5, 8, 9), SimVerifier((3, 5, 8, 9)))
    assert [group.primary(view) for view in range(6)] == [3, 5, 8, 9, 3, 5]


def test_real_keys_sign_and_verify() -> None:
    pytest.importorskip("cryptography")
    one, two = (new_key(bytes([number]) * 32) for number in (1, 2))
    verifier = Ed25519Verifier({1: public_key(one)}, {"ann": public_key(two)})
    assert [verifier.knows(who) for who in (1, 2, "ann", "bob")] == [True, False, True, False]
    signature = Ed25519Signer(one).sign(b"data")
    assert len(signature) == 64
    for who, data, by in itertools.product((1, 2, "ann"), (b"data", b"other"), (signature, b"", bytes(64))):
        assert verifier.is_signed(who, data, by) == ((who, data, by) == (1, b"data", signature))


def test_what_is_no_key_is_refused() -> None:
    pytest.importorskip("cryptography")
    with pytest.raises(Invalid, match="a public key is 64 hexadecimal digits"):
        Ed25519Verifier({1: "short"}, {})
    with pytest.raises(Invalid, match="a private key is 64 hexadecimal digits"):
        Ed25519Signer("short")
