"""A replica's door: other replicas and clients connect to it, and each is told what it has asked for.

    connected --Hello with the group's secret--> another replica: its messages are taken
                                              |  a client: its commands, reads and waits are
              --anything else, or nothing for GREETING_S--> closed

A command is answered when its entry has been applied here; where leadership is lost meanwhile its client is told to
ask again, under the same number, so that it counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from concerted.consensus.quorum import NodeId
from concerted.consensus.ready import ReadId
from concerted.consensus.replicated_log import Message
from concerted.consensus.sessions import OPEN, Answer, Command
from concerted.errors import ConcertedError, Invalid, NotFound, Unreachable
from concerted.replicas.file import ReplicaFile
from concerted.replicas.given import read_given, stream_of
from concerted.replicas.kept import AGREEMENT, Kept, KeptEvent, Outcome
from concerted.replicas.keys import read_key
from concerted.replicas.peers import Peers
from concerted.replicas.protocols.algorithms import kind_of
from concerted.replicas.replica import COMPACT_ENTRIES, Replica, change_members, membership_of
from concerted.replicas.spec import Group, check_group, is_address
from concerted.replicas.status import Status
from concerted.replicas.waiting import Commands, Guest, Wanted, Watches
from concerted.replicas.wire import (
    ASKED_BYTES,
    FRAME_BYTES,
    HELLO_BYTES,
    Asked,
    Change,
    Channel,
    Hello,
    Told,
    is_member,
    listen,
)

__all__ = ["Server"]

WAITING_COUNT = 100_000  # what clients may wait for at one replica; beyond it they are told to come later
GUESTS_COUNT = 10_000  # channels at once; whoever connects beyond that is hung up on
GREETING_S = 5.0  # in which whoever connects says who it is
AGREED = AGREEMENT.encode() + b":"
EVENTS_COUNT = 1_000  # of one object, in one answer


class Server:
    """One replica and its door, from `open` to `close`.  stopped: is set when it cannot go on, and `error` says why."""

    def __init__(
        self, group: Group, node: NodeId, folder: str | os.PathLike[str], *, compact_entries: int = COMPACT_ENTRIES
    ) -> None:  # fmt: skip
        """Take a group's description, the id of this replica, and the folder in which its file is.

        compact_entries: how many entries its log has, at least, when a snapshot takes their place.

        Raises:
            Invalid: there is no such group, or no such replica in it.
        """
        if compact_entries < 1:
            raise Invalid(f"a snapshot after {compact_entries} entries; after at least 1")
        self.group = check_group(group)
        self.node = node
        self.address = group.address(node)
        self.folder = Path(folder)
        self.stopped = asyncio.Event()
        self.error: ConcertedError | None = None
        self._compact_entries = compact_entries
        self._kind = kind_of(group.algorithm)
        self._messages = self._kind.decoder()
        self.peers = Peers(group, node, lambda other: _has_left(self, other))
        self._replica: Replica | None = None
        self._listening: asyncio.Server | None = None
        self._guests: dict[Channel, Guest] = {}
        self._commands: Commands[tuple[str, int, int]] = Commands()  # by whose it is, session and number
        self.agreements: Commands[str] = Commands()
        self._reads = 0
        self._reading: dict[ReadId, Wanted] = {}
        self._watches = Watches()
        self.accused_nodes: set[NodeId] = set()

    @property
    def replica(self) -> Replica:
        """The replica, once it is open."""
        assert self._replica is not None, f"replica {self.node} is not open"
        return self._replica

    async def open(self) -> None:
        """Read the file, listen, and look for the others.

        Raises:
            StoreDamaged: the file is damaged where it was durable, or is another's.
            Conflict: another process is this replica.
            Unreachable: the file or the address cannot be had.
            Invalid: its private key is missing, or is not the one by which the group knows it.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._replica = _replica_at(self.folder, self, self._compact_entries)
        try:
            self._listening = await listen(self.address, self._make_channel)
        except OSError as error:
            await self.replica.stop()
            raise Unreachable(
                f"replica {self.node} of {self.group.id} cannot listen at {self.address}: {error}; name another one",
                address=self.address,
            ) from error
        self.peers.open()
        self.replica.start()

    async def close(self) -> None:
        """Stop.  What was acknowledged is in the file."""
        if self._listening is not None:
            if "/" in self.address:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.address)
            self._listening.close()
        await self.peers.close()
        for channel in list(self._guests):
            channel.close()
        await self.replica.stop()

    # What comes in

    def _make_channel(self) -> Channel:
        channel = Channel(self._heard_frame, self._gone, HELLO_BYTES)
        self._guests[channel] = Guest(asyncio.get_running_loop().call_later(GREETING_S, channel.abort))
        if len(self._guests) > GUESTS_COUNT:
            asyncio.get_running_loop().call_soon(channel.abort)
        return channel

    def _gone(self, channel: Channel) -> None:
        guest = self._guests.pop(channel, None)
        if guest is not None:
            guest.greeting.cancel()
            for wanted in list(guest.watches.values()):
                self._watches.remove(wanted, guest)

    def _heard_frame(self, channel: Channel, frame: bytes) -> None:
        guest = self._guests.get(channel)
        if guest is None:
            return
        if guest.node == 0:
            self._asked(channel, guest, _asked.decode(frame))
        elif guest.node is None:
            _greet(self, channel, guest, _hello.decode(frame))
        else:
            node = guest.node
            messages: list[Message] = self._messages.decode(frame)
            self.replica.receive([each for each in messages if each.to == self.node and each.source == node])

    def _asked(self, channel: Channel, guest: Guest, asked: Asked) -> None:
        wanted = Wanted(channel, asked)
        waiting = self._commands.count + self.agreements.count + len(self._reading) + self._watches.count
        match asked.verb:
            case "status":
                self.tell(wanted, _json(_status_of(self)))
            case "forget":
                if asked.id in guest.watches:
                    self._watches.remove(guest.watches[asked.id], guest)
            case _ if waiting >= WAITING_COUNT or asked.id in guest.watches:
                self.turn_away(wanted, None, later=True)
            case "propose":
                self._propose(wanted)
            case "agree":
                _agree(self, wanted)
            case "change":
                _change(self, wanted)
            case "events" | "history" if asked.after < 0:
                raise Invalid(f"events after number {asked.after}; the first is number 1")
            case "history" if self._kind.is_signed or asked.body.startswith(AGREED):  # whoever asks compares several
                self.tell(wanted, _seen(wanted.asked, self.replica.kept))
            case "read" | "history":
                self._reads += 1
                self._reading[ReadId(self._reads)] = wanted
                self.replica.read(ReadId(self._reads))
            case "wait":
                self._look(wanted, guest)
            case "events":
                self._show_events(wanted, guest)

    def _propose(self, wanted: Wanted) -> None:
        self._commands.add(self._key_of(wanted.asked.body), wanted)
        self.replica.propose(wanted.asked.body)

    def _key_of(self, given: bytes) -> tuple[str, int, int]:
        owner, found = self.replica.entering.command_in(given)
        command = _command.decode(found)
        return owner, command.session, command.number

    def _look(self, wanted: Wanted, guest: Guest) -> None:
        """Tell a client what there is to see, once it is not pending; what this replica lacks is on its way here."""
        kept, body = self.replica.kept, wanted.asked.body
        try:
            result, stream = kept.look(body)
            is_over = not result.pending
        except NotFound:
            is_over, stream = False, stream_of(read_given(body)[1])
        except ConcertedError:
            is_over, stream = True, ""
        if is_over:
            self.tell(wanted, _seen(wanted.asked, kept))
        else:
            self._watches.add(stream, wanted, guest)

    def _show_events(self, wanted: Wanted, guest: Guest) -> None:
        stream, events = _events_for(wanted.asked, self.replica.kept)
        if events:
            self.tell(wanted, _pack(events))
        else:
            self._watches.add(stream, wanted, guest)

    # What the replica does

    def send(self, messages: Sequence[Message]) -> None:
        """Deliver messages to other replicas."""
        self.peers.send(messages)

    def answered(self, answer: Answer) -> None:
        """Tell whoever waits here for a command's answer."""
        session = OPEN if answer.status == "opened" else answer.session
        key = (answer.owner, session, answer.number)
        waiting = self._commands.end(key)
        if waiting or self._kind.is_signed:
            body = _pack(answer)
            for wanted in waiting:
                self.tell(wanted, body)
            if self._kind.is_signed:  # others may bring a command here before its client does
                self._commands.remember(key, body)

    def agreed(self, stream: str) -> None:
        """Tell those who have proposed for an agreement what became of it."""
        for wanted in self.agreements.end(stream):
            self.tell(wanted, self.replica.kept.answer_agreed(wanted.asked.body))

    def refused(self, commands: Sequence[bytes], reason: str, leader: NodeId | None) -> None:
        """Tell whoever has asked for these to ask elsewhere, or later."""
        for each in commands:
            if each:  # not the time
                key = self._key_of(each)
                body = self._commands.answer_to(key) if reason == "done" else None
                for wanted in self._commands.end(key):
                    if body is not None:
                        self.tell(wanted, body)
                    else:
                        self.turn_away(wanted, leader, later=reason == "overloaded")

    def read(self, asked: ReadId, *, done: bool) -> None:
        """Let a client read now, or ask again."""
        wanted = self._reading.pop(asked, None)
        if wanted is not None and done:
            self.tell(wanted, _seen(wanted.asked, self.replica.kept))
        elif wanted is not None:
            self.turn_away(wanted, self.replica.core.leader)

    def touched(self, streams: Sequence[str], settled: Sequence[str]) -> None:
        """Tell those who wait for events of these; look again for those who wait for what is settled."""
        for stream in streams:
            for wanted in self._watches.of(stream):
                if wanted.asked.verb == "wait" and stream not in settled:
                    continue
                guest = self._guests[wanted.channel]
                self._watches.remove(wanted, guest)
                if wanted.asked.verb == "wait":
                    self._look(wanted, guest)
                else:
                    self._show_events(wanted, guest)

    def led_by(self, leader: NodeId | None, term: int) -> None:  # noqa: ARG002
        """Send those who wait for commands to the new leader: here nobody may ever hear of them."""
        if self._kind.is_signed or leader == self.node:
            return
        for wanted in self._commands.end_all():
            self.turn_away(wanted, leader)

    def accused(self, culprits: Sequence[NodeId]) -> None:
        """Remember who has lied."""
        self.accused_nodes.update(culprits)

    def failed(self, error: ConcertedError) -> None:
        """Stop: nobody knows what is on the disk."""
        self.error = error
        self.stopped.set()

    # Answers

    def tell(self, wanted: Wanted, body: bytes) -> None:
        """Answer a client."""
        wanted.channel.send(_pack(Told(wanted.asked.id, "ok", body)))

    def turn_away(self, wanted: Wanted, leader: NodeId | None, *, later: bool = False) -> None:
        """Have a client ask elsewhere, or later."""
        status: Any = "overloaded" if later else "not_leader"
        wanted.channel.send(_pack(Told(wanted.asked.id, status, leader=leader or 0)))


def _greet(server: Server, channel: Channel, guest: Guest, hello: Hello) -> None:
    """Let somebody in who knows the group.

    Raises:
        Invalid: it is a stranger.
    """
    group = server.group
    may_join = server.replica.kind.membership is not None and is_address(hello.address)
    is_known = hello.node in group.replicas or may_join
    may_be = hello.node == 0 or (hello.node > 0 and hello.node != server.node and is_known)
    if not is_member(hello, group.id, group.secret) or not may_be:
        raise Invalid(f"whoever this is, it is neither a replica nor a client of group {group.id}")
    if hello.node and hello.address:
        server.peers.meet(hello.node, hello.address)
    guest.greeting.cancel()
    guest.node = hello.node
    channel.longest_bytes = FRAME_BYTES if hello.node else ASKED_BYTES


def _agree(server: Server, wanted: Wanted) -> None:
    """Have a value chosen without a leader, where the protocol can."""
    body = wanted.asked.body
    stream = stream_of(read_given(body)[1])
    if server.group.algorithm != "paxos" or not stream.startswith(f"{AGREEMENT}:"):
        raise Invalid(f"group {server.group.id} decides about {stream} by its log")
    server.agreements.add(stream, wanted)
    server.replica.agree(stream, body)


def _has_left(server: Server, node: NodeId) -> bool:
    membership = membership_of(server.replica)
    return membership is not None and membership.has_left(node)


def _change(server: Server, wanted: Wanted) -> None:
    """Begin to change the members, where the protocol can and this replica leads."""
    asked = _changed.decode(wanted.asked.body)
    refused, kept = change_members(server.replica, asked), server.replica.kept
    if refused is None or isinstance(refused, Invalid):
        error = None if refused is None else refused.to_wire()
        server.tell(wanted, _json(Outcome(kept.index, kept.term, error=error)))
    else:
        server.turn_away(wanted, refused.leader, later=refused.reason != "not_leader")


def _status_of(server: Server) -> Status:
    group, replica = server.group, server.replica
    core, membership = replica.core, membership_of(replica)
    status = Status(
        group.id, server.node, group.algorithm, core.leader, core.term, replica.kept.index,
        tuple(sorted(server.accused_nodes)), addresses=server.peers.addresses,
    )  # fmt: skip
    if membership is None:
        return msgspec.structs.replace(status, voters=tuple(sorted(group.replicas)))
    learners = tuple(node for node in membership.members if node not in membership.voters)
    return msgspec.structs.replace(
        status, voters=membership.voters, learners=learners, is_settled=membership.is_settled
    )


def _replica_at(folder: Path, server: Server, compact_entries: int) -> Replica:
    """Return the replica whose file, and key if it signs, are in a folder.

    Raises:
        StoreDamaged, Conflict, Unreachable: as `ReplicaFile.open`.  Invalid: its key is missing, or not its own.
    """
    group, node, kind = server.group, server.node, kind_of(server.group.algorithm)
    private = read_key(folder / f"{node}.key") if kind.is_signed else ""
    file = ReplicaFile.open(folder / f"{node}.log", kind.storage, node, kind.first(group, node))
    try:
        return Replica(group, node, file, server, compact_entries=compact_entries, private=private)
    except ConcertedError:
        file.close()
        raise


def _events_for(asked: Asked, kept: Kept) -> tuple[str, list[KeptEvent]]:
    """Return of which object somebody wants events, and those that there are."""
    stream = asked.body.decode(errors="replace")
    return stream, kept.events(stream, asked.after)[:EVENTS_COUNT]


def _seen(asked: Asked, kept: Kept) -> bytes:
    """Return what somebody who looks is told now."""
    if asked.verb == "history":
        return _pack(_events_for(asked, kept)[1])
    try:
        result, _ = kept.look(asked.body)
        return _json(Outcome(kept.index, kept.term, ok=msgspec.Raw(_json(result))))
    except ConcertedError as error:
        return _json(Outcome(kept.index, kept.term, error=error.to_wire()))


_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode
_hello = msgspec.msgpack.Decoder(Hello)
_asked = msgspec.msgpack.Decoder(Asked)
_command = msgspec.msgpack.Decoder(Command)
_changed = msgspec.msgpack.Decoder(Change)
