"""Directed scenarios: text files in which each step has its transcript behind it."""
