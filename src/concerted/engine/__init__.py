"""Who makes it happen: the coordinator, the deterministic loop, the runs, the agents they reach."""
