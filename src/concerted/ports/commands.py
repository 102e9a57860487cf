"""The commands: everything anybody can ask of a coordinator, with what it answers and who may ask.

One table for every door: the library, the command line, the socket, later HTTP and MCP.  A command is
a frozen struct; its class says its result type and the least role that may give it.  Adding one is a
class here and a handler in `engine/commands.py`; a test holds the two tables together.  The commands of
primitives stand in families of their own (FAMILIES), which are imported when somebody uses them.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar, Literal

import msgspec

from concerted.config.plan import AgentSpec
from concerted.config.settings import Coordination
from concerted.errors import Invalid
from concerted.values import AgentId, Instant, Metrics, Objective, ParticipantResult, RunId, RunStatus, TaskResult

__all__ = [
    "FAMILIES",
    "AgentView",
    "Agents",
    "Answer",
    "Archive",
    "AskAgent",
    "Asked",
    "Cancel",
    "Command",
    "EventView",
    "Events",
    "GetRun",
    "Login",
    "Rebuild",
    "Register",
    "Resume",
    "RunView",
    "Signal",
    "Status",
    "StatusView",
    "Submit",
    "Submitted",
    "Waiting",
    "Why",
    "WhyView",
    "all_commands",
    "command_named",
    "decode_command",
]

Role = Literal["viewer", "agent", "operator", "admin"]


# on a wire


class Asked(msgspec.Struct, frozen=True):
    """One command on the wire."""

    id: int
    command: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer on the wire: `ok` or `error`."""

    id: int
    ok: msgspec.Raw = msgspec.Raw()  # not `| None`: msgspec takes Raw for nothing but null in a union
    error: dict[str, Any] | None = None


# answers


class Waiting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something does not move, as the coordinator knows it; never what the thing says of itself."""

    subject: str
    waiting_for: str
    since: Instant
    unblocked_by: str = ""
    deadline: Instant | None = None


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """existed: the run was there already and has only been attached to."""

    id: RunId
    status: RunStatus
    existed: bool = False


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """One run as a caller sees it; the object that `--json` prints."""

    id: RunId
    plan: str | None = None
    strategy: str
    status: RunStatus
    success: bool | None = None
    reason: str = ""
    tasks: tuple[TaskResult, ...] = ()
    participants: dict[AgentId, ParticipantResult] = {}
    metrics: Metrics | None = None
    result: Any = None
    progress: dict[str, Any] | None = None
    parent: RunId | None = None
    created_at: Instant = 0.0
    started_at: Instant | None = None
    ended_at: Instant | None = None
    deadline_at: Instant | None = None
    epoch: int = 1
    attempts: int = 0
    waiting: tuple[Waiting, ...] = ()


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent as a caller sees it.  age_s: since its last heartbeat; load: 0..1; holding: open commands."""

    id: AgentId
    state: str
    link: str
    capabilities: dict[str, float] = {}
    capacity: int = 1
    age_s: float | None = None
    load: float = 0.0
    holding: int = 0
    reason: str = ""


class EventView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry of the log with its data decoded."""

    seq: int
    stream: str
    stream_seq: int
    at: Instant
    kind: str
    agent: str | None = None
    ref: str | None = None
    data: Any = None


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The whole coordinator at a glance.

    owner: the process id, None when the file was read unowned.  blocked: the primitives that wait for
    somebody, and the callers that wait at them now.
    """

    url: str
    owner: int | None
    seq: int
    runs: tuple[RunView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    counts: dict[str, int] = {}
    blocked: tuple[Waiting, ...] = ()
    now: Instant = 0.0


class WhyView(msgspec.Struct, frozen=True, kw_only=True):
    """A cause chain in words, oldest first, and what is being waited for now."""

    subject: str
    lines: tuple[str, ...]
    waiting: tuple[Waiting, ...] = ()


# commands


def _name(name: str) -> str:
    """GetRun -> get_run."""
    return "".join("_" + c if c.isupper() and i else c for i, c in enumerate(name)).lower()


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag=_name):
    """The root of all commands.  result: what it answers.  role: the least that may give it."""

    result: ClassVar[Any] = None
    role: ClassVar[Role] = "viewer"


class Submit(Command, frozen=True, kw_only=True):
    """Start a run, or attach to it if its id is there already with the same content.

    agents: who takes part; none given means everybody, also those who join later.  specs: agents to
    register first.  timeout_s: by default `manager.coordination_timeout`.  coordination: the run's own
    settings; by default the coordinator's.
    """

    result: ClassVar[Any] = Submitted
    role: ClassVar[Role] = "operator"
    id: RunId
    strategy: str
    objective: Objective
    agents: tuple[AgentId, ...] | None = None
    options: dict[str, Any] = {}
    plan: str | None = None
    timeout_s: float | None = None
    specs: tuple[AgentSpec, ...] = ()
    coordination: Coordination | None = None


class GetRun(Command, frozen=True, kw_only=True):
    """Show a run; wait up to `wait_s` seconds for its end first."""

    result: ClassVar[Any] = RunView
    id: RunId
    wait_s: float = 0.0
    brief: bool = False


class Status(Command, frozen=True, kw_only=True):
    """Show runs, agents and what is blocked.  all: also finished runs."""

    result: ClassVar[Any] = StatusView
    all: bool = False
    limit: int = 100


class Agents(Command, frozen=True, kw_only=True):
    """Show all agents."""

    result: ClassVar[Any] = list[AgentView]


class Events(Command, frozen=True, kw_only=True):
    """Read the log; with `wait_s`, wait so long for the first entry after `after`."""

    result: ClassVar[Any] = list[EventView]
    after: int = 0
    until: int | None = None
    stream: str | None = None
    kind: str | None = None
    limit: int = 1000
    wait_s: float = 0.0


class Why(Command, frozen=True, kw_only=True):
    """Explain a run, a task (`RUN:TASK`, or TASK if only one run has it), an agent, or a primitive.

    subject: of a primitive its stream (`sync_point:ID`), or its id if nothing else is called so.
    """

    result: ClassVar[Any] = WhyView
    subject: str


class Cancel(Command, frozen=True, kw_only=True):
    """Call a run off; its compensations run.  A second cancel changes nothing."""

    result: ClassVar[Any] = RunView
    role: ClassVar[Role] = "operator"
    id: RunId
    reason: str = ""
    by: str = "operator"


class Resume(Command, frozen=True, kw_only=True):
    """Let a parked run go on."""

    result: ClassVar[Any] = RunView
    role: ClassVar[Role] = "operator"
    id: RunId
    by: str = "operator"


class Signal(Command, frozen=True, kw_only=True):
    """Send a signal into a run; the same request id counts once."""

    result: ClassVar[Any] = type(None)
    role: ClassVar[Role] = "agent"
    id: RunId
    name: str
    payload: Any = None
    request_id: str


class AskAgent(Command, frozen=True, kw_only=True):
    """Ask an agent outside any run; not durable."""

    result: ClassVar[Any] = dict[str, Any]
    role: ClassVar[Role] = "operator"
    agent: AgentId
    type: str
    data: Any = None
    deadline_s: float | None = None


class Register(Command, frozen=True, kw_only=True):
    """Make agents known and start them as their specs say."""

    result: ClassVar[Any] = list[AgentView]
    role: ClassVar[Role] = "operator"
    specs: tuple[AgentSpec, ...]


class Login(Command, frozen=True, kw_only=True):
    """Say who is at the other end of a connection; the first line a client sends."""

    result: ClassVar[Any] = dict[str, Any]
    client: str = ""


class Archive(Command, frozen=True, kw_only=True):
    """Move a finished run's stream into a compressed file."""

    result: ClassVar[Any] = dict[str, Any]
    role: ClassVar[Role] = "admin"
    id: RunId


class Rebuild(Command, frozen=True, kw_only=True):
    """Recompute all tables from the log; answers how many records differed."""

    result: ClassVar[Any] = dict[str, int]
    role: ClassVar[Role] = "admin"


FAMILIES = (
    "concerted.ports.meeting",
    "concerted.ports.tracking",
    "concerted.ports.holding",
    "concerted.ports.budgets",
    "concerted.ports.sharing",
    "concerted.ports.mail",
    "concerted.ports.access",
    "concerted.ports.looking",
    "concerted.ports.decisions",
    "concerted.ports.replica_groups",
    "concerted.ports.agreements",
)


def decode_command(wire: bytes) -> Command:
    """Turn one JSON object, its name in `command`, into a typed command.

    Raises:
        Invalid: no such command, or its fields do not fit.
    """
    try:
        kind = command_named(str(_tag_of(wire).command))
        return msgspec.json.decode(wire, type=kind)
    except msgspec.MsgspecError as error:
        raise Invalid(f"the command does not fit: {error}") from error


def all_commands() -> dict[str, type[Command]]:
    """Return every command by its name, those of the families included."""
    for family in FAMILIES:
        importlib.import_module(family)
    found, kinds = {}, Command.__subclasses__()
    for kind in kinds:
        below = kind.__subclasses__()
        kinds += below
        if not below:  # what others inherit from is no command itself
            found[str(kind.__struct_config__.tag)] = kind
    return dict(sorted(found.items()))


def command_named(name: str) -> type[Command]:
    """Return the command of this name.

    Raises:
        Invalid: there is none.
    """
    if name not in _named:
        _named.update(all_commands())
    kind = _named.get(name)
    if kind is None:
        raise Invalid(f"there is no command {name!r}; the commands are {', '.join(sorted(_named))}")
    return kind


class _Tagged(msgspec.Struct):
    command: Any = None


_tag_of = msgspec.json.Decoder(_Tagged).decode
_named: dict[str, type[Command]] = {str(kind.__struct_config__.tag): kind for kind in Command.__subclasses__()}
