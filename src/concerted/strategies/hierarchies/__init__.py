"""Hierarchies: what a tree of clusters came to."""
