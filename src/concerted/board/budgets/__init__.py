"""Budgets: the machine, and its parts."""
