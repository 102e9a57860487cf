"""The requests about replicas travel like all others."""

import pytest

from concerted.messages import Request, decode_request, encode_request, request_type
from concerted.messages.replicas import DismissReplica, HostReplica, PrepareReplica

REQUESTS = [
    (PrepareReplica(group="g", node=1, folder="/f"), "PREPARE_REPLICA"),
    (HostReplica(group={"id": "g"}, node=1, folder="/f"), "HOST_REPLICA"),
    (DismissReplica(group="g", node=1, folder="/f"), "DISMISS_REPLICA"),
]


@pytest.mark.parametrize(("request_", "name"), REQUESTS, ids=[name for _, name in REQUESTS])
def test_a_request_travels_under_its_name_and_comes_back_as_it_was(request_: Request, name: str) -> None:
    assert request_type(request_) == name
    assert decode_request(name, encode_request(request_)) == request_


def test_every_request_about_replicas_is_tried_above() -> None:
    here = {kind for kind in Request.__subclasses__() if kind.__module__ == PrepareReplica.__module__}
    assert {type(request) for request, _ in REQUESTS} == here
