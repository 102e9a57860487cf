"""Whatever a liar signs, and whatever anybody sends, an honest replica is not brought down by it."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.consensus.pbft.conftest import Alone, Words

from concerted.consensus.pbft.messages import (
    Batch,
    Checkpoint,
    Commit,
    Fetch,
    NewView,
    Outline,
    Piece,
    Prepare,
    Prepared,
    PrePrepare,
    Proposal,
    Relay,
    Request,
    Stable,
    Status,
    Transfer,
    ViewChange,
    batch_digest,
)

LIAR = 1  # the primary of view 0
WORDS = Words()
SHORT = {"checkpoint_interval": 2, "window": 4}

numbers = st.one_of(st.integers(-2, 9), st.sampled_from([2**63, 2**64 - 1, -(2**63)]))
views = st.one_of(st.integers(-1, 5), st.just(2**64 - 1))
nodes = st.sampled_from([0, 1, 1, 1, 2, 3, 4, 9])
requests = st.one_of(
    st.builds(WORDS.request, st.integers(1, 6), st.sampled_from(["ann", "bob"])),
    st.builds(Request, st.sampled_from(["ann", "eve", ""]), numbers, st.binary(max_size=3), st.binary(max_size=3)),
)
batches: st.SearchStrategy[Batch] = st.lists(requests, max_size=3).map(tuple)
digests = st.one_of(st.binary(max_size=3), batches.map(batch_digest))


def signed(statement):
    """Sign what names the liar; what names others is forged."""
    return WORDS.signed(statement) if statement.source == LIAR else msgspec.structs.replace(statement, signature=b"x")


pre_prepares = st.builds(PrePrepare, views, numbers, digests, nodes).map(signed)
prepares = st.builds(Prepare, views, numbers, digests, nodes).map(signed)
commits = st.builds(Commit, views, numbers, digests, nodes).map(signed)
checkpoints = st.builds(Checkpoint, numbers, digests, nodes).map(signed)
proofs = st.lists(checkpoints, max_size=4).map(tuple)
prepared = st.builds(Prepared, pre_prepares, st.lists(prepares, max_size=3).map(tuple))
view_changes = st.builds(ViewChange, views, numbers, proofs, st.lists(prepared, max_size=2).map(tuple), nodes).map(
    signed
)
new_views = st.builds(
    NewView, views, st.lists(view_changes, max_size=3).map(tuple), st.lists(pre_prepares, max_size=2).map(tuple), nodes
).map(signed)
statuses = st.builds(
    Status, views, st.booleans(), numbers, numbers, st.lists(numbers, max_size=3).map(tuple), nodes
).map(signed)
proposals = batches.flatmap(
    lambda batch: st.builds(
        lambda view, seq: Proposal(signed(PrePrepare(view, seq, batch_digest(batch), LIAR)), batch), views, numbers
    )
)
bodies = st.one_of(
    pre_prepares, prepares, commits, checkpoints, view_changes, new_views, statuses, proposals,
    st.builds(Proposal, pre_prepares, batches), st.builds(Relay, batches), st.builds(Stable, proofs),
    st.builds(Fetch, numbers, numbers, nodes).map(signed),
    st.builds(Transfer, st.builds(Outline, numbers, numbers, st.binary(max_size=3), st.tuples(st.binary(max_size=3)))),
    st.builds(Piece, numbers, numbers, st.binary(max_size=3)),
)  # fmt: skip


@settings(max_examples=min(5 * settings().max_examples, 5_000))  # tests/seeds has many more lies
@given(st.lists(bodies, max_size=12), st.booleans())
def test_no_message_brings_a_replica_down_or_moves_it_alone(said, wakes: bool) -> None:
    """One liar makes nobody carry anything out, leave its view, or take a state; and it goes on afterwards."""
    backup = Alone(2, words=WORDS, **SHORT)
    for body in said:
        backup.hears(body, source=LIAR)
        if wakes:
            backup.wakes(after_s=0.5)
    state = backup.pbft.replica
    assert (state.executed, state.stable, backup.pbft.term) == (0, 0, 0)
    assert len(state.slots) <= SHORT["window"]
    assert all(evidence.culprit == LIAR for ready in backup.ready for evidence in ready.evidence)
    backup.begin()
    for node in (3, 4):
        backup.hears(WORDS.view_change(node, 2))
    assert backup.pbft.term == 2
