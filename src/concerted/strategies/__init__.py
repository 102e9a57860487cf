"""How a coordination goes: one module a protocol, each with `async def coordinate(run) -> Outcome`."""
