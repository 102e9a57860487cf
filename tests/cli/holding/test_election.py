"""`concerted election` in one process."""

from typing import Any

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONCERTED_AGENT", "CONCERTED_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_a_leader_proclaims_renews_and_resigns_under_its_token(concerted: Any) -> None:
    won = concerted("election", "campaign", "boss", "--as", "ann", "--ttl", "5m", "--value", '{"host": "a"}')
    token = won.out.strip()

    assert won.code == 0
    assert f"concerted election renew boss {token} --as ann" in won.err
    assert concerted("election", "check", "boss", token).out == f"ann leads boss under {token}\n"
    assert "boss led: ann leads, epoch 1; for " in concerted("election", "status", "boss").out
    assert concerted("election", "renew", "boss", token, "--as", "ann").code == 0
    assert 'it says "b" now; 0 waiting' in concerted("election", "proclaim", "boss", token, '"\\"b\\" now"', "--as",
                                                     "ann").out  # fmt: skip
    assert concerted("election", "resign", "boss", token, "--as", "bob").code == 5
    assert concerted("election", "resign", "boss", token, "--as", "ann").out == "boss vacant: nobody leads; 0 waiting\n"
    assert concerted("election", "renew", "boss", token, "--as", "ann").code == 7
    assert concerted("election", "check", "boss", token).code == 7


def test_who_is_not_elected_in_time_is_exit_code_4_and_keeps_its_place_by_a_ticket_alone(concerted: Any) -> None:
    token = concerted("election", "campaign", "boss", "--as", "ann", "--ttl", "5m").out.strip()

    at_once = concerted("election", "campaign", "boss", "--as", "bob", "--no-wait")
    waited = concerted("election", "campaign", "boss", "--as", "bob", "--wait", "50ms")
    line = ["election", "campaign", "boss", "--as", "cy", "--ticket", "t", "--score", "2"]
    kept = concerted(*line, "--wait", "50ms")

    assert (at_once.code, at_once.out, waited.code, kept.code) == (4, "", 4, 4)
    assert "bob was not elected in time; ann leads boss" in waited.err
    assert "place 1 in the queue is kept" in kept.err, "bob, who gave up, still waits"
    concerted("election", "resign", "boss", token, "--as", "ann")
    next_one = concerted(*line)
    assert next_one.code == 0
    assert next_one.out.strip() > token


def test_an_observer_is_told_of_another_leader_and_of_what_it_says(concerted: Any) -> None:
    token = concerted("election", "campaign", "boss", "--as", "ann", "--ttl", "5m").out.strip()

    assert concerted("election", "observe", "boss").code == 0
    assert concerted("election", "observe", "boss", "--epoch", "1", "--wait", "50ms").code == 4
    version = concerted("election", "status", "boss", "--json").json()["version"]
    concerted("election", "proclaim", "boss", token, "1", "--as", "ann")
    assert concerted("election", "observe", "boss", "--epoch", "1", "--version", str(version)).code == 0
    concerted("election", "resign", "boss", token, "--as", "ann")
    assert concerted("election", "observe", "boss", "--epoch", "1").out == "boss vacant: nobody leads; 0 waiting\n"


def test_an_election_may_name_its_candidates(concerted: Any) -> None:
    concerted("election", "create", "boss", "--candidates", "ann,bob", "--confirm-within", "5s")

    refused = concerted("election", "campaign", "boss", "--as", "cy")

    assert refused.code == 5
    assert "who may: ann, bob" in refused.err
    assert concerted("election", "status", "nobody").code == 3
    assert "who stands?" in concerted("election", "campaign", "boss").err
    assert [one["id"] for one in concerted("election", "list", "--json").json()["primitives"]] == ["boss"]
