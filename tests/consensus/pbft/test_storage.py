"""What a PBFT replica keeps, and its bytes."""

import pytest
from msgspec.structs import replace

from concerted.consensus.pbft.messages import State
from concerted.consensus.pbft.storage import STORAGE, Contents, Held, Stored, Write

EMPTY = Stored()


def writes(words) -> list[Write]:
    one, two = words.proposal(1), words.proposal(2)
    left = words.view_change(2, 1, words.prepared(one))
    began = words.new_view(1, *(words.view_change(node, 1, words.prepared(one)) for node in (1, 3, 4)))
    again = words.proposal(1, view=1)
    return [
        Write(1, accepted=(one, two)),
        Write(2, prepared=(words.prepared(one),)),
        Write(3, view_change=left),
        Write(4, new_view=began, accepted=(again,)),
        Write(5, prepared=(words.prepared(again),)),
        Write(6, states=(State(2, 3, b"\x90", b"x"),)),
        Write(7, snapshot=Held(State(2, 3, b"\x90", b"x"), words.stable(State(2, 3, b"\x90", b"x")))),
    ]


def test_the_format_is_this_one(words) -> None:
    """Whoever changes it must read the old one still, and raise VERSION."""
    assert STORAGE.version == 3
    assert STORAGE.frame(Write(9, snapshot=Held(State(2, 3, b"\x90", b"x"))), 5).hex() == (
        "11000000" "da8dd920" "0500000000000000" "96c0c092940203c40190c4017890" "909090"
    )  # fmt: skip


def test_a_file_of_version_1_is_read_still(words) -> None:
    assert STORAGE.decode(bytes.fromhex("95c0c092940203c40190c40178909090")) == Write(
        0, snapshot=Held(State(2, 3, b"\x90", b"x"))
    )


@pytest.mark.parametrize("count", range(8))
def test_a_file_says_what_its_writes_come_to(count: int, words) -> None:
    contents, file = Contents(EMPTY), STORAGE.begin(2, EMPTY)
    for write in writes(words)[:count]:
        contents.take(write)
        file += STORAGE.frame(write, 0)
    assert STORAGE.recover(2, file).stored == contents.stored()
    assert STORAGE.recover(2, STORAGE.begin(2, contents.stored())).stored == contents.stored()


def test_a_file_of_version_2_is_read_still_in_which_a_batch_is_written_again(words) -> None:
    first, again = words.proposal(1), words.proposal(1, view=1)
    contents = Contents(EMPTY)
    contents.take(Write(1, accepted=(first,)))
    contents.take(Write(2, accepted=(again,)))
    assert contents.stored().accepted == (again,)


def test_a_batch_is_kept_once_with_its_newest_pre_prepare(words) -> None:
    contents, file = Contents(EMPTY), STORAGE.begin(2, EMPTY)
    other = words.proposal(1, words.request(9), view=1)
    accepted = [words.proposal(1), other, *(words.proposal(1, view=view) for view in (2, 3))]
    for proposal in (*accepted[:2], *(replace(each, batch=()) for each in accepted[2:])):
        write = Write(1, accepted=(proposal,))
        contents.take(write)
        file += STORAGE.frame(write, 0)
    assert contents.stored().accepted == (other, accepted[-1])
    assert STORAGE.recover(2, file).stored == contents.stored()


def test_a_batch_is_written_once_in_however_many_views_it_is_accepted(alone) -> None:
    replica = alone(3)
    words, batch = replica.words, replica.words.proposal(1, replica.words.request(1, body=b"x" * 10_000))
    replica.hears(batch)
    prepared = words.prepared(batch)
    for view in (1, 3, 4, 5):
        left = [words.view_change(node, view, prepared) for node in (1, 2, 4)]
        ready = replica.hears(words.new_view(view, *left))
        assert ready.write is not None
        assert len(STORAGE.frame(ready.write, 0)) < 10_000
        assert [(each.pre_prepare.view, each.batch) for each in ready.write.accepted] == [(view, ())]
        [kept] = replica.contents.stored().accepted
        assert (kept.pre_prepare.view, kept.batch) == (view, batch.batch)
        replica.begin()
    assert replica.pbft.replica.slots[1].batches[batch.pre_prepare.digest] == batch.batch


def test_it_is_in_the_view_that_it_has_left_for_or_entered_last(words) -> None:
    contents = Contents(EMPTY)
    found = []
    for write in writes(words)[:4]:
        contents.take(write)
        found.append((contents.stored().view, contents.stored().view_change is None))
    assert found == [(0, True), (0, True), (1, False), (1, True)]
    contents.take(Write(5, view_change=words.view_change(2, 2)))
    assert (contents.stored().view, contents.stored().view_change is None) == (2, False)
    assert contents.stored().new_view is not None, "the others are told of the last one still"


def test_who_leaves_and_begins_in_one_step_has_begun(words) -> None:
    left, began = (write for write in writes(words)[2:4])
    contents = Contents(EMPTY)
    contents.take(Write(1, left.view_change, began.new_view))
    assert contents.stored().view_change is None


def test_a_stable_checkpoint_takes_the_place_of_all_below_it(words) -> None:
    contents = Contents(EMPTY)
    for write in writes(words)[:6]:
        contents.take(write)
    held = Held(State(1, 1, b"\x90", b"state"), words.stable(State(1, 1, b"\x90", b"state")))
    assert contents.stored().snapshot.index == 3, "its own newest state, as long as it knows of no later stable one"
    contents.take(Write(7, snapshot=held))
    stored = contents.stored()
    assert [each.pre_prepare.seq for each in stored.accepted] == [2]
    assert stored.prepared == ()
    assert (stored.held.state.index, stored.held.state.data) == (1, b"state")
    assert [state.seq for state in stored.states] == [2]
