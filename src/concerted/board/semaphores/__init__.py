"""Semaphores: the machine, and its parts."""
