"""What must be true of a world when it is over, whatever has broken in it.

Each check returns the problems it finds, in words; no problem, no words.  They look at the log and at the
ledger of effects, never at what the coordinator says of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from concerted.consensus.decisions import decision
from concerted.consensus.decisions.certificate import verify
from concerted.consensus.decisions.state import certify
from concerted.consensus.validity import Validity, problem
from concerted.engine.takeover import check_replay
from concerted.kinds import ENDINGS
from concerted.ports.store import Entry
from concerted.primitives.fold import unfold
from concerted.runs.instance import Coordinate
from concerted.sim.world import Played
from concerted.values import RunId

__all__ = ["problems_of"]

AFTER_THE_END = {"reply.late", "result.refused"}
ONCE = {"signal.received": "signal", "child.ended": "child's end", "task.done": "result of task"}


async def problems_of(played: Played, strategies: Callable[[str], Coordinate]) -> list[str]:
    """Check a world that is over; also replays every run with the strategies at hand."""
    found = [] if played.stuck is None else [f"stuck: {played.stuck}"]
    found += [f"an error that was nobody's: {complaint}" for complaint in played.complaints]
    by_run: dict[RunId, list[Entry]] = {run: [] for run in played.records}
    for entry in played.log:
        if entry.stream.startswith("run:"):
            by_run.setdefault(RunId(entry.stream[4:]), []).append(entry)
    for run, entries in by_run.items():
        found += [f"run {run}: {problem}" for problem in _run(entries, played, run)]
    found += _log(played)
    found += _decisions(played)
    found += _agreements(played)
    found += _decision_logs(played)
    found += _effects(played)
    differed = await played.disk.memory.rebuild()
    if differed:
        found.append(f"{differed} records of the tables differ from what the log says")
    verdicts = await check_replay(played.disk.memory, list(played.records.values()), strategies)
    found += [f"a replay would diverge: {verdict}" for verdict in verdicts.values() if verdict is not None]
    return found


def _run(entries: list[Entry], played: Played, run: RunId) -> Iterator[str]:
    yield from _ending(entries, played, run)
    yield from _claims(entries)
    yield from _commands(entries)
    seen: set[tuple[str, str | None]] = set()
    for entry in entries:
        if entry.kind in ONCE:
            if (entry.kind, entry.ref) in seen:
                yield f"the {ONCE[entry.kind]} {entry.ref} was accepted twice (seq {entry.seq})"
            seen.add((entry.kind, entry.ref))


def _ending(entries: list[Entry], played: Played, run: RunId) -> Iterator[str]:
    """It is created once and ends once; nothing but evidence comes after; its record says the same."""
    if [entry.kind for entry in entries].count("run.created") != 1 or entries[0].kind != "run.created":
        yield "it does not begin with its one run.created"
    ended: Entry | None = None
    for entry in entries:
        if ended is not None and entry.kind not in AFTER_THE_END:
            yield f"{entry.kind} (seq {entry.seq}) after its end, {ended.kind} (seq {ended.seq})"
        if entry.kind in ENDINGS and entry.kind != "run.parked":
            ended = entry
        if entry.kind == "run.parked":
            yield f"it was parked: {entry.value().get('reason')}"
    record = played.records.get(run)
    if record is None:
        yield "it is in the log and not in the tables"
    elif ended is None and played.stuck is None and record.status != "parked":
        yield f"it never ended; its status is {record.status}"
    elif ended is not None and (record.status != ENDINGS[ended.kind] or record.result != ended.data):
        yield f"the log says {ENDINGS[ended.kind]}, its record {record.status}"


def _claims(entries: list[Entry]) -> Iterator[str]:
    """Claims of a task grow by one; what is accepted is of the newest claim, from who holds it."""
    newest: dict[str | None, Entry] = {}
    for entry in entries:
        if entry.kind == "task.claimed":
            epoch, before = entry.value()["epoch"], newest.get(entry.ref)
            expected = 1 if before is None else before.value()["epoch"] + 1
            if epoch != expected:
                yield f"task {entry.ref} is claimed under epoch {epoch}, after {expected - 1} (seq {entry.seq})"
            newest[entry.ref] = entry
        elif entry.kind == "task.done" and "epoch" in entry.value():
            claim = newest.get(entry.ref)
            if claim is None:
                yield f"task {entry.ref} is done and was never claimed (seq {entry.seq})"
            elif (claim.value()["epoch"], claim.agent) != (entry.value()["epoch"], entry.agent):
                yield (
                    f"task {entry.ref}: the result of {entry.agent} under epoch {entry.value()['epoch']} was accepted; "
                    f"the newest claim is {claim.agent}'s, {claim.value()['epoch']} (seq {entry.seq})"
                )


def _commands(entries: list[Entry]) -> Iterator[str]:
    """Numbers are given once; each command has at most one answer, from whom it was sent to."""
    sent: dict[int, str] = {}
    answered: set[int] = set()
    for entry in entries:
        if entry.kind == "command.sent":
            for number, agent in enumerate(entry.value()["agents"], int(entry.ref or 0)):
                if number in sent:
                    yield f"number {number} was given to two commands (seq {entry.seq})"
                sent[number] = agent
        elif entry.kind == "reply.received":
            number = int(entry.ref or 0)
            if sent.get(number) != entry.agent:
                yield f"{entry.agent} answered command {number}, which went to {sent.get(number)} (seq {entry.seq})"
            if number in answered:
                yield f"command {number} was answered twice (seq {entry.seq})"
            answered.add(number)


def _log(played: Played) -> Iterator[str]:
    """The numbers have no gap; what was durable when a coordinator died still is."""
    lengths: dict[str, int] = {}
    for place, entry in enumerate(played.log, 1):
        lengths[entry.stream] = lengths.get(entry.stream, 0) + 1
        if (entry.seq, entry.stream_seq) != (place, lengths[entry.stream]):
            yield f"entry {place} of the log has the numbers {entry.seq} and {entry.stream_seq}"
    for durable in played.durable_at_deaths:
        if len(played.log) < durable:
            yield f"{durable} entries were durable when a coordinator died; now there are {len(played.log)}"


def _streams(played: Played, kind: str) -> dict[str, list[Entry]]:
    """Return the streams of the primitives of one kind."""
    streams: dict[str, list[Entry]] = {}
    for entry in played.log:
        if entry.stream.startswith(f"{kind}:"):
            streams.setdefault(entry.stream, []).append(entry)
    return streams


def _agreements(played: Played) -> Iterator[str]:
    """An agreement has one value at most, which the rule of its opening allows."""
    for stream, entries in _streams(played, "agreement").items():
        ends = [entry for entry in entries if entry.kind in ("agreement.chosen", "agreement.lapsed")]
        if len(ends) > 1:
            yield f"{stream} was ended {len(ends)} times"
            continue
        rule = msgspec.convert(entries[0].value()["terms"]["validity"], Validity)
        wrong = problem(rule, ends[0].value()["value"]) if ends and ends[0].kind == "agreement.chosen" else None
        if wrong is not None:
            yield f"{stream} has a value that is not valid: {wrong}"


def _decision_logs(played: Played) -> Iterator[str]:
    """A log of decisions has no gaps, and each request of an agent once."""
    for stream, entries in _streams(played, "decision_log").items():
        appended = [entry for entry in entries if entry.kind == "decision_log.appended"]
        if [entry.value()["position"] for entry in appended] != [*range(1, len(appended) + 1)]:
            yield f"the positions of {stream} do not follow each other"
        requests = [(entry.agent, entry.value()["request_id"]) for entry in appended]
        if len(dict.fromkeys(requests)) < len(requests):
            yield f"{stream} has the same request twice"


def _decisions(played: Played) -> Iterator[str]:
    """A decision ends once, and as the ballots before its end come to; no voter is counted twice."""
    for stream, entries in _streams(played, "decision").items():
        ends = [entry for entry in entries if entry.kind == "decision.closed"]
        voters = [entry.agent for entry in entries if entry.kind == "decision.ballot_cast"]
        if len(ends) > 1:
            yield f"{stream} was closed {len(ends)} times"
        if len(dict.fromkeys(voters)) < len(voters):
            yield f"{stream} counts a voter twice"
        if len(ends) != 1:
            continue
        told = verify(certify(unfold(decision, None, entries[: entries.index(ends[0]) + 1])))
        yield from (f"{stream}: {problem}" for problem in told.problems)
        if told.outcome != ends[0].value()["status"]:
            yield f"{stream} was closed as {ends[0].value()['status']}; its ballots come to {told.outcome}"
        if any(entry.kind.startswith("decision.ballot") for entry in entries[entries.index(ends[0]) :]):
            yield f"{stream} took a ballot after its end"


def _effects(played: Played) -> Iterator[str]:
    """No keyed effect took place twice, unless its agent lost its memory."""
    if played.faults.amnesia:
        return
    for (agent, key), done in played.ledger.repeated().items():
        places = ", ".join(f"at {each.at_s:.3f} in life {each.life}" for each in done)
        yield f"{agent} did {key} {len(done)} times: {places}"
