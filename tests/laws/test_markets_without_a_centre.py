"""Laws of the consensus-based bundle algorithm, on a network that loses, doubles and delays what is said."""

from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from concerted.allocation.market.cbba import CbbaAgent, CbbaMessage, Worth, share_out
from concerted.allocation.market.gossip import Stake, Talk, neighbours_of, take_turn
from concerted.values import AgentId, TaskId

QUIET = 15  # rounds in which nothing has changed
MOST_ROUNDS = 2_000


@dataclass(frozen=True)
class Fleet:
    """Agents and what tasks are worth to them; each further one is worth less by `fading`."""

    worth: dict[AgentId, dict[TaskId, float]]
    most: int
    fading: float

    def value(self, agent: AgentId) -> Worth:
        return lambda bundle, task: self.worth[agent][task] * self.fading ** len(bundle)

    def agents(self) -> list[CbbaAgent]:
        return [CbbaAgent(name, self.worth[name], self.value(name), self.most) for name in sorted(self.worth)]

    def total(self, bundles: dict[AgentId, list[TaskId]]) -> float:
        return sum(self.value(name)(own[:at], task) for name, own in bundles.items() for at, task in enumerate(own))

    def greedily(self) -> dict[AgentId, list[TaskId]]:
        """Give, as somebody would who knows everything, the best task to its best agent, again and again."""
        bundles: dict[AgentId, list[TaskId]] = {name: [] for name in self.worth}
        left = sorted(next(iter(self.worth.values())))
        while left:
            free = [name for name, own in bundles.items() if len(own) < self.most]
            offers = [(-self.value(name)(bundles[name], task), name, task) for name in free for task in left]
            if not offers or min(offers)[0] >= 0:
                break
            _, name, task = min(offers)
            bundles[name].append(task)
            left.remove(task)
        return bundles


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    agents = [AgentId(f"a{i}") for i in range(draw(st.integers(1, 6)))]
    tasks = [TaskId(f"t{i}") for i in range(draw(st.integers(1, 8)))]
    dice = Random(draw(st.integers(0, 2**32)))
    worth = {agent: {task: dice.choice([dice.uniform(1, 10), 5.0]) for task in tasks} for agent in agents}
    return Fleet(worth, draw(st.integers(0, 4)), draw(st.sampled_from([1.0, 0.7])))


def gossip(agents: list[CbbaAgent], loss: float, dice: Random) -> int:
    """Let agents talk until nothing has changed for a while: a message is lost, late or doubled.  Return the rounds."""
    under_way: list[tuple[int, AgentId, CbbaMessage]] = []
    last, quiet, rounds = None, 0, 0
    while quiet < QUIET and rounds < MOST_ROUNDS:
        rounds += 1
        arriving = [one for one in under_way if one[0] <= rounds]
        under_way = [one for one in under_way if one[0] > rounds]
        dice.shuffle(arriving)
        for agent in agents:
            said = agent.step([message for _, to, message in arriving if to == agent.name])
            for other in agents:
                for _ in range(dice.choice([1, 1, 2])):
                    if other is not agent and dice.random() >= loss:
                        under_way.append((rounds + dice.choice([1, 1, 2, 4]), other.name, said))
        now = [(agent.bundle[:], agent.claims) for agent in agents]
        quiet = quiet + 1 if now == last else 0
        last = now
    return rounds


@given(fleets(), st.sampled_from([0.0, 0.3, 0.5]), st.integers(0, 2**32))
def test_agents_that_hear_two_thirds_agree_and_do_as_well_as_a_central_greedy_one(
    fleet: Fleet, loss: float, seed: int
) -> None:
    agents = fleet.agents()
    assert gossip(agents, loss, Random(seed)) < MOST_ROUNDS
    won = [task for agent in agents for task in agent.bundle]
    assert len(set(won)) == len(won), "a task has two winners"
    assert all(agent.claims == agents[0].claims for agent in agents)
    found = fleet.total({agent.name: agent.bundle for agent in agents})
    assert found >= 0.99 * fleet.total(fleet.greedily()) - 1e-9


@given(fleets())
def test_hearing_at_once_what_each_claims_for_itself_comes_to_what_all_messages_come_to(fleet: Fleet) -> None:
    plain, quick = fleet.agents(), fleet.agents()
    said: list[CbbaMessage] = []
    rounds, last = 0, None
    while last != [agent.claims for agent in plain]:
        rounds += 1
        last = [agent.claims for agent in plain] if rounds > 1 else None
        said = [agent.step([one for one in said if one.sender != agent.name]) for agent in plain]
    assert share_out(quick, MOST_ROUNDS) == rounds
    assert [agent.bundle for agent in quick] == [agent.bundle for agent in plain]
    assert [agent.claims for agent in quick] == [agent.claims for agent in plain]
    assert [agent.step(said) for agent in quick] == [agent.step(said) for agent in plain]


@given(fleets(), st.sampled_from([0.0, 0.3, 0.5]), st.integers(0, 2**32))
def test_agents_that_talk_turn_by_turn_agree_although_answers_are_lost(fleet: Fleet, loss: float, seed: int) -> None:
    """What each thinks travels with its requests and answers; every third answer, or every other one, is lost."""
    dice, names = Random(seed), sorted(fleet.worth)
    stakes = {name: Stake(fleet.worth[name], fleet.most) for name in names}
    tasks = tuple(sorted(next(iter(fleet.worth.values()))))
    talk = Talk("a", tasks, stakes, neighbours_of(names), patience=MOST_ROUNDS)
    while not talk.is_agreed:
        talk.rounds += 1
        assert talk.rounds < MOST_ROUNDS
        requests = {name: talk.request(name) for name in names}
        for name, request in requests.items():
            answer = take_turn(name, request, fleet.value(name))
            if dice.random() < loss:
                talk.miss(name, "lost")
            else:
                assert talk.hear(request, name, answer) == ""
    bundles, disputed = talk.bundles()
    assert not disputed
    assert fleet.total(bundles) >= 0.99 * fleet.total(fleet.greedily()) - 1e-9


@given(fleets(), st.integers(0, 2**32))
def test_what_an_agent_had_won_is_taken_by_others_when_it_is_gone(fleet: Fleet, seed: int) -> None:
    agents, dice = fleet.agents(), Random(seed)
    gossip(agents, 0.3, dice)
    lost, left = agents[0], agents[1:]
    for agent in left:
        agent.forget(lost.name)
    gossip(left, 0.3, dice)
    won = [task for agent in left for task in agent.bundle]
    assert len(set(won)) == len(won)
    assert len(won) == min(len(fleet.worth[lost.name]), fleet.most * len(left))
