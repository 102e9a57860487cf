"""Latches: the machine, and its parts."""
