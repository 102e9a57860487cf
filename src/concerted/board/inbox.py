"""A message in one agent's inbox, and the receipt that its sender sees.

    stored --Fetch--> fetched --Acknowledge--> acknowledged --retention--> (removed)
    stored --Acknowledge--> acknowledged;  stored | fetched --expires_at--> expired --retention--> (removed)

What must be acknowledged and is not by `due_at` is delivered anew: it stands in the inbox as stored again, and
its receipt goes on to say that it was fetched.  After `redeliveries` of them it is escalated: somebody
else is told, once.  What need not be acknowledged is over when it is fetched.

The messages of all agents share one stream and live in a table, so this is no machine with a state of its
own: `decide` looks at one message, and its events say enough for the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from concerted.errors import Invalid, NotAllowed, Overloaded, WrongPhase
from concerted.machine import Event, Priority, Send, Step, Wake
from concerted.values import AgentId, Instant, encode, is_name

__all__ = [
    "BACKOFF_MAX_S",
    "CONTENT_BYTES",
    "INBOX_MAX",
    "KINDS",
    "SYSTEM",
    "TO_MAX",
    "Acknowledge",
    "Fetch",
    "Message",
    "Post",
    "Receipt",
    "Request",
    "Rules",
    "Status",
    "Wake",
    "decide",
    "delivery_order",
    "evolve",
    "is_over",
    "log_order",
    "receipt",
    "received",
    "removed",
    "require_room",
    "store",
    "together",
    "wake_at",
]

SYSTEM = AgentId("system")  # who sends what no agent sends; nobody is there to be told of an escalation
INBOX_MAX = 10_000  # messages in one inbox
TO_MAX = 1_000  # recipients of one message
CONTENT_BYTES = 64 << 10  # the longest content, as JSON
BACKOFF_MAX_S = 3_600.0  # the longest time between two deliveries of a message

Status = Literal["stored", "fetched", "acknowledged", "expired"]

KINDS: Mapping[str, str] = {
    "message.stored": "A message is in the inboxes of its recipients: id, sender, to, type, content, priority,"
    " requires_acknowledgment, due_at, escalate_to, expires_at.",
    "messages.fetched": "The agent has got these messages: ids, request_id.",
    "messages.acknowledged": "The agent says that it has dealt with these messages: ids.",
    "messages.expired": "These messages of the agent are out of date: ids.",
    "message.redelivered": "Message `ref` was not acknowledged in time and stands in the inbox anew: due_at, attempts,"
    " deadline_at (the one that has passed).",
    "message.escalated": "Message `ref` was never acknowledged; somebody else has been told: to, due_at, attempts,"
    " deadline_at.",
    "messages.removed": "These messages of the agent have been kept long enough: ids.",
}

_RANKS: Mapping[Priority, int] = {"critical": 0, "high": 1, "medium": 2, "low": 3}
_IN_TABLE = frozenset(("messages.fetched", "messages.acknowledged", "messages.expired", "messages.removed"))


@dataclass(frozen=True, slots=True)
class Rules:
    """How an inbox is kept.

    acknowledge_within_s: how soon, if a sender that wants an acknowledgment does not say.  redeliveries: how
    often a message is delivered anew before somebody else is told.  retention_s: how long what is over is kept.
    """

    acknowledge_within_s: float = 60.0
    redeliveries: int = 3
    retention_s: float = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Post:
    """A message to be stored.

    due_at: by when it must be acknowledged; None: it need not be.  escalate_to: who is told if it never is;
    None: its sender.  expires_at: when it is of no use any more.
    """

    id: str
    sender: AgentId
    to: tuple[AgentId, ...]
    type: str
    content: Any = None
    priority: Priority = "medium"
    due_at: Instant | None = None
    escalate_to: AgentId | None = None
    expires_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message as one agent has it.

    status: `stored` is what the next fetch returns, also what is to be delivered anew.  fetched_at: when it
    was fetched last.  due_at: when it is delivered anew, or escalated.  attempts: how often it was delivered
    anew, and with its escalation one more.  number: its place in the log.
    """

    id: str
    agent: AgentId
    sender: str
    type: str
    stored_at: Instant
    priority: Priority = "medium"
    status: Status = "stored"
    content: Any = None
    requires_acknowledgment: bool = False
    fetched_at: Instant | None = None
    acknowledged_at: Instant | None = None
    due_at: Instant | None = None
    attempts: int = 0
    escalate_to: AgentId | None = None
    escalated: bool = False
    expires_at: Instant | None = None
    number: int = 0

    @property
    def is_open(self) -> bool:
        """Whether something is still expected of its recipient."""
        return self.status == "stored" or (self.status == "fetched" and self.requires_acknowledgment)


@dataclass(frozen=True, slots=True)
class Fetch:
    """Its recipient gets the message."""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Its recipient says that the message is dealt with."""

    agent: AgentId


Request: TypeAlias = Fetch | Acknowledge | Wake


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender of a message sees of it.  status: it never goes back, whatever is delivered anew."""

    id: str
    agent: AgentId
    sender: str
    type: str
    priority: Priority
    status: Status
    requires_acknowledgment: bool
    stored_at: Instant
    fetched_at: Instant | None = None
    acknowledged_at: Instant | None = None
    due_at: Instant | None = None
    attempts: int = 0
    escalated: bool = False
    escalate_to: AgentId | None = None
    expires_at: Instant | None = None


def store(post: Post) -> Event:
    """Return the one event by which a message is in the inboxes of all its recipients.

    Raises:
        Invalid: no recipient or too many, a name that is none, content without a JSON form or too long, an
            escalation of what need not be acknowledged.
    """
    to = list(dict.fromkeys(post.to))
    for name in (post.id, post.sender, post.type, *to, *([post.escalate_to] if post.escalate_to else [])):
        if not is_name(name):
            raise Invalid(f"{name[:100]!r} cannot name a message, its type or an agent: 1..200 printable bytes")
    if not 1 <= len(to) <= TO_MAX:
        raise Invalid(f"a message goes to 1..{TO_MAX} agents, not to {len(to)}; send several")
    if post.priority not in get_args(Priority):
        raise Invalid(f"there is no priority {post.priority!r}; there are {', '.join(get_args(Priority))}")
    if post.escalate_to is not None and post.due_at is None:
        raise Invalid(f"message {post.id} need not be acknowledged, so there is nothing to escalate; give it a due_at")
    data = {
        "id": post.id,
        "sender": post.sender,
        "to": to,
        "type": post.type,
        "content": _checked(post),
        "priority": post.priority,
        "requires_acknowledgment": post.due_at is not None,
        "due_at": post.due_at,
        "escalate_to": post.escalate_to,
        "expires_at": post.expires_at,
    }
    return Event("message.stored", post.sender, post.id, data)


def require_room(agent: AgentId, count: int, bound: int = INBOX_MAX) -> None:
    """Refuse one more message in an inbox that holds `count`.

    Raises:
        Overloaded: it holds as many as it may.
    """
    if count >= bound:
        what = f"the inbox of {agent} holds {count:,} messages, the most it may"
        raise Overloaded(f"{what}; it must fetch and acknowledge some first", agent=agent, bound=bound)


def decide(message: Message, request: Request, now: Instant, rules: Rules) -> Step:
    """Return what the request comes to; what has happened already comes to nothing.

    An acknowledgment counts even if it comes when it was due, as long as the message has not expired.

    Raises:
        NotAllowed: it is acknowledged by somebody else than its recipient.
        WrongPhase: it is acknowledged when it has expired.
    """
    has_expired = message.is_open and message.expires_at is not None and message.expires_at <= now
    events: tuple[Event, ...] = ()
    sends: tuple[Send, ...] = ()
    match request:
        case Acknowledge(agent):
            _require_acknowledgeable(message, agent, has_expired)
            if message.status != "acknowledged":
                events = (_of(message, "messages.acknowledged"),)
        case _ if has_expired:
            events = (_of(message, "messages.expired"),)
        case Fetch():
            if message.status == "stored":
                events = (_of(message, "messages.fetched"),)
        case Wake():
            events, sends = _woken(message, now, rules)
    after: Message | None = message
    for event in events:
        after = None if after is None else evolve(after, event, now)
    return Step(events, sends, None if after is None else wake_at(after, rules))


def evolve(message: Message, event: Event, at: Instant) -> Message | None:
    """Return the message after an event that happened at `at`, None if it is removed; others' change nothing."""
    if event.agent != message.agent or message.id not in (event.ref, *event.data.get("ids", ())):
        return message
    data = event.data
    match event.kind:
        case "messages.fetched":
            return replace(message, status="fetched", fetched_at=at)
        case "messages.acknowledged":
            return replace(message, status="acknowledged", acknowledged_at=at, due_at=None)
        case "messages.expired":
            return replace(message, status="expired", due_at=None)
        case "message.redelivered":
            return replace(message, status="stored", due_at=data["due_at"], attempts=data["attempts"])
        case "message.escalated":
            return replace(message, due_at=None, attempts=data["attempts"], escalated=True)
        case "messages.removed":
            return None
        case _:
            return message


def received(event: Event, agent: AgentId, at: Instant) -> Message:
    """Return the message that one of its recipients has after `message.stored`, which happened at `at`."""
    data = {key: value for key, value in event.data.items() if key != "to"}
    return Message(agent=agent, stored_at=at, **data)


def delivery_order(messages: Iterable[Message]) -> list[Message]:
    """Return messages in the order in which they are delivered: the most urgent first, then as in the log.

    Of one sender's messages of one priority none overtakes another, whatever the clocks of those who stored them say.
    """
    return sorted(
        messages, key=lambda message: (_RANKS[message.priority], message.number, message.stored_at, message.id)
    )


def log_order(messages: Iterable[Message]) -> list[Message]:
    """Return messages in the order in which they were stored, the urgent ones among the others."""
    return sorted(messages, key=lambda message: (message.number, message.stored_at, message.id))


def is_over(message: Message, now: Instant, rules: Rules) -> bool:
    """Say whether nothing more is expected of the message and it has been kept long enough."""
    over_at = _over_at(message)
    return over_at is not None and over_at + rules.retention_s <= now


def removed(agent: AgentId, ids: Sequence[str]) -> Event:
    """Return the event by which messages are no longer kept."""
    return Event("messages.removed", agent, None, {"ids": list(ids)})


def together(events: Iterable[Event]) -> list[Event]:
    """Return the events with those of one kind and one agent that carry `ids` put into one.

    Each comes where the first of its parts stood.
    """
    found: list[Event] = []
    joined: dict[tuple[str, AgentId | None], Event] = {}
    for event in events:
        key = (event.kind, event.agent)
        if event.kind in _IN_TABLE and key in joined:
            joined[key].data["ids"] += event.data["ids"]
        elif event.kind in _IN_TABLE:
            joined[key] = Event(event.kind, event.agent, None, {"ids": list(event.data["ids"])})
            found.append(joined[key])
        else:
            found.append(event)
    return found


def wake_at(message: Message, rules: Rules) -> Instant | None:
    """Return when the message must be looked at even if nothing happens."""
    if message.is_open:
        return min((at for at in (message.due_at, message.expires_at) if at is not None), default=None)
    over_at = _over_at(message)
    return None if over_at is None else over_at + rules.retention_s


def receipt(message: Message) -> Receipt:
    """Return what the sender sees."""
    was_fetched = message.status == "stored" and message.fetched_at is not None
    return Receipt(
        id=message.id,
        agent=message.agent,
        sender=message.sender,
        type=message.type,
        priority=message.priority,
        status="fetched" if was_fetched else message.status,
        requires_acknowledgment=message.requires_acknowledgment,
        stored_at=message.stored_at,
        fetched_at=message.fetched_at,
        acknowledged_at=message.acknowledged_at,
        due_at=message.due_at,
        attempts=message.attempts,
        escalated=message.escalated,
        escalate_to=message.escalate_to,
        expires_at=message.expires_at,
    )


def _woken(message: Message, now: Instant, rules: Rules) -> tuple[tuple[Event, ...], tuple[Send, ...]]:
    if is_over(message, now, rules):
        return (removed(message.agent, [message.id]),), ()
    due_at = message.due_at
    if due_at is None or due_at > now or not message.is_open:
        return (), ()
    data = {"attempts": message.attempts + 1, "deadline_at": due_at}
    if message.attempts < rules.redeliveries:
        pause_s = min(max(due_at - message.stored_at, 0.0), BACKOFF_MAX_S)  # as long again as it has been waiting
        data["due_at"] = now + (pause_s or rules.acknowledge_within_s)
        return (Event("message.redelivered", message.agent, message.id, data),), ()
    to = AgentId(message.escalate_to or message.sender)
    told = None if to == SYSTEM else to
    event = Event("message.escalated", message.agent, message.id, {**data, "due_at": None, "to": told})
    return (event,), () if told is None else (_escalation(message, told, due_at),)


def _escalation(message: Message, to: AgentId, due_at: Instant) -> Send:
    content = {
        "message_id": message.id,
        "agent": message.agent,
        "sender": message.sender,
        "type": message.type,
        "priority": message.priority,
        "content": message.content,
        "status": receipt(message).status,
        "stored_at": message.stored_at,
        "fetched_at": message.fetched_at,
        "deadline_at": due_at,
        "attempts": message.attempts + 1,
        "reason": f"{message.agent} has not acknowledged {message.type} from {message.sender}",
    }
    return Send((to,), "MESSAGE_ESCALATED", content, priority="high")


def _require_acknowledgeable(message: Message, agent: AgentId, has_expired: bool) -> None:
    if agent != message.agent:
        raise NotAllowed(f"{agent} may not acknowledge message {message.id}; it is {message.agent}'s to acknowledge")
    if message.status == "expired" or has_expired:
        raise WrongPhase(
            f"message {message.id} from {message.sender} has expired and is not acknowledged any more; "
            "leave it, or ask its sender for it anew",
            id=message.id,
        )


def _over_at(message: Message) -> Instant | None:
    """Return since when nothing more is expected of the message."""
    match message.status:
        case "acknowledged":
            return message.acknowledged_at
        case "expired":
            return message.stored_at if message.expires_at is None else message.expires_at
        case "fetched" if not message.requires_acknowledgment:
            return message.fetched_at
        case _:
            return None


def _of(message: Message, kind: str) -> Event:
    return Event(kind, message.agent, None, {"ids": [message.id]})


def _checked(post: Post) -> Any:
    try:
        data = encode(post.content)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"the content of message {post.id} has no JSON form: {error}") from error
    if len(data) > CONTENT_BYTES:
        size = f"the content of message {post.id} has {len(data)} bytes, at most {CONTENT_BYTES}"
        raise Invalid(f"{size}; send a reference to it instead")
    return msgspec.json.decode(data)
