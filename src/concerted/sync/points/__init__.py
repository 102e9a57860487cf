"""Sync points: the machine, and its parts."""
