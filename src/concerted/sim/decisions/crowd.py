"""All who ask replicas about decisions: what they want, and whom they believe.

Where nobody lies, whoever has applied a command tells its asker; else nobody is believed alone, and an asker waits
until so many say the same that one of them is honest, as real clients do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.consensus.sessions import OPEN, Answer
from concerted.ports.decisions import OfDecision
from concerted.replicas.clients.signed_client import same_body
from concerted.replicas.kept import Outcome
from concerted.sim.cluster.checks import Broken
from concerted.sim.decisions.court import Court
from concerted.sim.decisions.errands import Asker
from concerted.values import AgentId

__all__ = ["Crowd"]


class Crowd:
    """All askers of one group.  honest: how many must say the same to be believed.  court: sees what they are told.

    wanted: who has wanted what from the beginning.  on_end: told who waits no more, and for which command.
    """

    def __init__(self, askers: Sequence[Asker], court: Court, honest: int) -> None:
        self.askers = askers
        self.answered_count = 0
        self.wanted: list[tuple[AgentId, OfDecision]] = []
        self.on_end: Callable[[Asker, bytes], None] = lambda _asker, _command: None
        self._court = court
        self._honest = honest
        self._said: dict[tuple[int, int], dict[NodeId, bytes]] = {}
        for asker in askers:
            for _, wanted in asker.errands:
                self.wanted.append((asker.agent, wanted))
                choice = getattr(wanted, "choice", None)
                if choice is not None:
                    court.cast.setdefault((wanted.id, asker.agent), set()).add(choice)

    @property
    def waiting(self) -> list[Asker]:
        """All who are not done."""
        return [asker for asker in self.askers if not asker.is_done]

    def hear(self, node: NodeId, answer: Answer) -> None:
        """Hear a server; what it says to others than these is not for them."""
        if answer.owner:
            return
        said = self._said.setdefault((OPEN if answer.status == "opened" else answer.session, answer.number), {})
        said.pop(node, None)
        said[node] = _pack(answer)
        agreed = same_body(list(said.values()), self._honest)
        if agreed is not None:
            self._believe(_answer.decode(agreed))

    def _believe(self, answer: Answer) -> None:
        if answer.status == "opened":
            asker = next((each for each in self.askers if each.id == answer.number and not each.session), None)
            if asker is not None:
                asker.session, asker.command = answer.session, b""
                self.on_end(asker, b"")
            return
        if answer.status == "done":
            self._court.told(_read(answer.result))
        asker = next((each for each in self.askers if each.session == answer.session), None)
        if asker is not None and asker.command and asker.number == answer.number:
            assert answer.status == "done", f"{asker} is told {answer.status}"
            command, asker.command = asker.command, b""
            self.answered_count += 1
            self.on_end(asker, command)


def _read(result: bytes) -> Outcome:
    try:
        return _outcome.decode(result)
    except msgspec.MsgspecError:
        raise Broken(f"a client believes what no honest server says: {result!r}") from None


_pack = msgspec.msgpack.Encoder().encode
_answer = msgspec.msgpack.Decoder(Answer)
_outcome = msgspec.json.Decoder(Outcome)
