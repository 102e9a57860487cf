"""What each kind of input does to a run before its strategy goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from concerted.errors import Diverged
from concerted.messages import Reply
from concerted.run import AgentChange
from concerted.runs.calls import Call
from concerted.runs.facts import Ending, Input
from concerted.values import Profile

if TYPE_CHECKING:
    from concerted.runs.instance import Instance

__all__ = ["take"]


def take(run: Instance, given: Input) -> None:
    """Apply one input; kinds that only tell the story (`run.resumed`, `run.unparked`) do nothing.

    Raises:
        Diverged: a timer fired that the code has never armed.
    """
    match given.kind:
        case "reply.received":
            _reply(run, given)
        case "timer.fired":
            _timer(run, int(given.ref or 0))
        case "run.started":
            run.start(given.value().get("deadline_at"))
        case "claim.expired":
            call = run.calls.get(int(given.ref or 0))
            if call is not None:
                _lost(run, call, "its lease has expired without a heartbeat", "expired")
        case "participant.joined" | "participant.changed":
            _participant(run, given)
        case "participant.lost":
            _participant_lost(run, given)
        case "signal.received":
            value = given.value()
            if given.ref:
                run.seen_signals.add(given.ref)
            run.queue(value["name"]).put_nowait(value["payload"])
        case "child.ended":
            child = run.children.pop(int(given.ref or 0), None)
            if child is not None:
                child[1](given.value())
        case "effect.recorded":
            work = run.works.pop(int(given.ref or 0), None)
            if work is not None:
                work[1](given.value())
        case "cancel.requested":
            run.stop("cancelled", Ending("cancelled", {"outcome": None, "error": given.value().get("reason")}))
        case "deadline.passed":
            run.stop("timed_out", Ending("timed_out", {"outcome": None, "error": "its deadline has passed"}))


def _reply(run: Instance, given: Input) -> None:
    call = run.calls.pop(int(given.ref or 0), None)
    if call is None:
        return
    value = given.value()
    run.tally.replies += 1
    call.done(
        Reply(
            agent=call.agent,
            status=value["status"],
            value=value.get("value"),
            error=value.get("error"),
            epoch=call.epoch,
            cached=value.get("cached", False),
        )
    )


def _timer(run: Instance, number: int) -> None:
    if run.loop.due_of(number) is None and number > run.loop.armed:
        raise Diverged(
            f"run {run.id}: timer {number} fired when this was recorded; the code now has armed only "
            f"{run.loop.armed}. Give the change a name with run.version(name, n)",
            run=run.id, recorded=f"timer {number}", now=f"{run.loop.armed} timers",
        )  # fmt: skip
    run.loop.fire(number)


def _participant(run: Instance, given: Input) -> None:
    profile = msgspec.convert(given.value()["profile"], Profile)
    run.agents[profile.id] = profile
    joined = given.kind == "participant.joined"
    _tell(run, AgentChange(agent=profile.id, change="joined" if joined else "changed"))


def _participant_lost(run: Instance, given: Input) -> None:
    agent = given.agent
    assert agent is not None
    reason = str(given.value().get("reason", ""))
    run.agents.pop(agent, None)
    for call in [call for call in run.calls.values() if call.agent == agent]:
        _lost(run, call, reason, "lost")
    _tell(run, AgentChange(agent=agent, change="lost", reason=reason))


def _lost(run: Instance, call: Call, reason: str, why: Any) -> None:
    run.close(call, why, Reply(agent=call.agent, status="lost", error=reason, epoch=call.epoch))


def _tell(run: Instance, change: AgentChange) -> None:
    for agents, queue in run.watchers:
        if agents is None or change.agent in agents:
            queue.put_nowait(change)
