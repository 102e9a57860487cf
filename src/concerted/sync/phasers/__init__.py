"""Phasers: the machine, and its parts."""
