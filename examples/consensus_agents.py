"""The voters of consensus.yaml: each judges a build by the one thing it knows about."""

from concerted import Agent
from concerted.messages import Judge, Judgement

FREE = {"Apache-2.0", "BSD-3-Clause", "MIT"}
GROWTH = 1.2  # how many times as big as the last one a user lets a build be

author = Agent("author")
legal = Agent("legal")
tester = Agent("tester")
user = Agent("user")


@author.on(Judge)
def own_work(_request: Judge) -> Judgement:
    """Leave it to the others."""
    return Judgement(choice="abstain", reason="nobody judges their own work")


@legal.on(Judge)
def licences(request: Judge) -> Judgement:
    """Accept what has nothing in it but free software."""
    strange = sorted(set(request.proposal["licences"]) - FREE)
    if strange:
        return Judgement(choice="reject", reason=f"{', '.join(strange)}: not one of ours")
    return Judgement(choice="accept", reason="all of it is free software")


@tester.on(Judge)
def tests(request: Judge) -> Judgement:
    """Accept what passes all its tests."""
    told = request.proposal["tests"]
    choice = "reject" if told["failed"] else "accept"
    return Judgement(choice=choice, reason=f"{told['passed']} tests passed, {told['failed']} failed")


@user.on(Judge)
def size(request: Judge) -> Judgement:
    """Accept what is not much bigger than what there was."""
    told = request.proposal["size_mb"]
    choice = "accept" if told["now"] <= GROWTH * told["before"] else "reject"
    return Judgement(choice=choice, reason=f"{told['now']} MB, and it was {told['before']}")
