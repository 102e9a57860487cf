"""The leader of leader_follower.yaml, which divides the numbers and the work, and the followers, which try them."""

from itertools import pairwise

from concerted import Agent, Task
from concerted.agent import Work
from concerted.messages import CheckProgress, DecomposeObjective

ada = Agent("ada", capabilities={"leadership": 0.9, "decision_making": 0.8})
calc = Agent("calc", capabilities={"arithmetic": 0.9})


@ada.on(DecomposeObjective)
def divide(request: DecomposeObjective) -> list[Task]:
    """Divide the numbers into ranges of one size, and compare what is found in each when all are tried."""
    below, parts = request.objective.data["below"], request.objective.data["parts"]
    bounds = [1 + (below - 1) * part // parts for part in range(parts + 1)]
    tries = [
        Task(
            id=f"from-{first}",
            kind="try",
            payload={"first": first, "below": end},
            required_capabilities={"arithmetic": 0.5},
        )
        for first, end in pairwise(bounds)
    ]
    return [*tries, Task(id="longest", kind="compare", agent="ada", after=tuple(task.id for task in tries))]


@ada.on(CheckProgress)
def assign(request: CheckProgress) -> dict[str, str]:
    """Give each range to the next follower that has room, and the comparison to ada."""
    room = [agent for agent, places in sorted(request.free.items()) for _ in range(places) if agent != "ada"]
    ranges = [task.id for task in request.ready if task.kind == "try"]
    return dict(zip(ranges, room, strict=False)) | {task.id: "ada" for task in request.ready if task.kind == "compare"}


@ada.task("compare")
async def compare(_task: Task, work: Work) -> dict[str, int]:
    """Return the best of what was found."""
    return max(work.results.values(), key=lambda found: found["steps"])


@calc.task("try")
def try_range(task: Task) -> dict[str, int]:
    """Return which number of a range takes the most steps."""
    best = max(range(task.payload["first"], task.payload["below"]), key=steps)
    return {"number": best, "steps": steps(best)}


def steps(number: int) -> int:
    """Count the steps from a number to 1."""
    count = 0
    while number > 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count
