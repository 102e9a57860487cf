"""Elections: the machine, and its parts."""
