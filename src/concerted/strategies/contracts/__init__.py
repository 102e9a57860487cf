"""Contract nets: the call, the work and the book of a manager."""
