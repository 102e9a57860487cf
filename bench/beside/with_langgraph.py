"""LangGraph: an ask is a node of a graph, a gather is `Send` to a node; durable by its own SQLite saver.

It has no messages between agents, so each measurement takes the form that suits it best: `ask` is one step of a
graph that goes on, answered in one node.  `run` is a whole invocation for one ask.  Durable means
`durability="sync"`: a step is on disk before the next begins; the saver's file is in WAL with `synchronous = FULL`.
"""

from __future__ import annotations

import asyncio
import operator
import sys
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from measuring import (
    AGENTS,
    ASKS,
    AUCTIONS,
    DURABLE_ASKS,
    DURABLE_ROUNDS,
    ROUNDS,
    RUN_AGENTS,
    RUNS,
    WARM_UP,
    measured,
    peak_mb,
    resident_mb,
)

PLAIN_ASKS = ASKS // 2  # one invocation of so many steps


class Counting(TypedDict):
    """A number, and how often it is still to be counted up."""

    n: int
    left: int


class Asking(TypedDict):
    """What everybody is asked, and all that was answered."""

    n: int
    answers: Annotated[list[Any], operator.add]
    winner: int


def loop(saver: Any = None) -> Any:
    """Build a graph in which one node asks one agent, again and again."""

    async def ask(state: Counting) -> dict[str, int]:
        return {"n": state["n"] + 1, "left": state["left"] - 1}

    graph = StateGraph(Counting)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", lambda state: "ask" if state["left"] > 0 else END, ["ask", END])
    return graph.compile(checkpointer=saver)


def fan(agents: int, saver: Any = None, *, auction: bool = False) -> Any:
    """Build a graph that asks so many agents at once; as an auction, the best bidder does the task then."""

    async def answer(state: dict[str, int]) -> dict[str, list[Any]]:
        return {"answers": [state["n"] + 1 if not auction else (state["n"] * 7919 % 1000, state["n"])]}

    async def award(state: Asking) -> dict[str, int]:
        return {"winner": min(state["answers"])[1]}

    async def execute(state: Asking) -> dict[str, int]:
        return {"n": state["winner"]}

    graph = StateGraph(Asking)
    graph.add_node("answer", answer)
    graph.add_conditional_edges(START, lambda _: [Send("answer", {"n": n}) for n in range(agents)], ["answer"])
    if auction:
        graph.add_node("award", award)
        graph.add_node("execute", execute)
        graph.add_edge("answer", "award")
        graph.add_edge("award", "execute")
        graph.add_edge("execute", END)
    else:
        graph.add_edge("answer", END)
    return graph.compile(checkpointer=saver)


class Threads:
    """Invokes graphs, each time under a new thread id."""

    def __init__(self, saver: Any) -> None:
        self.saver = saver
        self.count = 0

    async def count_up(self, graph: Any, steps: int) -> None:
        """Have a number counted up, one ask after the other, in one invocation."""
        ended = await graph.ainvoke({"n": 0, "left": steps}, self.config(steps), **self.durably())
        assert ended["n"] == steps

    async def ask_all(self, graph: Any, agents: int) -> None:
        """Have everybody asked, in one invocation."""
        ended = await graph.ainvoke({"n": 0, "answers": [], "winner": -1}, self.config(10), **self.durably())
        assert len(ended["answers"]) == agents

    def config(self, steps: int) -> dict[str, Any]:
        """Return what an invocation of so many steps needs."""
        self.count += 1
        return {"recursion_limit": steps + 10, "configurable": {"thread_id": str(self.count)}}

    def durably(self) -> dict[str, str]:
        """Return the durability, which LangGraph takes only with a saver."""
        return {} if self.saver is None else {"durability": "sync"}


async def main(wanted: list[str]) -> None:
    """Measure what is wanted."""
    await not_durable(wanted, Threads(None))
    async with AsyncSqliteSaver.from_conn_string("langgraph.db") as saver:
        await saver.setup()
        await saver.conn.execute("pragma synchronous = full")
        assert await setting(saver, "synchronous") == 2
        assert await setting(saver, "journal_mode") == "wal"
        commits: list[str] = []
        await saver.conn.set_trace_callback(lambda sql: commits.append(sql) if sql.upper() == "COMMIT" else None)
        await durable(wanted, Threads(saver), commits)


async def setting(saver: AsyncSqliteSaver, name: str) -> Any:
    """Ask SQLite for one of its settings."""
    async with saver.conn.execute(f"pragma {name}") as answer:
        (value,) = await answer.fetchone()
    return value


async def not_durable(wanted: list[str], threads: Threads) -> None:
    """Measure without a saver."""
    if "ask" in wanted:
        graph = loop()
        await threads.count_up(graph, WARM_UP)
        with measured("ask", PLAIN_ASKS):
            await threads.count_up(graph, PLAIN_ASKS)
    if "gather" in wanted:
        graph = fan(AGENTS)
        await threads.ask_all(graph, AGENTS)
        with measured("gather", ROUNDS):
            for _ in range(ROUNDS):
                await threads.ask_all(graph, AGENTS)


async def durable(wanted: list[str], threads: Threads, commits: list[str]) -> None:
    """Measure with the SQLite saver."""
    if "durable ask" in wanted:
        graph = loop(threads.saver)
        await threads.count_up(graph, WARM_UP)
        commits.clear()
        with measured("durable ask", DURABLE_ASKS) as facts:
            await threads.count_up(graph, DURABLE_ASKS)
            facts["commits"] = len(commits) / DURABLE_ASKS
    if "durable run" in wanted:
        graph = loop(threads.saver)
        commits.clear()
        with measured("durable run", DURABLE_ASKS) as facts:
            for _ in range(DURABLE_ASKS):
                await threads.count_up(graph, 1)
            facts["commits"] = len(commits) / DURABLE_ASKS
    for what, count in (("durable gather", DURABLE_ROUNDS), ("auction", AUCTIONS)):
        if what in wanted:
            graph = fan(AGENTS, threads.saver, auction=what == "auction")
            await threads.ask_all(graph, AGENTS)
            commits.clear()
            with measured(what, count) as facts:
                for _ in range(count):
                    await threads.ask_all(graph, AGENTS)
                facts["commits"] = len(commits) / count
    if "runs" in wanted:
        graph = fan(RUN_AGENTS, threads.saver, auction=True)
        await threads.ask_all(graph, RUN_AGENTS)
        commits.clear()
        before = resident_mb()
        with measured("runs", 1) as facts:
            await asyncio.gather(*(threads.ask_all(graph, RUN_AGENTS) for _ in range(RUNS)))
            facts["extra_mb"] = peak_mb() - before
            facts["commits"] = len(commits)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
