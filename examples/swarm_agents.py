"""The agents of swarm.yaml: each blends what it is told to, and says how far that is from the colour that is wanted."""

from concerted import Agent, Task

WANTED = {"red": 3, "green": 6, "blue": 1}
TINGE = {"linseed": 2, "poppy": 0, "walnut": 1}  # what the oil adds to the distance

mixer = Agent("mixer")


@mixer.task("blend")
def blend(task: Task) -> int:
    """Return how far a blend is from the colour that is wanted."""
    blended = task.payload
    return sum(abs(blended[name] - parts) for name, parts in WANTED.items()) + TINGE[blended["oil"]]
