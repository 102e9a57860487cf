"""Planted bugs of PBFT: the stored seed of each must find it on a walk; the core itself must pass that seed."""

import pytest

from concerted.sim.pbft.walk import pbft_walk

MUTANTS = [
    (
        "prepares are counted without comparing digests",
        "pbft.agreement",
        "    matching = _matching(slot.prepares, header.digest)\n",
        "    matching = [slot.prepares[node] for node in sorted(slot.prepares)]\n",
    ),
    (
        "commits without being prepared",
        "pbft.agreement",
        "if len(matching) < 2 * replica.group.faulty:",
        "if not slot.accepted:",
    ),
    (
        "a quorum is 2f",
        "pbft.group",
        "return 2 * self.faulty + 1",
        "return 2 * self.faulty",
    ),
    (
        "2f - 1 prepares are enough",
        "pbft.agreement",
        "if len(matching) < 2 * replica.group.faulty:",
        "if len(matching) < 2 * replica.group.faulty - 1:",
    ),
    (
        "takes view-changes without looking at what they prove",
        "pbft.certificates",
        "        and all(is_prepared(each, group, seal) for each in said.prepared)\n",
        "",
    ),
    (
        "its view-change leaves out what was prepared",
        "pbft.view_changes",
        "prepared=tuple(slot.prepared for slot in slots if slot.prepared is not None),",
        "prepared=(),",
    ),
    (
        "does not compute O for itself",
        "pbft.certificates",
        "        and [(each.seq, each.digest) for each in said.pre_prepares] == chosen(said.view_changes)\n",
        "",
    ),
    (
        "O takes what was prepared in the oldest view",
        "pbft.certificates",
        "header.view > newest.get(header.seq, (-1, NULL))[0]",
        "header.seq not in newest",
    ),
    (
        "a new view rests on view-changes of f + 1",
        "pbft.certificates",
        "len(sources) == len(said.view_changes) >= group.quorum",
        "len(sources) >= group.weak",
    ),
    (
        "takes numbers outside of the watermarks",
        "pbft.replica",
        "return self.stable < seq <= self.stable + self.settings.window",
        "return self.stable < seq",
    ),
    (
        "carries out what is committed out of order",
        "pbft.agreement",
        "        slot = replica.slots.get(replica.executed + 1)\n        if slot is None or slot.committed is None:\n",
        (
            "        slot = next((replica.slots[seq] for seq in sorted(replica.slots) if seq > replica.executed "
            "and replica.slots[seq].committed is not None), None)\n        if slot is None or slot.committed is None:\n"
        ),
    ),
    (
        "carries a request out as often as it is ordered",
        "pbft.done",
        "        if self.has(client, number):\n            return False\n",
        "",
    ),
    (
        "does not look at the signatures of statements",
        "pbft.seal",
        "if not self._group.verifier.is_signed(who, data, said.signature):",
        "if isinstance(who, str) and not self._group.verifier.is_signed(who, data, said.signature):",
    ),
    (
        "does not look at the signatures of clients",
        "pbft.agreement",
        "return all(replica.seal.is_valid(request) for request in batch)",
        "return True",
    ),
    (
        "takes pre-prepares from whoever is not the primary",
        "pbft.agreement",
        "if not _concerns(replica, header) or header.source != replica.primary:",
        "if not _concerns(replica, header):",
    ),
    (
        "takes a second pre-prepare for a number",
        "pbft.agreement",
        "    if known is not None and known.digest != header.digest:\n",
        "    if False:\n",
    ),
    (
        "does not write what it accepts",
        "pbft.agreement",
        "    replica.out.accepted.append(Proposal(header, () if header.digest in slot.batches else batch))\n",
        "",
    ),
    (
        "forgets what it has prepared when it restarts",
        "pbft.restart",
        "        slot_at(replica, prepared.pre_prepare.seq).prepared = prepared\n",
        "        pass\n",
    ),
    (
        "forgets that it has left its view when it restarts",
        "pbft.restart",
        "    if stored.view_change is not None:\n",
        "    if False:\n",
    ),
    (
        "takes a state without comparing its digest",
        "pbft.checkpoints",
        "(outline.seq, outline.digest()) != (replica.target[0].seq, replica.target[0].digest)",
        "outline.seq != replica.target[0].seq",
    ),
    (
        "takes a piece of a state without comparing its digest",
        "pbft.checkpoints",
        "    if arriving.outline.is_piece(message.number, message.data):\n",
        "    if True:\n",
    ),
    (
        "pieces of two states are mixed",
        "pbft.checkpoints",
        (
            "(message.seq, message.number) != (arriving.outline.seq, arriving.next):\n        return\n"
            "    if arriving.outline.is_piece(message.number, message.data):\n"
        ),
        "message.number != arriving.next:\n        return\n    if True:\n",
    ),
    (
        "one checkpoint proves a state",
        "pbft.certificates",
        "len({each.source for each in proof}) == len(proof) >= group.quorum",
        "len(proof) >= group.quorum",
    ),
    (
        "a checkpoint is stable when one has signed it",
        "pbft.checkpoints",
        "if len(matching) >= replica.group.quorum:",
        "if len(matching) >= 1:",
    ),
    (
        "a snapshot forgets whose requests were carried out",
        "pbft.node",
        "        done = Done.load(settings.numbers_count, stored.state.done)\n",
        "        done = Done.load(settings.numbers_count, b'')\n",
    ),
    (
        "accuses its primary of what anybody has said",
        "pbft.evidence",
        "Evidence(first.source, ",
        "Evidence(replica.primary, ",
    ),
    (
        "view-changes that are lost are never said again",
        "pbft.catching_up",
        "    announce(replica)\n",
        "",
    ),
    (
        "signs a state that it does not keep",
        "pbft.checkpoints",
        "    replica.out.states.append(state)\n",
        "",
    ),
    (
        "does not join others who want a later view",
        "pbft.view_changes",
        "if len(later) >= replica.group.weak:",
        "if False:",
    ),
    (
        "nobody answers who says what it has",
        "pbft.catching_up",
        "    replica.out.messages += [Message(message.source, replica.id, body) for body in answers]\n",
        "",
    ),
    (
        "takes what is signed twice for a contradiction",
        "pbft.evidence",
        "    if first.source not in replica.convicted and is_contradiction(first, second):\n",
        "    assert is_contradiction(first, second)\n    if first.source not in replica.convicted:\n",
    ),
    (
        "waits for a request that is too old",
        "pbft.agreement",
        "    _stop_waiting(replica)\n",
        "",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant[0])
def test_its_stored_seed_finds_the_bug(mutant, exam) -> None:
    exam("pbft", mutant, lambda seed: pbft_walk(seed).problems)
