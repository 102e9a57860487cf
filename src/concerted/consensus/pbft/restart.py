"""How a replica goes on after a crash: with all that it has signed, so that it says nothing else now.

What was accepted and prepared in its view is so again, under the same signatures; what it left its view with it says
again.  It goes on behind its newest state.  Of what is committed after that the others tell it.

Source: the paper's replicas do not forget (section 2); Castro's thesis 2001, chapter 4, is about those that recover.
"""

from __future__ import annotations

from concerted.consensus.pbft.agreement import accept
from concerted.consensus.pbft.messages import Checkpoint, Commit
from concerted.consensus.pbft.replica import Output, Replica, Slot, outline_of, slot_at
from concerted.consensus.pbft.storage import Stored
from concerted.consensus.pbft.view_changes import resume

__all__ = ["restored"]


def restored(replica: Replica, stored: Stored) -> None:
    """Take up what the disk holds, in a replica that has just been made."""
    replica.executed, replica.index = stored.state.seq, stored.state.index
    replica.next_seq = replica.stable + 1
    replica.status_at = replica.now
    for state in stored.states:
        replica.snapshots[state.seq] = state
        said = replica.seal.sign(Checkpoint(state.seq, outline_of(replica, state).digest(), replica.id))
        replica.checkpoints.setdefault(replica.id, {})[state.seq] = said
    for proposal in stored.accepted:
        slot_at(replica, proposal.pre_prepare.seq).batches[proposal.pre_prepare.digest] = proposal.batch
    for prepared in stored.prepared:
        slot_at(replica, prepared.pre_prepare.seq).prepared = prepared
    if stored.new_view is not None:
        resume(replica, stored.new_view)
    if stored.view_change is not None:
        for slot in replica.slots.values():
            slot.leave()
        replica.view, replica.active = stored.view_change.view, False
        replica.view_changes[replica.id] = stored.view_change
    else:
        for proposal in stored.accepted:
            if proposal.pre_prepare.view == replica.view:
                slot = slot_at(replica, proposal.pre_prepare.seq)
                accept(replica, slot, proposal.pre_prepare, proposal.batch)
                _commit_again(replica, slot)
                replica.next_seq = max(replica.next_seq, slot.seq + 1)
    replica.out = Output()  # all of it is written, and said again to whoever asks


def _commit_again(replica: Replica, slot: Slot) -> None:
    if slot.prepared is not None and slot.is_prepared(replica.view):
        header = slot.prepared.pre_prepare
        slot.prepares.update((each.source, each) for each in slot.prepared.prepares)
        slot.commits[replica.id] = replica.seal.sign(Commit(header.view, header.seq, header.digest, replica.id))
