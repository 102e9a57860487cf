"""Who waits for whom, here and at other nodes."""
