"""etcd, with aetcd: one transaction per arrival and per acquisition, and one watch over everything.

    with_etcd.py PORT PROCESS WHAT [WHAT ...]

The lock is the algorithm of etcd's own `concurrency.Mutex`: a key of one's own, held by whose key is the oldest.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import aetcd
from aetcd import rpc
from workers import PARTIES, Wakers, run

LEASE_S = 60


class Etcd:
    """One channel for all workers."""

    def __init__(self, port: int, process: int) -> None:
        self.port = port
        self.process = process
        self.wakers = Wakers()

    async def open(self) -> None:
        """Connect, take a lease, and watch."""
        self.client = aetcd.Client("127.0.0.1", self.port)
        await self.client.connect()
        await self.client.delete_prefix(b"/")
        self.lease = await self.client.lease(LEASE_S)
        watch = await self.client.watch_prefix(b"/")
        self.watching = asyncio.create_task(self.follow(watch))

    async def close(self) -> None:
        """Hang up."""
        self.watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.watching
        await self.lease.revoke()
        await self.client.close()

    def processes(self) -> Sequence[int]:
        """Return the server's process."""
        return (self.process,)

    async def follow(self, watch: Any) -> None:
        """Wake who waits for a key to come or to go."""
        async for event in watch:
            come = event.kind == aetcd.EventKind.PUT
            self.wakers.call(f"{'come' if come else 'gone'} {event.kv.key.decode()}")

    async def arrive(self, turn: int, worker: int) -> None:
        """Put a key and count those beside it, at once; the last one puts the key that all watch for."""
        here, ready = f"/barrier/{turn}/here/", f"/barrier/{turn}/ready"
        released = self.wakers.wait(f"come {ready}")
        there = rpc.RangeRequest(key=here.encode(), range_end=after(here), count_only=True)
        answer = await self.client.kvstub.Txn(
            rpc.TxnRequest(success=[self.put(f"{here}{worker}"), rpc.RequestOp(request_range=there)])
        )
        if answer.responses[1].response_range.count == PARTIES:
            await self.client.kvstub.Put(self.put(ready).request_put)
        await released

    async def acquire(self, name: str, worker: int) -> str:
        """Put a key of one's own, and wait until those before it are gone."""
        prefix = f"/locks/{name}/"
        mine = f"{prefix}{worker}"
        oldest = rpc.RangeRequest(
            key=prefix.encode(), range_end=after(prefix), limit=1,
            sort_order=rpc.RangeRequest.ASCEND, sort_target=rpc.RangeRequest.CREATE,
        )  # fmt: skip
        first = await self.client.kvstub.Txn(
            rpc.TxnRequest(success=[self.put(mine), rpc.RequestOp(request_range=oldest)])
        )
        revision = first.header.revision
        owners = first.responses[1].response_range.kvs
        if owners[0].key == mine.encode():
            return mine
        newest_before = rpc.RangeRequest(
            key=prefix.encode(), range_end=after(prefix), limit=1, max_create_revision=revision - 1,
            sort_order=rpc.RangeRequest.DESCEND, sort_target=rpc.RangeRequest.CREATE,
        )  # fmt: skip
        while True:
            found = (await self.client.kvstub.Range(newest_before)).kvs
            if not found:
                return mine
            gone = self.wakers.wait(f"gone {found[0].key.decode()}")
            if (await self.client.kvstub.Range(newest_before)).kvs:  # else it went before it was watched for
                await gone

    async def release(self, name: str, worker: int, token: str) -> None:  # noqa: ARG002
        """Delete the key."""
        await self.client.kvstub.DeleteRange(rpc.DeleteRangeRequest(key=token.encode()))

    def put(self, key: str) -> rpc.RequestOp:
        """Return what puts a key under our lease."""
        return rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=b"1", lease=self.lease.id))


def after(prefix: str) -> bytes:
    """Return the first key that does not begin so."""
    return prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])


if __name__ == "__main__":
    run(Etcd(int(sys.argv[1]), int(sys.argv[2])), sys.argv[3:])
