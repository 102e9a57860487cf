"""Contracts: what manager and contractor say to each other, agree on and owe."""
