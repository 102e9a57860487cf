"""Keys of a simulation: each signs for its owner alone, and may sign the same in more ways than one."""

import pytest

from concerted.sim.pbft.keys import SimSigner, SimVerifier


def test_the_holder_of_a_key_can_sign_the_same_twice_so_that_it_looks_different() -> None:
    verifier = SimVerifier((1, 2))
    one, two = SimSigner(1).sign(b"said"), SimSigner(1, b"again").sign(b"said")
    assert one != two
    assert verifier.is_signed(1, b"said", one)
    assert verifier.is_signed(1, b"said", two)


@pytest.mark.parametrize("variant", [b"other", b"", b"longer than any variant may be"])
def test_nobody_makes_one_good_signature_of_another(variant: bytes) -> None:
    verifier = SimVerifier((1, 2))
    for good in (SimSigner(1).sign(b"said"), SimSigner(1, b"again").sign(b"said")):
        made = good[:16] + variant
        assert made == good or not verifier.is_signed(1, b"said", made)


def test_a_signature_is_of_one_owner_and_one_content() -> None:
    verifier = SimVerifier((1, 2))
    for variant in (b"", b"again"):
        signature = SimSigner(1, variant).sign(b"said")
        assert not verifier.is_signed(2, b"said", signature)
        assert not verifier.is_signed(1, b"said otherwise", signature)
        assert not verifier.is_signed(3, b"said", signature)
