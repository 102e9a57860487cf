"""The exam of protocols of consensus: what every core that keeps a log must do, asked of the real thing.

    from concerted.testing import REPLICATED_LOG_CHECKS, check_replicated_log

    @pytest.mark.parametrize("check", REPLICATED_LOG_CHECKS)
    def test_my_protocol_passes(check):
        check_replicated_log(KIND, check)

KIND is what a module in `replicas/protocols` has, or the protocol's name in the table of these.  It is asked in virtual
time, without disk and network; the simulator (`concerted simulate`) asks more, with faults of all kinds, of protocols
that it can play.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from concerted.consensus.ready import ReadId
from concerted.errors import Invalid
from concerted.testing.replicated_log_hall import Hall, Protocol, Replica

__all__ = ["REPLICATED_LOG_CHECKS", "check_replicated_log"]

COMMANDS = 20  # in one check
DEATHS = 15  # sends after each of which a replica is killed
COMPACTED = 40  # commands behind a snapshot, at least
LOGGED = 1_000  # commands after which a core must have asked for one, if it is the core that asks
SILENCE_S = 60.0  # in which nothing must happen


def check_replicated_log(protocol: Protocol, check: str) -> None:
    """Put one check, of `REPLICATED_LOG_CHECKS`, to a protocol.

    Raises:
        AssertionError: it does not pass; says what was expected.  Invalid: there is no such check.
    """
    if check not in _CHECKS:
        raise Invalid(f"there is no check {check!r}; there are {', '.join(_CHECKS)}")
    _CHECKS[check](protocol)


def _same_order(protocol: Protocol) -> None:
    """All replicas apply the same entries in one order, without gaps, and each command once."""
    hall = Hall(protocol)
    bodies = [b"%d" % number for number in range(COMMANDS)]
    for body in bodies:
        hall.do(body)
    hall.agree(COMMANDS)
    for each in hall.alive():
        assert each.applied == bodies, f"replica {each.node} has carried out {each.applied}, in place of {bodies}"


def _asked_together(protocol: Protocol) -> None:
    """Commands that are proposed at once are all carried out, in one order."""
    hall = Hall(protocol)
    commands = [hall.command(b"%d" % number) for number in range(COMMANDS)]
    for command in commands:
        hall.propose(command)
    for command in commands:
        hall.do(command)
    hall.agree(COMMANDS)
    orders = {tuple(each.applied) for each in hall.alive()}
    assert len(orders) == 1, f"carried out in different orders: {orders}"


def _counts_once(protocol: Protocol) -> None:
    """A command that is proposed again, here and there, is carried out once, and answered as the first time."""
    hall = Hall(protocol)
    command = hall.command(b"once")
    first = hall.do(command)
    for node in hall.replicas:
        hall.propose(command, at=node)
    hall.do(b"after")
    hall.agree(2)
    assert first.result == b"done once", f"the client was told {first}"
    for each in hall.alive():
        assert each.applied.count(b"once") == 1, f"replica {each.node} has carried it out more than once"


def _all_die(protocol: Protocol) -> None:
    """What was answered is there when all replicas have been killed and are started with their files."""
    hall = Hall(protocol)
    for number in range(COMMANDS):
        hall.do(b"%d" % number)
    for each in hall.replicas.values():
        each.kill()
    hall.network.clear()
    for each in hall.replicas.values():
        each.start()
    hall.do(b"after")
    hall.agree(COMMANDS + 1)


def _dies_after_sending(protocol: Protocol) -> None:
    """Nothing is said before that on which it rests is on the disk: no death just after a message contradicts it."""
    for sends in range(1, DEATHS + 1):
        hall = Hall(protocol)
        victim = hall.replicas[1 + sends % len(hall.replicas)]
        victim.sends = sends
        for number in range(3):
            hall.do(b"%d" % number)
        if not victim.is_alive:
            said_in = victim.sent_in
            victim.start()
            assert victim.core.term >= said_in, (
                f"replica {victim.node} has said something in term {said_in}, and knows of {victim.core.term} after a "
                "restart: that was not on its disk"
            )
        hall.do(b"after")
        hall.agree(4)


def _minority_away(protocol: Protocol) -> None:
    """As many may be away as the group tolerates; who comes back with an old file catches up."""
    hall = Hall(protocol)
    hall.do(b"before")
    absent = list(hall.replicas.values())[: hall.tolerates]
    for each in absent:
        each.kill()
    for number in range(COMMANDS):
        hall.do(b"%d" % number)
    for each in absent:
        each.start()
    hall.do(b"after")
    hall.agree(COMMANDS + 2)


def _no_quorum(protocol: Protocol) -> None:
    """With one more away nothing is carried out; when they are back it is, and once."""
    hall = Hall(protocol)
    hall.do(b"before")
    hall.away.update(list(hall.replicas)[: hall.tolerates + 1])
    command = hall.command(b"alone")
    hall.propose(command)
    hall.run(lambda: False, SILENCE_S)
    for each in hall.alive():
        assert b"alone" not in each.applied, f"replica {each.node} has carried out a command without a quorum"
    hall.away.clear()
    hall.do(command)
    hall.agree(2)


def _reads(protocol: Protocol) -> None:
    """A read shows all that anybody was told before it was asked; or it is refused, or lost, and asked again."""
    hall = Hall(protocol)
    shown = refused = 0
    for number in range(COMMANDS):
        body = b"%d" % number
        hall.do(body)
        for each in hall.alive():
            asked = ReadId(number + 1)
            ready = each.give(each.core.read([asked], hall.now))
            if ready.refused is not None:
                refused += 1
                continue
            assert hall.run(partial(_has_read, each, asked)), f"a read at replica {each.node} never ended"
            state = each.reads[asked]
            if state is not None:
                shown += 1
                assert body in state, f"replica {each.node} shows {state}, after {body!r} was answered"
    assert shown or (hall.kind.is_signed and refused), "no read was ever answered"


def _has_read(replica: Replica, asked: ReadId) -> bool:
    return asked in replica.reads


def _snapshots(protocol: Protocol) -> None:
    """Who was away for longer than the log reaches back gets a snapshot, and goes on from there."""
    hall = Hall(protocol)
    hall.do(b"before")
    late = hall.replicas[len(hall.replicas)]
    hall.away.add(late.node)
    count = 1
    while count < COMPACTED or (hall.kind.is_signed and hall.replicas[1].snapshots < 2):
        assert count < LOGGED, f"after {LOGGED} commands the core has asked for no snapshot"
        hall.do(b"%d" % count)
        count += 1
    if not hall.kind.is_signed:  # a core of those says itself when it wants one
        for each in hall.alive():
            each.compact()
    hall.away.clear()
    hall.do(b"after")
    hall.agree(count + 1)
    assert late.restores, "what was compacted away came from a log"
    for each in hall.replicas.values():
        each.kill()
    hall.network.clear()
    for each in hall.replicas.values():
        each.start()
    hall.do(b"restarted")
    hall.agree(count + 2)


_CHECKS: Mapping[str, Callable[[Protocol], None]] = {
    "all apply the same entries in one order": _same_order,
    "commands that are proposed at once are all carried out": _asked_together,
    "a command that is proposed again counts once": _counts_once,
    "what was answered survives the death of all": _all_die,
    "nothing is said before it is on the disk": _dies_after_sending,
    "a minority may be away and catches up": _minority_away,
    "without a quorum nothing is carried out": _no_quorum,
    "a read shows all that was answered before": _reads,
    "a snapshot takes the place of the log": _snapshots,
}
REPLICATED_LOG_CHECKS: tuple[str, ...] = tuple(_CHECKS)
