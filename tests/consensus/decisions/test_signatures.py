import pytest

from concerted.consensus.decisions.signatures import (
    ballot_bytes,
    is_key,
    is_signed,
    new_key,
    public_key,
    sha256,
    sign,
    signing,
    verifying,
)
from concerted.errors import Invalid
from concerted.values import AgentId

# RFC 8032, section 7.1, test 2.
PRIVATE = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_signatures_are_those_of_the_standard() -> None:
    """RFC 8032, section 7.1."""
    pytest.importorskip("cryptography")
    assert public_key(PRIVATE) == PUBLIC
    assert sign(PRIVATE, b"\x72") == SIGNATURE
    assert is_signed(PUBLIC, b"\x72", SIGNATURE)


@pytest.mark.parametrize(
    ("public", "data", "signature"),
    [
        (PUBLIC, b"\x73", SIGNATURE),
        (PUBLIC, b"\x72", SIGNATURE[:-2] + "01"),
        (PUBLIC, b"\x72", SIGNATURE.upper()),
        (PUBLIC, b"\x72", "not even that"),
        (PUBLIC[:-1], b"\x72", SIGNATURE),
        ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", b"\x72", SIGNATURE),
    ],
)
def test_what_is_not_signed_by_this_key_is_not_signed(public: str, data: bytes, signature: str) -> None:
    pytest.importorskip("cryptography")
    assert not is_signed(public, data, signature)


def test_who_signs_and_verifies_much_opens_a_key_once() -> None:
    pytest.importorskip("cryptography")
    assert signing(PRIVATE)(b"\x72").hex() == SIGNATURE
    is_its = verifying(PUBLIC)
    assert is_its(b"\x72", bytes.fromhex(SIGNATURE))
    assert not is_its(b"\x73", bytes.fromhex(SIGNATURE))
    assert not is_its(b"\x72", b"short")
    with pytest.raises(Invalid, match="a public key is 64 hexadecimal digits"):
        verifying(PUBLIC[:-1])


def test_a_key_is_made_from_32_bytes() -> None:
    assert is_key(new_key(b"\x01" * 32))
    with pytest.raises(Invalid, match="not 31"):
        new_key(b"\x01" * 31)
    with pytest.raises(Invalid, match="64 hexadecimal digits"):
        sign("xyz", b"")


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert sha256({"a": 1, "b": [2]}) == sha256({"b": [2], "a": 1})
    assert sha256({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


def test_every_part_of_a_ballot_is_signed() -> None:
    ann, bob = AgentId("ann"), AgentId("bob")
    texts = [
        ballot_bytes("d1", ann, "accept", ""),
        ballot_bytes("d2", ann, "accept", ""),
        ballot_bytes("d1", bob, "accept", ""),
        ballot_bytes("d1", ann, "reject", ""),
        ballot_bytes("d1", ann, "accept", "fine"),
    ]
    assert len(dict.fromkeys(texts)) == len(texts)
