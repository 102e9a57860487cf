"""A replica's seal: what it signs, and what it takes for signed."""

import msgspec
import pytest

from concerted.consensus.pbft.group import Group
from concerted.consensus.pbft.messages import Commit, Prepare, unsigned
from concerted.consensus.pbft.seal import Seal, sealed_request
from concerted.errors import Invalid
from concerted.sim.pbft.keys import SimSigner, SimVerifier


def test_a_replica_outside_of_the_group_is_refused(words) -> None:
    with pytest.raises(Invalid, match="replica 9 is not in group test"):
        Seal(9, words.group, SimSigner(9))


def test_a_private_key_that_does_not_belong_to_the_public_one_is_refused(words) -> None:
    with pytest.raises(Invalid, match="the private key of replica 2 does not belong to its public key in group test"):
        Seal(2, words.group, SimSigner(3))


def test_what_is_signed_is_signed_by_whom_it_names(words) -> None:
    seal = Seal(1, words.group, SimSigner(1))
    said = seal.sign(Prepare(0, 1, b"d", 1))
    assert seal.is_valid(said)
    assert not seal.is_valid(msgspec.structs.replace(said, source=2))
    assert not seal.is_valid(msgspec.structs.replace(said, view=1))
    assert not seal.is_valid(msgspec.structs.replace(said, source=9)), "no replica of the group"
    assert not seal.is_valid(Prepare(0, 1, b"d", 1)), "not signed"


def test_one_kind_of_statement_is_not_taken_for_another(words) -> None:
    """A prepare is no commit, though it has the same fields."""
    seal = Seal(1, words.group, SimSigner(1))
    said = seal.sign(Prepare(0, 1, b"d", 1))
    assert not seal.is_valid(Commit(0, 1, b"d", 1, said.signature))


def test_what_is_said_in_one_group_does_not_count_in_another(words) -> None:
    other = Group("other", words.group.ids, words.group.verifier)
    said = Seal(1, other, SimSigner(1)).sign(Prepare(0, 1, b"d", 1))
    assert not Seal(1, words.group, SimSigner(1)).is_valid(said)
    request = sealed_request("other", SimSigner("ann"), words.request())
    assert not Seal(1, words.group, SimSigner(1)).is_valid(request)


def test_a_good_signature_is_looked_at_once_and_a_bad_one_each_time(words) -> None:
    class Counting(SimVerifier):
        count = 0

        def is_signed(self, who, data, signature):
            self.count += 1
            return super().is_signed(who, data, signature)

    verifier = Counting((1, 2, 3, 4))
    seal = Seal(1, Group("test", (1, 2, 3, 4), verifier), SimSigner(1))
    verifier.count = 0
    good, bad = words.signed(Prepare(0, 1, b"d", 2)), Prepare(0, 1, b"d", 2, b"bad")
    assert [seal.is_valid(said) for said in (good, bad, good, bad)] == [True, False, True, False]
    assert verifier.count == 3


def test_what_a_client_has_signed_makes_no_statement_of_a_replica_good(words) -> None:
    """Signature and content that are split at another place are other ones, though they are the same bytes in a row."""
    seal = Seal(1, words.group, SimSigner(1))
    wanted = Prepare(0, 1, b"d", 3)
    content = unsigned(b"test", wanted)
    request = words.request(body=content.removesuffix(b"\xc4\x00"))
    signed = unsigned(b"test", request)
    assert signed.endswith(content)
    assert seal.is_valid(request)
    forged = msgspec.structs.replace(wanted, signature=request.signature + signed.removesuffix(content))
    assert not seal.is_valid(forged)
