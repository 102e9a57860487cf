"""The optimum: exact and searched answers to problems of assignment and packing."""
