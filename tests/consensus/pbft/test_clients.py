"""Clients believe f + 1 equal replies, and no replica alone (Castro & Liskov 1999, section 4.1)."""

import pytest
from msgspec.structs import replace

from concerted.consensus.entries import Entry
from concerted.consensus.pbft.clients import Answers, Replies, Reply, sealed_reply
from concerted.sim.pbft.keys import SimSigner


def reply(words, source: int, result: bytes = b"ok", index: int = 3, **how) -> Reply:
    request = words.request()
    return sealed_reply(
        "test", SimSigner(source), Reply(0, request.client, request.number, index, result, source, **how)
    )


def test_f_and_one_equal_replies_of_different_replicas_are_the_result(words) -> None:
    """4.1: "The client waits for f + 1 replies with valid signatures from different replicas, and with the same t and
    r, before accepting the result r"."""
    replies = Replies(words.group, words.request())
    assert replies.take(reply(words, 1)) is None
    assert replies.take(reply(words, 1)) is None
    assert replies.take(reply(words, 2, b"a lie")) is None
    assert replies.take(reply(words, 3)) == (3, b"ok")
    assert replies.take(reply(words, 4, b"a lie")) == (3, b"ok"), "it stands"


def test_replies_with_different_places_in_the_log_are_not_equal(words) -> None:
    replies = Replies(words.group, words.request())
    assert replies.take(reply(words, 1, index=3)) is None
    assert replies.take(reply(words, 2, index=4)) is None


@pytest.mark.parametrize(
    "twist",
    [
        lambda w, said: replace(said, signature=b"no"),
        lambda w, said: replace(said, source=2),
        lambda w, said: replace(said, result=b"ok "),
        lambda w, said: sealed_reply("test", SimSigner(3), replace(said, number=2)),
        lambda w, said: sealed_reply("test", SimSigner(3), replace(said, client="bob")),
        lambda w, said: sealed_reply("other", SimSigner(3), said),
        lambda w, said: sealed_reply("test", SimSigner("bob"), replace(said, source="bob")),
    ],
)
def test_a_reply_that_is_not_what_it_should_be_does_not_count(twist, words) -> None:
    replies = Replies(words.group, words.request())
    replies.take(reply(words, 1))
    assert replies.take(twist(words, reply(words, 3))) is None
    assert replies.take(reply(words, 3)) == (3, b"ok")


def test_a_replica_may_correct_itself(words) -> None:
    """A view or a state that it has taken over since does not make an honest replica a liar."""
    replies = Replies(words.group, words.request())
    replies.take(reply(words, 1, b"other"))
    replies.take(reply(words, 1))
    assert replies.take(reply(words, 2)) == (3, b"ok")


def test_a_repeat_is_answered_as_the_first_time(words) -> None:
    """4.1: "If the request has already been processed, the replicas simply re-send the reply"."""
    answers = Answers()
    request = words.request()
    assert answers.of(request) is None
    assert answers.apply(Entry(3, 1, request.encode()), lambda body: body * 2) == (request, b"11")
    assert Answers.load(answers.dump()).of(request) == answers.of(request) == (3, b"11")


def test_the_newest_answers_of_each_client_are_kept(words) -> None:
    answers = Answers()
    for number in range(1, 121):
        answers.apply(Entry(number, number, words.request(number).encode()), lambda body: body)
    answers.apply(Entry(121, 121, words.request(1, "bob").encode()), lambda body: body)
    assert [answers.of(words.request(number)) is None for number in (20, 21, 120)] == [True, False, False]
    assert answers.of(words.request(1, "bob")) == (121, b"1")


def test_a_client_is_told_the_truth_while_f_replicas_lie(room) -> None:
    group = room(liars=(4,))
    client = group.cluster.clients[0]
    request = group.cluster.want(client)
    for _ in range(3):
        lie = Reply(0, *request.key, 1, b"a lie", 4)
        group.cluster.replied(sealed_reply(group.cluster.group.name, SimSigner(4), lie))
    group.ask()
    assert client.request is None
    assert group.cluster.checks.chosen[0].command == request.encode()
