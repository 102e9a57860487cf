"""The consensus-based bundle algorithm: agents share out tasks among themselves, with nobody in the middle.

    build a bundle --tell the others--> hear what they think --outbid: give that task and all after it back--> build ...

Each agent keeps for every task who wins it, for how much, and how new its knowledge of every other agent is.  Told to
step, it takes in what it has heard, fills its bundle up, and says all that it thinks; the same message goes to
everybody.  A message that is lost, late or doubled costs time and nothing else, for the next one says it all again.
When nobody has anything new to say, no task has two winners.  No bid in a bundle is above the one before it, so that
it ends whatever the values are; where what one more task is worth never grows with the bundle, the whole is then
worth as much as the best task given to its best agent, again and again, by somebody who knows everything.

Source: Choi, Brunet & How, "Consensus-based decentralized auctions for robust task allocation", IEEE Transactions on
Robotics 25, 2009, section IV and table I; Johnson, Choi & How, "The hybrid information and plan consensus algorithm",
2013, for bids that never rise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from concerted.errors import Invalid
from concerted.values import AgentId, TaskId

__all__ = ["CbbaAgent", "CbbaMessage", "Worth", "share_out"]

Worth = Callable[[Sequence[TaskId], TaskId], float]
"""What one more task is worth to an agent that has some already, in the order in which it took them; 0 or less: it
does not want it."""

Claim = tuple[AgentId, float]  # who wins, and for how much


@dataclass(frozen=True, slots=True)
class CbbaMessage:
    """What an agent thinks.  claims: task -> who wins it, for how much.  heard: agent -> how new it knows it to be."""

    sender: AgentId
    step: int
    claims: Mapping[TaskId, Claim]
    heard: Mapping[AgentId, int]


class CbbaAgent:
    """One agent.  tasks: all that are to be shared out.  most: how many it takes.

    bundle: the tasks that it takes itself to have won, in the order in which it took them.
    """

    def __init__(self, name: AgentId, tasks: Iterable[TaskId], worth: Worth, most: int) -> None:
        if most < 0:
            raise Invalid(f"{name}: it takes {most} tasks; it must be at least 0")
        self.name = name
        self.bundle: list[TaskId] = []
        self._tasks = sorted(set(tasks))
        self._worth = worth
        self._most = most
        self._step = 0
        self._claims: dict[TaskId, Claim] = {}
        self._heard: dict[AgentId, int] = {}  # how new what we know of others is, directly or not
        self._latest: dict[AgentId, int] = {}  # the newest message of each that has come
        self._gone: set[AgentId] = set()

    @property
    def claims(self) -> Mapping[TaskId, Claim]:
        """What it thinks: task -> who wins it, for how much."""
        return dict(sorted(self._claims.items()))

    def step(self, messages: Iterable[CbbaMessage] = ()) -> CbbaMessage:
        """Take in messages, fill the bundle up, and return what to tell everybody.

        Messages may be lost, doubled and out of order.  O(messages x tasks), and O(tasks) for each task taken.
        """
        for message in sorted(messages, key=lambda one: (one.sender, one.step)):
            self._hear(message)
        self._give_back()
        self._build()
        self._step += 1
        return CbbaMessage(self.name, self._step, dict(self._claims), {**self._heard, self.name: self._step})

    def resume(self, bundle: Iterable[TaskId], said: CbbaMessage) -> None:
        """Go on after what it has said last; messages that it has heard before must not come again."""
        self.bundle = list(bundle)
        self._step = said.step
        self._claims = dict(said.claims)
        self._heard = {agent: step for agent, step in said.heard.items() if agent != self.name}

    def forget(self, agent: AgentId) -> None:
        """Hear no more of an agent that is gone, and take all that it had won as free."""
        self._gone.add(agent)
        for task in [task for task, (winner, _) in self._claims.items() if winner == agent]:
            del self._claims[task]

    def _hear(self, message: CbbaMessage) -> None:
        sender = message.sender
        if sender == self.name or sender in self._gone or message.step <= self._latest.get(sender, 0):
            return
        self._latest[sender] = message.step
        for task in self._disputed(message.claims):
            theirs, ours = message.claims.get(task), self._claims.get(task)
            if theirs is not None and theirs[0] in self._gone:
                theirs = None
            verdict = self._decide(message, theirs, ours)
            if verdict == "update" and theirs is not None:
                self._claims[task] = theirs
            elif verdict != "leave":
                self._claims.pop(task, None)
        for agent, step in message.heard.items():
            if agent != self.name and step > self._heard.get(agent, 0):
                self._heard[agent] = step

    def _disputed(self, claims: Mapping[TaskId, Claim]) -> list[TaskId]:
        """Return the tasks about which somebody thinks otherwise than we do: about all others nothing can change."""
        ours = self._claims
        return [task for task in self._tasks if claims.get(task) != ours.get(task)]

    def _decide(self, message: CbbaMessage, theirs: Claim | None, ours: Claim | None) -> str:
        """Return what to do with our claim on a task, by table I: `update` to theirs, `reset` it, or `leave` it."""
        we, they = self.name, message.sender
        our_winner = None if ours is None else ours[0]
        if theirs is None:
            return "update" if our_winner == they or self._knows_more(message, our_winner) else "leave"
        winner = theirs[0]
        if winner == they:
            return self._claimed_by_sender(message, theirs, ours)
        if winner == we:
            return "reset" if our_winner == they or self._knows_more(message, our_winner) else "leave"
        newer = self._knows_more(message, winner)
        if our_winner == we:
            return "update" if newer and _beats(theirs, ours) else "leave"
        if our_winner == they:
            return "update" if newer else "reset"
        if our_winner is None or our_winner == winner:
            return "update" if newer else "leave"
        if newer and (self._knows_more(message, our_winner) or _beats(theirs, ours)):
            return "update"
        return (
            "reset"
            if self._knows_more(message, our_winner) and self._known(winner) > _heard(message, winner)
            else "leave"
        )

    def _claimed_by_sender(self, message: CbbaMessage, theirs: Claim, ours: Claim | None) -> str:
        if ours is None or ours[0] == message.sender or _beats(theirs, ours):
            return "update"
        return "update" if ours[0] != self.name and self._knows_more(message, ours[0]) else "leave"

    def _knows_more(self, message: CbbaMessage, agent: AgentId | None) -> bool:
        """Say whether the sender has newer knowledge of a third agent than we have."""
        if agent is None or agent in (self.name, message.sender):
            return False
        return _heard(message, agent) > self._known(agent)

    def _known(self, agent: AgentId) -> int:
        return self._heard.get(agent, 0)

    def _hear_all(self, said: Mapping[TaskId, Mapping[AgentId, Claim]]) -> None:
        """Take in what all others claim for themselves: what `_hear` comes to for all their messages, by name."""
        for task in dict.fromkeys((*self._claims, *said)):
            claims, ours = said.get(task, {}), self._claims.get(task)
            believed = None if ours is None or ours[0] == self.name or ours[0] in claims else ours[0]  # it has given up
            for agent, claim in claims.items():
                if believed is not None and believed < agent and ours is not None and ours[0] == believed:
                    ours = None
                if agent != self.name and (ours is None or ours[0] == agent or _beats(claim, ours)):
                    ours = claim
            if ours is None or ours[0] == believed:
                self._claims.pop(task, None)
            else:
                self._claims[task] = ours

    def _give_back(self) -> None:
        """Keep the bundle up to the first task that is lost; what came after it was worth what it was with it."""
        for at, task in enumerate(self.bundle):
            if self._claims.get(task, ("", 0.0))[0] != self.name:
                for later in self.bundle[at + 1 :]:
                    if self._claims.get(later, ("", 0.0))[0] == self.name:
                        del self._claims[later]
                del self.bundle[at:]
                return

    def _build(self) -> None:
        """Take the task for which we bid the most among those where that wins, until there is none or we are full."""
        while len(self.bundle) < self._most:
            best: tuple[float, TaskId] | None = None
            last = self._claims[self.bundle[-1]][1] if self.bundle else float("inf")
            for task in self._tasks:
                claim = self._claims.get(task)
                if claim is not None and claim[0] == self.name:
                    continue
                bid = min(self._worth(self.bundle, task), last)
                if bid > 0 and _beats((self.name, bid), claim) and (best is None or bid > best[0]):
                    best = bid, task
            if best is None:
                return
            self.bundle.append(best[1])
            self._claims[best[1]] = self.name, best[0]


def share_out(agents: Sequence[CbbaAgent], most_rounds: int) -> int:
    """Let new agents agree, in rounds in which everybody hears all that everybody has said; return how many it took.

    What comes of it is what comes of handing every message to everybody, and takes O(tasks x winners) for each agent
    and round instead of O(tasks x agents): where nobody has newer knowledge of a third agent than anybody else, all
    that counts is what each says of itself.
    """
    before: list[dict[TaskId, Claim]] = []
    rounds = 0
    while rounds < most_rounds:
        rounds += 1
        said = _own_claims(agents) if before else {}
        for agent in agents:
            agent._hear_all(said)
            agent._give_back()
            agent._build()
            agent._step += 1
        now = [dict(agent._claims) for agent in agents]
        if now == before:
            break
        before = now
    for agent in agents:
        agent._latest = {other.name: other._step - 1 for other in agents if other is not agent}
        agent._heard = dict(agent._latest)
    return rounds


def _own_claims(agents: Sequence[CbbaAgent]) -> dict[TaskId, dict[AgentId, Claim]]:
    """Return task -> what each agent claims to have won it for, by name."""
    said: dict[TaskId, dict[AgentId, Claim]] = {}
    for agent in sorted(agents, key=lambda one: one.name):
        for task in agent.bundle:
            said.setdefault(task, {})[agent.name] = agent._claims[task]
    return said


def _beats(one: Claim, other: Claim | None) -> bool:
    """Say whether a claim beats another: by its bid, among equals by the smaller name."""
    return other is None or (-one[1], one[0]) < (-other[1], other[0])


def _heard(message: CbbaMessage, agent: AgentId) -> int:
    return message.heard.get(agent, 0)
