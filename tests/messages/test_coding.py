"""Payloads that fit are read, all others are refused by name."""

import pytest

from concerted.errors import Invalid
from concerted.messages import AuctionClosed, CancelTask, Custom, GetStatus, decode_request, encode_request
from concerted.values import AgentId, TaskId

ANN, BOB, DRAFT, READ = AgentId("ann"), AgentId("bob"), TaskId("draft"), TaskId("read")


def test_the_type_is_not_part_of_the_payload() -> None:
    assert encode_request(GetStatus()) == b"{}"
    assert encode_request(CancelTask(task=DRAFT, epoch=1)) == b'{"epoch":1,"reason":"","task":"draft"}'


def test_equal_requests_give_equal_payloads() -> None:
    one = AuctionClosed(auction="a", awards={DRAFT: ANN, READ: BOB})
    other = AuctionClosed(auction="a", awards={READ: BOB, DRAFT: ANN})
    assert encode_request(one) == encode_request(other)


def test_a_type_nobody_knows_is_the_users_own() -> None:
    assert decode_request("tune", b'{"pitch":440}') == Custom(name="tune", data={"pitch": 440})


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        ("EXECUTE_TASK", b"{}", "EXECUTE_TASK: the payload does not fit: Object missing required field `task`"),
        ("CANCEL_TASK", b'{"task":1,"epoch":1}', "CANCEL_TASK: the payload does not fit: Expected `str`, got `int`"),
        ("GET_STATUS", b"[1", "GET_STATUS: the payload does not fit: "),
        ("tune", b"{", "tune: the payload does not fit: "),
        ("REQUEST_BID", b'{"auction":"a","closes_at":1,"tasks":[{"id":""}]}', "cannot name a task"),
    ],
)
def test_a_payload_that_does_not_fit_names_the_type_and_the_reason(name: str, payload: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_request(name, payload)
    assert message in caught.value.message
