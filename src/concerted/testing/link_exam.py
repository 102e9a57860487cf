"""The exam of the link port: what every way to reach an agent must do, asked of the real thing.

    from concerted.testing import LINK_CHECKS, check_link

    @pytest.mark.parametrize("check", LINK_CHECKS)
    def test_my_link_passes(check):
        asyncio.run(check_link(lambda profile: MyLink(profile), check))

At the link's far end there must be an agent that does the tasks of `do_exam_task` (a process or command can
do the same in its own language).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from concerted.messages import (
    AnnounceAuction,
    Beat,
    CancelTask,
    Envelope,
    ExecuteTask,
    GetCapabilities,
    GetStatus,
    Reply,
    Request,
    encode_request,
    request_type,
)
from concerted.ports.link import Link
from concerted.values import AgentId, Profile, RunId, Task, TaskId

__all__ = ["LINK_CHECKS", "Heard", "check_link", "do_exam_task", "envelope", "has_ended", "task_envelope"]

PATIENCE_S = 10.0  # how long one answer may take
SILENCE_S = 0.03  # how long nothing more must come
PROFILE = Profile(id=AgentId("ann"), capabilities={"writing": 0.8})

Make = Callable[[Profile], Link]


async def check_link(make: Make, check: str) -> None:
    """Put one check, of `LINK_CHECKS`, to a link.

    make: profile -> a link that has not been opened.

    Raises:
        AssertionError: it does not pass; says what was expected.
    """
    with tempfile.TemporaryDirectory() as folder:
        heard = Heard()
        link = make(PROFILE)
        await link.open(heard)
        try:
            async with asyncio.timeout(4 * PATIENCE_S):
                await _CHECKS[check](link, heard, Path(folder) / "effects")
        finally:
            await link.close("the exam is over")


def do_exam_task(payload: Mapping[str, Any], cancelled: threading.Event) -> Any:
    """Do a task of the exam; `payload` says what.

    file: append the process id and the payload's `value` as a line.  fail: raise ValueError with this text.
    wait_s: wait so long, or until cancelled.  Then return `value`.
    """
    if "file" in payload:
        with open(payload["file"], "a", encoding="utf-8") as file:
            file.write(f"{os.getpid()} {payload.get('value')}\n")
    if "fail" in payload:
        raise ValueError(payload["fail"])
    cancelled.wait(payload.get("wait_s", 0.0))
    return payload.get("value")


class Heard:
    """A `LinkEvents` that keeps everything it is told, in order."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.beats: list[Beat] = []
        self.news: list[tuple[str, str]] = []  # (suspected | lost | returned | FAULT, reason)
        self.profiles: list[Profile] = []
        self._something = asyncio.Event()

    def replied(self, reply: Reply) -> None:
        """Keep an answer."""
        self.replies.append(reply)
        self._something.set()

    def beat(self, beat: Beat) -> None:
        """Keep a heartbeat."""
        self.beats.append(beat)
        self._something.set()

    def suspected(self, agent: AgentId, reason: str) -> None:  # noqa: ARG002
        """Keep a suspicion."""
        self._note("suspected", reason)

    def lost(self, agent: AgentId, reason: str) -> None:  # noqa: ARG002
        """Keep a loss."""
        self._note("lost", reason)

    def left(self, agent: AgentId, reason: str) -> None:  # noqa: ARG002
        """Keep a goodbye."""
        self._note("left", reason)

    def returned(self, agent: AgentId) -> None:  # noqa: ARG002
        """Keep a return."""
        self._note("returned", "")

    def fault(self, agent: AgentId, fault: str, detail: str) -> None:  # noqa: ARG002
        """Keep a fault."""
        self._note(fault, detail)

    def changed(self, profile: Profile) -> None:
        """Keep a profile."""
        self.profiles.append(profile)
        self._something.set()

    def reply_to(self, key: str) -> Reply | None:
        """Return the first answer to a command."""
        return next((reply for reply in self.replies if reply.key == key), None)

    def kinds(self) -> list[str]:
        """Return the kinds of news, in order."""
        return [kind for kind, _ in self.news]

    async def until(self, condition: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
        """Wait until something heard makes the condition true.

        Raises:
            AssertionError: it did not come true in time; shows what was heard.
        """
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    self._something.clear()
                    await self._something.wait()
        except TimeoutError:
            raise AssertionError(f"nothing more in {within_s} s; heard {self.replies}, {self.news}") from None

    async def answer(self, key: str) -> Reply:
        """Wait for the answer to a command."""
        await self.until(lambda: self.reply_to(key) is not None)
        reply = self.reply_to(key)
        assert reply is not None
        return reply

    def _note(self, kind: str, reason: str) -> None:
        self.news.append((kind, reason))
        self._something.set()


def envelope(request: Request, key: str, epoch: int = 1, agent: AgentId = PROFILE.id) -> Envelope:
    """Put a request into an envelope, as the coordinator of run `exam` does."""
    return Envelope(
        id=f"message-{key}",
        type=request_type(request),
        destination=agent,
        payload=msgspec.Raw(encode_request(request)),
        coordination_id=RunId("exam"),
        idempotency_key=key,
        epoch=epoch,
    )


def task_envelope(key: str, epoch: int = 1, **payload: Any) -> Envelope:
    """Command a task of the exam; its id is the key."""
    task = Task(id=TaskId(key), kind="exam", payload=payload)
    return envelope(ExecuteTask(task=task, epoch=1, lease_s=30.0), key, epoch)


async def _every_command_gets_exactly_one_reply(link: Link, heard: Heard, _effects: Path) -> None:
    keys = [f"k{number}" for number in range(4)]
    link.send([task_envelope(key, value=key) for key in keys])
    for key in keys:
        reply = await heard.answer(key)
        assert (reply.status, reply.value, reply.agent) == ("ok", key, PROFILE.id), reply
    await asyncio.sleep(SILENCE_S)
    assert sorted(reply.key for reply in heard.replies) == keys, "there was more than one reply to a command"


async def _a_failure_is_a_reply(link: Link, heard: Heard, _effects: Path) -> None:
    link.send([task_envelope("k", fail="no such chapter")])
    reply = await heard.answer("k")
    assert reply.status == "failed", reply
    assert reply.error is not None
    assert "no such chapter" in reply.error, "the reply must say what went wrong"


async def _a_finished_command_is_answered_from_the_inbox(link: Link, heard: Heard, effects: Path) -> None:
    link.send([task_envelope("k", file=str(effects), value=7)])
    await heard.answer("k")
    link.send([task_envelope("k", file=str(effects), value=7)])
    await heard.until(lambda: len(heard.replies) == 2)
    assert heard.replies[1].value == 7
    assert heard.replies[1].cached, "the second reply must be marked as cached"
    assert len(_lines(effects)) == 1, "the repeat had an effect of its own"


async def _a_command_in_hand_is_not_begun_again(link: Link, heard: Heard, effects: Path) -> None:
    link.send([task_envelope("k", file=str(effects), wait_s=0.1)])
    link.send([task_envelope("k", file=str(effects), wait_s=0.1)])
    await heard.answer("k")
    await asyncio.sleep(SILENCE_S)
    assert len(heard.replies) == 1, heard.replies
    assert len(_lines(effects)) == 1, "the repeat had an effect of its own"


async def _a_stale_epoch_is_refused(link: Link, heard: Heard, effects: Path) -> None:
    link.send([task_envelope("new", epoch=4), task_envelope("old", epoch=3, file=str(effects))])
    reply = await heard.answer("old")
    assert reply.status == "refused", reply
    assert "stale coordinator epoch 3, have seen 4" in (reply.error or ""), reply
    assert (await heard.answer("new")).status == "ok"
    assert not _lines(effects), "the stale command had an effect"


async def _a_cancelled_task_ends(link: Link, heard: Heard, effects: Path) -> None:
    link.send([task_envelope("k", file=str(effects), wait_s=60)])
    await _written(effects)
    assert link.holds("k"), "it is at work on the task"
    link.send([envelope(CancelTask(task=TaskId("k"), epoch=1), "")])
    reply = await heard.answer("k")
    assert reply.status == "cancelled", reply
    assert not link.holds("k"), "it holds a command that it has answered"


async def _an_answered_command_is_no_longer_held(link: Link, heard: Heard, _effects: Path) -> None:
    assert not link.holds("k")
    link.send([task_envelope("k")])
    await heard.answer("k")
    assert not link.holds("k")


async def _a_batch_keeps_its_order(link: Link, heard: Heard, effects: Path) -> None:
    keys = [f"k{number}" for number in range(4)]
    link.send([task_envelope(key, file=str(effects), value=key) for key in keys])
    for key in keys:
        await heard.answer(key)
    assert [line.split()[1] for line in _lines(effects)] == keys, "an agent of capacity 1 works in the order of sending"


async def _status_and_capabilities_are_answered(link: Link, heard: Heard, _effects: Path) -> None:
    link.send([envelope(GetStatus(), "s"), envelope(GetCapabilities(), "c")])
    status = await heard.answer("s")
    assert status.ok, status
    assert status.value["id"] == PROFILE.id, status
    assert (await heard.answer("c")).value == {"writing": 0.8}


async def _a_notice_gets_no_reply(link: Link, heard: Heard, _effects: Path) -> None:
    notice = AnnounceAuction(auction="a", tasks=(TaskId("t"),), closes_at=0.0)
    link.send([envelope(notice, "n"), task_envelope("k")])
    await heard.answer("k")
    assert heard.reply_to("n") is None


async def _after_the_end_there_is_silence(link: Link, heard: Heard, effects: Path) -> None:
    link.send([task_envelope("k", file=str(effects), wait_s=60)])
    await _written(effects)
    await link.close("enough")
    await link.close("enough")
    link.send([task_envelope("late")])
    await asyncio.sleep(SILENCE_S)
    assert not heard.replies, "a closed link has answered"
    worker = int(_lines(effects)[0].split()[0])
    assert worker == os.getpid() or await has_ended(worker), f"process {worker} lives on after the link was closed"


_CHECKS: dict[str, Callable[[Link, Heard, Path], Awaitable[None]]] = {
    "every command gets exactly one reply": _every_command_gets_exactly_one_reply,
    "a failure is a reply": _a_failure_is_a_reply,
    "a finished command is answered from the inbox": _a_finished_command_is_answered_from_the_inbox,
    "a command in hand is not begun again": _a_command_in_hand_is_not_begun_again,
    "a stale epoch is refused": _a_stale_epoch_is_refused,
    "a cancelled task ends": _a_cancelled_task_ends,
    "an answered command is no longer held": _an_answered_command_is_no_longer_held,
    "a batch keeps its order": _a_batch_keeps_its_order,
    "status and capabilities are answered": _status_and_capabilities_are_answered,
    "a notice gets no reply": _a_notice_gets_no_reply,
    "after the end there is silence": _after_the_end_there_is_silence,
}
LINK_CHECKS = tuple(_CHECKS)


async def _written(effects: Path) -> None:
    """Wait for an effect: the task has begun."""
    async with asyncio.timeout(PATIENCE_S):
        while not _lines(effects):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.005)


def _lines(effects: Path) -> list[str]:
    return effects.read_text("utf-8").splitlines() if effects.exists() else []


async def has_ended(pid: int, within_s: float = 2.0) -> bool:
    """Wait until a process no longer runs (a killed one takes a moment); say whether that came true."""
    for _ in range(int(within_s / 0.005)):
        if not _is_alive(pid):
            return True
        await asyncio.sleep(0.005)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
