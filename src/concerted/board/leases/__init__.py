"""Leases: the machine, and its parts."""
