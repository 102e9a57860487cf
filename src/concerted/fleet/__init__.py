"""Who is here, and how are they: liveness from heartbeats, circuit breakers, cached capabilities."""
