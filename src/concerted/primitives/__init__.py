"""Primitives: how do machines live over the log?  Asked, decided, written, and only then answered."""
