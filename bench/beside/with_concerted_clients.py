"""Ours, from outside: so many clients of a group, each with a socket and a session of its own, vote again and again.

    with_concerted_clients.py GROUP.json CLIENTS SECONDS     one ballot after the other, each client; one line of JSON
    with_concerted_clients.py GROUP.json decide VOTERS TIMES whole decisions: opened, voted on by all at once, and read

A ballot that is given again is a command in the log like any other, and changes nothing: what is kept stays small.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import sys
import time
from pathlib import Path

from concerted.consensus.decisions.rule import rule_of
from concerted.ports.decisions import AwaitDecision, CastBallot, CreateDecision
from concerted.replicas.clients.client import GroupClient
from concerted.replicas.spec import Group, read_group

PATIENCE_S = 60.0


async def vote(group: Group, count: int, for_s: float) -> dict[str, float]:
    """Let so many clients vote for so long."""
    first = GroupClient(group)
    await first.do(
        CreateDecision(id="again", question="?", electorate={"ann": 1, "bob": 1}, attach=True), timeout_s=PATIENCE_S
    )
    clients = [GroupClient(group) for _ in range(count)]
    ballot = CastBallot(id="again", choice="accept", reason="a ballot that is given again and again")
    times: list[float] = []

    async def run(client: GroupClient, until: float) -> None:
        began_at = time.perf_counter()
        while began_at < until:
            await client.do(ballot, agent="ann", timeout_s=PATIENCE_S)
            now = time.perf_counter()
            times.append(now - began_at)
            began_at = now

    await asyncio.gather(*(client.do(ballot, agent="ann", timeout_s=PATIENCE_S) for client in clients))
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(run(client, wall_s + for_s) for client in clients))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    for client in (first, *clients):
        await client.close()
    times.sort()
    return {
        "done": len(times), "wall_s": wall_s, "cpu_s": cpu_s, "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(0.99 * len(times))],
    }  # fmt: skip


async def decide(group: Group, voters: int, times: int) -> dict[str, float]:
    """Decide again and again with so many voters, of whom each is a client of its own."""
    electorate = {f"v{number}": 1 for number in range(voters)}
    clients = {voter: GroupClient(group, voter) for voter in electorate}
    opener = GroupClient(group, "opener")
    took: list[float] = []
    for number in range(times + 1):
        id = f"{secrets.token_hex(4)}-{number}"
        began_at = time.perf_counter()
        opening = CreateDecision(id=id, question="ship it?", electorate=electorate, rule=rule_of("unanimous"))
        await opener.do(opening, timeout_s=PATIENCE_S)
        waiting = asyncio.create_task(opener.wait(AwaitDecision(id=id), timeout_s=PATIENCE_S))
        ballot = CastBallot(id=id, choice="accept", reason="so")
        await asyncio.gather(*(client.do(ballot, timeout_s=PATIENCE_S) for client in clients.values()))
        assert (await waiting).success
        if number:  # the first one opens the channels and sessions
            took.append(time.perf_counter() - began_at)
    for client in (opener, *clients.values()):
        await client.close()
    return {"median_ms": 1e3 * statistics.median(took), "worst_ms": 1e3 * max(took)}


def main(arguments: list[str]) -> None:
    """Do what is asked."""
    group = read_group(Path(arguments[0]).read_bytes())
    if arguments[1] == "decide":
        found = asyncio.run(decide(group, int(arguments[2]), int(arguments[3])))
    else:
        found = asyncio.run(vote(group, int(arguments[1]), float(arguments[2])))
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
