"""Planted bugs of decisions over replicated logs: under the stored seed of each a world or a walk must find it.

Those of `pbft`, of sessions and of whom clients believe are found where somebody lies, and nowhere else.
"""

import pytest

from concerted.sim.decisions.play import simulate_decisions
from concerted.sim.faults import Faults

SWARM = Faults(swarm=True)

MUTANTS = [
    (
        "counts a voter's second ballot",
        "decisions.decision",
        "    if first is None:\n",
        "    if first is None or first.choice != given.choice:\n",
    ),
    (
        "closes early though a veto may still come",
        "decisions.tally",
        "        return None if tally.vetoes_out else final(rule, tally)\n",
        "        return final(rule, tally)\n",
    ),
    (
        "a deadline passes by each replica's own clock",
        "concerted.replicas.kept",
        "self.now, self.term = max(self.now, proposed.at), max",
        "self.now, self.term = max(self.now, proposed.at + 3.0 * self._entering._node), max",
    ),
    (
        "time goes back where a leader's clock is behind",
        "concerted.replicas.kept",
        "self.now, self.term = max(self.now, proposed.at), max",
        "self.now, self.term = proposed.at, max",
    ),
    (
        "silence accepts",
        "decisions.tally",
        "            return tally.approvals, tally.rejections, missing\n",
        "            return {each: yes + missing for each, yes in tally.approvals.items()}, tally.rejections, 0\n",
    ),
    (
        "a ballot after the end counts",
        "decisions.decision",
        "    if state.closing is not None:\n        ago = max",
        "    if False:\n        ago = max",
    ),
    (
        "weights do not count",
        "decisions.state",
        "opening.electorate[voter]),",
        "1),",
    ),
    (
        "participation is not asked for",
        "decisions.tally",
        "    return tally.voted * quorum.denominator >= quorum.numerator * tally.total\n",
        "    return True\n",
    ),
    (
        "a repeated command is done again",
        "sessions",
        "        if command.number not in results:\n",
        "        if True:\n",
    ),
    (
        "a snapshot leaves out the alarms",
        "concerted.replicas.kept",
        "            _set_wake(self._wakes, stream, thing, wake_at)\n",
        "            _set_wake(self._wakes, stream, thing, None)\n",
    ),
    (
        "is closed when the deadline is noticed, not when it was",
        "decisions.decision",
        '        due = _close(state, "deadline", state.opening.deadline_at)\n',
        '        due = _close(state, "deadline", now)\n',
    ),
    (
        "a state that was restored is in another order",
        "concerted.replicas.kept",
        "        events = [_event(each) for each in kept]",
        "        events = list(step.events)",
    ),
    (
        "carries out what is no command, since a known client has signed it",
        "concerted.replicas.protocols.pbft",
        "        if proposed.command:\n            _command(proposed.command)\n",
        "",
    ),
    (
        "a replica says the time for others",
        "concerted.replicas.protocols.pbft",
        "is_time = not proposed.command and request.client == client_of(proposed.by)",
        "is_time = not proposed.command",
    ),
    (
        "a host votes for others",
        "concerted.replicas.kept",
        "    if given.agent != only_for:\n",
        "    if False:\n",
    ),
    (
        "a host is an administrator if it says so",
        "concerted.replicas.kept",
        "    return msgspec.structs.replace(given, is_admin=False)\n",
        "    return given\n",
    ),
    (
        "a host uses the sessions of others",
        "sessions",
        '        is_own = self._owners.get(command.session, "") == owner\n',
        "        is_own = True\n",
    ),
    (
        "a snapshot leaves out whose the sessions are",
        "sessions",
        "self._answered, self._owners))",
        "self._answered, {}))",
    ),
    (
        "a client believes f replicas",
        "concerted.replicas.clients.signed_client",
        "    return said[-1] if said.count(said[-1]) >= enough else None\n",
        "    return said[-1] if said.count(said[-1]) >= max(enough - 1, 1) else None\n",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant[0])
def test_its_stored_seed_finds_the_bug(mutant, exam) -> None:
    exam("decide", mutant, lambda seed: simulate_decisions([seed], SWARM).failures)
