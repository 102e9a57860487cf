"""The synod: agreement on one value for a key, by whoever wants it, without a leader (section 2).

    (asked) --phase 1: promises of a majority--> accepting --phase 2: accepted by a majority--> chosen
    preparing, accepting --too late, or refused--> preparing, with a higher ballot, after a random while

Each key is an instance of its own.  "(P1) An acceptor must accept the first proposal that it receives"; it may accept
others after that, so proposals are numbered, and whoever proposes first learns what may have been chosen already (P2c).
Two that propose in turn could go on for ever (2.4); each waits for a random while, twice as long every time.

Source: Lamport, Paxos made simple, 2001, section 2.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from concerted.consensus.paxos.ballot import Ballot, ballot_above
from concerted.consensus.paxos.messages import (
    AcceptedValue,
    AcceptValue,
    Chosen,
    PrepareValue,
    PromiseValue,
    RefusedValue,
    ValueMessage,
)
from concerted.consensus.paxos.settings import Settings
from concerted.consensus.paxos.storage import Instance
from concerted.consensus.quorum import Configuration, NodeId, is_quorum
from concerted.consensus.ready import Agreed, Refusal

__all__ = ["Synod", "Valid"]

Valid = Callable[[str, bytes], bool]
NEVER = float("inf")


@dataclass(slots=True)
class Attempt:
    """A proposer at work on one key.

    wish: its own value.  count: of attempts so far.  retry_at: when to begin the next.  seen: the
    highest ballot that was promised instead.  promises: acceptor -> the
    highest-numbered proposal that it has accepted.  proposed: the value of phase 2; None in phase 1.
    """

    wish: bytes
    ballot: Ballot = 0
    session: int = 0
    count: int = 0
    retry_at: float = NEVER
    seen: Ballot = 0
    promises: dict[NodeId, tuple[Ballot, bytes]] = field(default_factory=dict)
    proposed: bytes | None = None
    accepted: dict[NodeId, bool] = field(default_factory=dict)


class Synod:
    """All instances of one replica: its acceptors, its proposers, and what it has learnt.

    valid: whether a value may be chosen for a key; the same at every replica, for ever.  messages, chosen: go out with
    the next Ready.
    """

    def __init__(
        self,
        node: NodeId,
        configuration: Configuration,
        settings: Settings,
        instances: Sequence[Instance],
        *,
        dice: Callable[[], float],
        valid: Valid,
    ) -> None:
        self.messages: list[ValueMessage] = []
        self.chosen: list[Agreed] = []
        self._node, self._configuration, self._settings = node, configuration, settings
        self._dice, self._valid = dice, valid
        self._instances = {each.key: each for each in instances}
        self._unwritten: dict[str, None] = {}
        self._attempts: dict[str, Attempt] = {}
        self._alarms: list[tuple[float, str]] = []  # a heap; those of attempts that are over are skipped
        self._sessions = 0
        self._own: list[tuple[str, Ballot]] = []  # accepted by itself, to be counted when that is durable
        self._writes: deque[tuple[int, list[tuple[str, Ballot]]]] = deque()

    # What there is to see

    def value(self, key: str) -> bytes | None:
        """Return what was chosen for a key, as far as is known here."""
        instance = self._instances.get(key)
        return instance.value if instance is not None and instance.is_chosen else None

    @property
    def attempts_count(self) -> int:
        """How many attempts are under way."""
        return len(self._attempts)

    @property
    def next_deadline(self) -> float:
        """When to begin a further attempt."""
        while self._alarms and self._is_over(*self._alarms[0]):
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else NEVER

    # The proposer

    def agree(self, key: str, value: bytes, now: float) -> Refusal | None:
        """Propose a value for a key, unless one is chosen or proposed by this replica already."""
        chosen = self.value(key)
        if chosen is not None:
            self.chosen.append(Agreed(key, chosen, self._instance(key).rounds))
        elif key not in self._attempts:
            if len(value) > self._settings.value_bytes or not self._valid(key, value):
                return Refusal("invalid")
            if key not in self._instances and len(self._instances) >= self._settings.keys_count:
                return Refusal("overloaded")
            self._attempts[key] = Attempt(value)
            self._prepare(key, now)
        return None

    def wake(self, now: float) -> None:
        """Begin anew with what took too long."""
        while self.next_deadline <= now:
            self._prepare(heapq.heappop(self._alarms)[1], now)

    def _prepare(self, key: str, now: float) -> None:
        """Select a ballot above all that are known, promise it here, and ask the others to (phase 1a)."""
        attempt, instance = self._attempts[key], self._instance(key)
        self._sessions += 1
        attempt.session = self._sessions
        attempt.ballot = ballot_above(max(instance.promised, attempt.ballot, attempt.seen), self._node)
        attempt.promises = {self._node: (instance.accepted, instance.value)}
        attempt.proposed, attempt.accepted = None, {}
        self._back_off(key, attempt, now)
        self._remember(msgspec.structs.replace(instance, promised=attempt.ballot))
        for peer in self._peers():
            self.messages.append(PrepareValue(peer, self._node, key, attempt.ballot, attempt.session))
        self._count_promises(key, attempt)

    def _back_off(self, key: str, attempt: Attempt, now: float) -> None:
        """Give each attempt twice as long as the one before, more or less by chance, up to an election timeout."""
        settings = self._settings
        longest = min(settings.retry_s * 2.0 ** min(attempt.count, 30), settings.election_timeout_s)
        attempt.count += 1
        attempt.retry_at = now + longest * (0.5 + self._dice() / 2)
        heapq.heappush(self._alarms, (attempt.retry_at, key))

    def _count_promises(self, key: str, attempt: Attempt) -> None:
        """Once a majority has promised, propose what P2c says.

        "where v is the value of the highest-numbered proposal among the responses, or is any value if the responses
        reported no proposals" (phase 2a).
        """
        if not is_quorum(self._configuration, dict.fromkeys(attempt.promises, True)):
            return
        accepted, value = max(attempt.promises.values(), key=lambda each: each[0])
        attempt.proposed = value if accepted else attempt.wish
        if self._instance(key).promised == attempt.ballot:  # else this acceptor has promised more to somebody else
            self._accept(key, attempt.ballot, attempt.proposed)
            self._own.append((key, attempt.ballot))
        for peer in self._peers():
            self.messages.append(AcceptValue(peer, self._node, key, attempt.ballot, attempt.session, attempt.proposed))

    def _count_accepted(self, key: str, attempt: Attempt) -> None:
        """A value is chosen when a majority of acceptors has accepted it in one ballot; tell all learners (2.3)."""
        assert attempt.proposed is not None, f"{key}: accepted before anything was proposed"
        if is_quorum(self._configuration, attempt.accepted):
            for peer in self._peers():
                self.messages.append(Chosen(peer, self._node, key, attempt.ballot, attempt.session, attempt.proposed))
            self._learn(key, attempt.proposed)

    # Messages

    def receive(self, message: ValueMessage) -> None:
        """Take a message about a key."""
        match message:
            case PrepareValue():
                self._take_prepare(message)
            case AcceptValue():
                self._take_accept(message)
            case Chosen():
                self._learn(message.key, message.value)
            case _:
                self._take_answer(message)

    def written(self, number: int) -> None:
        """Count what this replica has accepted itself, now that it is durable."""
        while self._writes and self._writes[0][0] <= number:
            for key, ballot in self._writes.popleft()[1]:
                attempt = self._attempts.get(key)
                if attempt is not None and attempt.ballot == ballot:
                    attempt.accepted[self._node] = True
                    self._count_accepted(key, attempt)

    def write(self, number: int) -> tuple[Instance, ...]:
        """Hand out what is to be written, as a part of the write of this number."""
        instances = tuple(self._instances[key] for key in self._unwritten)
        self._unwritten.clear()
        if self._own:
            self._writes.append((number, self._own))
            self._own = []
        return instances

    @property
    def has_unwritten(self) -> bool:
        """Whether anything was promised, accepted or learnt that was not handed out to be written yet."""
        return bool(self._unwritten)

    def _take_answer(self, message: PromiseValue | AcceptedValue | RefusedValue) -> None:
        """Count an answer, each acceptor's once, if it is about this attempt."""
        attempt = self._attempts.get(message.key)
        if attempt is None or (message.ballot, message.session) != (attempt.ballot, attempt.session):
            return
        match message:
            case PromiseValue() if attempt.proposed is None:
                attempt.promises.setdefault(message.source, (message.accepted, message.value))
                self._count_promises(message.key, attempt)
            case AcceptedValue():
                attempt.accepted[message.source] = True
                self._count_accepted(message.key, attempt)
            case RefusedValue():
                attempt.seen = max(attempt.seen, message.promised)  # the next attempt will be above that

    # The acceptor

    def _take_prepare(self, message: PrepareValue) -> None:
        """Promise a ballot that is higher than any promised before, and tell what was accepted (phase 1b)."""
        if self._tells_chosen(message):
            return
        instance = self._instance(message.key)
        if message.ballot < instance.promised:
            self._refuse(message, instance)
            return
        self._remember(msgspec.structs.replace(instance, promised=message.ballot))
        self.messages.append(
            PromiseValue(
                message.source,
                self._node,
                message.key,
                message.ballot,
                message.session,
                instance.accepted,
                instance.value,
            )
        )

    def _take_accept(self, message: AcceptValue) -> None:
        """Accept, "unless it has already responded to a prepare request having a number greater than n" (P1a)."""
        if self._tells_chosen(message) or not self._valid(message.key, message.value):
            return
        instance = self._instance(message.key)
        if message.ballot < instance.promised:
            self._refuse(message, instance)
            return
        self._accept(message.key, message.ballot, message.value)
        self.messages.append(AcceptedValue(message.source, self._node, message.key, message.ballot, message.session))

    def _accept(self, key: str, ballot: Ballot, value: bytes) -> None:
        before = self._instance(key)
        assert before.accepted != ballot or before.value == value, f"{key}: two values in ballot {ballot}"
        self._remember(Instance(key, ballot, ballot, value))

    def _refuse(self, message: PrepareValue | AcceptValue, instance: Instance) -> None:
        self.messages.append(
            RefusedValue(message.source, self._node, message.key, message.ballot, message.session, instance.promised)
        )

    def _tells_chosen(self, message: PrepareValue | AcceptValue) -> bool:
        """Tell who proposes for a key that its value is chosen; say whether it is."""
        value = self.value(message.key)
        if value is not None:
            self.messages.append(
                Chosen(message.source, self._node, message.key, message.ballot, message.session, value)
            )
        return value is not None

    # The learner

    def _learn(self, key: str, value: bytes) -> None:
        """Learn what is chosen."""
        instance = self._instance(key)
        if instance.is_chosen:
            assert instance.value == value, f"{key}: {instance.value!r} is chosen, and {value!r} as well"
            return
        self._remember(msgspec.structs.replace(instance, value=value, is_chosen=True))
        self._attempts.pop(key, None)
        self.chosen.append(Agreed(key, value, instance.rounds))

    # Remembering

    def _instance(self, key: str) -> Instance:
        return self._instances.get(key) or Instance(key)

    def _remember(self, instance: Instance) -> None:
        self._instances[instance.key] = instance
        self._unwritten[instance.key] = None

    def _is_over(self, at: float, key: str) -> bool:
        attempt = self._attempts.get(key)
        return attempt is None or attempt.retry_at != at

    def _peers(self) -> list[NodeId]:
        return [node for node in self._configuration.voters if node != self._node]
