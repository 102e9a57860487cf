"""The couriers of auction.yaml: each waits somewhere along the road, and bids on one parcel or on two together."""

from collections.abc import Callable
from itertools import combinations

from concerted import Agent, Task
from concerted.messages import Bid, Bids, RequestBid

KMH = 30


def way_km(home: float, places: tuple[float, ...]) -> float:
    """Return how long the way is from home to all places and back, along one road."""
    return 2 * (max(home, *places) - min(home, *places))


def courier(name: str, home: float, per_km: float) -> Agent:
    """Make a courier: where along the road it waits, and what it asks for a kilometre."""
    agent = Agent(name, capacity=2)
    agent.on(RequestBid)(bidder(home, per_km))
    agent.task("deliver")(deliver)
    return agent


def bidder(home: float, per_km: float) -> Callable[[RequestBid], Bids]:
    """Make a courier's answer to a call for bids: one bid for each parcel and each two, of which it can win one."""

    def bid(request: RequestBid) -> Bids:
        bids = []
        for size in (1, 2):
            for first, *rest in combinations(request.tasks, size):
                km = way_km(home, tuple(task.payload["km"] for task in (first, *rest)))
                bids.append(
                    Bid(
                        task=first.id,
                        also=tuple(task.id for task in rest),
                        cost=km * per_km,
                        estimated_duration_s=3600 * km / KMH,
                        xor="one way",
                    )
                )
        return Bids(bids=tuple(bids))

    return bid


async def deliver(task: Task) -> str:
    """Bring one parcel to its place."""
    return f"left at km {task.payload['km']}"


ann = courier("ann", home=-5, per_km=1)
bob = courier("bob", home=0, per_km=1)
cy = courier("cy", home=4, per_km=2)
