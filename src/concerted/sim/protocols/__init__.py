"""What each protocol brings to the simulator: its invariants, its settings, and what only it can do."""
