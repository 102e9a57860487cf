"""The handlers: what each command of the one table does, for every door alike.

    door -> decode_command -> serve(coordinator, command, principal) -> a typed answer

Whatever a command changes is written before it is answered; given again, it changes nothing more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from concerted.engine.coordinator import Coordinator
from concerted.engine.performer import child_ended
from concerted.engine.permissions import Principal, require
from concerted.engine.primitives.listing import list_primitives
from concerted.engine.views import UNFINISHED, Viewer
from concerted.errors import ConcertedError, Conflict, Invalid, NotAllowed, NotFound, WrongPhase
from concerted.kinds import run_stream
from concerted.messages import decode_request
from concerted.ports.access import AddPrincipal, Principals, PrincipalView, RevokePrincipal
from concerted.ports.commands import (
    Agents,
    AgentView,
    Answer,
    Archive,
    AskAgent,
    Asked,
    Cancel,
    Command,
    Events,
    EventView,
    GetRun,
    Login,
    Rebuild,
    Register,
    Resume,
    RunView,
    Signal,
    Status,
    StatusView,
    Submit,
    Submitted,
    Why,
    WhyView,
    decode_command,
)
from concerted.ports.looking import ListPrimitives
from concerted.ports.mail import MailCommand
from concerted.ports.primitive import Ask
from concerted.ports.store import Row as LogRow
from concerted.ports.store import RunRecord, Write
from concerted.runs.instance import Charter, Input
from concerted.values import AgentId, Profile, digest, encode, is_name

__all__ = ["HANDLERS", "serve", "serve_line"]

MAX_WAIT_S = 600.0  # how long one call may wait; longer waits are the caller's loop


async def serve(of: Coordinator, command: Command, principal: Principal) -> Any:
    """Do what a command says, if the principal may.

    Raises:
        NotAllowed: the principal's role is too low.  Others as the command's own documentation says.
    """
    name = str(command.__struct_config__.tag)
    try:
        of.access.check(principal)
        require(principal, type(command).role, name)
        if isinstance(command, Ask):
            return await of.primitives.serve(command, principal)
        if isinstance(command, MailCommand):
            return await of.inboxes.serve(command, principal)
        return await HANDLERS[type(command)](of, command)
    except NotAllowed as error:
        with contextlib.suppress(ConcertedError):  # what is refused is refused, also if that cannot be written
            await of.access.refused(principal, name, error)
        raise


async def serve_line(of: Coordinator, line: bytes, principal: Principal) -> bytes:
    """Serve one command as it comes over a wire, `{"id": 7, "command": {...}}`; return the answer's line."""
    number = 0
    try:
        asked = msgspec.json.decode(line, type=Asked)
        number = asked.id
        result = await serve(of, decode_command(bytes(asked.command)), principal)
        answer = Answer(number, ok=msgspec.Raw(msgspec.json.encode(result)))
    except ConcertedError as error:
        answer = Answer(number, error=error.to_wire())
    except msgspec.MsgspecError as error:
        answer = Answer(number, error=Invalid(f"this line is no command: {error}").to_wire())
    except Exception as bug:  # ours: the caller hears of it, and the host loop's handler gets the traceback
        told = ConcertedError(f"the coordinator failed at this command: {type(bug).__name__}: {bug}")
        answer = Answer(number, error=told.to_wire())
        of.loop.call_exception_handler({"message": "a command failed", "exception": bug})
    return msgspec.json.encode(answer)


async def _submit(of: Coordinator, command: Submit) -> Submitted:
    if not is_name(command.id) or "/" in command.id or "*" in command.id:
        raise Invalid(f"{command.id!r} cannot name a run: 1..200 printable bytes, without / and *")
    of.check()
    of.world.strategies(command.strategy)
    known = await of.store.get(RunRecord, command.id)
    if known is not None or command.id in of.rounds.live:
        return await _attach(of, command, known)
    of.slots.check()
    _check_agents_free(of, command)
    await of.roster.register_specs(command.specs)
    charter = _charter(of, command)
    if command.id in of.rounds.live:  # somebody was faster while the agents started
        return await _attach(of, command, None)
    active = of.create(command.id, charter, of.clock.now())
    await of.rounds.written(active)
    return Submitted(id=command.id, status="queued" if active.instance.started_at is None else "active")


def _charter(of: Coordinator, command: Submit) -> Charter:
    return Charter(
        strategy=command.strategy,
        objective=command.objective,
        agents=tuple(_profiles(of, command)),
        open=command.agents is None,
        options=dict(command.options),
        root=command.id,
        plan=command.plan,
        timeout_s=command.timeout_s,
        config=of.config if command.coordination is None else command.coordination,
    )


def _profiles(of: Coordinator, command: Submit) -> list[Profile]:
    if command.agents is None:
        own = {spec.profile.id for spec in command.specs}
        return [
            member.profile
            for member in of.roster.members.values()
            if member.state != "gone" and (command.plan is None or member.spec is None or member.profile.id in own)
        ]
    unknown = [agent for agent in command.agents if agent not in of.roster.members]
    if unknown:
        raise NotFound(
            f"run {command.id}: nobody is registered as {', '.join(map(repr, unknown[:5]))}; register them first",
            agents=unknown,
        )
    return [of.roster.members[agent].profile for agent in command.agents]


async def _attach(of: Coordinator, command: Submit, known: RunRecord | None) -> Submitted:
    """Find the run there already; the same id with other content is an error, not a second run."""
    active = of.rounds.live.get(command.id)
    if active is not None:
        charter, status = active.instance.charter, known.status if known else "queued"
    else:
        assert known is not None
        (created,) = await of.store.stream(run_stream(command.id), limit=1)
        charter, status = msgspec.json.decode(created.data, type=Charter), known.status
    if _essence(charter) != _essence(command):
        raise Conflict(
            f"run {command.id} exists already with another strategy, objective or options; "
            "give this one another id, or give the same plan again to continue that one",
            run=command.id,
        )
    if known is None or known.ended_at is None:  # a run that is over needs nobody
        _check_agents_free(of, command)
        await of.roster.register_specs(command.specs)
        active = of.rounds.live.get(command.id)
        if active is not None and charter.open:
            for spec in command.specs:
                of.participants.invite(active, spec.profile)
    if known is None and active is not None:
        await of.rounds.written(active)  # its first rows may still be on their way to the disk
    return Submitted(id=command.id, status=status, existed=True)


def _check_agents_free(of: Coordinator, command: Submit) -> None:
    """See that no agent is replaced, by another one of its name, while it works for another run."""
    for spec in command.specs:
        known = of.roster.members.get(spec.profile.id)
        if known is None or known.spec is None or known.spec == spec:
            continue
        for active in of.rounds.live.values():
            if active.instance.charter.root != command.id and spec.profile.id in active.instance.agents:
                raise Conflict(
                    f"run {active.id} is at work with another agent {spec.profile.id}; "
                    "give yours another id, or keep the two apart: --store URL",
                    agent=spec.profile.id, other=active.id,
                )  # fmt: skip


def _essence(asked: Charter | Submit) -> str:
    return digest(encode([asked.strategy, asked.objective, dict(asked.options)]))


async def _get_run(of: Coordinator, command: GetRun) -> RunView:
    if command.wait_s > 0:
        await of.endings.wait(command.id, min(command.wait_s, MAX_WAIT_S))
    return await _viewer(of).run(command.id, brief=command.brief)


async def _status(of: Coordinator, command: Status) -> StatusView:
    return await _viewer(of).status(everything=command.all, limit=command.limit)


async def _agents(of: Coordinator, _: Agents) -> list[AgentView]:
    return await _viewer(of).agents()


async def _events(of: Coordinator, command: Events) -> list[EventView]:
    viewer, until = _viewer(of), of.loop.time() + min(command.wait_s, MAX_WAIT_S)
    while True:
        newest = of.rounds.news.last_seq
        found = await viewer.events(command)
        left = until - of.loop.time()
        if found or left <= 0 or of.rounds.stopped:
            return found
        command = msgspec.structs.replace(command, after=max(command.after, newest))
        await of.rounds.news.wait(newest, left)


async def _why(of: Coordinator, command: Why) -> WhyView:
    return await _viewer(of).why(command.subject)


async def _cancel(of: Coordinator, command: Cancel) -> RunView:
    of.check()
    known = await of.store.get(RunRecord, command.id)
    if known is not None and (known.ended_at is not None):
        return await _viewer(of).run(command.id)
    if known is not None and known.status == "parked":
        await _end_parked(of, known, command)
        return await _viewer(of).run(command.id)
    data = encode({"by": command.by, "reason": command.reason})
    if await of.tail.post(command.id, Input("cancel.requested", of.clock.now(), data=data)):
        return await _viewer(of).run(command.id)
    with contextlib.suppress(WrongPhase):  # it has ended meanwhile
        active = await of.sleepers.reach(command.id)
        inputs = () if active.called_off else (Input("cancel.requested", of.clock.now(), data=data),)
        await of.rounds.written(active, *inputs)
    return await _viewer(of).run(command.id)


async def _end_parked(of: Coordinator, known: RunRecord, command: Cancel) -> None:
    stream, now = run_stream(known.id), of.clock.now()
    data = encode({"by": command.by, "reason": command.reason})
    ending = encode({"outcome": None, "error": f"called off while parked: {known.error or ''}"})
    rows = [
        LogRow(stream=stream, at=now, kind="cancel.requested", data=data),
        LogRow(stream=stream, at=now, kind="run.cancelled", data=ending),
    ]
    await of.rounds.append(Write(rows=rows, run=known.id, epoch=known.epoch))
    of.run_over(known.id)
    if known.parent is not None:
        told = f"called off while parked: {known.error or ''}"
        of.tell_parent(known.parent, known.id, child_ended(known.id, "cancelled", None, told))
    for child in await of.store.find(RunRecord, {"parent": known.id, "status": UNFINISHED}, limit=10_000):
        await _cancel(of, Cancel(id=child.id, by=command.by, reason=f"its parent {known.id} was called off"))


async def _resume(of: Coordinator, command: Resume) -> RunView:
    of.check()
    known = await of.store.get(RunRecord, command.id)
    if known is None:
        raise NotFound(f"there is no run {command.id!r}; `concerted status --all` lists them", run=command.id)
    if known.status == "parked":
        data = encode({"by": command.by})
        row = LogRow(stream=run_stream(known.id), at=of.clock.now(), kind="run.unparked", data=data)
        of.world.strategies(known.strategy)  # whoever does not have it leaves the run as it is
        await of.rounds.append(Write(rows=[row], run=known.id, epoch=known.epoch))
        await of.unpark(known.id)
    return await _viewer(of).run(command.id)


async def _signal(of: Coordinator, command: Signal) -> None:
    if not is_name(command.request_id):
        raise Invalid(f"{command.request_id!r} cannot be a request id: 1..200 printable bytes, no outer spaces")
    data = encode({"name": command.name, "payload": command.payload})
    given = Input("signal.received", of.clock.now(), ref=command.request_id, data=data)
    if await of.tail.post(command.id, given):
        return
    active = await of.sleepers.reach(command.id)
    instance = active.instance
    waiting = any(one.ref == given.ref for one in active.inbox if one.kind == given.kind)
    if command.request_id in instance.seen_signals or waiting:
        await of.rounds.written(active)  # the first may still be on its way to the disk
        return
    await of.rounds.written(active, given)


async def _ask(of: Coordinator, command: AskAgent) -> dict[str, Any]:
    request = decode_request(command.type, encode(command.data if command.data is not None else {}))
    reply = await of.asker.ask(AgentId(command.agent), request, deadline=command.deadline_s)
    built: dict[str, Any] = msgspec.to_builtins(reply)
    return built


async def _register(of: Coordinator, command: Register) -> list[AgentView]:
    await of.roster.register_specs(command.specs)
    wanted = {spec.profile.id for spec in command.specs}
    return [view for view in of.roster.views() if view.id in wanted]


async def _login(of: Coordinator, _: Login) -> dict[str, Any]:
    return {"node": of.world.node, "url": of.store.url}


async def _principals(of: Coordinator, command: Principals) -> list[PrincipalView]:
    return of.access.views(command)


async def _archive(of: Coordinator, command: Archive) -> dict[str, Any]:
    record = await of.store.archive(run_stream(command.id))
    built: dict[str, Any] = msgspec.to_builtins(record)
    return built


async def _rebuild(of: Coordinator, _: Rebuild) -> dict[str, int]:
    return {"differed": await of.store.rebuild()}


def _viewer(of: Coordinator) -> Viewer:
    return Viewer(of.store, of.clock.now, of)


HANDLERS: dict[type[Command], Callable[[Coordinator, Any], Awaitable[Any]]] = {
    Submit: _submit,
    GetRun: _get_run,
    Status: _status,
    Agents: _agents,
    Events: _events,
    Why: _why,
    Cancel: _cancel,
    Resume: _resume,
    Signal: _signal,
    AskAgent: _ask,
    Register: _register,
    Login: _login,
    Archive: _archive,
    Rebuild: _rebuild,
    AddPrincipal: lambda of, command: of.access.add(command),
    RevokePrincipal: lambda of, command: of.access.revoke(command),
    Principals: _principals,
    ListPrimitives: list_primitives,
}
