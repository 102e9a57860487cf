"""Coalitions: how one forms, what it does, and what it came to."""
