"""Swarms: the five modes, and what they share."""
