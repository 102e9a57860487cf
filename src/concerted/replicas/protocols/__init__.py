"""How each protocol is run as a replica: one line of a table each."""
