"""The contractors of contract_net.yaml: each names its price in its own way, and one of them does not keep its word."""

import re

from concerted import Agent, Task
from concerted.agent import Refused, Work
from concerted.messages import CallForProposals, Proposal

TEXTS = {
    "whale": "Call me Ishmael. Some years ago, never mind how long precisely, I thought I would sail about a little "
    "and see the watery part of the world.",
    "pride": "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in "
    "want of a wife.",
}


def words(text: str) -> list[str]:
    """Return the words of a text, in small letters."""
    return re.findall(r"[a-z]+", text.lower())


# ann is dear, and comes down as far as 6 if she is asked to

ann = Agent("ann", capabilities={"reading": 0.9})


@ann.on(CallForProposals)
def bargain(call: CallForProposals) -> Proposal:
    """Ask for 10, take what is offered if that is 6 or more, and leave indexes to others."""
    if call.task.kind != "count":
        raise Refused("ann counts, and nothing else")
    if call.counter is None or call.counter.cost is None:
        return Proposal(cost=10.0, estimated_duration_s=60.0)
    if call.counter.cost < 6.0:
        raise Refused("not below 6")
    return Proposal(cost=call.counter.cost, estimated_duration_s=60.0)


@ann.task("count")
async def count(task: Task) -> int:
    """Count the words of a text."""
    return len(words(TEXTS[task.payload["text"]]))


# bob is cheap, and withdraws from whatever he finds dull

bob = Agent("bob", capabilities={"reading": 0.9}, cost=1.0)


@bob.task("count")
async def withdraw(task: Task) -> None:
    """Look at the text, and leave it to somebody else."""
    raise Refused(f"{task.payload['text']} is a dull text")


# cy makes indexes, and has the words of each text looked up by others first

cy = Agent("cy", capabilities={"reading": 0.7})


@cy.on(CallForProposals)
def split(call: CallForProposals) -> Proposal:
    """Offer an index, with one subcontract for each text."""
    if call.task.kind != "index":
        raise Refused("cy makes indexes, and nothing else")
    parts = tuple(Task(id=f"words-of-{text}", kind="words", payload={"text": text}) for text in TEXTS)
    return Proposal(cost=8.0, estimated_duration_s=60.0, deliverables=("index",), subtasks=parts)


@cy.task("index")
async def index(_task: Task, work: Work) -> dict[str, list[str]]:
    """Put together what the subcontractors have found: the words that stand in both texts."""
    first, second = (set(work.results[f"words-of-{text}"]) for text in TEXTS)
    return {"index": sorted(first & second)}


# dee looks words up, for cy

dee = Agent("dee", capabilities={"reading": 0.5}, cost=2.0, capacity=2)


@dee.task("words")
async def look_up(task: Task) -> list[str]:
    """List the different words of a text."""
    return sorted(set(words(TEXTS[task.payload["text"]])))
