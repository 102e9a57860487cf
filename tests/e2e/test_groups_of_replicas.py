"""Groups of real replicas beside the agents of a session: they keep decisions, and the session knows what they know."""

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from concerted import Agent, open_coordinator, open_group
from concerted.agent.work import Refused
from concerted.config.settings import Consensus, Coordination, ManagerSettings, ReplicaGroups, Strategies
from concerted.consensus.decisions.certificate import verify
from concerted.consensus.keeper import Choose
from concerted.consensus.replacing import Replace
from concerted.engine.replicas import arrivals
from concerted.errors import Conflict, Invalid, NotAllowed, NotFound, Overloaded, TimedOut, WrongPhase
from concerted.launch import Session
from concerted.ports.commands import Events, Status, Why
from concerted.ports.store import Fenced, PrimitiveRecord, Stale, Write
from concerted.stores.postgres.store import PostgresStore

QUICK = Coordination(strategies=Strategies(consensus=Consensus(election_timeout=0.4, heartbeat_interval=0.1)))
NAMES = ("ann", "bob", "cy")


@contextlib.asynccontextmanager
async def session(
    folder: Path, names: tuple[str, ...] = NAMES, coordination: Coordination = QUICK
) -> AsyncIterator[Session]:
    async with open_coordinator(f"sqlite:///{folder}/work.db", coordination=coordination) as coordinator:
        for name in names:
            agent = Agent(name, capabilities={"leadership": 0.5 if name == "dee" else 0.9})
            agent.on("JUDGE")(lambda request: {"choice": "accept", "reason": f"{request.question} yes"})
            await coordinator.register(agent)
        async with asyncio.timeout(150):
            yield coordinator


async def pids(coordinator: Session, group: str) -> dict[int, int]:
    """Return the processes of a group's replicas, by id."""
    return running((await coordinator.replica_group(group).get()).group["id"])


def running(group: str) -> dict[int, int]:
    found = {}
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"concerted.replicas.process" in words and group.encode() in words[-2]:
                found[int(words[-3])] = int(process.name)
    return found


def test_replicas_keep_a_decision_and_the_coordinator_has_all_that_happened(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            ship = coordinator.decision("ship")
            opened = await ship.create("ship it?", NAMES, algorithm="raft")
            assert (opened.status, opened.algorithm, opened.stored_by) == ("voting", "raft", NAMES)
            waiting = asyncio.ensure_future(ship.wait(timeout_s=100))
            await ship.vote("accept", "green", agent="ann")
            again = await ship.vote("reject", agent="ann")
            assert (again.ballot, again.ignored) == ("accept", True)
            with pytest.raises(NotAllowed, match="zoe has no vote"):
                await ship.vote("accept", agent="zoe")
            await ship.vote("accept", agent="cy")
            told = await waiting
            assert (told.status, told.approved_by) == ("accepted", ("ann", "cy"))
            await until(lambda: told_of(coordinator, "led", group=told.group["id"]))
            assert (await ship.get()).leader in NAMES
            assert verify(msgspec.json.encode(told.certificate).decode()).valid
            log = [event.kind for event in await coordinator.give(Events(stream="decision:ship"))]
            assert log == [
                f"decision.{kind}" for kind in ("created", "ballot_cast", "ballot_ignored", "ballot_cast", "closed")
            ]
            with pytest.raises(WrongPhase, match="votes too late"):
                await ship.vote("accept", agent="bob")

    asyncio.run(main())


@pytest.mark.parametrize(("algorithm", "names"), [("raft", NAMES), ("paxos", NAMES), ("pbft", (*NAMES, "dee"))])
def test_agents_that_are_asked_by_a_run_decide_by_replicas(
    tmp_path: Path, algorithm: str, names: tuple[str, ...]
) -> None:
    async def main() -> None:
        async with session(tmp_path, names) as coordinator:
            options = {"algorithm": algorithm, "rule": "all", "deadline": 50}
            view = await coordinator.run("consensus", "ship it?", id="r", options=options)
            assert view.status == "completed"
            assert (view.result["outcome"], view.result["algorithm"]) == ("accepted", algorithm)
            assert sorted(view.result["approved_by"]) == list(names)
            assert tuple(view.result["stored_by"]) == names

    asyncio.run(main())


def test_a_killed_replica_is_started_again_and_one_that_is_away_hinders_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            group = await coordinator.replica_group("ops").create("raft", NAMES)
            assert (group.status, group.tolerates) == ("ready", 1)
            ship = coordinator.decision("ship")
            await ship.create("ship it?", NAMES, algorithm="raft", group="ops")
            before = await pids(coordinator, "ops")
            assert sorted(before) == [1, 2, 3]
            leader = NAMES.index((await coordinator.replica_group("ops").get()).leader or NAMES[0]) + 1
            os.kill(before[leader], signal.SIGKILL)
            await ship.vote("accept", agent="ann")
            assert (await ship.vote("accept", agent="bob")).status == "accepted"
            while (await pids(coordinator, "ops")).get(leader) in (None, before[leader]):
                pass

    asyncio.run(main())


def test_a_coordinator_that_was_away_learns_what_was_decided_without_it(tmp_path: Path) -> None:
    """The group is asked by its description, as voters do; when the coordinator is back its replicas are up again."""

    async def main() -> None:
        async with session(tmp_path) as coordinator:
            await coordinator.replica_group("ops").create("raft", NAMES)
            await coordinator.decision("ship").create("ship it?", NAMES, algorithm="raft", group="ops")
            description = tmp_path / "ops.json"
            description.write_text(json.dumps((await coordinator.replica_group("ops").get()).group))
            async with open_group(description) as group:
                await group.decision("ship").vote("accept", agent="ann")
                told = await group.decision("ship").vote("accept", agent="bob")
                assert told.status == "accepted"
                with pytest.raises(Invalid, match="is for a coordinator"):
                    await group.latch("x").get()
            # nobody has told the coordinator
            assert (await coordinator.decision("ship").wait(timeout_s=100)).approved_by == ("ann", "bob")
        async with session(tmp_path) as coordinator:
            told = await coordinator.decision("ship").get()
            assert (told.status, told.approved_by) == ("accepted", ("ann", "bob"))
            other = await coordinator.decision("next").create("and now?", ["ann"], algorithm="raft", group="ops")
            assert other.status == "voting"

    asyncio.run(main())


def test_hosts_are_chosen_by_their_scores_and_named_groups_are_used_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, ("dee", *NAMES)) as coordinator:
            first = await coordinator.decision("a").create("a?", ["ann"], algorithm="raft")
            assert first.stored_by == NAMES
            second = await coordinator.decision("b").create("b?", ["ann"], algorithm="raft")
            assert second.group == first.group
            third = await coordinator.decision("c").create("c?", ["ann"], algorithm="raft", replicas=("dee",))
            assert third.stored_by == ("dee",)

    asyncio.run(main())


def test_a_group_whose_hosts_are_not_here_is_chosen_for_nothing_new(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            assert (await coordinator.decision("a").create("a?", ["ann"], algorithm="raft")).stored_by == NAMES
        async with session(tmp_path, ("ann", "eve", "fay")) as coordinator:
            told = await coordinator.decision("b").create("b?", ["ann"], algorithm="raft")
            assert told.stored_by == ("ann", "eve", "fay")
        async with session(tmp_path, ("bob", "cy")) as coordinator:
            assert (await coordinator.decision("c").create("c?", ["ann"], algorithm="raft")).stored_by == NAMES

    asyncio.run(main())


def test_whoever_relies_on_two_replicas_is_warned(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, NAMES[:2]) as coordinator:
            kept = {"algorithm": "raft", "replicas": NAMES[:2]}
            decided = await coordinator.decision("d").create("d?", ["ann"], **kept)
            agreed = await coordinator.agree("a", 7, agent="ann", **kept)
            await coordinator.log("l").create(**kept)
            appended = await coordinator.log("l").append("x", agent="ann")
            run = await coordinator.run("consensus", "ship it?", options=kept)
            for warnings in (decided.warnings, agreed.warnings, (await coordinator.log("l").get()).warnings):
                assert "tolerates the loss of none" in warnings[0], appended
            assert "tolerates the loss of none" in run.result["warnings"][0]

    asyncio.run(main())


def test_what_a_group_was_chosen_for_before_a_crash_goes_to_no_other(tmp_path: Path) -> None:
    """The coordinator may have died after it had asked the group, and before it heard what came of it."""

    async def main() -> None:
        async with session(tmp_path) as coordinator:
            for name in ("first", "second"):
                await coordinator.replica_group(name).create("raft", NAMES)
            host = coordinator.owner.coordinator.primitives.host
            await host.decide("keeper", "decision:ship", Choose("second"))
            told = await coordinator.decision("ship").create("ship it?", ["ann"], algorithm="raft", group="first")
            assert told.group["id"].startswith("second-")
            assert (await coordinator.replica_group("first").get()).objects == ()

    asyncio.run(main())


def test_what_cannot_be_is_refused_in_words(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            with pytest.raises(Invalid, match="3 agents are here, and raft is to have 5 replicas"):
                await coordinator.replica_group("big").create("raft", count=5)
            with pytest.raises(NotFound, match="nobody is registered as eve"):
                await coordinator.replica_group("ops").create("raft", ["eve"])
            with pytest.raises(NotFound, match="there is no group of replicas 'nothing'"):
                await coordinator.decision("d").create("d?", ["ann"], algorithm="raft", group="nothing")
            await coordinator.replica_group("one").create("raft", ["ann"])
            with pytest.raises(Conflict, match="made group one already"):
                await coordinator.replica_group("one").create("raft", ["bob"])

    asyncio.run(main())


def test_who_says_nothing_of_how_a_thing_is_kept_takes_it_as_it_is_also_when_it_is_over(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            await coordinator.replica_group("ops").create("raft", ["ann"])
            await coordinator.agreement("port").create(algorithm="raft", group="ops")
            first = await coordinator.agree("port", 80)
            second = await coordinator.agree("port", 81)
            assert [(each.value, each.yours) for each in (first, second)] == [(80, True), (80, False)]
            with pytest.raises(Conflict, match="with other algorithm"):
                await coordinator.agree("port", 80, algorithm="single")
            assert (await coordinator.agreement("port").create()).algorithm == "raft"
            ship = coordinator.decision("ship")
            await ship.create("ship it?", ["ann"], algorithm="raft", group="ops")
            await ship.vote("accept", agent="ann")
            assert (await ship.create("ship it?", ["ann"])).status == "accepted"

    asyncio.run(main())


def test_a_group_that_is_ended_leaves_neither_processes_nor_files_and_all_that_it_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            await coordinator.replica_group("ops").create("raft", NAMES)
            await coordinator.decision("ship").create("ship it?", ["ann"], algorithm="raft", group="ops")
            (folder,) = (tmp_path / "work.db.replicas").iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            await coordinator.decision("ship").vote("accept", agent="ann")
            ended = await coordinator.replica_group("ops").end("moved")
            assert (ended.status, ended.reason) == ("ended", "moved")
            assert await pids(coordinator, "ops") == {}
            assert not folder.exists()
            assert (await coordinator.decision("ship").get()).approved_by == ("ann",)

    asyncio.run(main())


def test_a_group_that_keeps_what_is_open_is_ended_by_force_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            ops = coordinator.replica_group("ops")
            await ops.create("raft", ["ann"])
            ship = coordinator.decision("ship")
            await ship.create("ship it?", ["ann", "bob"], algorithm="raft", group="ops")
            await coordinator.agreement("port").create(algorithm="raft", group="ops")
            await coordinator.log("moves").append("e4", algorithm="raft", group="ops")
            await coordinator.agree("done", 1, algorithm="raft", group="ops")
            told = "group ops keeps agreement port, decision ship, log moves, which nobody could decide"
            with pytest.raises(WrongPhase, match=told) as refused:
                await ops.end()
            assert refused.value.facts["open"] == ["agreement:port", "decision:ship", "decision_log:moves"]
            assert (await ops.get()).status == "ready"
            await coordinator.agree("port", 80)
            with pytest.raises(WrongPhase, match="group ops keeps decision ship, log moves, which"):
                await ops.end()

            assert (await ops.end("moved", force=True)).status == "ended"

            over = "its group of replicas, ops, is over (moved), and nobody can"
            assert (await ship.get()).status == "voting"
            with pytest.raises(WrongPhase, match=r"group ops is over: moved"):
                await ship.wait(timeout_s=60)
            assert (await ship.wait(timeout_s=0)).pending
            for stream, what in (("decision:ship", "decide it"), ("decision_log:moves", "append to it")):
                (waiting,) = (await coordinator.give(Why(subject=stream))).waiting
                assert waiting.waiting_for == f"nothing: {over} {what} any more"
            assert (await coordinator.give(Why(subject="agreement:port"))).waiting == ()
            (blocked,) = (await coordinator.give(Status())).blocked
            assert (blocked.subject, over in blocked.waiting_for) == ("decision:ship", True)
            assert [entry.value for entry in await coordinator.log("moves").read()] == ["e4"]
            following = coordinator.log("moves").follow()
            assert (await anext(following)).value == "e4"
            with pytest.raises(WrongPhase, match=r"group ops is over: moved"):
                await anext(following)

    asyncio.run(main())


def test_a_group_keeps_nothing_open_when_a_decision_is_withdrawn(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            await coordinator.replica_group("ops").create("raft", ["ann"])
            await coordinator.decision("ship").create("ship it?", ["ann", "bob"], algorithm="raft", group="ops")
            await coordinator.decision("ship").cancel("no time")
            assert (await coordinator.replica_group("ops").end()).status == "ended"
            assert (await coordinator.decision("ship").get()).status == "lapsed"
            assert (await coordinator.give(Why(subject="decision:ship"))).waiting == ()

    asyncio.run(main())


@pytest.mark.parametrize(("algorithm", "names"), [("raft", NAMES), ("paxos", NAMES), ("pbft", (*NAMES, "dee"))])
def test_replicas_keep_agreements_and_logs_too(tmp_path: Path, algorithm: str, names: tuple[str, ...]) -> None:
    async def main() -> None:
        async with session(tmp_path, names) as coordinator:
            proposals = [coordinator.agree("port", port, algorithm=algorithm, agent=f"a{port}") for port in (1, 2, 3)]
            told = await asyncio.gather(*proposals)
            assert len({each.value for each in told}) == 1
            assert [each.yours for each in told].count(True) == 1
            assert {each.proposed_by for each in told} == {f"a{told[0].value}"}
            assert (told[0].algorithm, tuple(told[0].stored_by)) == (algorithm, names)

            log = coordinator.log("moves")
            appended = await asyncio.gather(*(log.append(move, algorithm=algorithm) for move in range(20)))
            assert sorted(each.position for each in appended) == list(range(1, 21))
            once = await log.append("again", request_id="r")
            assert (await log.append("again", request_id="r")).position == once.position == 21
            entries = await log.read()
            assert [entry.position for entry in entries] == list(range(1, 22))
            assert sorted(entry.value for entry in entries[:20]) == list(range(20))

    asyncio.run(main())


def test_a_node_on_a_database_has_decisions_kept_by_replicas_too(postgres) -> None:
    async def main() -> None:
        async with open_coordinator(postgres(), coordination=QUICK) as node, asyncio.timeout(150):
            for name in NAMES:
                agent = Agent(name)
                agent.on("JUDGE")(lambda _request: "accept")
                await node.register(agent)
            view = await node.run("consensus", "ship it?", id="r", options={"algorithm": "raft", "rule": "all"})
            assert (view.status, view.result["outcome"]) == ("completed", "accepted")
            told = await node.decision(view.result["decision"]).get()
            assert (told.algorithm, tuple(told.stored_by)) == ("raft", NAMES)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["decision", "agreement", "decision_log"])
def test_two_nodes_that_entrust_one_new_thing_in_the_same_instant_choose_one_group(
    postgres, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Neither node writes its choice before both have made theirs, so both have chosen when nobody had."""
    gate, at_gate = asyncio.Event(), []
    append = PostgresStore.append

    async def held_up(store: PostgresStore, writes: Sequence[Write]) -> list[int | Stale | Fenced]:
        if not gate.is_set() and any(row.kind == "keeper.chosen" for write in writes for row in write.rows):
            at_gate.append(store)
            if len(at_gate) == 2:
                gate.set()
            await gate.wait()
        return await append(store, writes)

    monkeypatch.setattr(PostgresStore, "append", held_up)

    def ask(node: Session) -> Awaitable[Any]:
        match kind:
            case "decision":
                return node.decision("d").create("ship?", ["ann"], algorithm="raft")
            case "agreement":
                return node.agree("d", "blue", algorithm="raft")
            case _:
                return node.log("d").append("first", algorithm="raft", request_id="r", agent="ann")

    async def main() -> None:
        url = postgres()
        async with (
            open_coordinator(url, coordination=QUICK) as one,
            open_coordinator(url, coordination=QUICK) as other,
            asyncio.timeout(60),
        ):
            for number, node in enumerate((one, other)):
                for name in NAMES:
                    await node.register(Agent(f"{name}{number}"))
            told = await asyncio.gather(ask(one), ask(other))
            assert len(at_gate) == 2, "one had not chosen when the other did"
            assert told[0].stored_by == told[1].stored_by
            assert told[0].group == told[1].group
            store = one.owner.coordinator.store
            groups = [each.id for each in await store.find(PrimitiveRecord, {"kind": "replica_group"})]
            assert len(groups) == 1, "a group that keeps nothing was left behind"
            assert f"{kind}:d" in (await other.replica_group(groups[0]).get()).objects


# A host is gone for good, and another agent takes its place while the group decides

FOUR = (*NAMES, "dan")


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await is_so():
            return
        await asyncio.sleep(0.02)


async def told_of(coordinator: Session, kind: str, group: str = "ops") -> bool:
    return kind in await story(coordinator, group.rpartition("-")[0] or group)


async def are_hosts(coordinator: Session, *names: str) -> bool:
    return (await coordinator.replica_group("ops").get()).hosts == names


async def are_running(group: str, *nodes: int) -> bool:
    return sorted(running(group)) == list(nodes)


async def story(coordinator: Session, group: str = "ops") -> list[str]:
    events = await coordinator.give(Events(stream=f"replica_group:{group}"))
    return [event.kind.partition(".")[2] for event in events]


def files(folder: Path, node: int) -> list[str]:
    return [each.name for each in (folder / "work.db.replicas").glob(f"*/{node}.*")]


def test_another_agent_takes_the_place_of_one_that_is_gone(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, FOUR) as coordinator:
            group = coordinator.replica_group("ops")
            old = tmp_path / "old.json"
            old.write_text(json.dumps((await group.create("raft", NAMES)).group))
            ship = coordinator.decision("ship")
            await ship.create("ship it?", NAMES, algorithm="raft", group="ops")
            told = await group.replace("ann", "dan", timeout_s=60)
            assert (told.hosts, told.tolerates, told.replacement) == (("bob", "cy", "dan"), 1, None)
            assert sorted(told.group["replicas"]) == ["2", "3", "4"]
            assert (await group.replace("ann", "dan", timeout_s=60)).hosts == told.hosts, "asked again it is the same"
            await until(lambda: are_running(told.group["id"], 2, 3, 4))
            await until(lambda: told_of(coordinator, "dismissed"))
            assert not files(tmp_path, 1)
            kinds = await story(coordinator)
            steps = [kind for kind in kinds if kind in ("replacing", "joining", "host_replaced", "dismissed")]
            assert steps == ["replacing", "joining", "host_replaced", "dismissed"]
            async with open_group(old) as outside:
                await outside.decision("ship").vote("accept", agent="ann")
            told = await ship.vote("accept", agent="bob")
            assert (told.status, told.stored_by) == ("accepted", ("bob", "cy", "dan"))

    asyncio.run(main())


def test_who_takes_the_place_may_join_a_moment_later(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            group = coordinator.replica_group("ops")
            await group.create("raft", NAMES)
            asked = group.replace("ann", "dan", timeout_s=60)
            told, _ = await asyncio.gather(asked, coordinator.register(Agent("dan")))
            assert told.hosts == ("bob", "cy", "dan")

    asyncio.run(main())


def test_an_agent_that_has_lost_its_file_is_replaced_by_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:
            group = coordinator.replica_group("ops")
            await group.create("raft", NAMES)
            ship = coordinator.decision("ship")
            await ship.create("ship it?", NAMES, algorithm="raft", group="ops")
            (file,) = (tmp_path / "work.db.replicas").glob("*/1.log")
            file.unlink()
            os.kill((await pids(coordinator, "ops"))[1], signal.SIGKILL)
            await until(lambda: told_of(coordinator, "host_lost"))
            assert (await group.get()).lost_agents == ("ann",)
            assert 1 not in await pids(coordinator, "ops"), "without its file it would have forgotten its promises"
            told = await group.replace("ann", "ann", timeout_s=60)
            assert (told.hosts, told.lost_agents) == (("bob", "cy", "ann"), ())
            os.kill((await pids(coordinator, "ops"))[2], signal.SIGKILL)
            await ship.vote("accept", agent="ann")
            assert (await ship.vote("accept", agent="bob")).status == "accepted"

    asyncio.run(main())


def test_an_agent_that_refuses_is_told_of_and_another_takes_its_part(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, FOUR) as coordinator:
            eve = Agent("eve")

            @eve.on("PREPARE_REPLICA")
            def refuse(_request):
                raise Refused("no room")

            await coordinator.register(eve)
            group = coordinator.replica_group("ops")
            await group.create("raft", NAMES)
            told = await group.replace("ann", "eve", timeout_s=60)
            assert "eve cannot host a replica" in told.replacement.refusal
            assert "no room" in told.replacement.refusal
            assert told.hosts == NAMES
            assert (await group.replace("ann", "dan", timeout_s=60)).hosts == ("bob", "cy", "dan")

    asyncio.run(main())


def test_an_agent_that_is_gone_before_it_has_caught_up_is_given_up_for_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, FOUR) as coordinator:
            group = coordinator.replica_group("ops")
            await group.create("raft", NAMES)
            silent = Agent("eve")

            @silent.on("HOST_REPLICA")
            def lose(_request):
                return {"pid": 0}  # it says that it runs, and it does not

            await coordinator.register(silent)
            asking = asyncio.ensure_future(group.replace("ann", "eve", timeout_s=60))
            await until(lambda: told_of(coordinator, "joining"))
            assert (await group.replace("ann", "dan", timeout_s=60)).hosts == ("bob", "cy", "dan")
            assert (await asking).hosts == ("bob", "cy", "dan")

    asyncio.run(main())


def test_what_cannot_be_replaced_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "JOIN_S", 0.05)  # how long it waits for agents that begin beside it

    async def main() -> None:
        async with session(tmp_path, FOUR) as coordinator:
            await coordinator.replica_group("ops").create("paxos", NAMES)
            with pytest.raises(Invalid, match="keeps its log by paxos"):
                await coordinator.replica_group("ops").replace("ann", "dan")
            await coordinator.replica_group("raft").create("raft", NAMES)
            with pytest.raises(NotFound, match="nobody is registered as eve"):
                await coordinator.replica_group("raft").replace("ann", "eve")
            host = coordinator.owner.coordinator.primitives.host
            with pytest.raises(NotAllowed, match="bob may not change group raft"):
                await host.decide("replica_group", "raft", Replace("bob", "ann", "dan"))

    asyncio.run(main())


def test_a_coordinator_that_is_back_goes_on_and_has_what_has_left_ended(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path) as coordinator:  # dan is not there: nothing can be done yet
            group = coordinator.replica_group("ops")
            name = (await group.create("raft", NAMES)).group["id"]
            await coordinator.register(Agent("dan"))
            asking = asyncio.ensure_future(group.replace("ann", "dan"))
            await until(lambda: told_of(coordinator, "replacing"))
            asking.cancel()
        async with session(tmp_path, FOUR) as coordinator:
            await until(lambda: are_hosts(coordinator, "bob", "cy", "dan"))
            await until(lambda: are_running(name, 2, 3, 4))

    asyncio.run(main())


async def shell(folder: Path, *words: str) -> tuple[int | None, str, str]:
    """Run `concerted` beside the owner of the store; return its exit code and what it says."""
    program = (sys.executable, "-m", "concerted", "replicas", *words, "--store", f"sqlite:///{folder}/work.db")
    process = await asyncio.create_subprocess_exec(
        *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, errors = await process.communicate()
    return process.returncode, said.decode(), errors.decode()


def test_a_host_is_replaced_on_the_command_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with session(tmp_path, FOUR) as coordinator:
            await coordinator.replica_group("ops").create("raft", NAMES)
            code, _, errors = await shell(tmp_path, "replace", "ops", "eve", "dan")
            assert (code, "eve hosts no replica of group ops" in errors) == (3, True)
            code, said, _ = await shell(tmp_path, "replace", "ops", "ann", "dan")
            assert (code, said.partition(";")[0].partition(" by ")[0]) == (0, "ops ready: raft beside bob, cy, dan")
            code, described, _ = await shell(tmp_path, "describe", "ops")
            assert sorted(json.loads(described)["hosts"].values()) == ["bob", "cy", "dan"]

    asyncio.run(main())


# How much a group keeps


def test_what_is_over_leaves_its_group_and_the_coordinator_answers_for_it(tmp_path: Path) -> None:
    brief = msgspec.structs.replace(QUICK, replica_groups=ReplicaGroups(max_objects=1, retention=0.0))

    async def main() -> None:
        async with session(tmp_path, coordination=brief) as coordinator:
            made = await coordinator.replica_group("ops").create("raft", NAMES)
            ship = coordinator.decision("ship")
            await ship.create("ship it?", ["ann"], algorithm="raft", group="ops")
            with pytest.raises(Overloaded, match="group ops is full: it keeps 1 decisions, agreements and logs"):
                await coordinator.decision("next").create("and now?", ["ann"], algorithm="raft", group="ops")
            await ship.vote("accept", agent="ann")
            await until(lambda: told_of(coordinator, "released"))
            other = await coordinator.decision("next").create("and now?", ["ann"], algorithm="raft", group="ops")
            assert other.group["id"] == made.group["id"], "there is room again"
            description = tmp_path / "ops.json"
            description.write_text(json.dumps(made.group))
            async with open_group(description) as group:
                with pytest.raises(WrongPhase, match="decision:ship was accepted, and has left this group since"):
                    await group.decision("ship").get()
            assert (await ship.get()).approved_by == ("ann",)
            assert verify(msgspec.json.encode((await ship.get()).certificate).decode()).valid
            with pytest.raises(NotAllowed, match="bob has no vote"):
                await ship.vote("accept", agent="bob")
            elsewhere = await coordinator.decision("third").create("and then?", ["ann"], algorithm="raft")
            assert elsewhere.group["id"] != made.group["id"], "who names no group gets one that has room"

    asyncio.run(main())


# Too few are left


@pytest.mark.parametrize(("algorithm", "names", "away"), [("raft", NAMES, (2, 3)), ("pbft", (*NAMES, "dee"), (3, 4))])
def test_a_group_without_a_majority_decides_nothing_and_says_who_must_come_back(
    tmp_path: Path, algorithm: str, names: tuple[str, ...], away: tuple[int, ...]
) -> None:
    hasty = Coordination(
        manager=ManagerSettings(command_timeout=3.0),
        strategies=Strategies(consensus=Consensus(election_timeout=0.4, heartbeat_interval=0.1, max_terms=1)),
    )

    async def main() -> None:
        async with session(tmp_path, names, hasty) as coordinator:
            await coordinator.replica_group("ops").create(algorithm, names)
            ship = coordinator.decision("ship")
            await ship.create("ship it?", names, algorithm=algorithm, group="ops")
            await ship.vote("accept", agent="ann")
            processes = await pids(coordinator, "ops")
            for node in away:
                os.kill(processes[node], signal.SIGSTOP)
            await until(lambda: told_of(coordinator, "divided"))
            group = await coordinator.replica_group("ops").get()
            missing = tuple(names[node - 1] for node in away)
            assert (group.silent, group.stalled_at is not None) == (missing, True)
            for subject in ("ship", "ops"):
                (waiting,) = (await coordinator.give(Why(subject=subject))).waiting
                assert f"no answer from the replicas beside {', '.join(missing)}" in waiting.waiting_for
                assert (waiting.unblocked_by, waiting.since) == (", ".join(missing), group.stalled_at)
            blocked = {each.subject: each.unblocked_by for each in (await coordinator.give(Status())).blocked}
            assert blocked == dict.fromkeys(("replica_group:ops", "decision:ship"), ", ".join(missing))
            with pytest.raises(TimedOut, match=f"no answer from the replicas beside {', '.join(missing)}"):
                await ship.vote("accept", agent="bob")
            os.kill(processes[away[0]], signal.SIGCONT)
            while (await coordinator.replica_group("ops").get()).stalled_at is not None:
                with contextlib.suppress(TimedOut, WrongPhase):
                    await ship.vote("accept", agent="bob")
            assert {each.subject for each in (await coordinator.give(Status())).blocked} <= {"decision:ship"}
            os.kill(processes[away[1]], signal.SIGCONT)
            await until(lambda: told_of(coordinator, "whole"))
            for name in names[1:]:
                with contextlib.suppress(WrongPhase):
                    await ship.vote("accept", agent=name)
            assert (await ship.wait(timeout_s=30)).status == "accepted"

    asyncio.run(main())
