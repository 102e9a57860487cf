"""Auctions: the mechanisms beside the plain rule, and what was sold."""
