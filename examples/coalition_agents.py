"""Those who may translate a contract in coalition.yaml: each knows some words, and one will not work for little."""

from typing import Any

from concerted import Agent, Task
from concerted.agent import Work
from concerted.messages import ProposeDivision

FRENCH = {"the": "le", "seller": "vendeur", "delivers": "livre", "wine": "vin"}
LAW = {"seller": "the party of the first part", "wine": "the goods"}

ann = Agent("ann", capabilities={"french": 0.9, "leadership": 0.9}, cost=3)
bob = Agent("bob", capabilities={"law": 0.6}, cost=1)
cy = Agent("cy", capabilities={"law": 0.7}, cost=4)


@ann.task("translate")
async def translate(task: Task, work: Work) -> str:
    """Lead: put the parts of the others, who know the terms, into the text, and the rest into French."""
    terms: dict[str, str] = {}
    for part in work.results.values():
        terms |= part
    words = task.payload["text"].split()
    return " ".join(f"[{terms[word]}]" if word in terms else FRENCH.get(word, word) for word in words)


async def terms_of(task: Task) -> dict[str, Any]:
    """Return the terms of law in the text."""
    return {word: LAW[word] for word in task.payload["text"].split() if word in LAW}


bob.task("translate")(terms_of)
cy.task("translate")(terms_of)


@bob.on(ProposeDivision)
def bargain(request: ProposeDivision) -> dict[str, Any]:
    """Take 10 of the 16 that ann and bob are worth together, and not less."""
    return {"accepted": request.shares["bob"] >= 10, "share": 10}
