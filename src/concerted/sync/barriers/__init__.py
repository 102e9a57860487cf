"""Barriers: the machine, and its parts."""
