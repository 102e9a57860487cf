"""Who is in whose way among leases: which may be granted now, behind whom, and what a release makes possible.

Two asks **conflict** if a name of one overlaps with a name of the other, and not both are shared.  An ask may be
granted if it conflicts with nothing that is held and with nobody who waits and comes before it.  So those who share do
not overtake one who waits to have it alone, and who wants something else altogether may pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from concerted.board.holding import SHOWN
from concerted.board.leases.space import Ask, Lease, Leases, Waiting
from concerted.board.names import is_plain, overlap
from concerted.board.queue import EMPTY, Place
from concerted.persistent import Map

__all__ = ["ahead", "candidates", "held_ahead", "holders_of", "is_free", "is_next", "position"]

_NONE: Map[str, bool] = Map()


def is_free(space: Leases, ask: Ask) -> bool:
    """Say whether nothing that is held conflicts with this ask.  O(log n) for plain names while no pattern is held."""
    is_alone = ask.mode == "exclusive"
    for name in ask.names:
        if space.patterns or not is_plain(name):
            if next(_holding(space, name, is_alone), None) is not None:
                return False
        elif name in space.exclusive or (is_alone and name in space.shared):
            return False
    return True


def is_next(space: Leases, ask: Ask, place: Place) -> bool:
    """Say whether nobody who conflicts with this ask waits before this place."""
    waiting = space.line.waiting
    for name in ask.names:
        if is_plain(name):
            queue = space.line.queues.get(name, EMPTY)
            if any(_conflict_by_mode(ask, waiting[ticket].ask) for _, _, ticket in queue.before(place)):
                return False
        others = space.line.wide if is_plain(name) else space.line.queue
        for _, _, ticket in others.before(place):
            other = waiting[ticket].ask
            if _conflict_by_mode(ask, other) and _wants(other, name):
                return False
    return True


def held_ahead(space: Leases, ask: Ask, limit: int = SHOWN) -> tuple[Lease, ...]:
    """Return the oldest leases, at most so many, that are in the way of this ask."""
    return tuple(space.held[token] for token in sorted(set(_tokens(space, ask)))[:limit])


def holders_of(space: Leases, name: str, limit: int) -> tuple[Lease, ...]:
    """Return the oldest leases, at most so many, whose names overlap with this one."""
    return tuple(space.held[token] for token in sorted(set(_holding(space, name, is_alone=True)))[:limit])


def ahead(space: Leases, waiting: Waiting, limit: int) -> tuple[Waiting, ...]:
    """Return those, at most so many, for whom this one must wait because they were there before it.

    Of those who wait for one plain name, only as far as to the next one before it that wants the name alone: for
    all others that one waits itself.
    """
    line, place, ask = space.line, waiting.place, waiting.ask
    found: dict[Place, Waiting] = {}
    for name in ask.names:
        if is_plain(name):
            for _, _, ticket in line.queues[name].back_from(place):
                other = line.waiting[ticket]
                if _conflict_by_mode(ask, other.ask):
                    found[other.place] = other
                if other.ask.mode == "exclusive" or len(found) >= limit:
                    break
        for _, _, ticket in (line.wide if is_plain(name) else line.queue).before(place):
            other = line.waiting[ticket]
            if _conflict_by_mode(ask, other.ask) and _wants(other.ask, name):
                found[other.place] = other
    return tuple(found[place] for place in sorted(found)[:limit])


def position(space: Leases, waiting: Waiting) -> int:
    """Return how many wait before this one for some of its names, and one: 1 is next."""
    names = waiting.ask.names
    if len(names) == 1 and is_plain(names[0]) and not space.line.wide.chunks:
        return space.line.queues[names[0]].position(waiting.place)
    return 1 + len({other.number for other in _overlapping(space, waiting)})


def candidates(space: Leases, freed: Iterable[Iterable[str]]) -> list[Waiting]:
    """Return who may have been waiting for these names to be free, in order.

    Of those who wait for one plain name only the first, or the first that all share, can be granted: they alone
    are looked at, however many there are.
    """
    line, places = space.line, dict[Place, Waiting]()
    for name in sorted({name for names in freed for name in names}):
        if is_plain(name):
            for _, _, ticket in line.queues.get(name, EMPTY):
                first = line.waiting[ticket]
                places[first.place] = first
                if first.ask.mode == "exclusive":
                    break
        for _, _, ticket in line.wide if is_plain(name) else line.queue:
            other = line.waiting[ticket]
            if other.place not in places and _wants(other.ask, name):
                places[other.place] = other
    return [places[place] for place in sorted(places)]


def _tokens(space: Leases, ask: Ask) -> Iterator[str]:
    """Go through the tokens in the way of this ask, in no order, some perhaps twice."""
    is_alone = ask.mode == "exclusive"
    for name in ask.names:
        yield from _holding(space, name, is_alone)


def _holding(space: Leases, name: str, is_alone: bool) -> Iterator[str]:
    """Go through the tokens that hold what overlaps with this name; those that share it only if it is wanted alone."""
    if is_plain(name):
        token = space.exclusive.get(name)
        if token is not None:
            yield token
        if is_alone and space.shared:
            yield from (token for token, _ in space.shared.get(name, _NONE).unordered())
    else:
        yield from (token for other, token in space.exclusive.unordered() if overlap(name, other))
        if is_alone:
            for other, tokens in space.shared.unordered():
                if overlap(name, other):
                    yield from (token for token, _ in tokens.unordered())
    for token, _ in space.patterns.unordered() if space.patterns else ():
        other_ask = space.held[token].ask
        if (is_alone or other_ask.mode == "exclusive") and _wants(other_ask, name):
            yield token


def _overlapping(space: Leases, waiting: Waiting) -> Iterator[Waiting]:
    """Go through those who wait before this one for something that overlaps with its names, some perhaps twice."""
    line, place = space.line, waiting.place
    for name in waiting.ask.names:
        if is_plain(name):
            yield from (line.waiting[ticket] for _, _, ticket in line.queues[name].before(place))
        for _, _, ticket in (line.wide if is_plain(name) else line.queue).before(place):
            other = line.waiting[ticket]
            if _wants(other.ask, name):
                yield other


def _wants(ask: Ask, name: str) -> bool:
    return any(overlap(name, other) for other in ask.names)


def _conflict_by_mode(one: Ask, other: Ask) -> bool:
    return one.mode == "exclusive" or other.mode == "exclusive"
