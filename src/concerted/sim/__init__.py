"""What if everything breaks?  Seeded worlds: virtual time, a lossy network, crashes; a failure replays by its seed."""
