"""What the engine asks of the world: a store that remembers, links that reach agents, a clock."""
