"""The steps of a scenario that only PBFT has: who lies and what it says, how long patience lasts, what clients believe.

A batch is named by its requests, as in `a b`; `nothing` is the empty one, and a request that begins with `!` was never
signed by its client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from concerted.consensus.pbft.certificates import chosen
from concerted.consensus.pbft.messages import (
    NULL,
    Batch,
    Body,
    Checkpoint,
    Commit,
    NewView,
    Outline,
    Piece,
    Prepare,
    PrePrepare,
    Proposal,
    State,
    Transfer,
    ViewChange,
    batch_digest,
)
from concerted.consensus.pbft.seal import Seal
from concerted.consensus.pbft.view_changes import timer
from concerted.consensus.quorum import NodeId
from concerted.errors import Invalid
from concerted.sim.cluster.table import expect
from concerted.sim.pbft.table import PbftTable
from concerted.sim.scenarios.steps import node_of, nodes_of, ways_of

__all__ = ["STEPS"]


def _servers(table: PbftTable, words: list[str]) -> None:
    """servers 1 2 3 4 [liars 4]: the whole group; of 3f + 1 at most f lie."""
    names, _, liars = " ".join(words).partition("liars")
    table.gather(nodes_of(names.split()), nodes_of(liars.split()))


def _no_such(table: PbftTable, words: list[str]) -> None:  # noqa: ARG001
    """Refuse what other protocols have."""
    raise Invalid("PBFT has no such step: who is in a group never changes, its primaries go around, reads are entries")


def _patience(table: PbftTable, words: list[str]) -> None:
    """patience 2: time goes by for this replica alone until it gives up on its view, or on the next one."""
    for node in nodes_of(words):
        replica = table.living(node)
        until = timer(replica.core.replica)
        if until == float("inf"):
            raise Invalid(f"replica {node} waits for nothing")
        replica.now = max(replica.now, until)
        table.give(node, type(replica.core).wake, replica.now)


# Lies


def _tell(table: PbftTable, words: list[str]) -> None:
    """tell 1->2 1->3 [as 4] WORDS: a liar says something, under its own key, whoever is said to have said it."""
    count = next((place for place, word in enumerate(words) if "->" not in word), len(words))
    ways, _ = ways_of(table, words[:count])
    rest = words[count:]
    for liar, to in ways:
        source = liar
        said = rest
        if rest[:1] == ["as"]:
            source, said = node_of(rest[1]), rest[2:]
        body = _said(table, liar, source, said)
        table.tell(liar, to, body)


def _said(table: PbftTable, liar: NodeId, source: NodeId, words: Sequence[str]) -> Body:
    """Read what a liar is to say."""
    seal = table.seal(liar)
    match words:
        case ["pre-prepare", place, *texts]:
            batch = _batch(table, texts)
            return Proposal(seal.sign(PrePrepare(*_place(place), batch_digest(batch), source)), batch)
        case ["prepare", place, *texts]:
            return seal.sign(Prepare(*_place(place), batch_digest(_batch(table, texts)), source))
        case ["commit", place, *texts]:
            return seal.sign(Commit(*_place(place), batch_digest(_batch(table, texts)), source))
        case ["checkpoint", seq, "garbage"]:
            return seal.sign(Checkpoint(int(seq), _garbage(int(seq)).digest(), source))
        case ["transfer", seq, "garbage"]:
            return Transfer(_garbage(int(seq)))
        case ["piece", seq, number, "garbage"]:
            return Piece(int(seq), int(number), b"garbage")
        case ["view-change", view]:
            return seal.sign(ViewChange(int(view), 0, (), (), source))
        case ["new-view", view, *rest]:
            return _new_view(table, liar, seal, int(view), rest)
    raise Invalid(
        "a liar can say pre-prepare 0/1 a, prepare 0/1 a, commit 0/1 a, checkpoint 2 garbage, transfer 2 garbage, "
        "piece 2 1 garbage, view-change 1, new-view 1 and new-view 1 nothing"
    )


def _new_view(table: PbftTable, liar: NodeId, seal: Seal, view: int, rest: Sequence[str]) -> NewView:
    """Begin a view with the view-changes that the liar has heard; with `nothing`, as if nothing had been prepared."""
    known = table.living(liar).core.replica.view_changes
    heard = tuple(known[node] for node in sorted(known) if known[node].view == view)
    follow = chosen(heard) if heard else []
    headers = [
        seal.sign(PrePrepare(view, seq, NULL if list(rest) == ["nothing"] else digest, liar)) for seq, digest in follow
    ]
    return seal.sign(NewView(view, heard, tuple(headers), liar))


def _answer(table: PbftTable, words: list[str]) -> None:
    """answer 4 a 7: a liar tells the client that a is entry 7."""
    table.answer(node_of(words[0]), words[1], node_of(words[2]))


def _place(word: str) -> tuple[int, int]:
    view, slash, seq = word.partition("/")
    if not slash or not view.isdecimal() or not seq.isdecimal():
        raise Invalid(f"{word!r} is no view and number; write them as 0/1")
    return int(view), int(seq)


def _batch(table: PbftTable, texts: Sequence[str]) -> Batch:
    return () if list(texts) == ["nothing"] else table.batch(texts)


def _garbage(seq: int) -> Outline:
    return State(seq, seq, b"", b"garbage").outline(1 << 20)


# What must have come


def _expect_view(table: PbftTable, words: list[str]) -> None:
    """expect view 2 1 | none: in which view a replica is."""
    core = table.living(node_of(words[0])).core
    found = "none" if core.leader is None else str(core.term)
    expect(found == words[1], f"replica {words[0]} is in view {found}")


def _expect_applied(table: PbftTable, words: list[str]) -> None:
    """expect applied 1 5: up to which entry a replica has carried out the log."""
    node, index = nodes_of(words)
    expect(table.servers[node].service.index == index, f"replica {node} is at {table.servers[node].service.index}")


def _expect_stable(table: PbftTable, words: list[str]) -> None:
    """expect stable 1 4: a replica's low watermark."""
    node, seq = nodes_of(words)
    found = table.living(node).core.replica.stable
    expect(found == seq, f"replica {node} is stable at {found}")


def _expect_answered(table: PbftTable, words: list[str]) -> None:
    """expect answered a 1 | nothing: which entry the client believes its request to be."""
    found = str(table.answered.get(words[0], "nothing"))
    expect(found == words[1], f"the client believes {found}")


def _expect_evidence(table: PbftTable, words: list[str]) -> None:
    """expect evidence 1 | none: of whom somebody can prove that it lies."""
    found = sorted(table.accused)
    expect(found == [int(word) for word in words if word != "none"], f"there is evidence of {found or 'nobody'}")


STEPS: Mapping[str, Callable[[PbftTable, list[str]], None]] = {
    "servers": _servers, "patience": _patience, "tell": _tell, "answer": _answer, "expect view": _expect_view,
    "expect applied": _expect_applied, "expect stable": _expect_stable, "expect answered": _expect_answered,
    "expect evidence": _expect_evidence,
    **dict.fromkeys(("join", "elect", "read", "compact", "expect read"), _no_such),
}  # fmt: skip
