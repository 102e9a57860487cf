"""The kitchen and the choir of hierarchical.yaml: each does what it is good at."""

from concerted import Agent, Task
from concerted.agent import Work

MINUTES = {"bread": 40, "cake": 60, "tea": 5}

cook = Agent("cook")
singer = Agent("singer")


@cook.task("bake")
async def bake(task: Task) -> int:
    """Return how many minutes it takes."""
    return MINUTES[task.payload["what"]]


@singer.task("sing")
async def sing(task: Task) -> str:
    """Return the song."""
    return f"{task.payload['what']} in {task.payload['voices']} voices"


@cook.task("serve")
async def serve(task: Task, work: Work) -> dict[str, object]:
    """Say where and when the feast can begin, and how many songs there are."""
    minutes = [result for result in work.results.values() if isinstance(result, int)]
    songs = [result for result in work.results.values() if isinstance(result, str)]
    return {"where": task.payload["where"], "after_minutes": max(minutes), "songs": len(songs)}
