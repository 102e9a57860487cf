"""Double barriers: the machine, and its parts."""
