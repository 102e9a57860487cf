"""Paxos: one value for a key, and a log of them."""
